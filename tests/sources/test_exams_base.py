"""Rows of raw files: every form of JSON and CSV is told by looking, and errors name file:line."""

import json
from pathlib import Path

import pytest

from bimedix.errors import DataError, MissingError, UsageError
from bimedix.sources import NAMES, SOURCES, source
from bimedix.sources.base import (
    Options,
    Row,
    clean,
    csv_rows,
    cut_options,
    drop,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
    source_id,
    split_of,
)

ROWS = [{"q": "one\u00a0two", "n": {"x": 1}}, {"q": "three"}]
ROW = Row(Path("data/dev.json"), 7, {"question": "Why?", "number": 3})


def _write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (json.dumps(ROWS), [1, 1]),
        (json.dumps(ROWS, indent=1), [2, 8]),
        ("\n".join(map(json.dumps, ROWS)), [1, 2]),
        ("\ufeff" + "\n\n".join(map(json.dumps, ROWS)) + "\n", [1, 3]),
        ("\n".join(json.dumps(row, indent=1) for row in ROWS), [1, 7]),
        (json.dumps(dict(zip("ab", ROWS, strict=True)), indent=1), [2, 8]),
    ],
    ids=["list", "indented list", "lines", "lines with BOM", "indented objects", "keyed"],
)
def test_every_form_of_json_gives_the_same_rows(tmp_path: Path, text: str, lines: list[int]) -> None:
    """A list, JSON Lines named .json, objects one after the other, and an object keyed by id."""
    rows = list(json_list(_write(tmp_path / "data.json", text)))

    assert [row.values for row in rows] == ROWS
    assert [row.line for row in rows] == lines
    assert [row.key for row in rows] in (["", ""], ["a", "b"])


def test_one_line_of_json_lines_is_a_row(tmp_path: Path) -> None:
    """A single object whose values are texts is a row, not an object keyed by id."""
    (row,) = json_list(_write(tmp_path / "data.json", '{"question": "Why?"}\n'))

    assert row.text("question") == "Why?"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('[{"q": 1},\n {"q": }]', ":2: not JSON"),
        ('[{"q": 1}\n\n {"q": 2}]', ":3: ',' is missing"),
        ('{"q": 1}\n{"q": 2\n', ":2: not a JSON object"),
        ('[{"q": 1},\n 7]', ":2: a row is int"),
        ("[" * 100_000, "not JSON|a row is"),
        ("", ":1: the file is empty"),
    ],
)
def test_broken_json_is_named_with_its_line(tmp_path: Path, text: str, seen: str) -> None:
    path = _write(tmp_path / "bad.json", text)

    with pytest.raises(DataError, match=f"bad.json.*({seen})"):
        list(json_list(path))


def test_a_pointer_of_lfs_is_refused(tmp_path: Path) -> None:
    """Folders cloned without LFS hold pointers in place of data."""
    path = _write(tmp_path / "a.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")

    with pytest.raises(MissingError, match="LFS"):
        list(json_list(path))
    with pytest.raises(MissingError, match="LFS"):
        list(csv_rows(path, ["a"]))


def test_csv_understands_bom_quotes_and_lines_within_cells(tmp_path: Path) -> None:
    text = '\ufeffid,text\r\n1,"two\r\nlines, ""quoted"""\r\n\r\n2,plain "sign"\r\n'
    rows = list(csv_rows(_write(tmp_path / "a.csv", text), ["id", "text"]))

    assert [row.text("text") for row in rows] == ['two\nlines, "quoted"', 'plain "sign"']
    assert [row.line for row in rows] == [2, 5]


def test_csv_without_header_keeps_its_first_row(tmp_path: Path) -> None:
    """The first question of a file without header must not be eaten as its header."""
    rows = list(csv_rows(_write(tmp_path / "a.csv", "Why?,a\nHow?,b\n"), ["q", "a"], header=False))

    assert [row.text("q") for row in rows] == ["Why?", "How?"]


def test_csv_in_another_encoding_says_which_to_try(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.csv", "title,ask\n高血压,怎么办\n".encode("gb18030"))

    with pytest.raises(DataError, match=r"(?s)a.csv:2: byte .*gb18030"):
        list(csv_rows(path, ["title"]))
    assert next(csv_rows(path, ["title"], encoding="gb18030")).text("ask") == "怎么办"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Qestion,A\nx,y\n", "1: no column 'Question'. Did you mean 'Qestion'"),
        ("Question,A\nx,y\nx,y,z\n", "3: 3 cells; 2 are needed"),
    ],
)
def test_csv_that_is_not_what_it_claims_is_refused(tmp_path: Path, text: str, seen: str) -> None:
    with pytest.raises(DataError, match=seen):
        list(csv_rows(_write(tmp_path / "a.csv", text), ["Question", "A"]))


