"""Controls: a judge that cannot tell good from spoilt routes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from bimedix.completers.settings import CompleterSettings
from bimedix.errors import DataError
from bimedix.files import read_records, write_records
from bimedix.records import OpenQuestion, Origin, ParallelText, Translation
from bimedix.stage import Context
from bimedix.translate.controls import assess, judge_controls, spoil
from bimedix.translate.room import run
from bimedix.translate.settings import Settings

PAIRS = [
    ("Take 5 mg.", "خذ ٥ ملغ."),
    ("Rest in bed.", "استرح في السرير."),
    ("Wait 30 min.", "انتظر 30 دقيقة."),
]


def test_a_spoilt_pair_has_one_error() -> None:
    """Ten times the number, in its own digits; without a number the text of another pair."""
    assert [spoil(PAIRS, at) for at in range(3)] == ["خذ ٥٠ ملغ.", PAIRS[2][1], "انتظر 300 دقيقة."]


def test_a_judge_passes_when_it_separates_and_has_not_moved() -> None:
    assert assess([95, 90, 92], [40, 60, 91], None).auc == pytest.approx(8 / 9, abs=1e-4)
    assert assess([95, 90, 92], [40, 60, 70], 93).failure == ""
    assert "AUC 0.50" in assess([90] * 3, [90] * 3, None).failure
    assert "was 97.0" in assess([95, 90, 92], [40, 60, 70], 97).failure


def test_unreadable_judgments_count_against_the_judge() -> None:
    controls = assess([95, None, None], [10, 10, 10], None)

    assert controls.unreadable == 2
    assert controls.failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    both = [ParallelText(str(n), "en", Origin("m"), s, t, "ar") for n, (s, t) in enumerate(PAIRS)]
    write_records(tmp_path / "memory.jsonl", both)
    write_records(
        tmp_path / "curate" / "records.jsonl",
        [OpenQuestion("q", "en", Origin("d"), PAIRS[0][0], PAIRS[1][0])],
    )
    return tmp_path


SETTINGS = Settings(
    completer=CompleterSettings(memory=("memory.jsonl",)),
    judgments=1,
    audit_share=0.0,
    controls="memory.jsonl",
)


def test_the_memory_tells_its_own_segments_from_spoilt_ones(folder: Path) -> None:
    controls = judge_controls(SETTINGS, Context(folder / "calls.sqlite", base=folder))

    assert controls is not None
    assert (controls.pairs, controls.auc, controls.failure) == (3, 1.0, "")


def test_after_failed_controls_everything_goes_to_a_person(folder: Path) -> None:
    """The mean that was promised is another one: the model behind the name has changed."""
    context = Context(folder / "calls.sqlite", base=folder)
    fine = run(SETTINGS, {"curate": folder / "curate"}, folder / "fine", context)
    moved = run(
        replace(SETTINGS, control_mean=80.0), {"curate": folder / "curate"}, folder / "moved", context
    )
    (translation,) = read_records(folder / "moved" / "records.jsonl", Translation)

    assert fine.figures["routes"] == {"accepted": 1}
    assert moved.figures["routes"] == {"review": 1}
    assert translation.reasons == ("the judge failed its controls",)
    assert moved.figures["controls"]["mean_good"] == 100.0


def test_too_few_controls_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="0 pairs from en to zh"):
        judge_controls(replace(SETTINGS, target_language="zh"), Context(folder / "calls.sqlite", base=folder))
