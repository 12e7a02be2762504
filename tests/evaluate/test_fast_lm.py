"""The harness's tasks by our planner: the same figures as its own backend, from fewer tokens."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow

import torch  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

from bimedix.evaluate.fast_lm import FastLM, by_context, groups  # noqa: E402
from bimedix.evaluate.harness import write_tasks  # noqa: E402
from bimedix.records import MultipleChoice  # noqa: E402

Maker = Callable[..., list[MultipleChoice]]


@pytest.fixture(scope="module", params=["base", "adapter"])
def models(request: pytest.FixtureRequest, mixtral: Any, tokenizer: Any) -> tuple[Any, Any]:
    """The harness's backend and ours on one model object, with and without adapters."""
    model = copy.deepcopy(mixtral)
    if request.param == "adapter":
        from bimedix.model.adapters import attach
        from bimedix.model.settings import AdapterSettings

        model = attach(model, AdapterSettings(rank=2, alpha=64))
        torch.manual_seed(2)
        for name, tensor in model.named_parameters():
            if "lora_b" in name.lower():
                tensor.data.normal_(std=0.05)
        model.eval()
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu", max_length=256)
    return theirs, FastLM(model, tokenizer=tokenizer, batch_size=4, device="cpu", max_length=256, budget=600)


def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    return [Instance(kind, {}, one, n) for n, one in enumerate(arguments)]


def questions(items: list[MultipleChoice], head: str = "") -> list[str]:
    return [f"{head}{item.question}?\nAnswer:" for item in items]


def shapes(items: Maker) -> dict[str, list[tuple[str, str]]]:
    """All shapes of log-likelihood tasks, with (context, continuation) as the harness builds them."""
    english, arabic, draw = items("en", 6), items("ar", 5), Random(1)
    head = " ".join(draw.choices(["fever", "cough", "liver", "acute"], k=60)) + "\n\n"
    other = " ".join(draw.choices(["bone", "artery", "lung", "patient"], k=50)) + "\n\n"
    texts = list(zip(english, questions(english), strict=True))
    return {
        "letters": [(q, f" {letter}") for q in questions(english) for letter in "ABCD"],
        "few-shot": [
            (q, f" {letter}")
            for start in (head, other)
            for q in questions(english, start)
            for letter in "ABCD"
        ],
        "option text": [(question, f" {text}") for item, question in texts for text in item.options],
        "several tokens": [(q, f" {word}") for q in questions(arabic) for word in ("نعم", "لا", "ربما")],
        "long and short": [(" ".join(["fever"] * n) + " ", "liver kidney.") for n in (1, 40, 300)],
        "no context": [("", "The patient has fever."), ("", "liver")],
        "the same twice": [("fever", " cough")] * 2,
    }


def test_every_shape_scores_as_the_harness_does(models: tuple[Any, Any], items: Maker) -> None:
    """Log-likelihood to 1e-4, the greedy flag, and the order of the answers; all shapes in one call."""
    theirs, ours = models
    for name, arguments in shapes(items).items():
        expected = theirs.loglikelihood(instances("loglikelihood", arguments), disable_tqdm=True)
        found = ours.loglikelihood(instances("loglikelihood", arguments), disable_tqdm=True)

        assert [a for a, _ in found] == pytest.approx([a for a, _ in expected], abs=1e-4), name
        assert [b for _, b in found] == [b for _, b in expected], name
    mixed = [one for arguments in shapes(items).values() for one in arguments]
    Random(3).shuffle(mixed)
    expected = theirs.loglikelihood(instances("loglikelihood", mixed), disable_tqdm=True)
    found = ours.loglikelihood(instances("loglikelihood", mixed), disable_tqdm=True)
    assert [a for a, _ in found] == pytest.approx([a for a, _ in expected], abs=1e-4)


def test_what_greedy_decoding_writes_is_flagged(models: tuple[Any, Any]) -> None:
    """The model's own continuation is greedy, another is not, in both."""
    theirs, ours = models
    written = ours.generate_until(
        instances("generate_until", [("fever cough liver", {"until": ["\n\n"], "max_gen_toks": 6})]),
        disable_tqdm=True,
    )
    again = theirs.generate_until(
        instances("generate_until", [("fever cough liver", {"until": ["\n\n"], "max_gen_toks": 6})]),
        disable_tqdm=True,
    )
    context = theirs.tok_encode("fever cough liver")
    best = int(theirs._model_call(torch.tensor([context]))[0, -1].argmax())
    asked = [(("a", "b"), context, [best]), (("a", "c"), context, [(best + 1) % 32000])]

    assert written == again and written[0]
    assert [flag for _, flag in ours._loglikelihood_tokens(asked)] == [True, False]
    assert [flag for _, flag in theirs._loglikelihood_tokens(asked, disable_tqdm=True)] == [True, False]


