"""Aligned files: pairs of a text and its translation, from one file or two, joined for sure or refused."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bimedix.completers.tmx import base_code, read_units
from bimedix.errors import DataError, UsageError
from bimedix.files import read_any_records, read_text, require_file
from bimedix.records import (
    Dialogue,
    Item,
    MultipleChoice,
    OpenQuestion,
    ParallelText,
    Passage,
    Translation,
    translated_id,
)

_ITEMS = (MultipleChoice, OpenQuestion, Dialogue, Passage)
_TABLES = {".csv": ",", ".tsv": "\t"}


class Aligned(NamedTuple):
    """Two sides that belong together."""

    id: str
    place: str
    """file:line of the translation."""
    source: Item | str
    target: Item | str
    languages: tuple[str, str]
    """ISO 639-1 of both sides."""


def read_aligned(
    source: Path, target: Path | None, source_language: str, target_language: str
) -> Iterator[Aligned]:
    """Yield the pairs of one file that holds both sides, or of two files."""
    codes = source_language, target_language
    require_file(source)
    if target is None:
        yield from _one_file(source, codes)
        return
    require_file(target)
    if source.suffix == target.suffix == ".jsonl":
        yield from _two_record_files(source, target)
    else:
        sides = _segments(source, source_language), _segments(target, target_language)
        yield from _two_lists(*sides, target, codes)


def _one_file(path: Path, codes: tuple[str, str]) -> Iterator[Aligned]:
    source, target = codes
    if path.suffix == ".tmx":
        for unit in read_units(path):
            if source in unit.texts and target in unit.texts:
                place = f"{path.name}:{unit.line}"
                yield Aligned(unit.id, place, unit.texts[source], unit.texts[target], codes)
    elif path.suffix == ".jsonl":
        yield from _one_record_file(path)
    elif path.suffix in _TABLES:
        for line, row in _table(path):
            here, there = _column(row, path, source, "source"), _column(row, path, target, "target")
            place = f"{path.name}:{line}"
            yield Aligned(row.get("id") or place, place, here, there, codes)
    else:
        raise UsageError(
            f"{path}: one file with both sides is .tmx, .csv, .tsv or .jsonl.\n"
            "  For two files, name the translation as the second argument."
        )


def _one_record_file(path: Path) -> Iterator[Aligned]:
    for number, record in enumerate(read_any_records(path), start=1):
        place = f"{path.name}:{number}"
        match record:
            case ParallelText():
                codes = record.language, record.target_language
                yield Aligned(record.id, place, record.source, record.target, codes)
            case Translation(target=None):
                continue
            case Translation(source=source, target=target) if target is not None:
                yield Aligned(record.id, place, source, target, (source.language, target.language))
            case _:
                raise UsageError(
                    f"{path}:{number}: a {type(record).__name__} has one side only.\n"
                    "  Give two files of items, or one of `translation` or `parallel_text` records."
                )


def _two_record_files(source: Path, target: Path) -> Iterator[Aligned]:
    """Join items by lineage (`parents`, `id@language`) or by equal ids; each translation needs its source."""
    originals = {item.id: item for _, item in _items(source)}
    for number, item in _items(target):
        names = (*item.parents, item.id, item.id.removesuffix(translated_id("", item.language)))
        original = next((originals[name] for name in names if name in originals), None)
        if original is None:
            raise DataError(
                f"{target}:{number}: '{item.id}' is a translation of nothing in {source.name}.\n"
                f"  Looked for: {', '.join(dict.fromkeys(names))}."
            )
        codes = original.language, item.language
        yield Aligned(item.id, f"{target.name}:{number}", original, item, codes)


def _items(path: Path) -> Iterator[tuple[int, Item]]:
    for number, record in enumerate(read_any_records(path), start=1):
        if not isinstance(record, _ITEMS):
            name = type(record).__name__
            raise UsageError(f"{path}:{number}: a {name}; two files are compared item by item.")
        yield number, record


class _Segment(NamedTuple):
    id: str
    line: int
    text: str


def _segments(path: Path, code: str) -> list[_Segment]:
    """Return the texts of one side: a table's column, or the lines of a plain file."""
    if path.suffix in _TABLES:
        return [
            _Segment(row.get("id", ""), line, _column(row, path, code, "text")) for line, row in _table(path)
        ]
    if path.suffix == ".txt":
        lines = read_text(path).removesuffix("\n").split("\n")
        return [_Segment("", number, line.strip("\r")) for number, line in enumerate(lines, start=1)]
    raise UsageError(f"{path}: two files are .jsonl, .csv, .tsv or .txt, both of one kind.")


def _two_lists(
    source: list[_Segment], target: list[_Segment], path: Path, codes: tuple[str, str]
) -> Iterator[Aligned]:
    by_id = all(segment.id for segment in (*source, *target))
    if not by_id and len(source) != len(target):
        raise DataError(
            f"{path}: {len(target):,} translations of {len(source):,} texts, and no `id` column to join by.\n"
            "  Give both files as many rows, or an `id` column."
        )
    originals = {segment.id: segment for segment in source}
    for at, segment in enumerate(target):
        if by_id and segment.id not in originals:
            raise DataError(f"{path}:{segment.line}: id '{segment.id}' is not in the other file.")
        original = originals[segment.id] if by_id else source[at]
        place = f"{path.name}:{segment.line}"
        yield Aligned(segment.id or place, place, original.text, segment.text, codes)


def _table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(1 << 24)
    reader = csv.DictReader(
        io.StringIO(read_text(path), newline=""), delimiter=_TABLES[path.suffix], restval=""
    )
    try:
        for row in reader:
            if None in row:
                raise DataError(f"{path}:{reader.line_num}: more cells than the header has columns.")
            yield reader.line_num, {(name or "").strip(): cell for name, cell in row.items()}
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not readable as a table: {error}.") from error


def _column(row: dict[str, str], path: Path, code: str, name: str) -> str:
    """Return the cell of a language: of the column named by its code, or by `name`."""
    found = next((column for column in row if base_code(column) == code), name)
    if found not in row:
        raise UsageError(
            f"{path}: no column '{code}' or '{name}'; the columns are: {', '.join(row)}.\n"
            "  Name columns by language code, or set --source-language and --target-language."
        )
    return row[found]
