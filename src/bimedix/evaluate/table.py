"""The table of results: accuracy per test set and language, pairs across languages, averages, comparisons.

Everything is computed from predictions, so any table can be recomputed from `records.jsonl`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, structs

from bimedix.benchmarks import AVERAGES, NINE, Cell, has_nine
from bimedix.evaluate.predict import probabilities
from bimedix.evaluate.reliability import Bin, error_interval, reliability_bins
from bimedix.evaluate.settings import LETTERS
from bimedix.records import Prediction, root_id
from bimedix.statistics import (
    Interval,
    calibration,
    compare_proportions,
    holm,
    macro_interval,
    mcnemar_exact,
    minimum_detectable_difference,
    normal_quantile,
    paired_bootstrap,
    wilson_interval,
)
from bimedix.text import written_in

LEAST_LETTERS = 10
"""Letters from which a reply is long enough to say in which script it is."""


class Accuracy(Struct, frozen=True):
    """What one model scored on one test set in one language, by one protocol."""

    model: str
    benchmark: str
    group: str
    language: str
    protocol: str
    items: int
    right: int
    accuracy: float
    """0 to 1, as all shares here."""
    low: float
    high: float
    chance: float
    """Expected accuracy of guessing one option: mean of 1 / options, 0 where several are right."""
    unread: int
    """Replies that no answer could be read from; they count as wrong."""
    several_answers: int
    """Items with several right options: log-probability protocols choose one and so get them wrong."""
    wrong_language: float | None = None
    """Share of replies written in another script than the question's; None for log-probabilities."""
    expected_calibration_error: float | None = None
    brier: float | None = None
    calibration_low: float | None = None
    """Interval of the expected calibration error."""
    calibration_high: float | None = None
    calibration_bins: tuple[Bin, ...] = ()


class Pair(Struct, frozen=True):
    """One test set in two languages, item by item."""

    model: str
    benchmark: str
    protocol: str
    languages: tuple[str, str]
    items: int
    """Items that stand in both, matched by the record they come from; where none is known to match, the
    items of the smaller side."""
    first: float
    second: float
    bilingual: float
    """Mean of both accuracies."""
    gap: float
    """First minus second."""
    gap_low: float
    gap_high: float
    agreement: float | None
    """Share of items that are right in both or wrong in both; None where no item is known to match."""
    p: float
    """Of no gap: exact McNemar test, or two unpaired shares where no item matches."""
    p_holm: float


class Average(Struct, frozen=True):
    """One number for several test sets."""

    model: str
    protocol: str
    language: str
    """A code, or two joined by `+` for the bilingual mean."""
    name: str
    """macro-9, macro-4, micro, or the mean or pool of a group."""
    value: float
    low: float
    high: float


class Comparison(Struct, frozen=True):
    """Two models on the same items."""

    benchmark: str
    language: str
    protocol: str
    first: str
    second: str
    items: int
    only_first: int
    """Items that only the first has right."""
    only_second: int
    difference: float
    low: float
    """Interval of a bootstrap that draws whole clusters: items that go back to one record."""
    high: float
    p: float
    """Exact McNemar test."""
    p_holm: float
    detectable: float
    """Smallest difference that this many items would show in 4 of 5 runs, unpaired."""


class Orders(Struct, frozen=True):
    """What the order of the options changes, on one test set."""

    model: str
    benchmark: str
    language: str
    items: int
    """Items that were scored in all orders."""
    orders: int
    mean: float
    """Mean accuracy over the orders."""
    worst: float
    """Accuracy of the worst order."""
    always: float
    """Share of items right in every order."""
    recall_spread: float
    """Standard deviation over labels of the share of right answers found when they stand under that label."""
    corrected: float
    """Accuracy of PriDe: the labels' prior, estimated on these items, taken out (arXiv 2309.03882)."""


class Table(Struct, frozen=True):
    """All of it."""

    accuracies: tuple[Accuracy, ...]
    pairs: tuple[Pair, ...]
    averages: tuple[Average, ...]
    comparisons: tuple[Comparison, ...]
    orders: tuple[Orders, ...] = ()
    about: dict[str, object] = {}
    """What the numbers rest on: models, prompts' hashes, protocols, shots, template."""


