"""Check any aligned files for what a translation of a medical text must not change: `bimedix check`.

Reads one file that holds both sides (TMX, CSV or TSV with a column per language, JSON Lines of
`parallel_text` or `translation`), or two: records joined by lineage or id, tables joined by their `id` column
or, like plain text, line by line. Needs no model. Checks: `bimedix.integrity`.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from bimedix.completers.tmx import base_code, read_glossary, read_units
from bimedix.errors import DataError, UsageError
from bimedix.files import read_any_records, read_text, require_file, write_records, write_text
from bimedix.integrity import CHECKS, Glossary, Term, check_pair, check_set, check_texts
from bimedix.languages import language
from bimedix.pages import Mark, block, page, two_columns
from bimedix.records import (
    Dialogue,
    Finding,
    Item,
    MultipleChoice,
    OpenQuestion,
    ParallelText,
    Passage,
    Translation,
    item_fields,
    translated_id,
)

_ITEMS = (MultipleChoice, OpenQuestion, Dialogue, Passage)
_TABLES = {".csv": ",", ".tsv": "\t"}
_SHOWN = 500
"""Pairs on a page at most."""


class Aligned(NamedTuple):
    """Two sides that belong together."""

    id: str
    place: str
    """file:line of the translation."""
    source: Item | str
    target: Item | str
    languages: tuple[str, str]
    """ISO 639-1 of both sides."""


class Checked(Struct, frozen=True):
    """A pair with its findings: one line of the report."""

    id: str
    place: str
    findings: tuple[Finding, ...]
    source: dict[str, str]
    """Texts by field name; a plain segment is called `text`."""
    target: dict[str, str]
    languages: tuple[str, str]
    """ISO 639-1 of both sides."""


class Report(NamedTuple):
    """What the checks saw in a file."""

    pairs: int
    checked: tuple[Checked, ...]
    """The pairs with findings, in file order."""

    def counts(self) -> dict[str, int]:
        """Return the number of findings by check and severity, most frequent first."""
        return dict(
            Counter(f"{f.check} ({f.severity})" for c in self.checked for f in c.findings).most_common()
        )

    @property
    def failed(self) -> int:
        """Pairs with an error."""
        return sum(any(f.severity == "error" for f in c.findings) for c in self.checked)


def check_files(
    source: Path,
    target: Path | None = None,
    *,
    source_language: str = "en",
    target_language: str = "ar",
    glossary: Path | None = None,
    checks: Sequence[str] = (),
    whole_set: bool = True,
) -> Report:
    """Check all pairs of one or two files.

    Args:
        source: holds both sides when `target` is None.
        source_language, target_language: ISO 639-1; records name their own.
        glossary: CSV with a column per language code.
        checks: names of checks that count; empty: all.
        whole_set: also compare the translations with each other.

    Raises:
        UsageError: the kind of file cannot be read here, or sides do not fit.
        DataError: a file is broken; names the line.
    """
    codes = language(source_language).code, language(target_language).code
    terms = _terms(glossary, *codes)
    pairs = list(read_aligned(source, target, *codes))
    found = [list(_check(pair, terms)) for pair in pairs]
    if whole_set:
        keyed = ((str(at), _flat(pair.source), _flat(pair.target)) for at, pair in enumerate(pairs))
        for key, findings in check_set(keyed).items():
            found[int(key)] += findings
    wanted = frozenset(checks)
    checked = (
        Checked(pair.id, pair.place, kept, _fields(pair.source), _fields(pair.target), pair.languages)
        for pair, findings in zip(pairs, found, strict=True)
        if (kept := tuple(f for f in findings if not wanted or f.check in wanted))
    )
    return Report(len(pairs), tuple(checked))


def _terms(path: Path | None, source: str, target: str) -> Glossary | None:
    if path is None:
        return None
    rows = read_glossary(require_file(path), source, target)
    return Glossary((Term(row.source, (row.target,), row.category) for row in rows), source, target)


def _check(pair: Aligned, terms: Glossary | None) -> Iterable[Finding]:
    if isinstance(pair.source, str) and isinstance(pair.target, str):
        return check_texts(pair.source, pair.target, *pair.languages, "text", terms)
    assert not isinstance(pair.source, str) and not isinstance(pair.target, str)
    return check_pair(pair.source, pair.target, terms)


def _fields(side: Item | str) -> dict[str, str]:
    return {"text": side} if isinstance(side, str) else item_fields(side)


def _flat(side: Item | str) -> str:
    return "\n".join(_fields(side).values())


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


def write_findings(report: Report, path: Path) -> None:
    """Write the pairs with findings as JSON Lines."""
    write_records(path, report.checked)


def write_page(report: Report, path: Path, *, title: str = "Integrity of translations") -> None:
    """Write a self-contained HTML page: counts, then each pair with its findings drawn on both sides."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{count:,}</td></tr>" for name, count in report.counts().items()
    )
    told = f"{report.pairs:,} pairs, {len(report.checked):,} with findings, {report.failed:,} with an error."
    order = sorted(report.checked, key=lambda c: not any(f.severity == "error" for f in c.findings))
    articles = "\n".join(_article(checked) for checked in order[:_SHOWN])
    more = f"<p>{len(order) - _SHOWN:,} more are not shown.</p>" if len(order) > _SHOWN else ""
    write_text(path, page(title, f'<p>{told}</p><table class="figures">{rows}</table>\n{articles}{more}'))


def _article(checked: Checked) -> str:
    codes = checked.languages
    notes = "".join(f"<li>{escape(_told(finding))}</li>" for finding in checked.findings)
    rows = (
        (
            field,
            block(text, codes[0], list(_marks(checked, field, source=True))),
            block(checked.target.get(field, ""), codes[1], list(_marks(checked, field, source=False))),
        )
        for field, text in checked.source.items()
    )
    names = language(codes[0]).own_name, language(codes[1]).own_name
    head = f'<h2>{escape(checked.id)}</h2><p class="note">{escape(checked.place)}</p>'
    return f"<article>{head}{two_columns(rows, *names)}<ul>{notes}</ul></article>"


def _told(finding: Finding) -> str:
    return f"{finding.check} ({finding.severity}) {finding.field}: {finding.explanation}"


def _marks(checked: Checked, field: str, *, source: bool) -> Iterator[Mark]:
    for finding in checked.findings:
        if finding.field == field:
            for start, end in finding.source_spans if source else finding.target_spans:
                yield Mark(start, end, finding.severity, _told(finding))


KNOWN_CHECKS = tuple(CHECKS)
"""Names for `--check`."""
