"""The planner scores as one forward per input does."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from bimedix.errors import BimedixError, ShapeError  # noqa: E402
from bimedix.evaluate import scoring  # noqa: E402
from bimedix.evaluate.scoring import score, score_alone  # noqa: E402
from bimedix.evaluate.trie import Scoring  # noqa: E402


def requests(count: int, *, shared: int = 0, tokens: int = 3, tree: bool = False) -> list[Scoring]:
    draw = Random(5)
    head = tuple(draw.randrange(3, 32000) for _ in range(shared))
    return [
        Scoring(
            f"r{number}",
            head + tuple(draw.randrange(3, 32000) for _ in range(draw.randint(5, 40))),
            tuple(tuple(draw.randrange(3, 32000) for _ in range(draw.randint(1, tokens))) for _ in range(4)),
            tree=str(number // 2) if tree else "",
        )
        for number in range(count)
    ]


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, initializer_range=0.2, **shape)).eval()


@pytest.mark.parametrize("shared", [0, 60])
@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("family", ["mixtral", "llama"])
def test_scores_equal_one_forward_per_input(mixtral: Any, shared: int, tree: bool, family: str) -> None:
    """Letters and long options, with and without a prefix, shared trees or not: within 1e-4."""
    model = mixtral if family == "mixtral" else llama()
    asked = requests(12, shared=shared, tree=tree)
    found, report = score(model, asked, verify=0)

    for request in asked:
        assert found[request.id] == pytest.approx(score_alone(model, request), abs=1e-4)
    assert report.tokens < report.tokens_flat


def test_scores_equal_the_models_own_logits(mixtral: Any) -> None:
    """The plain way itself is the log-softmax of the model's logits."""
    (request,) = requests(1)
    with torch.no_grad():
        logits = mixtral(torch.tensor([request.inputs[0]])).logits[0].log_softmax(-1)
    first = request.continuations[0]
    start = len(request.context) - 1
    expected = sum(float(logits[start + n, token]) for n, token in enumerate(first))

    assert score_alone(mixtral, request)[0] == pytest.approx(expected, abs=1e-4)


def test_the_last_mlp_sees_scored_rows_only(mixtral: Any) -> None:
    """A row for each place that a continuation's token is read from; layers before it see all tokens."""
    asked, seen = requests(4, tokens=1), dict[int, list[int]]()
    hooks = [
        layer.mlp.register_forward_hook(
            lambda _, given, __, n=n: seen.setdefault(n, []).append(given[0].shape[1])
        )
        for n, layer in enumerate(mixtral.model.layers)
    ]
    score(mixtral, asked, verify=0)
    for hook in hooks:
        hook.remove()
    last = max(seen)

    assert seen[last][0] == 4
    assert seen[0][0] >= sum(len(request.context) for request in asked)


def test_choices_do_not_depend_on_batch_size_or_order(mixtral: Any) -> None:
    """Order changes no bit; the batch size changes less than 1e-4, and never a choice."""
    asked = requests(24, shared=30)
    first, _ = score(mixtral, asked, budget=400, verify=0)
    mixed, _ = score(mixtral, Random(1).sample(asked, len(asked)), budget=400, verify=0)
    small, _ = score(mixtral, asked, budget=1, verify=0)

    assert first == mixed
    for name, values in first.items():
        assert values == pytest.approx(small[name], abs=1e-4)
        assert values.index(max(values)) == small[name].index(max(small[name]))


def test_half_precision_choices_do_not_depend_on_the_batch(mixtral: Any) -> None:
    """In bfloat16 close calls are scored again alone, so that accuracy is the same for any batch size."""
    import copy

    model = copy.deepcopy(mixtral).to(torch.bfloat16)
    asked = requests(24, shared=30, tokens=2)
    one, report = score(model, asked, budget=1, verify=0)
    many, _ = score(model, asked, budget=2000, verify=0)

    assert [v.index(max(v)) for v in one.values()] == [many[k].index(max(many[k])) for k in one]
    assert report.guarded < len(asked)


def test_the_replay_notices_a_wrong_score(mixtral: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scorer that is off by a thousandth is refused, with the item's id."""
    true = scoring._score_batch
    monkeypatch.setattr(
        scoring, "_score_batch", lambda *a: {k: tuple(x + 1e-3 for x in v) for k, v in true(*a).items()}
    )

    with pytest.raises(BimedixError, match=r"r\d+: scored together .* differ by 1\.0.e-03"):
        score(mixtral, requests(4), verify=2)


def test_close_calls_are_scored_alone(mixtral: Any) -> None:
    """Two options of the same tokens tie, and are counted."""
    (request,) = requests(1)
    tied = replace(request, continuations=(request.continuations[0],) * 2)

    assert score(mixtral, [tied], verify=0)[1].guarded == 1


def test_known_scores_are_taken_batch_by_batch(mixtral: Any) -> None:
    """After a kill the open batches are run again whole, and the result is the same to the last bit."""
    asked = requests(16, shared=20)
    kept: list[dict[str, Any]] = []
    whole, _ = score(mixtral, asked, budget=150, verify=0, keep=kept.append)
    half = {name: values for batch in kept[: len(kept) // 2] for name, values in batch.items()}
    half |= dict(list(kept[-1].items())[:1])
    again: list[dict[str, Any]] = []
    resumed, _ = score(mixtral, asked, budget=150, verify=0, known=half.get, keep=again.append)

    assert resumed == whole
    assert [set(batch) for batch in again] == [set(batch) for batch in kept[len(kept) // 2 :]]


def test_windowed_attention_falls_back_to_plain_scoring() -> None:
    """A model whose window is shorter than the prompt is scored flat, and the report says so."""
    from transformers import MistralConfig, MistralForCausalLM

    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = MistralForCausalLM(MistralConfig(num_key_value_heads=2, sliding_window=8, **shape)).eval()
    asked = requests(3)
    found, report = score(model, asked)

    assert report.flat
    assert found == {request.id: score_alone(model, request) for request in asked}


def test_the_models_own_attention_is_put_back(mixtral: Any) -> None:
    before = mixtral.config._attn_implementation
    score(mixtral, requests(2), verify=0)

    assert mixtral.config._attn_implementation == before


def test_empty_continuations_and_equal_ids_are_refused(mixtral: Any) -> None:
    with pytest.raises(ShapeError, match="r0: a context"):
        score(mixtral, [Scoring("r0", (1,), ((),))])
    with pytest.raises(ShapeError, match="same id"):
        score(mixtral, requests(1) * 2)
