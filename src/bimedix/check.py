"""Check any aligned files for what a translation of a medical text must not change: `bimedix check`.

Reads one file that holds both sides (TMX, CSV or TSV with a column per language, JSON Lines of
`parallel_text`, of `translation`, or plain ones with `id`, `source`, `target`), or two: records joined by
lineage or id, tables joined by their `id` column or, like plain text, line by line; tables of questions
(text, options, letter) are compared as questions. Needs no model. Checks: `bimedix.integrity`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from bimedix.aligned import Aligned, read_aligned
from bimedix.completers.exchange import read_term_list
from bimedix.errors import DataError
from bimedix.files import require_file, write_records, write_text
from bimedix.integrity import CHECKS, Glossary, Term, check_pair, check_set, check_texts
from bimedix.integrity.checks import RECORD_CHECKS, SET_CHECKS
from bimedix.languages import language
from bimedix.pages import Mark, block, page, two_columns
from bimedix.records import Finding, Item, item_fields

_SEVERITIES = ("error", "warning", "hint")
_SHOWN = 500
"""Pairs on a page at most."""


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


class Row(Struct, frozen=True):
    """How often a check found something, and where first: one line of the table."""

    check: str
    severity: str
    count: int
    place: str


class Report(NamedTuple):
    """What the checks saw in a file."""

    pairs: int
    checked: tuple[Checked, ...]
    """The pairs with findings, in file order."""

    def rows(self) -> list[Row]:
        """Return a row per check and severity: errors first, then the most frequent."""
        found = [(f.check, f.severity, c.place) for c in self.checked for f in c.findings]
        counts = Counter((check, severity) for check, severity, _ in found)
        first = {(check, severity): place for check, severity, place in reversed(found)}
        rows = [Row(*key, count, first[key]) for key, count in counts.items()]
        return sorted(rows, key=lambda row: (_SEVERITIES.index(row.severity), -row.count, row.check))

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
        DataError: a file is broken, names the line; or holds no pair.
    """
    codes = language(source_language).code, language(target_language).code
    terms = _terms(glossary, *codes)
    pairs = list(read_aligned(source, target, *codes))
    if not pairs:
        raise DataError(f"{source}: no pair of a text and its translation.\n  The file is empty.")
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
    rows = read_term_list(require_file(path), source, target)
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


def write_findings(report: Report, path: Path) -> None:
    """Write the pairs with findings as JSON Lines."""
    write_records(path, report.checked)


def write_page(report: Report, path: Path, *, title: str = "Integrity of translations") -> None:
    """Write a self-contained HTML page: counts, then each pair with its findings drawn on both sides."""
    rows = "".join(
        f"<tr><td>{escape(row.check)}</td><td>{row.severity}</td><td>{row.count:,}</td>"
        f"<td>{escape(ABOUT[row.check])}</td><td>{escape(row.place)}</td></tr>"
        for row in report.rows()
    )
    head = "<tr><th>check</th><th>severity</th><th>count</th><th>it looks for</th><th>first place</th></tr>"
    told = f"{report.pairs:,} pairs, {len(report.checked):,} with findings, {report.failed:,} with an error."
    order = sorted(report.checked, key=lambda c: not any(f.severity == "error" for f in c.findings))
    articles = "\n".join(_article(checked) for checked in order[:_SHOWN])
    more = f"<p>{len(order) - _SHOWN:,} more are not shown.</p>" if len(order) > _SHOWN else ""
    write_text(
        path, page(title, f'<p>{told}</p><table class="figures">{head}{rows}</table>\n{articles}{more}')
    )


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
    place = "" if checked.place == checked.id else f'<p class="note">{escape(checked.place)}</p>'
    head = f"<h2>{escape(checked.id)}</h2>{place}"
    return f"<article>{head}{two_columns(rows, *names)}<ul>{notes}</ul></article>"


def _told(finding: Finding) -> str:
    where = f" {finding.field}" if finding.field else ""
    return f"{finding.check} ({finding.severity}){where}: {finding.explanation}"


def _marks(checked: Checked, field: str, *, source: bool) -> Iterator[Mark]:
    for finding in checked.findings:
        if finding.field == field:
            for start, end in finding.source_spans if source else finding.target_spans:
                yield Mark(start, end, finding.severity, _told(finding))


ABOUT = {**SET_CHECKS, **RECORD_CHECKS, **{name: check.about for name, check in CHECKS.items()}}
"""What each check looks for, in a line; the names for `--check`."""
