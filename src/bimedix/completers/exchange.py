"""Memories and glossaries by the kind of file: TMX, XLIFF 2, parallel texts; CSV, TBX."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from bimedix.completers.tbx import read_tbx, write_tbx
from bimedix.completers.tmx import Term, Unit, read_glossary, read_units, write_tmx
from bimedix.completers.xliff import read_xliff, write_xliff
from bimedix.errors import UsageError
from bimedix.files import read_records, write_records, write_text
from bimedix.records import ParallelText

XLIFF = (".xlf", ".xliff")
MEMORIES = (".tmx", *XLIFF, ".jsonl")
GLOSSARIES = (".csv", ".tbx")


def read_memory(path: Path) -> Iterator[Unit]:
    """Yield the units of a memory: TMX, XLIFF 2, or records of parallel text (`.jsonl`, also with `.zst`).

    Raises:
        UsageError: another kind of file.
        MissingError, DataError: it is not there, or broken; names the line.
    """
    if path.suffix == ".tmx":
        yield from read_units(path)
    elif path.suffix in XLIFF:
        yield from read_xliff(path)
    elif ".jsonl" in path.suffixes:
        for line, text in enumerate(read_records(path, ParallelText), 1):
            yield Unit(text.id, line, {text.language: text.source, text.target_language: text.target})
    else:
        raise UsageError(f"{path}: no translation memory; read here are {', '.join(MEMORIES)}.")


def read_term_list(path: Path, source_language: str, target_language: str) -> list[Term]:
    """Return the terms of a glossary in one direction: TBX, or CSV with a column per language."""
    if path.suffix == ".tbx":
        return list(read_tbx(path, source_language, target_language))
    return read_glossary(path, source_language, target_language)


def write_memory(path: Path, segments: Iterable[ParallelText]) -> int:
    """Write a memory in the form that the name asks for; returns how many segments."""
    if path.suffix == ".tmx":
        return write_tmx(path, segments)
    if path.suffix in XLIFF:
        return write_xliff(path, segments)
    if path.suffix == ".jsonl":
        return write_records(path, segments).written
    raise UsageError(f"{path}: a memory is written as {', '.join(MEMORIES)}.")


def write_term_list(path: Path, terms: Iterable[Term], source_language: str, target_language: str) -> int:
    """Write a glossary in the form that the name asks for; returns how many terms."""
    if path.suffix == ".tbx":
        return write_tbx(path, terms, source_language, target_language)
    if path.suffix != ".csv":
        raise UsageError(f"{path}: a glossary is written as {', '.join(GLOSSARIES)}.")
    out = io.StringIO()
    rows = [(term.source, term.target, term.category) for term in terms]
    csv.writer(out, lineterminator="\n").writerows([(source_language, target_language, "category"), *rows])
    write_text(path, out.getvalue())
    return len(rows)
