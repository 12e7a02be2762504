"""Leaks planted among real exam questions, in five languages: found, and hardly a stranger taken for one."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from bimedix.files import read_records
from bimedix.overlap.contamination import TestIndex, compared
from bimedix.records import MultipleChoice, OpenQuestion, Origin
from bimedix.sources.room import run
from bimedix.sources.settings import DataSet, Settings
from bimedix.stage import Context

pytestmark = pytest.mark.slow
SETS = ("medmcqa", "medqa", "mmlu_medical", "pubmedqa", "head_qa", "frenchmedmcqa")
WEB = Origin("web")


@pytest.fixture(scope="module")
def halves(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[MultipleChoice], list[MultipleChoice]]:
    """Some 6,000 questions, no stem twice: one half is tested on, the other is innocent."""
    out = tmp_path_factory.mktemp("read")
    run(Settings(tuple(map(DataSet, SETS))), {}, out, Context(out / "calls", base=real_data))
    unique: dict[str, MultipleChoice] = {}
    for item in read_records(out / "records.jsonl", MultipleChoice):
        unique.setdefault(compared(item.question), item)
    items = list(unique.values())
    random.Random(5).shuffle(items)
    return items[: len(items) // 2], items[len(items) // 2 :]


@pytest.fixture(scope="module")
def index(halves: tuple[list[MultipleChoice], list[MultipleChoice]]) -> TestIndex:
    return TestIndex(halves[0])


def verbatim(item: MultipleChoice, draw: random.Random) -> OpenQuestion:
    return OpenQuestion(f"web:{item.id}", item.language, WEB, item.question, draw.choice(item.options))


def shuffled(item: MultipleChoice, draw: random.Random) -> MultipleChoice:
    """Options in another order, one word of the stem another one."""
    words, options = item.question.split(" "), list(item.options)
    words[draw.randrange(len(words))] = "other"
    draw.shuffle(options)
    return MultipleChoice(f"web:{item.id}", item.language, WEB, " ".join(words), tuple(options), (0,))


def translated(item: MultipleChoice, draw: random.Random) -> OpenQuestion:
    """Another text in another language; lineage alone tells."""
    return OpenQuestion(f"{item.id}@ru", "ru", WEB, "Совсем другой текст?", "Да", parents=(item.id,))


def misspelt(item: MultipleChoice, draw: random.Random) -> OpenQuestion:
    """One letter of the stem is gone, and one option stands as the answer."""
    at = draw.randrange(len(item.question))
    stem = item.question[:at] + item.question[at + 1 :]
    return OpenQuestion(f"web:{item.id}", item.language, WEB, stem, draw.choice(item.options))


@pytest.mark.parametrize(
    ("plant", "least", "most_words"),
    [(verbatim, 1.0, 10_000), (translated, 1.0, 10_000), (shuffled, 0.95, 10_000), (misspelt, 0.95, 11)],
)
def test_planted_leaks_of_real_questions_are_found(
    halves: tuple[list[MultipleChoice], list[MultipleChoice]],
    index: TestIndex,
    plant: Callable[[MultipleChoice, random.Random], MultipleChoice | OpenQuestion],
    least: float,
    most_words: int,
) -> None:
    """Verbatim and by lineage all of them; shuffled with a word changed, and short and misspelt, 95 %."""
    draw = random.Random(7)
    tests = [t for t in halves[0] if len(t.question.split()) <= most_words and len(t.question) >= 20]
    found = sum(index.find(plant(item, draw)) is not None for item in tests)

    assert len(tests) > 1_000
    assert found >= least * len(tests)


def test_real_questions_are_hardly_taken_for_others(
    halves: tuple[list[MultipleChoice], list[MultipleChoice]], index: TestIndex
) -> None:
    """At most 1 in 100, and most of those do repeat one. HEAD-QA's two languages are one lineage."""
    matches = [match for item in halves[1] if (match := index.find(item))]
    alarms = [match for match in matches if match.rule != "lineage"]

    assert len(matches) > 500
    assert len(alarms) <= 0.01 * len(halves[1])
