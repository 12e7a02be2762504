"""What the tables for people hold: text cells, quoted rows and notes, before they take a form.

A published row is always marked as quoted, with its setting and protocol; rows of unlike protocols stand
in one table but are never ranked together, unless one says so.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from bimedix.benchmarks import AVERAGES, MMEDBENCH, NINE, PublishedRow, published_rows
from bimedix.evaluate.cells import (
    BETWEEN,
    CALIBRATION,
    MODELS,
    ORDERS,
    Sheet,
    language_name,
    p_value,
    percent,
    signed,
    with_interval,
)
from bimedix.evaluate.quoted import published_sheet, quote_rows
from bimedix.evaluate.soundness import SetReport
from bimedix.evaluate.table import Accuracy, Average, Table


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
    protocols = list(dict.fromkeys(protocol for _, protocol in keys))
    out += [_bilingual_columns_sheet(table, protocol, quoted) for protocol in protocols]
    many = dict.fromkeys((row.benchmark, row.protocol) for row in table.accuracies if "@" not in row.protocol)
    out += [_languages_sheet(table, *key, quoted) for key in many]
    out += [_bilingual_sheet(table), _averages_sheet(table), _comparison_sheet(table)]
    out += [_order_sheet(table), _quality_sheet(table), published_sheet(table, quoted)]
    return [sheet for sheet in out if sheet.rows]


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
    beside, notes = quote_rows([row for row in quoted if row.language == language], columns, names)
    return Sheet(
        f"Accuracy, {language_name(language)}, by {protocol} (%)",
        ("model", *columns, *names),
        (*rows, chance, items),
        beside,
        (*notes, *_integrity_notes(table, language), *_run_notes(table, language, protocol)),
        best=best,
    )


def _integrity_notes(table: Table, language: str) -> list[str]:
    """Return a note per test set that has rows which fail a check of their soundness."""
    reports = msgspec.convert(table.about.get("integrity", []), list[SetReport])
    return [
        f"{row.benchmark}: {row.with_errors:,} of {row.items:,} items fail an integrity check "
        f"({', '.join(f'{name} {count:,}' for name, count in row.checks.items())}); they are scored all the "
        "same, and listed in integrity.jsonl."
        for row in reports
        if row.language == language and row.with_errors
    ]


_NOTED = {
    "guarded": "scored again alone, because the best two options were close",
    "cut": "longer than the model reads, which lost their beginning",
    "merged": "whose end the tokenizer joins with the beginning of an option",
    "without_log_probabilities": "answered in words, because the endpoint offers no log-probabilities",
    "no_label_among_the_likeliest": "with no option among the likeliest tokens",
}
"""What the report of a run counts, in words; shares of its requests."""


def _run_notes(table: Table, language: str, protocol: str) -> list[str]:
    """Return notes per model that say where scores were not taken the plain way; of the tie guard always."""
    sums: dict[str, Counter[str]] = {}
    for place, report in msgspec.convert(table.about.get("runs", {}), dict[str, dict[str, Any]]).items():
        parts = place.split(", ")
        if parts[-1] == protocol and (len(parts) < 4 or parts[-2] == language):
            sums.setdefault(parts[0], Counter()).update(
                {name: report.get(name, 0) for name in ("requests", *_NOTED)}
            )
    return [
        f"{model}: {count:,} of {total['requests'] or 'all'} prompts {words}."
        for model, total in sums.items()
        for name, words in _NOTED.items()
        if (count := total[name]) or (name == "guarded" and total["requests"])
    ]


def _columns(names: Iterable[str]) -> list[str]:
    """Return the nine columns in the papers' order, then all others as they come."""
    seen = list(dict.fromkeys(names))
    return [name for name in NINE if name in seen] + [name for name in seen if name not in NINE]


def _accuracy_cell(row: Accuracy | None) -> str:
    return with_interval(row.accuracy, row.low, row.high) if row else "–"


def _average_cell(row: Average | None) -> str:
    return with_interval(row.value, row.low, row.high) if row else "–"


def _best(cells: Sequence[Sequence[Accuracy | None]]) -> frozenset[tuple[int, int]]:
    found = set()
    if len(cells) > 1:
        for column in range(len(cells[0])):
            values = [row[column].accuracy if row[column] else -1.0 for row in cells]  # type: ignore[union-attr]
            found |= {(index, column + 1) for index, value in enumerate(values) if value == max(values)}
    return frozenset(found)


