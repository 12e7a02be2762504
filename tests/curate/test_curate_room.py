"""The room `curate` on records and files: what stays, what goes and why, and that nothing gets lost."""

from pathlib import Path

import pytest

from bimedix.curate.room import run
from bimedix.curate.settings import Documents, Settings
from bimedix.errors import DataError, MissingError
from bimedix.files import read_any_records, read_records, write_records
from bimedix.records import Dropped, MultipleChoice, OpenQuestion, Origin, Passage, Prediction, Record
from bimedix.stage import Context, Summary

HERE = Origin("made-up")
MEDICAL = (
    "Asthma is a chronic disease of the lungs. Symptoms are cough and wheezing; steroids are a treatment."
)
FOOD = "The bakery at the corner sells bread, cakes and coffee from six in the morning until late at night."


def curate(tmp_path: Path, *records: Record, **settings: object) -> tuple[Summary, list[str], list[Dropped]]:
    """Run the room over these records; return its summary, the ids it kept and what it dropped."""
    write_records(tmp_path / "sources" / "records.jsonl", records)
    out = tmp_path / "curate"
    summary = run(
        Settings(**settings),  # type: ignore[arg-type]
        {"sources": tmp_path / "sources"},
        out,
        Context(tmp_path / "calls.sqlite", base=tmp_path),
    )
    kept = [record.id for record in read_any_records(out / "records.jsonl")]
    return summary, kept, list(read_records(out / "dropped.jsonl", Dropped))


def question(id: str, text: str, answers: tuple[int, ...] = (0,)) -> MultipleChoice:
    return MultipleChoice(id, "en", HERE, text, ("iron", "zinc"), answers)


def test_passages_that_are_not_medical_go_and_other_kinds_pass(tmp_path: Path) -> None:
    """The keyword rule looks at passages only: a short question never holds five keywords."""
    _, kept, dropped = curate(
        tmp_path,
        Passage("p:1", "en", HERE, MEDICAL),
        Passage("p:2", "en", HERE, FOOD),
        question("q:1", "Which metal?"),
    )

    assert kept == ["p:1", "q:1"]
    assert [(row.id, row.reason) for row in dropped] == [("p:2", "medical keywords too few and too sparse")]


def test_a_repeat_is_dropped_with_the_id_of_the_first(tmp_path: Path) -> None:
    """Case, spaces and digit script do not hide a repeat; another dose is another text."""
    rows = [
        OpenQuestion("a:1", "en", HERE, "Dose of  Aspirin?", "5 mg"),
        OpenQuestion("a:2", "en", HERE, "dose of aspirin?", "٥ MG"),
        OpenQuestion("a:3", "en", HERE, "dose of aspirin?", "50 mg"),
    ]
    _, kept, dropped = curate(tmp_path, *rows, least_script_share=0.0)

    assert kept == ["a:1", "a:3"]
    assert (dropped[0].reason, dropped[0].place) == ("repeats an earlier text", "a:1")


def test_a_repeated_question_with_another_key_says_so(tmp_path: Path) -> None:
    """One of the two keys is wrong, which is worth its own count."""
    _, kept, dropped = curate(
        tmp_path, question("q:1", "Which metal?"), question("q:2", "Which metal?", (1,))
    )

    assert kept == ["q:1"]
    assert dropped[0].reason == "repeats an earlier text with another answer"


def test_a_record_in_another_script_than_its_language_is_dropped(tmp_path: Path) -> None:
    """An English text that is marked Arabic is not Arabic."""
    _, kept, dropped = curate(tmp_path, OpenQuestion("a:1", "ar", HERE, "What is asthma?", "A disease"))

    assert not kept
    assert dropped[0].reason == "not in the script of its language"


def test_every_step_accounts_for_every_record(tmp_path: Path) -> None:
    """in = out + dropped, and the out of one step is the in of the next."""
    summary, kept, dropped = curate(
        tmp_path,
        Passage("p:1", "en", HERE, MEDICAL),
        Passage("p:2", "en", HERE, FOOD),
        Passage("p:3", "en", HERE, MEDICAL.upper()),
        Passage("p:4", "ru", HERE, MEDICAL),
    )
    steps = summary.figures["steps"]

    assert summary.read == 4 == len(kept) + len(dropped)
    assert [(s["step"], s["in"], s["out"]) for s in steps] == [
        ("language", 4, 3),
        ("keywords", 3, 2),
        ("repeats", 2, 1),
    ]
    assert summary.figures["groups"][0] == {
        "language": "en", "kind": "passage", "kept": 1, "dropped": 2, "kept_share": 0.3333,
    }  # fmt: skip