def test_rolling_log_likelihood_is_the_same(models: tuple[Any, Any]) -> None:
    """Texts longer than the model takes go in windows."""
    theirs, ours = models
    texts = [("fever cough " * 200,), ("The liver.",)]
    expected = theirs.loglikelihood_rolling(instances("loglikelihood_rolling", texts), disable_tqdm=True)

    assert ours.loglikelihood_rolling(
        instances("loglikelihood_rolling", texts), disable_tqdm=True
    ) == pytest.approx(expected, rel=1e-5)


def test_a_whole_run_of_the_harness_gives_the_same_table(
    models: tuple[Any, Any], items: Maker, tmp_path: Path
) -> None:
    """Tasks of our own, letters and options, in two languages; accuracy of both kinds is equal."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    write_tasks(tmp_path / "t", [*items("en", 8), *items("ar", 8)])
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path / "t"))
    tables = [
        simple_evaluate(lm, tasks=["bimedix"], task_manager=manager, bootstrap_iters=0)["results"]
        for lm in models
    ]
    shown = [
        {(task, name): v for task, row in table.items() for name, v in row.items() if name.startswith("acc")}
        for table in tables
    ]

    assert shown[0] == shown[1] and len({task for task, _ in shown[0]}) == 4
    assert models[1].tokens < models[1].tokens_flat / 2


def test_contexts_of_several_tasks_are_grouped_by_what_they_share() -> None:
    """Each task's examples are read once, whatever order the requests come in; loners stay together."""
    first, second = tuple(range(100)), (*range(20), *range(500, 580))
    contexts = [(*head, n, 7) for n in range(5) for head in (first, second)] + [(9000, 1), (9001,)]
    found = groups(contexts)

    assert sorted(map(sorted, found)) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9], [10, 11]]
    assert groups([(1, 2)]) == [[0]]


def test_requests_of_one_context_become_one() -> None:
    asked, places = by_context([(None, [1, 2, 3], [4]), (None, [1, 2, 3], [5]), (None, [9] * 9, [1, 2])], 6)

    assert [(one.context, one.continuations) for one in asked] == [
        ((1, 2, 3), ((4,), (5,))), ((9,) * 5, ((1, 2),)),
    ]  # fmt: skip
    assert places == [("0", 0), ("0", 1), ("1", 0)]


TASK = """task: demo
dataset_path: json
dataset_kwargs:
  data_files: {test: rows.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{stem.strip()}}\\nAnswer:"
doc_to_choice: "{{[a, b]}}"
doc_to_target: "{{['a', 'b'].index(key)}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""


def test_an_imported_task_scores_as_in_the_harness(
    tmp_path: Path, items: Maker, mixtral: Any, tokenizer: Any
) -> None:
    """`bimedix evaluate MODEL task.yaml OUT`: the harness's prompts, log-likelihoods and accuracies."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from bimedix.examine import examine
    from bimedix.files import read_records
    from bimedix.model.load import save_model
    from bimedix.progress import Progress
    from bimedix.recipe import read_recipe
    from bimedix.records import Prediction

    rows = [
        {"stem": f" {item.question}? ", "a": item.options[0], "b": item.options[1], "key": "ab"[n % 2]}
        for n, item in enumerate([*items("en", 5), *items("ar", 4)])
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "demo.yaml").write_text(TASK.replace("rows.jsonl", str(tmp_path / "rows.jsonl")))
    save_model(mixtral, tmp_path / "model", tokenizer)
    (tmp_path / "r.toml").write_text('name = "r"\n[evaluate]\nbootstrap_draws = 20\nverify = 1\n')
    _, table = examine(
        read_recipe(tmp_path / "r.toml"), str(tmp_path / "model"), [tmp_path / "demo.yaml"],
        tmp_path / "out", Progress(),
    )  # fmt: skip
    lm = HFLM(pretrained=mixtral, tokenizer=tokenizer, batch_size=2, device="cpu")
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    theirs = simple_evaluate(lm, tasks=["demo"], task_manager=manager, bootstrap_iters=0, log_samples=True)

    mine = list(read_records(tmp_path / "out" / "records.jsonl", Prediction))
    bare = {p.id: p.log_probabilities for p in mine if p.protocol == "options"}
    for sample in theirs["samples"]["demo"]:
        expected = [float(answer[0][0]) for answer in sample["resps"]]
        assert bare[f"demo:{sample['doc_id'] + 1}"] == pytest.approx(expected, abs=1e-4)
    right = {
        protocol: sum(r.right for r in table.accuracies if r.protocol == protocol) / 9
        for protocol in ("options", "options_per_character")
    }
    shown = theirs["results"]["demo"]
    assert (right["options"], right["options_per_character"]) == pytest.approx(
        (shown["acc,none"], shown["acc_norm,none"])
    )
    assert {row.language for row in table.accuracies} == {"en", "ar"}