def _bilingual_columns_sheet(table: Table, protocol: str, quoted: Sequence[PublishedRow]) -> Sheet:
    """Show the mean of English and another language per test set, as table 2 of BiMediX does."""
    cells = {
        (f"{pair.model}, {language_name('+'.join(pair.languages))}", pair.benchmark): pair
        for pair in table.pairs
        if pair.protocol == protocol
    }
    columns = _columns([benchmark for _, benchmark in cells])
    averages = {
        (f"{row.model}, {language_name(row.language)}", row.name): row
        for row in table.averages
        if row.protocol == protocol and row.name in AVERAGES
    }
    models = list(dict.fromkeys(model for model, _ in cells))
    names = [name for name in AVERAGES if any((model, name) in averages for model in models)]
    rows = [
        (
            model,
            *(percent(cells[model, c].bilingual) if (model, c) in cells else "–" for c in columns),
            *(_average_cell(averages.get((model, name))) for name in names),
        )
        for model in models
    ]
    codes = {"+".join(pair.languages) for pair in table.pairs}
    beside, notes = quote_rows([row for row in quoted if row.language in codes], columns, names)
    title = f"Bilingual mean, by {protocol} (%)"
    return Sheet(title, ("model", *columns, *names), tuple(rows), beside, notes, BETWEEN)


def _languages_sheet(table: Table, benchmark: str, protocol: str, quoted: Sequence[PublishedRow]) -> Sheet:
    """Show one test set of three or more languages, a column each, as MMedBench does."""
    cells = {
        (row.model, row.language): row
        for row in table.accuracies
        if (row.benchmark, row.protocol) == (benchmark, protocol)
    }
    codes = {code for _, code in cells}
    columns = [code for code in MMEDBENCH if code in codes] + sorted(codes - MMEDBENCH.keys())
    means = {
        row.model: row
        for row in table.averages
        if (row.protocol, row.name) == (protocol, f"mean of languages, {benchmark}")
    }
    models = list(dict.fromkeys(model for model, _ in cells))
    found = [[cells.get((model, code)) for code in columns] for model in models]
    rows = [
        (model, *map(_accuracy_cell, mine), _average_cell(means.get(model)))
        for model, mine in zip(models, found, strict=True)
    ]
    accuracies = [row for row in quoted if row.metric == "accuracy_percent"]
    fitting = [row for row in accuracies if set(row.columns) <= MMEDBENCH.keys()]
    beside, notes = quote_rows(fitting, columns, ["macro-9"])
    title = f"{benchmark} by language, {protocol} (%)"
    shown = tuple(rows) if len(columns) >= 3 else ()
    return Sheet(title, ("model", *columns, "mean"), shown, beside, notes, BETWEEN, _best(found))


def _bilingual_sheet(table: Table) -> Sheet:
    rows = [
        (
            pair.model,
            pair.benchmark,
            pair.protocol,
            f"{pair.items:,}",
            percent(pair.first),
            f"{percent(pair.second)} ({pair.languages[1]})",
            percent(pair.bilingual),
            f"{signed(pair.gap)} [{signed(pair.gap_low)}, {signed(pair.gap_high)}]",
            "unmatched" if pair.agreement is None else percent(pair.agreement),
            p_value(pair.p_holm),
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
            "p: exact McNemar test of no gap, adjusted for the number of rows; unmatched: nobody has linked "
            "the items of the two languages, so the gap is that of independent shares.",
        ),
        part=BETWEEN,
    )


def _averages_sheet(table: Table) -> Sheet:
    rows = [
        (
            row.model,
            language_name(row.language),
            row.protocol,
            row.name,
            with_interval(row.value, row.low, row.high),
        )
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
            language_name(row.language),
            row.protocol,
            f"{row.items:,}",
            f"{signed(-row.difference)} [{signed(-row.high)}, {signed(-row.low)}]",
            f"{row.only_second} : {row.only_first}",
            p_value(row.p_holm),
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
        part=MODELS,
    )


def _order_sheet(table: Table) -> Sheet:
    rows = [
        (
            row.model, row.benchmark, language_name(row.language), f"{row.items:,}", str(row.orders),
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
        part=ORDERS,
    )


def _quality_sheet(table: Table) -> Sheet:
    rows = [
        (
            row.model, row.benchmark, language_name(row.language), row.protocol,
            f"{row.unread:,} / {row.items:,}",
            "–" if row.wrong_language is None else percent(row.wrong_language),
            _calibration_cell(row),
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
        part=CALIBRATION,
    )


def _calibration_cell(row: Accuracy) -> str:
    if row.expected_calibration_error is None:
        return "–"
    return f"{row.expected_calibration_error:.3f} [{row.calibration_low:.3f}, {row.calibration_high:.3f}]"
