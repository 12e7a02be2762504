"""The room `review`, end to end over files."""

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from bimedix.completers.tmx import read_units
from bimedix.errors import MissingError
from bimedix.files import hash_file, read_json, read_records, write_records
from bimedix.records import (
    Approval,
    Attempt,
    Dropped,
    MultipleChoice,
    Origin,
    Route,
    Translation,
    Verdict,
    content_hash,
    with_fields,
)
from bimedix.review.queues import Place
from bimedix.review.room import run
from bimedix.review.settings import Settings, input_files
from bimedix.stage import Context

SETTINGS = Settings(sheet_items=10)


def translation(name: str, route: Route, score: float = 95.0) -> Translation:
    source = MultipleChoice(name, "en", Origin("demo"), "Give 5 mg?", ("Yes", "No"), (0,))
    fields = {"question": f"هل يُعطى 5 ملغ؟ {name}", "options.0": "نعم", "options.1": "لا"}
    target = with_fields(source, fields, language="ar", id=f"{name}@ar")
    probability = {"accepted": 0.95, "audit": 0.05, "review": 1.0}[route]
    return Translation(target.id, source, target, (Attempt(0, fields, score),), 0, route, (), probability)


TRANSLATIONS = [
    translation("a", "accepted"), translation("b", "audit"), translation("c", "review", 50.0),
    translation("d", "review", 60.0), translation("e", "review", 70.0),
    Translation("f@ar", translation("f", "review").source, None, (), -1, "review"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_records(tmp_path / "translate" / "records.jsonl", TRANSLATIONS)
    return tmp_path


def review(folder: Path, settings: Settings = SETTINGS, out: str = "out") -> dict[str, object]:
    context = Context(folder / "calls.sqlite", base=folder)
    return run(settings, {"translate": folder / "translate"}, folder / out, context).figures


def fill(path: Path, said: dict[str, dict[str, str]]) -> None:
    """Fill a sheet: cells by record id, written on its first row."""
    table = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    for row in table:
        row.update(said.pop(row["id"], {}))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    path.write_text(out.getvalue(), encoding="utf-8")


def items(folder: Path, out: str = "out") -> dict[str, MultipleChoice]:
    return {item.id: item for item in read_records(folder / out / "records.jsonl", MultipleChoice)}


def drops(folder: Path, out: str = "out") -> dict[str, str]:
    return {d.id: d.reason for d in read_records(folder / out / "dropped.jsonl", Dropped)}


def test_before_anyone_has_read_only_accepted_items_go_on(folder: Path) -> None:
    figures = review(folder)

    assert set(items(folder)) == {"a@ar", "b@ar"}
    assert drops(folder) == {
        "c@ar": "waiting for review", "d@ar": "waiting for review", "e@ar": "waiting for review",
        "f@ar": "no readable translation",
    }  # fmt: skip
    assert figures["queues"] == {"risk": 3, "audit": 1}
    assert {p.queue for p in read_records(folder / "out" / "queues.jsonl", Place)} == {"risk", "audit"}
    assert (folder / "out" / "sheets" / "sheet-001.html").exists()


def test_keep_lets_unread_items_through_and_says_so(folder: Path) -> None:
    figures = review(folder, replace(SETTINGS, waiting="keep"))

    assert set(items(folder)) == {f"{name}@ar" for name in "abcde"}
    assert figures["kept_unread_though_weak"] == 3


def test_verdicts_on_a_sheet_decide(folder: Path) -> None:
    """approve, fix and reject; the audit's clean verdict counts for the certificate."""
    review(folder)
    sheet = folder / "out" / "sheets" / "sheet-001.csv"
    said = {
        "b@ar": {"decision": "approve"},
        "c@ar": {"decision": "approve", "reviewer": "noor"},
        "d@ar": {"decision": "fix", "severity": "minor", "corrected": "هل نعطي 5 ملغ؟"},
        "e@ar": {"decision": "reject", "reason": "nonsense"},
    }
    fill(sheet, said)
    (folder / "filled").mkdir()
    sheet.rename(folder / "filled" / "one.csv")
    figures = review(folder, replace(SETTINGS, verdicts=("filled",)), "again")
    found = items(folder, "again")

    assert set(found) == {"a@ar", "b@ar", "c@ar", "d@ar"}
    assert found["d@ar"].question == "هل نعطي 5 ملغ؟"
    assert (found["d@ar"].answers, found["d@ar"].human_check_passed) == ((0,), True)
    assert found["a@ar"].human_checked is None
    assert drops(folder, "again")["e@ar"] == "rejected by a reviewer"
    assert figures["states"] == {"approved": 2, "corrected": 1, "rejected": 1}
    assert figures["queues"] == {"risk": 0, "audit": 0}
    certificate = read_json(folder / "again" / "certificate.json")
    assert (certificate["reviews"], certificate["errors"], certificate["population"]) == (1, 0, 2)
    approved = {unit.texts["ar"] for unit in read_units(folder / "again" / "approved.tmx")}
    assert "هل نعطي 5 ملغ؟" in approved
    assert not any("e" in text for text in approved)


def test_a_fix_that_changes_a_dose_is_pointed_out(folder: Path) -> None:
    target = TRANSLATIONS[2].target
    assert isinstance(target, MultipleChoice)
    fixed = with_fields(
        TRANSLATIONS[2].source, {"question": "هل يُعطى 50 ملغ؟", "options.0": "نعم", "options.1": "لا"},
        language="ar", id="c@ar",
    )  # fmt: skip
    verdict = Verdict("c@ar", content_hash(target), "noor", "fix", fixed)
    write_records(folder / "v.jsonl", [verdict])
    figures = review(folder, replace(SETTINGS, verdicts=("v.jsonl",)))

    assert figures["corrections_with_failed_checks"] == ["c@ar"]


def test_a_verdict_on_another_version_is_listed_and_not_applied(folder: Path) -> None:
    verdicts = [
        Verdict("c@ar", "an older version", "noor", "approve"),
        Verdict("z@ar", "v", "noor", "approve"),
    ]
    write_records(folder / "v.jsonl", verdicts)
    figures = review(folder, replace(SETTINGS, verdicts=("v.jsonl",)))
    listed = (folder / "out" / "unmatched.jsonl").read_text()

    assert figures["unmatched"] == 2
    assert figures["verdicts"] == 0
    assert "the translation has changed since this was read" in listed
    assert "no translation has this id" in listed


def test_two_reviews_are_written_on_two_sheets_and_compared(folder: Path) -> None:
    settings = replace(SETTINGS, reviews=2)
    review(folder, settings)
    version = {t.id: content_hash(t.target) for t in TRANSLATIONS if t.target}
    said = [Verdict(name, version[name], who, "approve") for name in ("c@ar", "d@ar") for who in ("x", "y")]
    said.append(Verdict("e@ar", version["e@ar"], "x", "approve"))
    write_records(folder / "v.jsonl", said)
    figures = review(folder, replace(settings, verdicts=("v.jsonl",)), "again")

    assert sorted(p.name for p in (folder / "out" / "sheets").glob("*.csv")) == [
        "sheet-001-1.csv",
        "sheet-001-2.csv",
    ]
    assert figures["agreement"]["items"] == 2  # type: ignore[index]
    assert drops(folder, "again")["e@ar"] == "waiting for another review"
    first = (folder / "again" / "sheets" / "sheet-001-1.csv").read_text(encoding="utf-8-sig")
    second = (folder / "again" / "sheets" / "sheet-001-2.csv").read_text(encoding="utf-8-sig")
    assert "e@ar" not in first
    assert "e@ar" in second


def test_history_may_live_outside_the_run_and_outlasts_it(folder: Path) -> None:
    version = content_hash(TRANSLATIONS[2].target)
    write_records(folder / "v.jsonl", [Verdict("c@ar", version, "noor", "approve")])
    settings = replace(SETTINGS, history="reviews/history.jsonl")
    review(folder, replace(settings, verdicts=("v.jsonl",)))
    figures = review(folder, settings, "later")

    assert "c@ar" in items(folder, "later")
    assert figures["history"]["events"] == 1  # type: ignore[index]


def test_verdicts_outlast_a_stage_that_is_redone(folder: Path) -> None:
    """The chain lies in the run's folder, so that nobody has to keep the sheet that brought them."""
    version = content_hash(TRANSLATIONS[2].target)
    write_records(folder / "v.jsonl", [Verdict("c@ar", version, "noor", "approve")])
    review(folder, replace(SETTINGS, verdicts=("v.jsonl",)))
    shutil.rmtree(folder / "out")
    (folder / "v.jsonl").unlink()
    review(folder)

    assert "c@ar" in items(folder)


def test_sheets_filled_in_where_they_lay_are_found_after_the_stage_was_set_aside(folder: Path) -> None:
    review(folder)
    sheet = folder / "out" / "sheets" / "sheet-001.csv"
    fill(sheet, {"c@ar": {"decision": "approve", "reviewer": "noor"}})
    (folder / "out").rename(folder / "out.1")
    review(folder, replace(SETTINGS, verdicts=("out/sheets",)))

    assert "c@ar" in items(folder)


def test_files_of_a_folder_of_verdicts_count_one_by_one(folder: Path) -> None:
    """A changed sheet in it is a changed input; what is absent is for the room to tell."""
    review(folder)
    named = input_files(replace(SETTINGS, verdicts=("out/sheets", "none.csv")), folder)

    assert [path.name for path in named] == ["sheet-001.csv", "sheet-001.html"]


def test_the_audit_can_be_certified_stratum_by_stratum(folder: Path) -> None:
    """Clean audits in one data set, an error among those of the other; each is told apart, and the whole."""
    made = []
    for dataset in ("clean", "spoilt"):
        for n in range(40):
            one = translation(f"{dataset}{n}", "audit" if n < 30 else "accepted")
            source = structs.replace(one.source, origin=Origin(dataset))
            made.append(structs.replace(one, source=source))
    verdicts = [
        Verdict(t.id, content_hash(t.target), "noor", "reject" if t.id == "spoilt7@ar" else "approve")
        for t in made
        if t.route == "audit"
    ]
    write_records(folder / "translate" / "records.jsonl", made)
    write_records(folder / "verdicts.jsonl", verdicts)
    figures = review(folder, replace(SETTINGS, verdicts=("verdicts.jsonl",), strata=("dataset",), goal=0.3))
    told = figures["certificate"]
    assert isinstance(told, dict)
    strata = told["by_stratum"]["strata"]

    assert {name: (s["reviews"], s["errors"]) for name, s in strata.items()} == {
        "clean": (30, 0), "spoilt": (30, 1),
    }  # fmt: skip
    assert strata["clean"]["bound"] < strata["spoilt"]["bound"]
    assert (told["reviews"], told["errors"], told["population"]) == (60, 1, 80)
    assert told["by_stratum"]["alpha_each"] == 0.025
    assert told["translations_hash"] == hash_file(folder / "translate" / "records.jsonl")
    assert read_json(folder / "out" / "certificate.json") == told


def test_what_goes_on_is_listed_by_its_hash(folder: Path) -> None:
    """The mix holds the records to it, so that a later change voids the approval."""
    review(folder)
    approvals = list(read_records(folder / "out" / "approvals.jsonl", Approval))

    assert {a.id: a.version for a in approvals} == {i.id: content_hash(i) for i in items(folder).values()}
    assert {a.state for a in approvals} == {"unread"}


def test_missing_files_are_named(folder: Path) -> None:
    with pytest.raises(MissingError, match="Run `translate` first"):
        run(SETTINGS, {}, folder / "out", Context(folder / "calls.sqlite"))
    with pytest.raises(MissingError, match=r"none\.csv does not exist"):
        review(folder, replace(SETTINGS, verdicts=("none.csv",)))
