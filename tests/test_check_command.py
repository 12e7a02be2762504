"""`bimedix check` on the command line: what it reads, prints, writes, and its exit code."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bimedix.check import Checked
from bimedix.cli import cli

GOOD = ("Take 5 mg daily.", "خذ 5 ملغ يوميًا.")
BAD = ("Give 10 mg of warfarin.", "أعط 100 ملغ من الوارفارين.")
QUESTIONS = {
    "en": 'Which organ pumps blood?,Heart,Liver,Spleen,"Skin, hair",A\nHow many lungs?,1,2,3,4,B\n',
    "ar": "أي عضو يضخ الدم؟,القلب,الكبد,الطحال,الجلد والشعر,A\nكم عدد الرئتين؟,1,2,3,4,C\n",
}


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, words)])


def test_errors_are_tabled_and_give_exit_code_1(tmp_path: Path) -> None:
    """A row per check and severity with its count and the first place; then how many pairs."""
    (tmp_path / "pairs.csv").write_text("English,العربية\n" + "\n".join(map(",".join, (GOOD, BAD, BAD))))
    result = check(tmp_path / "pairs.csv")

    assert result.exit_code == 1
    header, row, *_, last, more = result.output.splitlines()
    assert header.split() == ["check", "severity", "count", "first", "place"]
    assert row.split() == ["number", "error", "2", "pairs.csv:3"]
    assert last == "3 pairs, 2 with findings, 2 with an error."
    assert "--html" in more and "--findings" in more


def test_sound_translations_give_exit_code_0(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("en\tar\n" + "\t".join(GOOD))
    result = check(tmp_path / "pairs.tsv")

    assert (result.exit_code, result.output) == (0, "1 pairs, 0 with findings, 0 with an error.\n")


def test_a_table_without_a_header_is_read_by_place(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("\n".join(map(",".join, (BAD, GOOD))))
    result = check(tmp_path / "pairs.csv")

    assert "\n2 pairs, 1 with findings, 1 with an error.\n" in result.output
    assert "pairs.csv:1" in result.output


def test_plain_json_lines_need_id_source_and_target(tmp_path: Path) -> None:
    rows = [{"id": n, "source": s, "target": t, "extra": None} for n, (s, t) in enumerate((GOOD, BAD))]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = check(tmp_path / "pairs.jsonl", "--findings", tmp_path / "found.jsonl")

    found = msgspec.json.decode((tmp_path / "found.jsonl").read_bytes(), type=Checked)
    assert result.exit_code == 1
    assert (found.id, found.place, found.languages) == ("1", "pairs.jsonl:2", ("en", "ar"))


@pytest.mark.parametrize("header", ["", "question,A,B,C,D,answer\n"])
def test_tables_of_questions_are_compared_as_questions(tmp_path: Path, header: str) -> None:
    """As MMLU lays them out, with and without a header: a moved key is an error of its own."""
    for code, rows in QUESTIONS.items():
        (tmp_path / f"{code}.csv").write_text(header + rows)
    result = check(tmp_path / "en.csv", tmp_path / "ar.csv", "--json")
    report = json.loads(result.output)

    assert result.exit_code == 1
    assert (report["pairs"], report["failed"]) == (2, 1)
    assert [row["check"] for row in report["checks"] if row["severity"] == "error"] == ["key"]
    assert report["checks"][0]["place"] == f"ar.csv:{3 if header else 2}"


def test_an_answer_without_its_option_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.csv").write_text("Which organ pumps blood?,Heart,Liver,D\n")
    result = check(tmp_path / "en.csv", tmp_path / "en.csv")

    assert "en.csv:1: answer D, and there are 2 options" in str(result.exception)


def test_other_tables_without_a_header_are_compared_cell_by_cell(tmp_path: Path) -> None:
    (tmp_path / "en.csv").write_text(f"{GOOD[0]},{BAD[0]},Rest.\n")
    (tmp_path / "ar.csv").write_text(f"{GOOD[1]},{BAD[1]},استرح.\n")

    told = check(tmp_path / "en.csv", tmp_path / "ar.csv").output

    assert "\n3 pairs, 1 with findings, 1 with an error.\n" in told


def test_other_languages_a_glossary_a_page_and_one_check(tmp_path: Path) -> None:
    (tmp_path / "terms.csv").write_text("en,fr,category\nwarfarin,warfarine,drug\naspirin,aspirine,drug\n")
    (tmp_path / "pairs.csv").write_text("source,target\nStop warfarin 5 mg.,Arrêtez l'aspirine 50 mg.\n")
    options = ("--target-lang", "fr", "--glossary", tmp_path / "terms.csv", "--html", tmp_path / "page.html")
    result = check(tmp_path / "pairs.csv", *options, "--check", "drug")

    assert result.output.splitlines()[1].split() == ["drug", "error", "1", "pairs.csv:2"]
    assert "Français" in (tmp_path / "page.html").read_text()


def test_an_unknown_check_or_language_is_told(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("en,ar\na,b\n")

    assert (
        "did you mean 'number'" in str(check(tmp_path / "pairs.csv", "--check", "numbre").exception).lower()
    )
    assert "not in the table" in str(check(tmp_path / "pairs.csv", "--target-lang", "xx").exception)


def test_real_pairs_are_read_as_published(real_data: Path) -> None:
    """Arabic MMLU: a chat model put its prompt's example in place of many questions."""
    folder = real_data / "mmlu-medical"
    names = [folder / code / "test" / "professional_medicine_test.csv" for code in ("en", "ar")]
    report = json.loads(check(*names, "--json").output)

    assert report["pairs"] == 106
    repeated = [row for row in report["checks"] if (row["check"], row["severity"]) == ("repeated", "error")]
    assert repeated[0]["count"] >= 50