Key = tuple[str, str, str, str]
"""Model, benchmark, language, protocol."""


def make_table(
    predictions: Iterable[Prediction],
    groups: Mapping[str, str],
    *,
    confidence: float = 0.95,
    draws: int = 10_000,
    seed: int = 17,
    about: Mapping[str, object] | None = None,
) -> Table:
    """Compute the table.

    Args:
        predictions: one per item, model and protocol.
        groups: group of every benchmark.
        confidence: level of the intervals.
        draws: resamples of paired comparisons.
        seed: fixes them.
        about: what to keep beside the numbers.
    """
    cells: dict[Key, list[Prediction]] = {}
    for row in predictions:
        cells.setdefault((row.model, row.benchmark, row.language, row.protocol), []).append(row)
    accuracies = tuple(_accuracy(key, rows, groups, confidence, seed) for key, rows in cells.items())
    pairs = tuple(_pairs(cells, confidence=confidence, draws=draws, seed=seed))
    return Table(
        accuracies,
        pairs,
        (*_averages(accuracies, confidence), *_bilingual_averages(cells, confidence)),
        tuple(_comparisons(cells, confidence=confidence, draws=draws, seed=seed)),
        tuple(_orders(cells)),
        dict(about or {}),
    )


def _accuracy(
    key: Key, rows: Sequence[Prediction], groups: Mapping[str, str], confidence: float, seed: int
) -> Accuracy:
    model, benchmark, language, protocol = key
    right = sum(row.correct for row in rows)
    interval = wilson_interval(right, len(rows), confidence)
    return Accuracy(
        model=model,
        benchmark=benchmark,
        group=groups.get(benchmark, ""),
        language=language,
        protocol=protocol,
        items=len(rows),
        right=right,
        accuracy=right / len(rows),
        low=interval.low,
        high=interval.high,
        chance=math.fsum(1 / row.options for row in rows if len(row.gold) == 1) / len(rows),
        unread=sum(not row.chosen for row in rows),
        several_answers=sum(len(row.gold) > 1 for row in rows),
        wrong_language=_wrong_language(rows, language),
        **_calibration(rows, confidence, seed),
    )


def _calibration(rows: Sequence[Prediction], confidence: float, seed: int) -> dict[str, Any]:
    """Return how stated probabilities fit; nothing for replies, which state none."""
    told = [row for row in rows if row.log_probabilities and len(row.gold) == 1]
    if not told:
        return {}
    stated = [probabilities(row) for row in told]
    fit = calibration(stated, [row.gold[0] for row in told])
    top = [max(shares) for shares in stated]
    right = [shares[row.gold[0]] == max(shares) for shares, row in zip(stated, told, strict=True)]
    low, high = error_interval(top, right, seed=seed, confidence=confidence)
    return {
        "expected_calibration_error": fit.expected_error,
        "brier": fit.brier,
        "calibration_low": low,
        "calibration_high": high,
        "calibration_bins": reliability_bins(top, right),
    }


def _wrong_language(rows: Sequence[Prediction], language: str) -> float | None:
    long = [
        row.text for row in rows if row.text and sum(char.isalpha() for char in row.text) >= LEAST_LETTERS
    ]
    return sum(not written_in(text, language) for text in long) / len(long) if long else None


def _by_root(rows: Iterable[Prediction]) -> dict[str, Prediction]:
    return {root_id(row.id): row for row in rows}


def _matched(
    first: Sequence[Prediction], second: Sequence[Prediction]
) -> list[tuple[Prediction, Prediction]]:
    a, b = _by_root(first), _by_root(second)
    return [(a[root], b[root]) for root in a if root in b]


def _language_pairs(
    cells: Mapping[Key, list[Prediction]],
) -> Iterable[tuple[Key, tuple[str, str], list[tuple[Prediction, Prediction]]]]:
    """Yield test sets that stand in English and another language, with their matched items (maybe none)."""
    for key, rows in cells.items():
        model, benchmark, language, protocol = key
        english = cells.get((model, benchmark, "en", protocol))
        if language != "en" and english:
            yield key, ("en", language), _matched(english, rows)


