"""`bimedix check`: any aligned files, joined for sure or refused."""

from pathlib import Path

import msgspec
import pytest

from bimedix.aligned import read_aligned
from bimedix.check import Checked, Report, Row, check_files, write_findings, write_page
from bimedix.completers.tmx import write_tmx
from bimedix.errors import DataError, UsageError
from bimedix.files import write_records
from bimedix.records import Attempt, OpenQuestion, Origin, ParallelText, Translation

GOOD = ("Take 5 mg daily.", "خذ 5 ملغ يوميًا.")
BAD = ("Give 10 mg of warfarin.", "أعط 100 ملغ من الوارفارين.")
ORIGIN = Origin("demo")


def segments() -> list[ParallelText]:
    return [ParallelText(str(n), "en", ORIGIN, s, t, "ar") for n, (s, t) in enumerate((GOOD, BAD))]


def items(code: str) -> list[OpenQuestion]:
    at = 0 if code == "en" else 1
    suffix = "" if code == "en" else "@ar"
    return [OpenQuestion(f"q{n}{suffix}", code, ORIGIN, pair[at], "5") for n, pair in enumerate((GOOD, BAD))]


def write(folder: Path, kind: str) -> tuple[Path, Path | None]:
    """Write the same two pairs in one of the forms that are read."""
    one, two = folder / "one", folder / "two"
    match kind:
        case "tmx":
            write_tmx(one.with_suffix(".tmx"), segments())
            return one.with_suffix(".tmx"), None
        case "parallel":
            write_records(one.with_suffix(".jsonl"), segments())
            return one.with_suffix(".jsonl"), None
        case "translations":
            both = zip(items("en"), items("ar"), strict=True)
            rows = [Translation(t.id, s, t, (Attempt(0, {}, 90),), 0, "accepted") for s, t in both]
            write_records(one.with_suffix(".jsonl"), rows)
            return one.with_suffix(".jsonl"), None
        case "csv":
            one.with_suffix(".csv").write_text("en,ar\n" + "\n".join(f"{s},{t}" for s, t in (GOOD, BAD)))
            return one.with_suffix(".csv"), None
        case "no header":
            one.with_suffix(".csv").write_text("\n".join(f"{s},{t}" for s, t in (GOOD, BAD)))
            return one.with_suffix(".csv"), None
        case "names of languages":
            rows = "\n".join(f"{s}\t{t}" for s, t in (GOOD, BAD))
            one.with_suffix(".tsv").write_text(f"English\tالعربية\n{rows}")
            return one.with_suffix(".tsv"), None
        case "plain":
            lines = [{"id": n, "source": s, "target": t} for n, (s, t) in enumerate((GOOD, BAD))]
            one.with_suffix(".jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
            return one.with_suffix(".jsonl"), None
        case "records":
            write_records(one.with_suffix(".jsonl"), items("en"))
            write_records(two.with_suffix(".jsonl"), items("ar")[::-1])
            return one.with_suffix(".jsonl"), two.with_suffix(".jsonl")
        case "tables":
            pairs = list(enumerate((GOOD, BAD)))
            one.with_suffix(".tsv").write_text("id\ttext\n" + "\n".join(f"{n}\t{p[0]}" for n, p in pairs))
            two.with_suffix(".csv").write_text("id,ar\n" + "\n".join(f"{n},{p[1]}" for n, p in pairs[::-1]))
            return one.with_suffix(".tsv"), two.with_suffix(".csv")
    one.with_suffix(".txt").write_text(f"{GOOD[0]}\n{BAD[0]}\n")
    two.with_suffix(".txt").write_text(f"{GOOD[1]}\n{BAD[1]}\n")
    return one.with_suffix(".txt"), two.with_suffix(".txt")


def counts(report: Report) -> dict[tuple[str, str], int]:
    return {(row.check, row.severity): row.count for row in report.rows()}


KINDS = [
    "tmx", "parallel", "translations", "csv", "no header", "names of languages", "plain", "records", "tables",
    "text",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_dose_is_found_in_every_form(tmp_path: Path, kind: str) -> None:
    report = check_files(*write(tmp_path, kind))

    assert report.pairs == 2
    assert report.failed == 1
    (failed,) = [c for c in report.checked if any(f.severity == "error" for f in c.findings)]
    assert "100" in next(iter(failed.target.values()))
    assert counts(report)["number", "error"] == 1


def test_only_the_chosen_checks_count(tmp_path: Path) -> None:
    assert check_files(*write(tmp_path, "tmx"), checks=("negation",)).checked == ()


def test_findings_are_written_as_records_and_drawn_on_a_page(tmp_path: Path) -> None:
    report = check_files(*write(tmp_path, "csv"))
    write_findings(report, tmp_path / "findings.jsonl")
    write_page(report, tmp_path / "page.html")
    line = msgspec.json.decode((tmp_path / "findings.jsonl").read_bytes().splitlines()[0], type=Checked)
    shown = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert line.place == "one.csv:3"
    assert line.findings[0].check == "number"
    assert "2 pairs, 1 with findings, 1 with an error." in shown
    assert '<mark class="error"' in shown


def test_a_drug_that_became_another_is_found_by_a_glossary(tmp_path: Path) -> None:
    (tmp_path / "terms.csv").write_text("en,ar,category\nzorvanib,زورفانيب,drug\nmelatrex,ميلاتركس,drug\n")
    (tmp_path / "pairs.csv").write_text("en,ar\nStop zorvanib.,أوقف ميلاتركس.\n")
    report = check_files(tmp_path / "pairs.csv", glossary=tmp_path / "terms.csv")

    assert counts(report) == {("drug", "error"): 1}


def test_sides_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("x\ny\n")
    two.write_text("x\n")
    write_records(tmp_path / "en.jsonl", items("en")[:1])
    write_records(tmp_path / "ar.jsonl", items("ar"))
    (tmp_path / "t.csv").write_text("de,ar\nx,y\n")
    (tmp_path / "t.docx").write_text("x")
    (tmp_path / "empty.csv").write_text("")
    write_tmx(tmp_path / "t.tmx", segments())

    with pytest.raises(DataError, match="1 translations of 2 texts"):
        check_files(one, two)
    with pytest.raises(DataError, match=r"ar\.jsonl:2: 'q1@ar' is a translation of nothing"):
        check_files(tmp_path / "en.jsonl", tmp_path / "ar.jsonl")
    with pytest.raises(UsageError, match="no column 'en' or 'source'"):
        check_files(tmp_path / "t.csv")
    with pytest.raises(UsageError, match="one file with both sides"):
        list(read_aligned(tmp_path / "t.docx", None, "en", "ar"))
    with pytest.raises(DataError, match="no pair of a text"):
        check_files(tmp_path / "empty.csv")
    with pytest.raises(UsageError, match="no unit with both en and fr; its languages are: ar, en"):
        check_files(tmp_path / "t.tmx", target_language="fr")
    with pytest.raises(UsageError, match="has one side only"):
        check_files(tmp_path / "en.jsonl")


QUESTIONS = {
    "en": 'Which organ pumps blood?,Heart,Liver,Spleen,"Skin, hair",A\nHow many lungs?,1,2,3,4,B\n',
    "ar": "أي عضو يضخ الدم؟,القلب,الكبد,الطحال,الجلد والشعر,A\nكم عدد الرئتين؟,1,2,3,4,C\n",
}


@pytest.mark.parametrize("header", ["", "question,A,B,C,D,answer\n"])
def test_tables_of_questions_are_compared_as_questions(tmp_path: Path, header: str) -> None:
    """As MMLU lays them out, with and without a header: a moved key is an error of its own."""
    for code, rows in QUESTIONS.items():
        (tmp_path / f"{code}.csv").write_text(header + rows)
    report = check_files(tmp_path / "en.csv", tmp_path / "ar.csv")

    assert (report.pairs, report.failed) == (2, 1)
    assert report.rows()[0] == Row("key", "error", 1, f"ar.csv:{3 if header else 2}")


def test_an_answer_without_its_option_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.csv").write_text("Which organ pumps blood?,Heart,Liver,D\n")

    with pytest.raises(DataError, match=r"en\.csv:1: answer D, and there are 2 options"):
        check_files(tmp_path / "en.csv", tmp_path / "en.csv")


def test_other_tables_without_a_header_are_compared_cell_by_cell(tmp_path: Path) -> None:
    (tmp_path / "en.csv").write_text(f"{GOOD[0]},{BAD[0]},Rest.\n")
    (tmp_path / "ar.csv").write_text(f"{GOOD[1]},{BAD[1]},استرح.\n")
    report = check_files(tmp_path / "en.csv", tmp_path / "ar.csv")

    assert (report.pairs, report.failed) == (3, 1)


def test_real_pairs_are_read_as_published(real_data: Path) -> None:
    """Arabic MMLU: a chat model put its prompt's example in place of many questions."""
    folder = real_data / "mmlu-medical"
    names = [folder / code / "test" / "professional_medicine_test.csv" for code in ("en", "ar")]
    report = check_files(*names)

    assert report.pairs == 106
    assert counts(report)["repeated", "error"] >= 50
