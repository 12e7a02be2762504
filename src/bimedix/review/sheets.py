"""Sheets: what reviewers are given and give back, as CSV for spreadsheets and HTML for paper.

Blind: no score, model, route, queue or earlier version is on them. CSV is UTF-8 with a byte order mark, one
row a field; cells that a spreadsheet would run as a formula are quoted with an apostrophe. A row names record
and version; what does not match both on the way back is listed, never guessed. Source: data.md, sections 4.1
and 4.5.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from msgspec import Struct

from bimedix.errors import DataError
from bimedix.files import read_records, read_text, write_text
from bimedix.languages import language
from bimedix.pages import Mark, block, page, two_columns
from bimedix.records import Finding, Item, Translation, Verdict, content_hash, item_fields
from bimedix.tables import plain_cell, safe_cell

COLUMNS = (
    "id", "version", "field", "source", "translation", "corrected",
    "decision", "severity", "reason", "seconds", "reviewer",
)  # fmt: skip
Decision = Literal["approve", "fix", "reject"]
Severity = Literal["", "minor", "major", "critical"]


class Label(Struct, frozen=True):
    """One filled-in record of a sheet, before it is matched with its translation."""

    id: str
    version: str
    reviewer: str
    decision: Decision
    severity: Severity
    reason: str
    seconds: float | None
    corrected: dict[str, str]
    """New texts by field name; fields left blank keep theirs."""
    target: Item | None
    """The corrected item of a verdict that came as a record."""
    place: str
    """file:line"""


class Problem(Struct, frozen=True):
    """A filled-in row that could not be used, and why."""

    place: str
    id: str
    why: str


class Imported(NamedTuple):
    """What sheets gave back."""

    labels: list[Label]
    problems: list[Problem]


def export_sheets(translations: Sequence[Translation], folder: Path, name: str) -> tuple[Path, Path]:
    """Write `NAME.csv` to be filled in and `NAME.html` to be read or printed; returns both paths."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for translation in translations:
        writer.writerows(_rows(translation))
    table = folder / f"{name}.csv"
    write_text(table, "\ufeff" + rows.getvalue())
    printed = folder / f"{name}.html"
    write_text(printed, printed_sheet(translations, title=f"Review sheet {name}"))
    return table, printed


def _rows(translation: Translation) -> Iterator[list[str]]:
    assert translation.target is not None
    version = content_hash(translation.target)
    target = item_fields(translation.target)
    for field, text in item_fields(translation.source).items():
        cells = [translation.id, version, field, text, target.get(field, "")]
        yield [*map(safe_cell, cells), *[""] * (len(COLUMNS) - len(cells))]


def printed_sheet(translations: Iterable[Translation], *, title: str) -> str:
    """Return a self-contained HTML page: both sides, findings of the checks drawn, boxes to tick."""
    shown = (_article(number, t) for number, t in enumerate(translations, start=1) if t.target is not None)
    return page(title, "\n".join(shown))


_BOXES = " &nbsp; ".join(f"☐ {word}" for word in get_args(Decision))
_GRADES = " &nbsp; ".join(f"☐ {word}" for word in get_args(Severity) if word)


def _article(number: int, translation: Translation) -> str:
    assert translation.target is not None
    source, target = translation.source, translation.target
    findings = [f for f in translation.attempts[translation.best].findings if f.severity != "hint"]
    mine, theirs = item_fields(source), item_fields(target)
    rows = (
        (
            field,
            block(text, source.language, [m for f in findings for m in _marks(f, field, f.source_spans)]),
            block(
                theirs.get(field, ""),
                target.language,
                [m for f in findings for m in _marks(f, field, f.target_spans)],
            ),
        )
        for field, text in mine.items()
    )
    names = language(source.language).own_name, language(target.language).own_name
    checklist = "".join(
        f"<li>{escape(f.field)} {escape(f.explanation)}: ☐ right ☐ wrong ☐ not applicable</li>"
        for f in findings
    )
    return (
        f'<article><h2>{number}</h2><p class="note">{escape(translation.id)} · {content_hash(target)}</p>'
        f"{two_columns(rows, *names)}<ul>{checklist}</ul>"
        f"<p>{_BOXES} &nbsp; | &nbsp; {_GRADES}</p></article>"
    )


def _marks(finding: Finding, field: str, spans: Iterable[tuple[int, int]]) -> Iterator[Mark]:
    if finding.field == field:
        for start, end in spans:
            yield Mark(start, end, finding.severity, finding.explanation)