def _pairs(cells: Mapping[Key, list[Prediction]], *, confidence: float, draws: int, seed: int) -> list[Pair]:
    out = []
    for key, languages, matched in _language_pairs(cells):
        place = (key[0], key[1], key[3], languages)
        if matched:
            out.append(_matched_pair(place, matched, confidence=confidence, draws=draws, seed=seed))
        else:
            english = cells[key[0], key[1], "en", key[3]]
            out.append(_unmatched_pair(place, english, cells[key], confidence))
    adjusted = holm([pair.p for pair in out])
    return [structs.replace(pair, p_holm=p) for pair, p in zip(out, adjusted, strict=True)]


Place = tuple[str, str, str, tuple[str, str]]
"""Model, benchmark, protocol, languages."""


def _matched_pair(
    place: Place,
    matched: Sequence[tuple[Prediction, Prediction]],
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> Pair:
    first, second = [a.correct for a, _ in matched], [b.correct for _, b in matched]
    gap = paired_bootstrap(first, second, draws=draws, seed=seed, confidence=confidence)
    means, test = (_mean(first), _mean(second)), _discordant(matched)
    return Pair(
        *place, len(matched), *means, sum(means) / 2, gap.difference, *gap.interval,
        1 - sum(test) / len(matched), mcnemar_exact(*test), 1.0,
    )  # fmt: skip


def _unmatched_pair(
    place: Place, english: Sequence[Prediction], other: Sequence[Prediction], confidence: float
) -> Pair:
    """Compare two languages whose items nobody has linked, such as translations published without ids."""
    k1, k2 = (sum(row.correct for row in rows) for rows in (english, other))
    gap = compare_proportions(k1, len(english), k2, len(other), confidence)
    means = k1 / len(english), k2 / len(other)
    return Pair(
        *place, min(len(english), len(other)), *means, sum(means) / 2, gap.difference, *gap.interval, None,
        gap.p, 1.0,
    )  # fmt: skip


def _discordant(matched: Sequence[tuple[Prediction, Prediction]]) -> tuple[int, int]:
    return (
        sum(a.correct and not b.correct for a, b in matched),
        sum(b.correct and not a.correct for a, b in matched),
    )


def _averages(accuracies: Sequence[Accuracy], confidence: float) -> list[Average]:
    by: dict[tuple[str, str, str], list[Accuracy]] = {}
    for row in accuracies:
        by.setdefault((row.model, row.protocol, row.language), []).append(row)
    out = []
    for key, rows in by.items():
        cells = {row.benchmark: Cell(row.right, row.items) for row in rows}
        if has_nine(cells):
            out += [
                Average(*key, name, mean(cells), *average_interval(name, cells, confidence))
                for name, mean in AVERAGES.items()
            ]
        for group in sorted({row.group for row in rows} - {""}):
            mine = [(row.right, row.items) for row in rows if row.group == group]
            out += _group_averages(key, group, mine, confidence)
    return out + _means_of_languages(accuracies, confidence)


def _means_of_languages(accuracies: Sequence[Accuracy], confidence: float) -> list[Average]:
    """Average test sets of three or more languages, as MMedBench does; two languages make a pair."""
    by: dict[tuple[str, str, str], list[Accuracy]] = {}
    for row in accuracies:
        by.setdefault((row.model, row.protocol, row.benchmark), []).append(row)
    out = []
    for (model, protocol, benchmark), rows in by.items():
        if len(rows) >= 3:
            cells = [(row.right, row.items) for row in rows]
            mean = _mean([row.accuracy for row in rows])
            codes = "+".join(sorted(row.language for row in rows))
            name = f"mean of languages, {benchmark}"
            out.append(Average(model, protocol, codes, name, mean, *macro_interval(cells, confidence)))
    return out


def _group_averages(
    key: tuple[str, str, str], group: str, cells: Sequence[tuple[int, int]], confidence: float
) -> list[Average]:
    right, items = sum(k for k, _ in cells), sum(n for _, n in cells)
    pooled = Average(*key, f"pool of {group}", right / items, *wilson_interval(right, items, confidence))
    mean = math.fsum(k / n for k, n in cells) / len(cells)
    return [
        Average(*key, f"mean of {group}", mean, *macro_interval(cells, confidence)),
        pooled,
    ]


def average_interval(name: str, cells: Mapping[str, Cell], confidence: float) -> Interval:
    """Return the interval of macro-9, macro-4 or micro."""
    nine = [(cells[column].right, cells[column].items) for column in NINE]
    if name == "macro-9":
        return macro_interval(nine, confidence)
    if name == "micro":
        return wilson_interval(sum(k for k, _ in nine), sum(n for _, n in nine), confidence)
    groups: dict[str, tuple[int, int]] = {}
    for (k, n), column in zip(nine, NINE.values(), strict=True):
        before = groups.get(column.group, (0, 0))
        groups[column.group] = (before[0] + k, before[1] + n)
    return macro_interval(list(groups.values()), confidence)


class _Half(NamedTuple):
    """The bilingual mean of a column."""

    mean: float
    error: float
    """Standard error of the mean."""
    items: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "_Half":
        return cls(_mean(values), _error(values), len(values))

    @classmethod
    def between(cls, first: Sequence[float], second: Sequence[float]) -> "_Half":
        mean = (_mean(first) + _mean(second)) / 2
        return cls(mean, math.hypot(_error(first), _error(second)) / 2, min(len(first), len(second)))


def _bilingual_averages(cells: Mapping[Key, list[Prediction]], confidence: float) -> list[Average]:
    """Average the bilingual means of the nine columns, from the items that stand in both languages.

    The interval takes each item's mean of both languages as one observation, because they are not
    independent; where no item is known to match, the two languages count as independent.
    """
    columns: dict[tuple[str, str, str], dict[str, _Half]] = {}
    for place, languages, matched in _language_pairs(cells):
        model, benchmark, _, protocol = place
        if matched:
            column = _Half.of([(a.correct + b.correct) / 2 for a, b in matched])
        else:
            column = _Half.between(
                [row.correct for row in cells[model, benchmark, "en", protocol]],
                [row.correct for row in cells[place]],
            )
        columns.setdefault((model, protocol, "+".join(languages)), {})[benchmark] = column
    out = []
    for key, found in columns.items():
        if NINE.keys() <= found.keys():
            for name in AVERAGES:
                weights = _column_weights(name, {column: found[column].items for column in NINE})
                value = math.fsum(weights[c] * found[c].mean for c in NINE)
                spread = math.sqrt(math.fsum(weights[c] ** 2 * found[c].error ** 2 for c in NINE))
                half = normal_quantile(confidence) * spread
                out.append(Average(*key, name, value, max(0.0, value - half), min(1.0, value + half)))
    return out


def _column_weights(name: str, items: Mapping[str, int]) -> dict[str, float]:
    """Return what each of the nine columns counts for in an average; the weights sum to 1."""
    if name == "macro-9":
        return dict.fromkeys(NINE, 1 / len(NINE))
    if name == "micro":
        return {column: items[column] / sum(items[c] for c in NINE) for column in NINE}
    groups = {row.group for row in NINE.values()}
    of_group = {g: sum(items[c] for c, row in NINE.items() if row.group == g) for g in groups}
    return {c: items[c] / of_group[row.group] / len(groups) for c, row in NINE.items()}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _error(values: Sequence[float]) -> float:
    """Return the standard error of the mean."""
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values)) / len(values)


