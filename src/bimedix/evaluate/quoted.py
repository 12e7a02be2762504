"""Published rows beside ours: quoted with setting and protocol, tested as counts, checked, never mixed in."""

from collections.abc import Sequence

from bimedix.benchmarks import (
    PublishedRow,
    check_cells,
    check_published,
    comparable,
    expected_mismatches,
    nearest_count,
)
from bimedix.errors import UsageError
from bimedix.evaluate.cells import PUBLISHED, Sheet, language_name, p_value, signed
from bimedix.evaluate.table import Table
from bimedix.statistics import compare_proportions, holm, pairing_bounds


def quote_rows(
    rows: Sequence[PublishedRow], columns: Sequence[str], averages: Sequence[str]
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Return quoted rows and a note for each; their average is the source's, whatever it is of."""
    out, notes = [], []
    for number, row in enumerate((r for r in rows if set(r.columns) & set(columns)), 1):
        shown = [_printed(row, column) for column in columns]
        means = [
            f"{row.printed_average:.{row.average_decimals}f}"
            if name == "macro-9" and row.printed_average is not None
            else "–"
            for name in averages
        ]
        out.append((f"{row.model} ({row.origin} {number})", *shown, *means))
        notes.append(
            f"{number}: {row.origin} from {row.source}. Setting: {row.setting or 'not stated'}. "
            f"Protocol: {row.protocol or 'not stated'}." + (f" {row.note}." if row.note else "")
        )
    if notes:
        notes.append("Quoted rows have another setting or protocol than ours: no rank across the line.")
    return tuple(out), tuple(notes)


def _printed(row: PublishedRow, column: str) -> str:
    value = row.by_column.get(column)
    return "–" if value is None or value != value else f"{value:.{row.decimals}f}"


def published_sheet(table: Table, quoted: Sequence[PublishedRow]) -> Sheet:
    """Test our cells against published ones, as counts of unknown pairing."""
    found = []
    for row in table.accuracies:
        for other in quoted:
            cell = dict(zip(other.columns, zip(other.values, other.items, strict=False), strict=False)).get(
                row.benchmark
            )
            if "@" in row.protocol or cell is None or other.language != row.language:
                continue
            value, n = cell
            k = nearest_count(value, n, other.decimals)
            if k is not None:
                found.append((row, other, k, n))
    tests = [compare_proportions(row.right, row.items, k, n) for row, _, k, n in found]
    adjusted = holm([test.p for test in tests])
    rows = []
    for (row, other, k, n), test, p in zip(found, tests, adjusted, strict=True):
        bounds = pairing_bounds(row.right, k, n) if row.items == n else None
        rows.append(
            (
                row.model, f"{other.model} ({other.table})", row.benchmark, language_name(row.language),
                row.protocol,
                f"{signed(test.difference)} [{signed(test.interval.low)}, {signed(test.interval.high)}]",
                p_value(p), f"{p_value(bounds.low)} to {p_value(bounds.high)}" if bounds else "other items",
            )
        )  # fmt: skip
    return Sheet(
        "Against published rows (points)",
        (
            "model",
            "published",
            "test set",
            "language",
            "protocol",
            "difference",
            "p unpaired (Holm)",
            "p if paired",
        ),
        tuple(rows),
        notes=(
            "Single answers of published models are not known: `p if paired` spans all ways in which the "
            "same items can pair up. Cells that are no count of their items are left out. Setting and "
            "protocol differ.",
        )
        if rows
        else (),
        part=PUBLISHED,
    )


def rank(rows: Sequence[PublishedRow], *, unlike: bool = False) -> list[PublishedRow]:
    """Return published rows by their recomputed average, best first.

    Args:
        rows: rows with an average.
        unlike: rank rows of different setting or protocol all the same.

    Raises:
        UsageError: two rows differ in language, setting, protocol or metric, and `unlike` was not given.
    """
    rows = [row for row in rows if row.average is not None]
    for other in rows[1:]:
        why = comparable(rows[0], other)
        if why and not unlike:
            raise UsageError(
                f"these rows are not ranked: {why}.\n"
                "  Leave one of them out, or ask for unlike rows on purpose (and say so beside the table)."
            )
    return sorted(rows, key=lambda row: -(row.average or 0.0))


def check_sheets() -> list[Sheet]:
    """Return what is wrong in the published figures: averages that do not follow, cells that are no count."""
    mismatches = [
        (row.model, row.table, f"{row.printed:.2f}", f"{row.recomputed:.2f}") for row in check_published()
    ]
    impossible = [
        (cell.model, cell.table, cell.column, f"{cell.printed:g}", f"{cell.items:,}")
        for cell in check_cells()
    ]
    return [
        Sheet(
            "Printed averages that their own cells do not give",
            ("model", "table", "printed", "recomputed"),
            tuple(mismatches),
            notes=(
                "Allowed: half a unit of the average's last digit plus half a unit of the cells' last digit.",
            ),
        ),
        Sheet(
            "Printed accuracies that no whole number of right answers gives",
            ("model", "table", "column", "printed", "items"),
            tuple(impossible),
            notes=("Means over seeds, other denominators, or slips; they are not tested as counts.",),
        ),
    ]


def unexpected_mismatches() -> list[str]:
    """Return what the checker finds and the reference file does not list, and the other way round."""
    found, listed = set(check_published()), set(expected_mismatches())
    return [
        *(f"not listed: {row.table}, {row.model}" for row in sorted(found - listed, key=repr)),
        *(f"listed, not found: {row.table}, {row.model}" for row in sorted(listed - found, key=repr)),
    ]
