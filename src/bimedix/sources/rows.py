"""Raw rows of published files: JSON in its forms and CSV, each row with its place and typed access."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bimedix.errors import DataError, did_you_mean
from bimedix.files import MEND_LINE, open_bytes, read_json_lines, read_lines, read_text

MEND_ROW = "\n  Mend this row or take it out; nothing is read past it, as such a slip changes what follows."
MAX_CELL_CHARACTERS = 16 * 1024 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """Return the text with LF line ends, plain spaces for no-break spaces, no BOM, no lone surrogates.

    Nothing inside the text is collapsed or normalised: output keeps the publisher's wording.
    """
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\u00a0", " ").replace("\u202f", " ").replace("\ufeff", "").strip()


@dataclass(frozen=True, slots=True)
class Row:
    """One raw row of a file, with its place and typed access; a wrong type or key is a `DataError`."""

    path: Path
    line: int
    """Line on which the row begins, from 1."""
    values: Mapping[str, Any]
    key: str = ""
    """Its key, where the file is an object keyed by id."""

    @property
    def place(self) -> str:
        """`folder/file:line`: the same on every machine."""
        return f"{self.path.parent.name}/{self.path.name}:{self.line}"

    def error(self, message: str) -> DataError:
        """Return the error that names this row."""
        where = f"{self.path}:{self.line}: " + (f"[{self.key}] " if self.key else "")
        return DataError(where + message + ("" if "\n" in message else MEND_ROW))

    def value(self, name: str) -> Any:
        """Return a value as it is; a missing key is an error."""
        if name not in self.values:
            keys = ", ".join(map(str, self.values))
            raise self.error(f"no key '{name}'.{did_you_mean(name, map(str, self.values))}\n  Keys: {keys}")
        return self.values[name]

    def text(self, name: str) -> str:
        """Return a cleaned text; empty when the value is null. Numbers are not texts."""
        found = self.value(name)
        if found is not None and not isinstance(found, str):
            raise self.error(f"'{name}' is {type(found).__name__} {found!r:.80}; a text is needed.")
        return clean(found or "")

    def name_of(self, name: str) -> str:
        """Return a key or number as text: `7` and `"7"` alike; empty when it is missing or null."""
        found = self.values.get(name)
        if found is not None and (isinstance(found, bool) or not isinstance(found, str | int)):
            raise self.error(f"'{name}' is {found!r:.80}; a text or whole number is needed.")
        return "" if found is None else clean(str(found))

    def optional(self, name: str) -> str | None:
        """Return a cleaned text, or None when the key is missing or its text empty."""
        return (self.text(name) or None) if name in self.values else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of cleaned texts."""
        found = self.value(name)
        if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
            raise self.error(f"'{name}' is {found!r:.80}; a list of texts is needed.")
        return tuple(map(clean, found))

    def within(self, name: str) -> "Row":
        """Return the row of a nested object."""
        found = self.value(name)
        if not isinstance(found, dict):
            raise self.error(f"'{name}' is {found!r:.80}; an object is needed.")
        return Row(self.path, self.line, found, self.key)

    def rows(self, name: str) -> Iterator["Row"]:
        """Yield the objects of a nested list; all carry the line of this row."""
        found = self.value(name)
        if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
            raise self.error(f"'{name}' is {found!r:.80}; a list of objects is needed.")
        for part in found:
            yield Row(self.path, self.line, part, self.key)


def json_list(path: Path, encoding: str = "") -> Iterator[Row]:
    """Yield the rows of a file, whichever form it has: list, JSON Lines, object keyed by id, or Parquet.

    The form is told by looking, not by the file's name: many JSON Lines files are named .json. JSON Lines
    and Parquet (whose lines count rows) are streamed; the other forms are held as text and decoded row by
    row.

    Raises:
        DataError: not JSON, or a row is not an object; names file:line.
    """
    if not _head(path).strip():
        raise DataError(f"{path}:1: the file is empty.\n  Copy or download it again, or leave it out.")
    if _head(path).startswith(b"PAR1"):
        yield from _parquet_rows(path)
        return
    if (not encoding or encoding.replace("-", "").lower() == "utf8") and _is_json_lines(path):
        for number, values in read_json_lines(path):
            yield Row(path, number, values)
        return
    yield from _Scan(path, read_text(path, encoding or "utf-8")).rows()


def json_object(path: Path, encoding: str = "") -> Row:
    """Return the one object of a JSON file as a row."""
    scan = _Scan(path, read_text(path, encoding or "utf-8"))
    values = scan.decode()
    if not isinstance(values, dict):
        raise DataError(f"{path}:1: {type(values).__name__} in place of an object.")
    return Row(path, 1, values)