def _comparisons(
    cells: Mapping[Key, list[Prediction]], *, confidence: float, draws: int, seed: int
) -> list[Comparison]:
    """Compare every two models that answered the same test set by the same protocol."""
    models = list(dict.fromkeys(model for model, *_ in cells))
    found = []
    for (model, benchmark, language, protocol), rows in cells.items():
        for other in models[models.index(model) + 1 :]:
            theirs = {row.id: row for row in cells.get((other, benchmark, language, protocol), ())}
            matched = [(row, theirs[row.id]) for row in rows if row.id in theirs]
            if matched:
                found.append((model, other, (benchmark, language, protocol), matched))
    tests = [_discordant(matched) for *_, matched in found]
    adjusted = holm([mcnemar_exact(*test) for test in tests])
    out = []
    for (first, second, (benchmark, language, protocol), matched), test, p_holm in zip(
        found, tests, adjusted, strict=True
    ):
        drawn = paired_bootstrap(
            [a.correct for a, _ in matched],
            [b.correct for _, b in matched],
            clusters=[root_id(a.id) for a, _ in matched],
            draws=draws,
            seed=seed,
            confidence=confidence,
        )
        share = sum(a.correct for a, _ in matched) / len(matched)
        out.append(
            Comparison(
                benchmark, language, protocol, first, second, len(matched), *test, drawn.difference,
                *drawn.interval, mcnemar_exact(*test), p_holm,
                minimum_detectable_difference(len(matched), share=min(max(share, 0.05), 0.95)),
            )
        )  # fmt: skip
    return out


