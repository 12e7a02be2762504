"""What the tables for people hold: text cells, quoted rows and notes, before they take a form.

A published row is always marked as quoted, with its setting and protocol; rows of unlike protocols stand
in one table but are never ranked together, unless one says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bimedix.benchmarks import AVERAGES, NINE, PublishedRow, comparable, nearest_count, published_rows
from bimedix.errors import UsageError
from bimedix.evaluate.table import Accuracy, Average, Table
from bimedix.languages import LANGUAGES
from bimedix.statistics import compare_proportions, holm, pairing_bounds


@dataclass(frozen=True)
class Sheet:
    """One table, as text cells."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    quoted: tuple[tuple[str, ...], ...] = ()
    """Published rows, shown below a line."""
    notes: tuple[str, ...] = ()
    best: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    """(row, column) of the best of our own cells per column, where two or more models can be compared."""


def sheets(table: Table, *, quote: Sequence[str] = ()) -> list[Sheet]:
    """Return all sheets of a table.

    Args:
        table: the results.
        quote: ids of published tables to quote beside ours, such as `bimedix-3`; their rows appear where
            the language fits.
    """
    quoted = [row for name in quote for row in published_rows(name)]
    keys = dict.fromkeys((row.language, row.protocol) for row in table.accuracies if "@" not in row.protocol)
    out = [_accuracy_sheet(table, *key, quoted) for key in keys]
    out += [_bilingual_sheet(table, quoted), _averages_sheet(table), _comparison_sheet(table)]
    out += [_order_sheet(table), _quality_sheet(table), _published_sheet(table, quoted)]
    return [sheet for sheet in out if sheet.rows]


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal, as the papers print it."""
    return f"{100 * share:.1f}"


def _cell(value: float, low: float, high: float) -> str:
    return f"{percent(value)} [{percent(low)}, {percent(high)}]"


def _name(code: str) -> str:
    return " + ".join(LANGUAGES[part].name if part in LANGUAGES else part for part in code.split("+"))


def _accuracy_sheet(table: Table, language: str, protocol: str, quoted: Sequence[PublishedRow]) -> Sheet:
    cells = {
        (row.model, row.benchmark): row
        for row in table.accuracies
        if (row.language, row.protocol) == (language, protocol)
    }
    models = list(dict.fromkeys(model for model, _ in cells))
    columns = _columns([benchmark for _, benchmark in cells])
    averages = {
        (row.model, row.name): row
        for row in table.averages
        if (row.language, row.protocol, row.name in AVERAGES) == (language, protocol, True)
    }
    names = [name for name in AVERAGES if any((model, name) in averages for model in models)]
    rows = [
        (
            model,
            *(_accuracy_cell(cells.get((model, column))) for column in columns),
            *(_average_cell(averages.get((model, name))) for name in names),
        )
        for model in models
    ]
    any_cells = {column: next(row for (_, b), row in cells.items() if b == column) for column in columns}
    chance = ("chance", *(percent(row.chance) for row in any_cells.values()), *("" for _ in names))
    items = ("items", *(f"{row.items:,}" for row in any_cells.values()), *("" for _ in names))
    best = _best([[cells.get((model, column)) for column in columns] for model in models])
    beside, notes = _quote([row for row in quoted if row.language == language], columns, names)
    return Sheet(
        f"Accuracy, {_name(language)}, by {protocol} (%)",
        ("model", *columns, *names),
        (*rows, chance, items),
        beside,
        notes,
        best,
    )


def _columns(names: Iterable[str]) -> list[str]:
    """Return the nine columns in the papers' order, then all others as they come."""
    seen = list(dict.fromkeys(names))
    return [name for name in NINE if name in seen] + [name for name in seen if name not in NINE]


def _accuracy_cell(row: Accuracy | None) -> str:
    return _cell(row.accuracy, row.low, row.high) if row else "–"


def _average_cell(row: Average | None) -> str:
    return _cell(row.value, row.low, row.high) if row else "–"


def _best(cells: Sequence[Sequence[Accuracy | None]]) -> frozenset[tuple[int, int]]:
    found = set()
    if len(cells) > 1:
        for column in range(len(cells[0])):
            values = [row[column].accuracy if row[column] else -1.0 for row in cells]  # type: ignore[union-attr]
            found |= {(index, column + 1) for index, value in enumerate(values) if value == max(values)}
    return frozenset(found)


