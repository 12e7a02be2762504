"""The prompt's example in place of a translation: found by its canary, and over the set by likeness."""

from pathlib import Path

import pytest

from bimedix.completers.settings import CompleterSettings
from bimedix.files import read_records, write_records
from bimedix.prompts.translation import example
from bimedix.records import OpenQuestion, Origin, ParallelText, Translation
from bimedix.stage import Context
from bimedix.translate.guard import leaks
from bimedix.translate.room import run
from bimedix.translate.settings import Settings

QUESTION = "Which nerve carries taste from the front of the tongue to the brain stem of adults?"
RIGHT = "أي عصب ينقل الذوق من مقدم اللسان إلى جذع الدماغ عند البالغين؟"
ARABIC = example("ar")


def item(question: str, language: str = "en") -> OpenQuestion:
    return OpenQuestion("q", language, Origin("demo"), question, "7")


def translated(folder: Path, target: str) -> Translation:
    """Translate the question by a memory that answers with `target`."""
    pair = ParallelText("m", "en", Origin("m"), QUESTION, target, "ar")
    write_records(folder / "memory.jsonl", [pair, ParallelText("n", "en", Origin("m"), "7", "7", "ar")])
    write_records(folder / "curate" / "records.jsonl", [item(QUESTION)])
    memory = CompleterSettings(kind="memory", memory=("memory.jsonl",))
    settings = Settings(judgments=1, audit_share=0.0, rounds=0, completer=memory)
    context = Context(folder / "calls.sqlite", base=folder)
    run(settings, {"curate": folder / "curate"}, folder / "out", context)
    (found,) = read_records(folder / "out" / "records.jsonl", Translation)
    return found


def test_an_example_in_place_of_a_translation_goes_to_a_person(tmp_path: Path) -> None:
    """The memory is sure of it (score 100), and every other sign is good."""
    leaked = translated(tmp_path / "a", ARABIC.fields["question"])
    right = translated(tmp_path / "b", RIGHT)

    assert leaked.attempts[0].score == 100
    assert "check failed: leak" in leaked.reasons
    assert right.route == "accepted"


def test_an_example_without_its_canary_is_found_by_likeness(tmp_path: Path) -> None:
    """The name is gone, the rest of the question stands: the comparison over the set sees it."""
    whole = "\n".join(ARABIC.fields.values()).replace(ARABIC.canary, "المدينة").replace("\n", " ")

    assert "check failed: leak" in translated(tmp_path, whole).reasons


@pytest.mark.parametrize(
    "hidden", ["كُويلانْ تارِن", "كويـلان تارن", "كويلان\u200f تارن", "Quellan Tarn", "QUELLAN tarn"]
)
def test_a_canary_is_found_however_it_is_written(hidden: str) -> None:
    """Vowel signs, tatweel, invisible marks, the other side's language, case."""
    (found,) = leaks(item(QUESTION), item(f"سؤال {hidden}؟", "ar"))

    assert (found.check, found.severity, found.field) == ("leak", "error", "question")


def test_a_source_that_names_the_canary_itself_has_not_leaked() -> None:
    """Such as a text about this very example."""
    assert not list(leaks(item("What is Quellan Tarn?"), item("ما هو Quellan Tarn؟", "ar")))
    assert list(leaks(item("What is Quellan?"), item("ما هو Quellan Tarn؟", "ar")))