def _orders(cells: Mapping[Key, list[Prediction]]) -> Iterable[Orders]:
    """Yield what option order changes for every test set that was scored in several orders."""
    for (model, benchmark, language, protocol), rows in cells.items():
        names = [name for (m, b, c, name) in cells if (m, b, c) == (model, benchmark, language)]
        turned = sorted(
            (name for name in names if name.startswith(f"{LETTERS}@")),
            key=lambda name: int(name.split("@")[1]),
        )
        if protocol != LETTERS or not turned:
            continue
        others = [{row.id: row for row in cells[model, benchmark, language, name]} for name in turned]
        table = [[row, *(o[row.id] for o in others if row.id in o)] for row in rows]
        least = min(len(others) + 1, min(row.options for row in rows))
        table = [row[:least] for row in table if len(row) >= least]
        if table:
            yield _order_row((model, benchmark, language), table)


def _order_row(key: tuple[str, str, str], table: Sequence[Sequence[Prediction]]) -> Orders:
    """Summarise items (rows) by orders (columns): column k showed the options moved on by k places."""
    by_order = [_mean([row[by].correct for row in table]) for by in range(len(table[0]))]
    corrected = sum(_without_prior(row, _prior(table, row[0].options)) == row[0].gold for row in table)
    return Orders(
        *key, len(table), len(by_order), _mean(by_order), min(by_order),
        _mean([all(p.correct for p in row) for row in table]), _recall_spread(table), corrected / len(table),
    )  # fmt: skip


def _shown(prediction: Prediction, by: int) -> list[float]:
    """Return log-probabilities in the order the options were shown, as shares that sum to 1."""
    shares = probabilities(prediction)
    n = len(shares)
    return [math.log(max(shares[(place + by) % n], 1e-300)) for place in range(n)]


def _prior(table: Sequence[Sequence[Prediction]], options: int) -> list[float]:
    """Return the log prior of every label: what it gets on average, whatever stands under it."""
    rows = [row for row in table if row[0].options == options]
    sums = [0.0] * options
    for row in rows:
        for by, prediction in enumerate(row):
            sums = [a + b for a, b in zip(sums, _shown(prediction, by), strict=True)]
    count = sum(map(len, rows))
    return [value / count for value in sums]


def _without_prior(row: Sequence[Prediction], prior: Sequence[float]) -> tuple[int, ...]:
    """Return the choice of the printed order with the labels' prior taken out."""
    values = [value - prior[place] for place, value in enumerate(_shown(row[0], 0))]
    return (max(range(len(values)), key=lambda place: values[place]),)


def _recall_spread(table: Sequence[Sequence[Prediction]]) -> float:
    found: dict[int, list[bool]] = {}
    for row in table:
        for by, prediction in enumerate(row):
            if len(prediction.gold) == 1:
                place = (prediction.gold[0] - by) % prediction.options
                found.setdefault(place, []).append(prediction.correct)
    recalls = [_mean(values) for values in found.values()]
    return math.sqrt(_mean([(recall - _mean(recalls)) ** 2 for recall in recalls])) if recalls else 0.0
