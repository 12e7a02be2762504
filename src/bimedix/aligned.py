"""Aligned files: pairs of a text and its translation, from one file or two, joined for sure or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bimedix.completers.exchange import XLIFF, read_memory
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
from bimedix.tables import DELIMITERS, Row, find_column, is_plain, question_of, read_rows, text_of

_ITEMS = (MultipleChoice, OpenQuestion, Dialogue, Passage)


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
    if source.suffix == target.suffix == ".jsonl" and not is_plain(source):
        yield from _two_record_files(source, target)
    else:
        sides = _segments(source, source_language), _segments(target, target_language)
        yield from _two_lists(*sides, target, codes)


def _one_file(path: Path, codes: tuple[str, str]) -> Iterator[Aligned]:
    source, target = codes
    if path.suffix in (".tmx", *XLIFF):
        seen: set[str] = set()
        for unit in read_memory(path):
            seen.update(unit.texts)
            if source in unit.texts and target in unit.texts:
                place = f"{path.name}:{unit.line}"
                yield Aligned(unit.id, place, unit.texts[source], unit.texts[target], codes)
        if not {source, target} <= seen:
            there = ", ".join(sorted(seen))
            raise UsageError(
                f"{path}: no unit with both {source} and {target}; its languages are: {there}.\n"
                "  Set --source-lang and --target-lang."
            )
    elif path.suffix in DELIMITERS or (path.suffix == ".jsonl" and is_plain(path)):
        for row in read_rows(path):
            here, there = text_of(row, path, source, "source"), text_of(row, path, target, "target")
            place = f"{path.name}:{row.line}"
            yield Aligned(row.cells.get("id") or place, place, here, there, codes)
    elif path.suffix == ".jsonl":
        yield from _one_record_file(path)
    else:
        raise UsageError(
            f"{path}: one file with both sides is .tmx, .xlf, .csv, .tsv or .jsonl.\n"
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
    text: Item | str


def _segments(path: Path, code: str) -> list[_Segment]:
    """Return the texts of one side: the rows of a table, or the lines of a plain file."""
    if path.suffix in (*DELIMITERS, ".jsonl"):
        return [segment for row in read_rows(path) for segment in _of_row(row, path, code)]
    if path.suffix == ".txt":
        lines = read_text(path).removesuffix("\n").split("\n")
        return [_Segment("", number, line.strip("\r")) for number, line in enumerate(lines, start=1)]
    raise UsageError(f"{path}: two files are .jsonl, .csv, .tsv or .txt, both of one kind.")


def _of_row(row: Row, path: Path, code: str) -> Iterator[_Segment]:
    """Yield the column of the language; without one a question, or else each cell by itself."""
    name = row.cells.get("id", "")
    question = question_of(row, path, code)
    if question is not None:
        yield _Segment(name, row.line, question)
    elif find_column(row, code, "text") or len(row.cells) == 1 or "1" not in row.cells:
        yield _Segment(name, row.line, text_of(row, path, code, "text"))
    else:
        yield from (_Segment("", row.line, text) for text in row.cells.values())


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
        if isinstance(original.text, str) != isinstance(segment.text, str):
            raise DataError(f"{path}:{segment.line}: a question on one side, and a text on the other.")
        yield Aligned(segment.id or place, place, original.text, segment.text, codes)
