"""The report of an evaluation: one page with plots and tables, in English or, right to left, in Arabic.

Every figure on it comes from files beside it: `records.jsonl` holds the answer to every item, and
`table.json` what the table was made with, so that `recompute` gives the same table again.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bimedix.benchmarks import PublishedRow, published_rows
from bimedix.evaluate.cells import (
    ACCURACY,
    BETWEEN,
    CALIBRATION,
    EFFICIENCY,
    MODELS,
    ORDERS,
    PUBLISHED,
    RATINGS,
    RATIONALES,
    RUBRICS,
    Sheet,
    language_name,
)
from bimedix.evaluate.labels import Told, labels
from bimedix.evaluate.sheets import sheets
from bimedix.evaluate.table import Accuracy, Table, make_table
from bimedix.evaluate.tables import read_table
from bimedix.figures.intervals import Point, intervals, reliability
from bimedix.figures.page import block, cell, page
from bimedix.files import hash_file, read_json, read_records
from bimedix.records import Prediction
from bimedix.stage import RECORDS
from bimedix.text import block_direction

PARTS = {
    ACCURACY: "Accuracy",
    BETWEEN: "Between the languages",
    MODELS: "Between models",
    CALIBRATION: "Calibration and readability",
    ORDERS: "Order of the options",
    RATIONALES: "Rationales",
    RUBRICS: "Rubrics",
    RATINGS: "Ratings by people",
    EFFICIENCY: "Speed and memory",
    PUBLISHED: "Published figures",
}
"""Sections of the page, in order, and their headings."""
NOTICE = (
    "Research software. Figures hold for the test sets and the protocol named here; not for clinical use."
)
ITEMS_NOTE = (
    "Every figure of accuracy, calibration and comparison follows from the single answers in records.jsonl."
)


def recompute(out: Path) -> Table:
    """Return the table of an evaluation's folder, computed again from its single answers."""
    told = read_table(read_json(out / "table.json"))
    groups = {row.benchmark: row.group for row in told.accuracies}
    about: Mapping[str, Any] = told.about
    return make_table(
        read_records(out / RECORDS, Prediction), groups, confidence=about["confidence"],
        draws=about["bootstrap_draws"], seed=about["seed"], about=about,
    )  # fmt: skip


def items_of(out: Path) -> dict[str, str]:
    """Return name and hash of the file of single answers."""
    return {"file": RECORDS, "blake2b": hash_file(out / RECORDS)}


def render_page(
    table: Table,
    *,
    quote: Sequence[str] = (),
    more: Sequence[Sheet] = (),
    plots: Mapping[str, Callable[[Told], str]] = MappingProxyType({}),
    code: str = "en",
) -> str:
    """Return the whole page.

    Args:
        table: the results.
        quote: ids of published tables to quote beside ours.
        more: sheets of other parts, such as efficiency.
        plots: what draws further plots, by part; they stand before its tables.
        code: language of headings and notes; `ar` gives a page from right to left.
    """
    told = labels(code)
    quoted = [row for name in quote for row in published_rows(name)]
    found = [*sheets(table, quote=quote), *more]
    body = [f"<h1>{escape(told('Evaluation'))}</h1>", f'<p class="notice" role="note">{told(NOTICE)}</p>']
    body.append(_facts(table, told))
    for part, heading in PARTS.items():
        mine = [sheet for sheet in found if sheet.part == part]
        drawn = PLOTS[part](table, quoted, told) if part in PLOTS else ""
        drawn += plots[part](told) if part in plots else ""
        if mine or drawn:
            body += [f"<h2>{escape(told(heading))}</h2>", drawn, *(_sheet(sheet, told) for sheet in mine)]
    title = ", ".join(dict.fromkeys(row.model for row in table.accuracies))
    return page(f"{told('Evaluation')}: {title}", "".join(body), code)


def _facts(table: Table, told: Told) -> str:
    about, items = table.about, table.about.get("items")
    rows: list[tuple[str, Any]] = [
        ("models", ", ".join(dict.fromkeys(row.model for row in table.accuracies))),
        ("items", sum(row.items for row in table.accuracies if "@" not in row.protocol)),
        *(
            (name, about[name])
            for name in ("template", "shots", "dtype", "confidence", "seed")
            if name in about
        ),
    ]
    if isinstance(items, dict):
        rows.append(("single answers", f"{items['file']}, blake2b {items['blake2b'][:16]}"))
    body = "".join(f"<tr><th scope=row>{escape(told(name))}</th>{cell(value)}</tr>" for name, value in rows)
    return f"<table><tbody>{body}</tbody></table><p class=note>{told(ITEMS_NOTE)}</p>"


