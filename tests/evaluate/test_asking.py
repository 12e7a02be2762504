"""How items are put before a model."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")

from bimedix.evaluate.asking import Asker, cue, draw_shots, encode_pairs, turned
from bimedix.prompts.questions import read_answer, to_messages
from bimedix.records import MultipleChoice

Maker = Callable[..., list[MultipleChoice]]


@pytest.mark.parametrize("code", ["en", "ar", "ru", "zh"])
def test_context_and_continuation_together_are_the_whole(tokenizer: Any, items: Maker, code: str) -> None:
    """No token is lost or doubled at the border, whatever merges there; spaces at the end move over."""
    item = items(code, 1)[0]
    for context in (item.question, item.question + "  "):
        head, tails = encode_pairs(tokenizer, context, [f" {option}" for option in item.options])

        for tail, option in zip(tails, item.options, strict=True):
            assert [*head, *tail] == tokenizer.encode(f"{context} {option}")
        assert list(head) == tokenizer.encode(item.question)


@pytest.mark.parametrize("template", ["mixtral", "vicuna", "plain"])
@pytest.mark.parametrize("code", ["en", "ar", "zh"])
def test_the_right_answer_is_scored_as_training_writes_it(
    tokenizer: Any, items: Maker, template: str, code: str
) -> None:
    """Prompt and continuation give the tokens that the chat layout makes of the whole conversation."""
    from bimedix.prompts.chat import encode_conversation

    item = items(code, 1)[0]
    asked = Asker(tokenizer, template, 4096).scoring("k", item, "options")
    if template == "plain":
        assert tokenizer.decode(asked.context + asked.continuations[0]).endswith(
            f"{cue(code)} {item.options[0]}"
        )
        return
    ids, supervised = encode_conversation(to_messages(item), tokenizer, template)
    right = asked.continuations[item.answers[0]]

    assert tuple(ids[:-1]) == asked.context + right
    assert supervised[len(asked.context) :] == [True] * (len(right) + 1)


class Joiner:
    """Reads a colon and what follows it up to the next space as one piece."""

    def encode(self, text: str) -> list[int]:
        import re

        return [sum(map(ord, piece)) for piece in re.findall(r":\s*\w+|\S", text)]


def test_a_border_that_the_tokenizer_joins_is_counted(tokenizer: Any, items: Maker) -> None:
    """The pieces stay those of lm-eval, and the run's report says for how many questions that was so."""
    item = items("en", 1)[0]
    joined = Asker(Joiner(), "plain", 4096).scoring("k", item, "options")

    assert joined.merged
    assert not Asker(tokenizer, "plain", 4096).scoring("k", item, "options").merged


def test_long_prompts_lose_their_beginning(tokenizer: Any, items: Maker) -> None:
    """As in lm-eval: the model sees the last tokens that fit."""
    item = items("en", 1, words=300)[0]
    whole = Asker(tokenizer, "mixtral", 4096).scoring("k", item, "letters")
    cut = Asker(tokenizer, "mixtral", 50).scoring("k", item, "letters")

    assert max(map(len, cut.inputs)) == 50
    assert (whole.cut, cut.cut) == (False, True)
    assert cut.context == whole.context[-len(cut.context) :]


def test_shots_are_the_same_for_every_question_of_a_language(items: Maker) -> None:
    pool = [*items("en", 9), *items("ar", 9)]
    shots = draw_shots(pool, 2, seed=1)

    assert {code: len(chosen) for code, chosen in shots.items()} == {"en": 2, "ar": 2}
    assert shots == draw_shots(Random(3).sample(pool, len(pool)), 2, seed=1)
    assert shots != draw_shots(pool, 2, seed=2)


def test_turned_options_take_their_answers_along(items: Maker) -> None:
    """After as many turns as there are options the item is itself again."""
    item = items("en", 1)[0]

    for by in range(5):
        assert turned(item, by).answer_texts == item.answer_texts
    assert turned(item, 1).options == (*item.options[1:], item.options[0])
    assert turned(item, 4) == item


@pytest.mark.slow
@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("protocol", ["letters", "options"])
def test_plain_scores_equal_lm_eval(
    mixtral: Any, tokenizer: Any, items: Maker, shots: int, protocol: str
) -> None:
    """The same prompts give the same log-probabilities as lm-eval's HF backend, within 1e-4."""
    instance = pytest.importorskip("lm_eval.api.instance")
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    from bimedix.evaluate.scoring import score

    asked = [*items("en", 6), *items("ar", 6)]
    asker = Asker(tokenizer, "plain", 4096, draw_shots(items("en", 4, name="s"), shots, seed=1))
    found, _ = score(mixtral, [asker.scoring(item.id, item, protocol) for item in asked])
    lm = huggingface.HFLM(pretrained=mixtral, tokenizer=tokenizer, batch_size=4, device="cpu")
    requests = [
        instance.Instance("loglikelihood", {}, (asker.text(item), f" {wording}"), n)
        for item in asked
        for n, wording in enumerate(asker.wordings(item, protocol))
    ]
    theirs = [value for value, _ in lm.loglikelihood(requests, disable_tqdm=True)]

    assert [value for item in asked for value in found[item.id]] == pytest.approx(theirs, abs=1e-4)


def test_a_reply_in_the_taught_words_is_read_as_the_key(items: Maker) -> None:
    item = items("ar", 1)[0]

    assert read_answer(to_messages(item)[-1].content, item) == item.answers
