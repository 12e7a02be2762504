"""Rows of other people's files: CSV and TSV with or without a header, and JSON Lines that are no records.

Used where any file of texts is welcome (`bimedix check`); the readers of known data sets are in `sources`.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from bimedix.completers.tmx import base_code
from bimedix.errors import DataError, UsageError
from bimedix.files import read_json_lines, read_lines, read_text
from bimedix.languages import LANGUAGES
from bimedix.records import MultipleChoice, Origin

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NAMED = {"id", "source", "target", "text", "question", "answer", "sentence", "translation"}
"""A first row with one of these, or with a language, is a header."""
LETTERS = "ABCDEFGH"
_FORMULA = "=+-@\t\r＝＋－＠"
"""A spreadsheet runs a cell that begins so."""
_TAG = re.compile(r"[A-Za-z]{2}(?:[-_][A-Za-z0-9]{2,8})*")


class Row(NamedTuple):
    """One row of a table, or one object of JSON Lines."""

    line: int
    """Where it ends, from 1."""
    cells: dict[str, str]
    """By column; columns of a table without a header are called `1`, `2`, ..."""


def is_plain(path: Path) -> bool:
    """Tell whether JSON Lines hold plain objects: the first one has no `kind`, as records have."""
    for _, line in read_lines(path):
        return b'"kind"' not in line
    return False


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table or of plain JSON Lines.

    Raises:
        DataError: not readable, or a row with more cells than the header; names the line.
    """
    if path.suffix in DELIMITERS:
        yield from _table(path)
        return
    for line, row in read_json_lines(path):
        yield Row(line, {name: str(value) for name, value in row.items() if isinstance(value, (str, int))})


def _table(path: Path) -> Iterator[Row]:
    csv.field_size_limit(1 << 24)
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=DELIMITERS[path.suffix])
    names: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names and is_header(cells):
                names = [cell.strip() for cell in cells]
                continue
            names = names or [str(at) for at in range(1, len(cells) + 1)]
            if len(cells) > len(names):
                raise DataError(
                    f"{path}:{reader.line_num}: more cells than the header has columns.\n"
                    "  Put cells that hold a comma or a tab between double quotes."
                )
            cells += [""] * (len(names) - len(cells))
            yield Row(reader.line_num, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not readable as a table: {error}.") from error


def is_header(cells: list[str]) -> bool:
    """Tell names of columns from texts: a language, or one of the usual names, is among them."""
    return any(cell.strip().lower() in NAMED or code_of(cell) for cell in cells)


def code_of(column: str) -> str:
    """Return the language that a column is named by (`ar`, `es-LA`, `Arabic`, `العربية`), or nothing."""
    name = column.strip()
    if _TAG.fullmatch(name) and base_code(name):
        return base_code(name)
    rows = LANGUAGES.values()
    return next((row.code for row in rows if name.lower() in (row.name.lower(), row.own_name.lower())), "")


def text_of(row: Row, path: Path, code: str, name: str) -> str:
    """Return the text of a language: of the column named by it, of `name`, or, without a header, by place.

    Raises:
        UsageError: there is no such column.
    """
    column = find_column(row, code, name)
    if column is None:
        raise UsageError(
            f"{path}: no column '{code}' or '{name}'; the columns are: {', '.join(row.cells)}.\n"
            "  Name columns by language code, or set --source-lang and --target-lang."
        )
    return row.cells[column]


def find_column(row: Row, code: str, name: str) -> str | None:
    """Return the column of a language, or None."""
    places = {"source": "1", "target": "2"} if set(row.cells) == {"1", "2"} else {"text": "1"}
    by_place = places.get(name) if len(row.cells) <= 2 else None
    found = next((column for column in row.cells if code_of(column) == code), None)
    return found or next((column for column in (name, by_place) if column and column in row.cells), None)


def question_of(row: Row, path: Path, code: str) -> MultipleChoice | None:
    """Return the row as a question: text, options and the letter of the answer, as MMLU lays them out.

    Raises:
        DataError: the answer is a letter that no option has.
    """
    cells = _question_cells(row.cells)
    if cells is None:
        return None
    question, options, key = cells
    if key >= len(options):
        raise DataError(f"{path}:{row.line}: answer {LETTERS[key]}, and there are {len(options)} options.")
    place = f"{path.name}:{row.line}"
    return MultipleChoice(place, code, Origin(path.stem, place), question, tuple(options), (key,))


def _question_cells(cells: Mapping[str, str]) -> tuple[str, list[str], int] | None:
    """Return (question, options, index of the answer) by names, or by place where there are none."""
    by_name = {name.strip().lower(): text for name, text in cells.items()}
    if "1" in cells:
        question, *options, answer = cells.values()
    else:
        options = [by_name[letter.lower()] for letter in LETTERS if letter.lower() in by_name]
        question, answer = by_name.get("question", ""), by_name.get("answer", "")
    fits = question and 2 <= len(options) <= len(LETTERS) and answer.strip().upper() in tuple(LETTERS)
    return (question, options, LETTERS.index(answer.strip().upper())) if fits else None


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet runs as a formula; `plain_cell` gives the text back."""
    return f"'{text}" if text[:1] and text[0] in _FORMULA + "'" else text


def plain_cell(text: str) -> str:
    """Take off the apostrophe that `safe_cell` put on."""
    return text[1:] if text[:1] == "'" and text[1:2] and text[1] in _FORMULA + "'" else text