def _quote(
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


def _bilingual_sheet(table: Table, quoted: Sequence[PublishedRow]) -> Sheet:
    rows = [
        (
            pair.model,
            pair.benchmark,
            pair.protocol,
            f"{pair.items:,}",
            percent(pair.first),
            f"{percent(pair.second)} ({pair.languages[1]})",
            percent(pair.bilingual),
            f"{_signed(pair.gap)} [{_signed(pair.gap_low)}, {_signed(pair.gap_high)}]",
            percent(pair.agreement),
            _p(pair.p_holm),
        )
        for pair in table.pairs
        if "@" not in pair.protocol
    ]
    return Sheet(
        "English and the other language, item by item (%)",
        (
            "model",
            "test set",
            "protocol",
            "items",
            "English",
            "other",
            "bilingual",
            "gap",
            "agree",
            "p (Holm)",
        ),
        tuple(rows),
        notes=(
            "gap: English minus other, bootstrap interval; agree: right in both or wrong in both; "
            "p: exact McNemar test of no gap, adjusted for the number of rows.",
        ),
    )


def _averages_sheet(table: Table) -> Sheet:
    rows = [
        (row.model, _name(row.language), row.protocol, row.name, _cell(row.value, row.low, row.high))
        for row in table.averages
        if "@" not in row.protocol
    ]
    return Sheet(
        "Averages (%)",
        ("model", "language", "protocol", "average", "value"),
        tuple(rows),
        notes=(
            "macro-9: plain mean of nine columns; macro-4: MMLU pooled first; micro: by items. "
            "They can rank the same models differently.",
        ),
    )


def _comparison_sheet(table: Table) -> Sheet:
    rows = [
        (
            f"{row.second} - {row.first}",
            row.benchmark,
            _name(row.language),
            row.protocol,
            f"{row.items:,}",
            f"{_signed(-row.difference)} [{_signed(-row.high)}, {_signed(-row.low)}]",
            f"{row.only_second} : {row.only_first}",
            _p(row.p_holm),
            percent(row.detectable),
        )
        for row in table.comparisons
        if "@" not in row.protocol
    ]
    return Sheet(
        "Two models on the same items (points)",
        (
            "models",
            "test set",
            "language",
            "protocol",
            "items",
            "difference",
            "won : lost",
            "p (Holm)",
            "detectable",
        ),
        tuple(rows),
        notes=(
            "Interval: bootstrap of whole questions; p: exact McNemar test, adjusted for the number of rows; "
            "detectable: difference that this many items would show in 4 of 5 runs.",
        ),
    )


def _order_sheet(table: Table) -> Sheet:
    rows = [
        (
            row.model, row.benchmark, _name(row.language), f"{row.items:,}", str(row.orders),
            percent(row.mean), percent(row.worst), percent(row.always), percent(row.recall_spread),
            percent(row.corrected),
        )
        for row in table.orders
    ]  # fmt: skip
    return Sheet(
        "How much the order of the options decides (%)",
        (
            "model",
            "test set",
            "language",
            "items",
            "orders",
            "mean",
            "worst",
            "always right",
            "recall spread",
            "PriDe",
        ),
        tuple(rows),
        notes=(
            "always right: in every order; recall spread: standard deviation over labels of the share of "
            "right answers found there; PriDe: accuracy without the labels' prior (arXiv 2309.03882).",
        ),
    )


def _quality_sheet(table: Table) -> Sheet:
    rows = [
        (
            row.model, row.benchmark, _name(row.language), row.protocol,
            f"{row.unread} of {row.items}",
            "–" if row.wrong_language is None else percent(row.wrong_language),
            "–" if row.expected_calibration_error is None else f"{row.expected_calibration_error:.3f}",
            "–" if row.brier is None else f"{row.brier:.3f}",
            str(row.several_answers),
        )
        for row in table.accuracies
        if "@" not in row.protocol
    ]  # fmt: skip
    return Sheet(
        "Beside accuracy",
        (
            "model",
            "test set",
            "language",
            "protocol",
            "unread",
            "wrong language (%)",
            "ECE",
            "Brier",
            "several answers",
        ),
        tuple(rows),
    )


def _published_sheet(table: Table, quoted: Sequence[PublishedRow]) -> Sheet:
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
                row.model, f"{other.model} ({other.table})", row.benchmark, _name(row.language), row.protocol,
                f"{_signed(test.difference)} [{_signed(test.interval.low)}, {_signed(test.interval.high)}]",
                _p(p), f"{_p(bounds.low)} to {_p(bounds.high)}" if bounds else "other items",
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
    )


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


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
