"""Greedy replies do not depend on the batch."""

from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from bimedix.evaluate.generation import generate  # noqa: E402


def prompts(count: int) -> dict[str, tuple[int, ...]]:
    draw = Random(4)
    return {
        f"p{n}": tuple(draw.randrange(3, 32000) for _ in range(draw.randint(3, 30))) for n in range(count)
    }


def test_replies_equal_transformers_own_greedy_search(mixtral: Any) -> None:
    """Token for token what `generate` of transformers gives without sampling."""
    asked = prompts(4)
    found = generate(mixtral, asked, end_id=2, max_new_tokens=8)
    for name, ids in asked.items():
        theirs = mixtral.generate(
            torch.tensor([ids]), max_new_tokens=8, do_sample=False, eos_token_id=2, pad_token_id=2
        )[0, len(ids) :]
        expected = [int(token) for token in theirs]

        assert list(found[name]) == (expected[: expected.index(2)] if 2 in expected else expected)


def test_replies_do_not_depend_on_batch_or_order(mixtral: Any) -> None:
    asked = prompts(12)
    names = Random(1).sample(sorted(asked), len(asked))
    one = generate(mixtral, asked, end_id=2, max_new_tokens=6, budget=1)

    assert generate(mixtral, {n: asked[n] for n in names}, end_id=2, max_new_tokens=6, budget=500) == one


def test_a_reply_ends_at_the_stop_token(mixtral: Any) -> None:
    """The stop token itself is no part of the reply, and others of the batch go on."""
    asked = prompts(3)
    plain = generate(mixtral, asked, end_id=2, max_new_tokens=6)
    stop = plain["p0"][2]
    cut = generate(mixtral, asked, end_id=stop, max_new_tokens=6)

    assert cut["p0"] == plain["p0"][: plain["p0"].index(stop)]
    assert all(cut[name] == plain[name] for name in asked if stop not in plain[name])


def test_known_replies_are_not_written_again(mixtral: Any) -> None:
    asked = prompts(3)
    kept: list[dict[str, Any]] = []
    known = dict.fromkeys(asked, (7, 8))

    assert generate(mixtral, asked, end_id=2, max_new_tokens=4, known=known.get, keep=kept.append) == known
    assert kept == []