def _head(path: Path) -> bytes:
    with open_bytes(path) as file:
        return file.read(256)


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=2048):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(path, number, values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}:{number + 1}: not Parquet: {error}.\n  Copy or download it again."
        ) from error


def _is_json_lines(path: Path) -> bool:
    """Tell whether the first line is a whole object, and not the only one keyed by ids."""
    if not _head(path).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    lines = read_lines(path)
    _, first = next(lines, (0, b""))
    try:
        values = msgspec.json.decode(first, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return next(lines, None) is not None or not _keyed(values)


def _keyed(values: Mapping[str, Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values.values())


class _Scan:
    """Walks over JSON text and knows its line; the text is decoded one value at a time."""

    _decoder = json.JSONDecoder()
    _blank = re.compile(r"\s*")

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text, self.at, self.line = path, text, 0, 1

    def rows(self) -> Iterator[Row]:
        """Yield the rows of a list, of a keyed object, or of objects one after the other."""
        self.skip()
        if self.text[self.at : self.at + 1] == "[":
            yield from self.listed()
            return
        start = self.line, self.at
        first = self.decode()
        if self.at >= len(self.text) and isinstance(first, dict) and _keyed(first):
            self.line, self.at = start
            yield from self.keyed()
            return
        yield self.row(start[0], first)
        while self.at < len(self.text):
            line = self.line
            yield self.row(line, self.decode())

    def listed(self) -> Iterator[Row]:
        """Yield the objects of a list."""
        self.take("[")
        while self.peek() != "]":
            line = self.line
            yield self.row(line, self.decode())
            if self.peek() != "]":
                self.take(",")
        self.take("]")

    def keyed(self) -> Iterator[Row]:
        """Yield the objects of an object keyed by id."""
        self.take("{")
        while self.peek() != "}":
            line, key = self.line, self.decode()
            self.take(":")
            yield self.row(line, self.decode(), str(key))
            if self.peek() != "}":
                self.take(",")

    def row(self, line: int, values: Any, key: str = "") -> Row:
        if not isinstance(values, dict):
            raise DataError(
                f"{self.path}:{line}: a row is {type(values).__name__} {values!r:.80}; an object is needed."
                + MEND_ROW
            )
        return Row(self.path, line, values, key)

    def decode(self) -> Any:
        """Return the value that begins here."""
        self.skip()
        try:
            value, end = self._decoder.raw_decode(self.text, self.at)
        except (ValueError, RecursionError) as error:
            at = getattr(error, "pos", self.at)
            line = self.line + self.text.count("\n", self.at, at)
            what = f"{self.path}:{line}: not JSON: {getattr(error, 'msg', error)}."
            raise DataError(f"{what}\n  Seen: {self.text[at : at + 80]!r}\n{MEND_LINE}") from error
        self.move(end)
        self.skip()
        return value

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def take(self, sign: str) -> None:
        if self.peek() != sign:
            seen = self.text[self.at : self.at + 80]
            raise DataError(f"{self.path}:{self.line}: '{sign}' is missing.\n  Seen: {seen!r}\n{MEND_LINE}")
        self.move(self.at + 1)

    def skip(self) -> None:
        found = self._blank.match(self.text, self.at)
        if found:
            self.move(found.end())

    def move(self, end: int) -> None:
        self.line += self.text.count("\n", self.at, end)
        self.at = end


def csv_rows(
    path: Path, columns: Sequence[str], *, header: bool = True, encoding: str = "", delimiter: str = ","
) -> Iterator[Row]:
    """Yield the rows of a CSV file; quotes, multi-line cells and a byte order mark are understood.

    Args:
        columns: with a header, the columns that must be there; without, the names of all cells in order.
        header: False when the first row is data, as in MMLU.

    Raises:
        DataError: a column is missing, or a row has another number of cells; names file:line.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    table = csv.reader(io.StringIO(read_text(path, encoding or "utf-8"), newline=""), delimiter=delimiter)
    names, line = (list(columns) if not header else []), 1
    try:
        for cells in table:
            start, line = line, table.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = _header(path, start, cells, columns)
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"{path}:{start}: {len(cells)} cells; {len(names)} are needed ({', '.join(names)}).\n"
                    "  A cell with a comma or line break needs quotes around it."
                )
            yield Row(path, start, dict(zip(names, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}:{line}: not CSV: {error}.{MEND_ROW}") from error


def _header(path: Path, line: int, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    names = [clean(cell) for cell in cells]
    for column in columns:
        if column not in names:
            raise DataError(
                f"{path}:{line}: no column '{column}'.{did_you_mean(column, names)}\n"
                f"  The first row holds: {', '.join(names):.300}"
            )
    return names