def _sheet(sheet: Sheet, told: Told) -> str:
    head = "".join(f"<th scope=col>{block(told(name))}</th>" for name in sheet.header)
    rows = [_row(row, number, sheet, told) for number, row in enumerate(sheet.rows)]
    rows += [_row(row, -1, sheet, told) for row in sheet.quoted]
    notes = "".join(
        f'<p class="note" dir="{block_direction(text)}">{block(text)}</p>' for text in map(told, sheet.notes)
    )
    return (
        f'<h3>{block(told(sheet.title))}</h3><div class="scroll"><table class="figures">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def _row(row: Sequence[str], number: int, sheet: Sheet, told: Told) -> str:
    """Return a row; number -1 is a quoted one."""
    cells = [cell(told(text)) for text in row]
    for column in range(len(cells)):
        if (number, column) in sheet.best:
            cells[column] = cells[column].replace("<td", '<td data-best="1"', 1)
    return f"<tr{' class=quoted' if number < 0 else ''}>{''.join(cells)}</tr>"


# --- plots


def _plain(table: Table) -> list[Accuracy]:
    return [row for row in table.accuracies if "@" not in row.protocol]


def _many(values: Sequence[str]) -> bool:
    return len(set(values)) > 1


def _label(row: Any, rows: Sequence[Any], told: Told) -> str:
    """Return what tells a row from the others: test set, language, and the protocol if several are there."""
    parts = [told(row.benchmark), told(language_name(getattr(row, "language", "")))]
    if _many([other.protocol for other in rows]):
        parts.append(row.protocol)
    return told.comma.join(part for part in parts if part)


def _accuracy_plot(table: Table, quoted: Sequence[PublishedRow], told: Told) -> str:
    rows: dict[str, list[Point]] = {}
    chance: dict[str, float] = {}
    mine = _plain(table)
    for row in mine:
        label = _label(row, mine, told)
        rows.setdefault(label, []).append(Point(row.model, 100 * row.accuracy, 100 * row.low, 100 * row.high))
        chance[label] = 100 * row.chance
    for row in mine:
        known = _published_points(row, quoted, told("published*"))
        rows[_label(row, mine, told)] += [p for p in known if p not in rows[_label(row, mine, told)]]
    note = told("Lines are intervals, dashes the accuracy of guessing, hollow marks published figures.")
    drawn = intervals(
        rows, unit=told("% right"), lowest=0, highest=100, rules=chance, rtl=told.direction == "rtl"
    )
    return drawn + f'<p class="note">{note}</p>' if drawn else ""


def _published_points(row: Accuracy, quoted: Sequence[PublishedRow], series: str) -> list[Point]:
    fitting = [r for r in quoted if r.metric == "accuracy_percent" and r.language == row.language]
    values = [(r.model, r.by_column.get(row.benchmark)) for r in fitting]
    return [Point(series, v, name=name) for name, v in values if v is not None and v == v]


def _averages_plot(table: Table, told: Told) -> str:
    rows: dict[str, list[Point]] = {}
    mine = [row for row in table.averages if "@" not in row.protocol]
    for row in mine:
        label = told.comma.join((told(row.name), told(language_name(row.language))))
        if _many([other.protocol for other in mine]):
            label += told.comma + row.protocol
        rows.setdefault(label, []).append(Point(row.model, 100 * row.value, 100 * row.low, 100 * row.high))
    return intervals(rows, unit=told("% right"), lowest=0, highest=100, rtl=told.direction == "rtl")


def _gap_plot(table: Table, _: Sequence[PublishedRow], told: Told) -> str:
    rows: dict[str, list[Point]] = {}
    pairs = [pair for pair in table.pairs if "@" not in pair.protocol]
    for pair in pairs:
        parts = [told(pair.benchmark), told(language_name("+".join(pair.languages)))]
        if _many([other.protocol for other in pairs]):
            parts.append(pair.protocol)
        rows.setdefault(told.comma.join(parts), []).append(
            Point(pair.model, 100 * pair.gap, 100 * pair.gap_low, 100 * pair.gap_high)
        )
    return _differences(rows, told("points, English minus the other language"), told)


def _comparison_plot(table: Table, _: Sequence[PublishedRow], told: Told) -> str:
    rows: dict[str, list[Point]] = {}
    mine = [row for row in table.comparisons if "@" not in row.protocol]
    for row in mine:
        rows.setdefault(_label(row, mine, told), []).append(
            Point(f"{row.second} − {row.first}", -100 * row.difference, -100 * row.high, -100 * row.low)
        )
    return _differences(rows, told("points"), told)


def _differences(rows: Mapping[str, Sequence[Point]], unit: str, told: Told) -> str:
    ends = [abs(v) for points in rows.values() for p in points for v in (p.value, p.low or 0, p.high or 0)]
    most = max([*ends, 1.0]) * 1.05
    return intervals(rows, unit=unit, lowest=-most, highest=most, rule=0.0, rtl=told.direction == "rtl")


def _calibration_plot(table: Table, _: Sequence[PublishedRow], told: Told) -> str:
    curves: dict[str, dict[int, list[tuple[float, float, int]]]] = {}
    mine = [row for row in _plain(table) if row.calibration_bins]
    for row in mine:
        parts = [row.model, told(language_name(row.language))]
        if _many([other.protocol for other in mine]):
            parts.append(row.protocol)
        curve = curves.setdefault(told.comma.join(parts), {})
        for found in row.calibration_bins:
            entry = (found.confidence, found.accuracy, found.items)
            curve.setdefault(min(int(found.confidence * 10), 9), []).append(entry)
    pooled = {
        name: [_pooled(curve[place]) for place in sorted(curve)] for name, curve in curves.items() if curve
    }
    note = told("Over all test sets; above the dashed line the model knows more than it says, below it less.")
    drawn = reliability(pooled, x=told("stated probability of the answer"), y=told("share of right answers"))
    return drawn + f'<p class="note">{note}</p>' if drawn else ""


def _pooled(bins: Sequence[tuple[float, float, int]]) -> tuple[float, float, int]:
    items = sum(n for *_, n in bins)
    return sum(c * n for c, _, n in bins) / items, sum(a * n for _, a, n in bins) / items, items


def _first_plots(table: Table, quoted: Sequence[PublishedRow], told: Told) -> str:
    return _accuracy_plot(table, quoted, told) + _averages_plot(table, told)


PLOTS: dict[str, Callable[[Table, Sequence[PublishedRow], Told], str]] = {
    ACCURACY: _first_plots,
    BETWEEN: _gap_plot,
    MODELS: _comparison_plot,
    CALIBRATION: _calibration_plot,
}