def test_texts_are_cleaned_without_losing_wording() -> None:
    """No-break spaces and line ends are unified, surrogate halves joined or replaced, digits left alone."""
    assert clean("\ufeff a\u00a0b\r\nc\rd  ٢٥ \ud83d\ude00 \ud83d") == "a b\nc\nd  ٢٥ 😀 \ufffd"


def test_row_access_names_the_place_and_the_nearest_key() -> None:
    with pytest.raises(DataError, match=r"dev.json:7: no key 'qestion'. Did you mean 'question'"):
        ROW.text("qestion")
    with pytest.raises(DataError, match=r"dev.json:7: 'number' is int 3"):
        ROW.text("number")
    assert ROW.optional("exp") is None


@pytest.mark.parametrize(
    ("letters", "indexes"),
    [("B", (1,)), ("(D)", (3,)), ("C,A", (0, 2)), ("acd", (0, 2, 3)), (["b", "a"], (0, 1)), ("", ())],
)
def test_answer_letters_become_ascending_indexes(letters: str | list[str], indexes: tuple[int, ...]) -> None:
    assert letters_to_indexes(letters, 4, ROW) == indexes


@pytest.mark.parametrize("letters", ["E", ["a", "7"], "A,F", "yes"])
def test_a_letter_outside_the_options_stops_the_file(letters: str | list[str]) -> None:
    with pytest.raises(DataError, match=r"dev.json:7: answer '.+' is not one of the options A, B, C, D"):
        letters_to_indexes(letters, 4, ROW)


LABELS = {"A": 0, "a": 0, "B": 1, "C": 2, "D": 3, "E": 4}


@pytest.mark.parametrize(
    ("text", "gaps", "stem", "options"),
    [
        ("Why?\nA. x\nB. y", False, "Why?", ((0, "x"), (1, "y"))),
        ("(A) x\nE. coli\nC-reactive\n(B) y", False, "", ((0, "x\nE. coli\nC-reactive"), (1, "y"))),
        ("Lack of vitamin A. Why?\nA) x\nB) y", True, "Lack of vitamin A. Why?", ((0, "x"), (1, "y"))),
        ("Why? a. x\nB- y\nE. z", True, "Why?", ((0, "x"), (1, "y"), (4, "z"))),
        ("Lack of vitamin A. Why?\nB. y", False, "Lack of vitamin A. Why?\nB. y", ()),
        ("Why?", True, "Why?", ()),
        ("B. x\nA. y\nB. z", False, "B. x", ((0, "y"), (1, "z"))),
    ],
)
def test_options_are_cut_at_their_labels(
    text: str, gaps: bool, stem: str, options: tuple[tuple[int, str], ...]
) -> None:
    """Labels begin lines and follow each other; what only looks like a label stays text."""
    assert cut_options(text, LABELS, gaps=gaps) == (stem, options)


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("medmcqa/dev.json", "validation"),
        ("US/phrases_no_exclude_test.jsonl", "test"),
        ("en/test/anatomy.csv", "test"),
        ("corpus/train.json", "train"),
        ("ori_pqal.json", ""),
        ("/tmp/test_of_something/latest/records.json", ""),
    ],
)
def test_the_split_comes_from_the_path(path: str, split: str) -> None:
    assert split_of(Path(path)) == split


def test_the_recipe_wins_over_the_path() -> None:
    found = origin("demo", "MIT", ROW, Options(split="train", revision="v2"))

    assert (found.split, found.revision, found.row) == ("train", "v2", "data/dev.json:7")


def test_ids_hold_no_sign_of_lineage() -> None:
    """`@` and `#` mark translations and syntheses in ids; a source's own key must not look like one."""
    assert source_id("demo", "a@b#c%d") == "demo:a%40b%23c%25d"


@pytest.mark.parametrize(
    ("question", "options", "reason"),
    [
        ("", ("a", "b"), "the question is empty"),
        ("Why?", (), "has no options"),
        ("Why?", ("a",), "has fewer than 2 options"),
        ("Why?", tuple("abcdefghi"), "has more than 8 options"),
        ("Why?", ("a", ""), "an option is empty"),
    ],
)
def test_unusable_questions_are_dropped_whole(question: str, options: tuple[str, ...], reason: str) -> None:
    found = multiple_choice(
        "demo", ROW, id="demo:1", language="en", origin=origin("demo", "MIT", ROW, Options()),
        question=question, options=options, answers=(0,),
    )  # fmt: skip

    assert found == drop("demo", ROW, reason, id="demo:1")
    assert json.loads(found.record) == ROW.values


def test_every_name_gives_a_source_of_that_name() -> None:
    assert [SOURCES[name].name for name in NAMES] == list(NAMES) == sorted(NAMES)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(UsageError, match="no source is called 'nothing'"):
        source("nothing")