def import_sheets(paths: Iterable[Path]) -> Imported:
    """Read filled sheets (.csv), verdicts (.jsonl), exports of Label Studio (.json), and folders of them.

    Rows without a decision have not been read yet and are passed over; anything else that cannot be used is
    listed with its place.

    Raises:
        DataError: a file is no sheet at all.
    """
    labels: list[Label] = []
    problems: list[Problem] = []
    for path in paths:
        files = (
            sorted(p for p in path.rglob("*") if p.suffix in (".csv", ".jsonl", ".json"))
            if path.is_dir()
            else [path]
        )
        for file in files:
            read = _read(file)
            labels += [entry for entry in read if isinstance(entry, Label)]
            problems += [entry for entry in read if isinstance(entry, Problem)]
    return Imported(labels, problems)


def _read(path: Path) -> list[Label | Problem]:
    if path.suffix == ".json":
        from bimedix.review.label_studio import read_export

        return read_export(path)
    return _verdict_file(path) if path.suffix == ".jsonl" else _sheet(path)


def _verdict_file(path: Path) -> list[Label | Problem]:
    return [
        Label(
            v.id, v.version, v.reviewer, v.decision, v.severity, v.reason, v.seconds, {}, v.target,
            f"{path.name}:{number}",
        )
        for number, v in enumerate(read_records(path, Verdict), start=1)
    ]  # fmt: skip


class Row(NamedTuple):
    """One row of a filled sheet."""

    line: int
    cells: dict[str, str]


def _sheet(path: Path) -> list[Label | Problem]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    rows = list(_read_rows(path))
    for row in (row for row in rows if row.cells["id"]):
        groups[row.cells["id"], row.cells["version"]].append(row)
    names = {row.cells["reviewer"] for row in rows if row.cells["reviewer"]}
    only = names.pop() if len(names) == 1 else ""
    entries = (label_of(path, key, group, only) for key, group in groups.items())
    return [entry for entry in entries if entry is not None]


def _read_rows(path: Path) -> Iterator[Row]:
    text = _sheet_text(path)
    first = text.split("\n", 1)[0]
    for delimiter in ",;\t":
        header = next(csv.reader([first.strip("\r")], delimiter=delimiter), [])
        if {"id", "version", "field", "decision"} <= {name.strip() for name in header}:
            break
    else:
        raise DataError(
            f"{path}:1: no review sheet: {first[:120]}\n"
            f"  The first line has to name the columns: {', '.join(COLUMNS)}."
        )
    csv.field_size_limit(1 << 24)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        next(reader)
        for cells in reader:
            named = dict(zip((name.strip() for name in header), map(plain_cell, cells), strict=False))
            yield Row(reader.line_num, {name: _tidy(name, named.get(name, "")) for name in COLUMNS})
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not readable as CSV: {error}.") from error


def _tidy(column: str, cell: str) -> str:
    return cell if column in ("source", "translation", "corrected") else cell.strip()


def _sheet_text(path: Path) -> str:
    """Return the text; spreadsheets save "Unicode text" as UTF-16."""
    head = path.read_bytes()[:2] if path.is_file() else b""
    return read_text(path, "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8")


def label_of(path: Path, key: tuple[str, str], rows: Sequence[Row], only: str = "") -> Label | Problem | None:
    """Return what the rows of one record say, or why it cannot be used; None when they say nothing.

    Args:
        key: record and version.
        only: the reviewer, where the rows name none.
    """
    place = f"{path.name}:{rows[0].line}"
    said = {name: {row.cells[name] for row in rows if row.cells[name]} for name in COLUMNS}
    corrected = {row.cells["field"]: row.cells["corrected"] for row in rows if row.cells["corrected"].strip()}
    decisions = {word.casefold() for word in said["decision"]}
    if not decisions:
        return Problem(place, key[0], "corrected, but no decision") if corrected else None
    decision, severity = decisions.pop(), next(iter(said["severity"]), "").casefold()
    seconds = next(iter(said["seconds"]), "")
    reviewer = next(iter(said["reviewer"]), only)
    why = ""
    if decisions or any(len(said[name]) > 1 for name in ("severity", "reviewer")):
        why = "rows of one record say different things"
    elif decision not in get_args(Decision):
        why = f"decision '{decision}' is none of {', '.join(get_args(Decision))}"
    elif severity not in get_args(Severity):
        why = f"severity '{severity}' is none of minor, major, critical"
    elif not reviewer:
        why = "no reviewer is named"
    elif not re.fullmatch(r"(?:\d{1,6}(?:[.,]\d+)?)?", seconds):
        why = f"seconds '{seconds}' is no number"
    elif (decision == "fix") != bool(corrected):
        why = (
            "a fix without a corrected text" if decision == "fix" else f"corrected, but decided '{decision}'"
        )
    if why:
        return Problem(place, key[0], why)
    reasons = "; ".join(dict.fromkeys(row.cells["reason"] for row in rows if row.cells["reason"]))
    took_s = float(seconds.replace(",", ".")) if seconds else None
    return Label(
        *key,
        reviewer,
        cast(Decision, decision),
        cast(Severity, severity),
        reasons,
        took_s,
        corrected,
        None,
        place,
    )