def test_test_and_validation_items_pass_whole(tmp_path: Path) -> None:
    """A test set keeps its size, repeats and all, and takes no training record with it."""
    test = OpenQuestion("t:1", "en", Origin("exam", split="test"), "Dose of aspirin?", "5 mg")
    again = OpenQuestion("t:2", "ar", Origin("exam", split="test"), "Dose of aspirin?", "5 mg")
    train = OpenQuestion("x:1", "en", Origin("exam", split="train"), "Dose of aspirin?", "5 mg")
    summary, kept, dropped = curate(tmp_path, test, again, train)

    assert kept == ["t:1", "t:2", "x:1"] and not dropped
    assert summary.figures["untouched"] == 2
    assert summary.figures["steps"][0]["in"] == 1


def test_records_that_are_no_source_records_are_set_aside(tmp_path: Path) -> None:
    """A prediction in the input is neither kept nor silently lost."""
    stray = Prediction("x", "en", "b", "m", "p", 2, (0,), (0,), True)
    _, kept, dropped = curate(tmp_path, stray)

    assert not kept
    assert [(row.id, row.reason) for row in dropped] == [("x", "not a record of a source")]


def test_own_keyword_lists_replace_the_shipped_ones(tmp_path: Path) -> None:
    """A list for a language is a TOML file; the bakery becomes medical by it."""
    (tmp_path / "mine.toml").write_text(
        'language = "en"\n[thresholds]\ncount = 1\ndensity = 0.01\n'
        '[words]\nmedical = ["bread", "cakes"]\nbiology = []\n'
    )
    _, kept, _ = curate(tmp_path, Passage("p:2", "en", HERE, FOOD), keywords={"en": Path("mine.toml")})

    assert kept == ["p:2"]


def test_a_broken_keyword_list_is_named(tmp_path: Path) -> None:
    """Missing thresholds stop the run with the file's name and what is needed."""
    (tmp_path / "mine.toml").write_text('language = "en"\n')

    with pytest.raises(DataError, match=r"mine\.toml: not a keyword list"):
        curate(tmp_path, keywords={"en": Path("mine.toml")})


def test_markdown_and_text_become_passages(tmp_path: Path) -> None:
    """Front matter gives the title; comments, images and tags are no text."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "asthma.md").write_text(
        f'---\ntitle: "Asthma"\n---\n<!-- x -->\n<p>{MEDICAL}</p>\n![A drawing](a.png)\n'
    )
    (tmp_path / "book" / "latin1.txt").write_bytes("Grippe é".encode("latin-1"))
    out = tmp_path / "curate"
    run(
        Settings(documents=(Documents("book/*", "en", "book"),)),
        {},
        out,
        Context(tmp_path / "c", base=tmp_path),
    )

    (passage,) = read_records(out / "records.jsonl", Passage)
    assert (passage.id, passage.title, passage.text) == ("book:book/asthma.md", "Asthma", MEDICAL)
    (lost,) = read_records(out / "dropped.jsonl", Dropped)
    assert (lost.reason, lost.place) == ("file is not UTF-8 text", "book/latin1.txt")


def test_a_pattern_without_files_is_an_error(tmp_path: Path) -> None:
    """A misspelt folder does not give an empty corpus."""
    with pytest.raises(MissingError, match="no file matches 'bok/"):
        curate(tmp_path, documents=(Documents("bok/*", "en"),))


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """Two runs, equal files."""
    rows = [Passage("p:1", "en", HERE, MEDICAL), Passage("p:2", "en", HERE, FOOD)]
    curate(tmp_path, *rows)
    first = {path.name: path.read_bytes() for path in (tmp_path / "curate").iterdir()}
    curate(tmp_path, *rows)

    assert first == {path.name: path.read_bytes() for path in (tmp_path / "curate").iterdir()}
