"""Sheets: what goes out shows nothing it should not, what comes back is matched or listed."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bimedix.errors import DataError
from bimedix.files import write_records
from bimedix.records import Attempt, Finding, OpenQuestion, Origin, Translation, Verdict, content_hash
from bimedix.review.sheets import COLUMNS, export_sheets, import_sheets, printed_sheet
from bimedix.tables import plain_cell, safe_cell

SOURCE = OpenQuestion("q", "en", Origin("demo"), "=1+1, is 5 mg right?", "Yes,\nonce daily.")
TARGET = OpenQuestion("q@ar", "ar", Origin("demo"), "هل 50 mg صحيحة؟", "نعم، مرة يوميًا.", parents=("q",))
FINDING = Finding("number", "error", "5 became 50", "question", ((8, 12),), ((3, 8),))
BEST = Attempt(0, {}, 61.5, (61.5,), (FINDING,), completer="openai:secret-model")
TRANSLATION = Translation("q@ar", SOURCE, TARGET, (BEST,), 0, "review", ("check failed: number",))
VERSION = content_hash(TARGET)


@given(text=st.text(max_size=20))
def test_cells_survive_the_quoting_of_formulas(text: str) -> None:
    assert plain_cell(safe_cell(text)) == text


@pytest.mark.parametrize("start", list("=+-@\t\r＝"))
def test_no_cell_starts_a_formula(start: str) -> None:
    assert safe_cell(f"{start}HYPERLINK()")[0] == "'"


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def filled(path: Path, **cells: str) -> Path:
    """Fill the first row of a sheet as a reviewer would."""
    table = rows(path)
    table[0].update(cells)
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(table)
    path.write_text(out.getvalue(), encoding="utf-8-sig", newline="")
    return path


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return export_sheets([TRANSLATION], tmp_path, "sheet-001")[0]


def test_a_sheet_is_blind_and_safe(sheet: Path) -> None:
    """Neither table nor page shows score, model, route or reasons; both name the version."""
    raw = sheet.read_bytes()
    shown = raw.decode("utf-8") + sheet.with_suffix(".html").read_text(encoding="utf-8")

    assert raw.startswith(b"\xef\xbb\xbf")
    assert [row["source"] for row in rows(sheet)] == ["'=1+1, is 5 mg right?", "Yes,\nonce daily."]
    assert not any(word in shown for word in ("61.5", "secret-model", "review,", "check failed", "openai"))
    assert shown.count(VERSION) == 3


def test_findings_are_drawn_and_asked_about() -> None:
    shown = printed_sheet([TRANSLATION], title="Sheet")

    assert '<mark class="error" title="5 became 50">' in shown
    assert "5 became 50: ☐ right ☐ wrong" in shown
    assert '<p dir="rtl" lang="ar">' in shown


def test_a_filled_sheet_comes_back(sheet: Path) -> None:
    filled(
        sheet, decision="Fix", severity="major", corrected="هل 5 mg صحيحة؟", reviewer="noor", seconds="42,5"
    )
    (label,) = import_sheets([sheet.parent]).labels

    assert (label.id, label.version, label.decision, label.severity) == ("q@ar", VERSION, "fix", "major")
    assert (label.reviewer, label.seconds) == ("noor", 42.5)
    assert label.corrected == {"question": "هل 5 mg صحيحة؟"}


def test_an_unread_sheet_says_nothing(sheet: Path) -> None:
    assert import_sheets([sheet]) == ([], [])


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"decision": "fine", "reviewer": "n"}, "decision 'fine' is none of"),
        ({"decision": "approve"}, "no reviewer is named"),
        ({"decision": "fix", "reviewer": "n"}, "a fix without a corrected text"),
        ({"decision": "approve", "reviewer": "n", "corrected": "x"}, "corrected, but decided 'approve'"),
        ({"corrected": "x"}, "corrected, but no decision"),
        ({"decision": "reject", "reviewer": "n", "severity": "huge"}, "severity 'huge'"),
        ({"decision": "reject", "reviewer": "n", "seconds": "a while"}, "seconds 'a while'"),
    ],
)
def test_what_is_filled_in_wrongly_is_listed_with_its_place(
    sheet: Path, cells: dict[str, str], why: str
) -> None:
    (problem,) = import_sheets([filled(sheet, **cells)]).problems

    assert problem.why.startswith(why)
    assert problem.place == "sheet-001.csv:2"


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "utf-8"), ("\t", "utf-16")])
def test_spreadsheets_may_save_in_their_own_way(sheet: Path, delimiter: str, encoding: str) -> None:
    table = rows(filled(sheet, decision="approve", reviewer="noor"))
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(table)
    sheet.write_text(out.getvalue(), encoding=encoding, newline="")

    assert [label.decision for label in import_sheets([sheet]).labels] == ["approve"]


def test_verdicts_as_records_come_back_too(tmp_path: Path) -> None:
    fixed = structs.replace(TARGET, question="هل 5 mg صحيحة؟")
    write_records(tmp_path / "v.jsonl", [Verdict("q@ar", VERSION, "noor", "fix", fixed, severity="major")])
    (label,) = import_sheets([tmp_path / "v.jsonl"]).labels

    assert label.target == fixed
    assert label.place == "v.jsonl:1"


def test_a_file_that_is_no_sheet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shopping.csv").write_text("milk,bread\n1,2\n")

    with pytest.raises(DataError, match=r"shopping\.csv:1: no review sheet"):
        import_sheets([tmp_path / "shopping.csv"])
