"""Statistics of evaluation and review, on numpy alone: intervals, paired tests, agreement.

Accuracies are k right of n. Every draw is seeded. The tests hold each function against scipy or against a
worked example.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, TypeAlias

from bimedix.errors import ShapeError

Array: TypeAlias = Any
"""A numpy array; numpy is imported where it is used, so that settings load fast."""
Numbers: TypeAlias = Sequence[float] | Array
Level = Literal["nominal", "ordinal", "interval"]


class Interval(NamedTuple):
    """Both ends of an interval, in the unit of what it is about."""

    low: float
    high: float


class Comparison(NamedTuple):
    """A difference, the interval it lies in, and the two-sided p that there is none."""

    difference: float
    interval: Interval
    p: float


def normal_quantile(confidence: float) -> float:
    """Return z such that a share `confidence` of a normal distribution lies within ± z; 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson_interval(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of the share k / n; (0, 1) when nothing was asked.

    Source: Wilson 1927; keeps inside [0, 1] and holds its level at the small n of the MMLU subsets.
    """
    if not 0 <= k <= n:
        raise ShapeError(f"{k} right of {n} questions is not possible")
    if n == 0:
        return Interval(0.0, 1.0)
    z = normal_quantile(confidence)
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return Interval(0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half)


def compare_proportions(k1: int, n1: int, k2: int, n2: int, confidence: float = 0.95) -> Comparison:
    """Compare two shares on different (or unknown) items: pooled two-proportion z test, Newcombe interval.

    Source: Newcombe 1998, method 10, for the interval of k1 / n1 - k2 / n2.
    """
    p1, p2, pooled = k1 / n1, k2 / n2, (k1 + k2) / (n1 + n2)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    p = 1.0 if spread == 0 else 2 * (1 - NormalDist().cdf(abs(p1 - p2) / spread))
    (low1, high1), (low2, high2) = wilson_interval(k1, n1, confidence), wilson_interval(k2, n2, confidence)
    interval = Interval(
        p1 - p2 - math.hypot(p1 - low1, high2 - p2), p1 - p2 + math.hypot(high1 - p1, p2 - low2)
    )
    return Comparison(p1 - p2, interval, p)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test.

    Args:
        only_first: items that only the first model has right.
        only_second: items that only the second model has right.
    """
    import numpy as np

    n = only_first + only_second
    if n == 0:
        return 1.0
    least = min(only_first, only_second)
    steps = np.log(np.arange(n, n - least, -1)) - np.log(np.arange(1, least + 1))
    logs = np.concatenate(([0.0], np.cumsum(steps))) - n * math.log(2)
    return min(1.0, 2 * float(np.exp(logs).sum()))


def pairing_bounds(k1: int, k2: int, n: int) -> Interval:
    """Return the smallest and the largest exact McNemar p that k1 and k2 right of the same n items allow.

    For published rows, whose single answers are not known: items that only one model has right are at
    least |k1 - k2| and at most min(k1 + k2, 2 n - k1 - k2).
    """
    most = min(k1 + k2, 2 * n - k1 - k2)
    p = [mcnemar_exact((d + k1 - k2) // 2, (d - k1 + k2) // 2) for d in (abs(k1 - k2), most)]
    return Interval(min(p), max(p))


def paired_bootstrap(
    first: Numbers,
    second: Numbers,
    *,
    clusters: Sequence[Hashable] | None = None,
    draws: int = 10_000,
    seed: int = 17,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two models on the same items by resampling items, or whole clusters of items.

    Args:
        first: score per item, such as 0 or 1.
        second: score per item, in the same order.
        clusters: a key per item (passage, patient); items that share one are drawn together.
        draws: resamples.
        seed: fixes them.
        confidence: level of the percentile interval.

    Returns:
        mean of first - second, its interval, and p: the share of resampled differences that lie at least
        as far from the seen one as zero does.

    Items (clusters) that differ by the same amount are interchangeable, so resamples are drawn as
    multinomial counts of such groups: exact, and fast at 7,045 items.
    """
    import numpy as np

    difference = np.asarray(first, float) - np.asarray(second, float)
    if difference.ndim != 1 or len(difference) == 0 or np.shape(first) != np.shape(second):
        raise ShapeError(f"paired scores of shapes {np.shape(first)} and {np.shape(second)}")
    sums, sizes = _cluster_totals(difference, clusters)
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), counts / counts.sum(), size=draws) @ kinds
    means = drawn[:, 0] / drawn[:, 1]
    seen = float(difference.mean())
    far = int((np.abs(means - seen) >= abs(seen) - 1e-12).sum())
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Comparison(seen, Interval(float(low), float(high)), (far + 1) / (draws + 1))


def _cluster_totals(values: Array, clusters: Sequence[Hashable] | None) -> tuple[Array, Array]:
    import numpy as np

    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise ShapeError(f"{len(clusters)} cluster keys for {len(values)} items")
    index: dict[Hashable, int] = {}
    groups = np.array([index.setdefault(key, len(index)) for key in clusters])
    return np.bincount(groups, weights=values), np.bincount(groups).astype(float)


def bootstrap_interval(
    statistic: Callable[..., float],
    *columns: Numbers,
    draws: int = 1_000,
    seed: int = 17,
    confidence: float = 0.95,
) -> Interval:
    """Return the percentile interval of any statistic of columns whose rows are resampled together.

    Resamples in which the statistic is not defined (nan) are left out.
    """
    import numpy as np

    table = [np.asarray(column) for column in columns]
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(table[0]), size=(draws, len(table[0])))
    values = np.array([statistic(*(column[row] for column in table)) for row in rows], float)
    tail = (1 - confidence) / 2
    low, high = (
        np.nanquantile(values, [tail, 1 - tail]) if np.isfinite(values).any() else (math.nan, math.nan)
    )
    return Interval(float(low), float(high))


def macro_interval(cells: Sequence[tuple[int, int]], confidence: float = 0.95) -> Interval:
    """Return the interval of the plain mean of columns k / n, from the columns' independent variances.

    Each column's variance uses its Wilson centre, so a column with all answers right still has one.
    """
    z = normal_quantile(confidence)
    centres = [(k + z * z / 2) / (n + z * z) for k, n in cells]
    spread = math.sqrt(sum(p * (1 - p) / n for p, (_, n) in zip(centres, cells, strict=True))) / len(cells)
    mean = sum(k / n for k, n in cells) / len(cells)
    return Interval(max(0.0, mean - z * spread), min(1.0, mean + z * spread))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p values adjusted for being many, in their order. Source: Holm 1979, step-down."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return tuple(adjusted)


def minimum_detectable_difference(
    n: int, *, share: float = 0.5, variance_ratio: float = 1.0, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the smallest difference of two shares that a two-sided test on n items each would find.

    Args:
        n: items.
        share: accuracy around which the models lie.
        variance_ratio: variance of the paired difference by that of an unpaired one; 1 = unpaired, and
            0.30 to 0.63 was measured between ten models (evaluate-serve.md, section 5).
        power: chance of finding it.
        alpha: level of the test.
    """
    z = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return z * math.sqrt(2 * share * (1 - share) * variance_ratio / n)


def ranks(values: Numbers) -> Array:
    """Return ranks from 1; ties share their mean rank."""
    import numpy as np

    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def pearson(first: Numbers, second: Numbers) -> float:
    """Return Pearson's r; nan when a side does not vary."""
    import numpy as np

    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape or a.ndim != 1:
        raise ShapeError(f"paired values of shapes {a.shape} and {b.shape}")
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else math.nan


def spearman(first: Numbers, second: Numbers) -> float:
    """Return Spearman's rho, with mean ranks for ties; nan when a side does not vary."""
    return pearson(ranks(first), ranks(second))


def kendall_tau_b(first: Numbers, second: Numbers) -> float:
    """Return Kendall's tau-b; nan when a side does not vary.

    Time is the product of the numbers of different values, so grades of a few steps cost next to nothing.
    """
    import numpy as np

    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape or a.ndim != 1:
        raise ShapeError(f"paired values of shapes {a.shape} and {b.shape}")
    (_, rows, of_a), (_, columns, of_b) = sorted(
        (np.unique(side, return_inverse=True, return_counts=True) for side in (a, b)),
        key=lambda found: -len(found[0]),
    )
    above, excess = np.zeros(len(of_a)), 0.0
    for column in range(len(of_b) - 1, -1, -1):
        here = np.bincount(rows[columns == column], minlength=len(of_a)).astype(float)
        lower = np.cumsum(above) - above
        excess += float(here @ (above.sum() - above - 2 * lower))
        above += here
    total = len(a) * (len(a) - 1) / 2
    untied = [total - float((counts * (counts - 1.0)).sum()) / 2 for counts in (of_a, of_b)]
    return excess / math.sqrt(untied[0] * untied[1]) if all(untied) else math.nan


def cohen_kappa(
    first: Sequence[Hashable], second: Sequence[Hashable], *, weights: Literal["none", "quadratic"] = "none"
) -> float:
    """Return Cohen's kappa of two raters; 1.0 when both always give the same single category.

    Quadratic weights take the categories in their sorted order, one step apart. Source: Cohen 1968.
    """
    import numpy as np

    if len(first) != len(second) or not first:
        raise ShapeError(f"{len(first)} and {len(second)} ratings; two raters rate the same things")
    names = sorted({*first, *second}, key=lambda name: (str(type(name)), name))
    place = {name: index for index, name in enumerate(names)}
    seen = np.zeros((len(names), len(names)))
    for a, b in zip(first, second, strict=True):
        seen[place[a], place[b]] += 1
    seen /= seen.sum()
    expected = np.outer(seen.sum(1), seen.sum(0))
    steps = np.subtract.outer(np.arange(len(names)), np.arange(len(names)))
    cost = steps**2 if weights == "quadratic" else (steps != 0).astype(float)
    by_chance = float((cost * expected).sum())
    return 1 - float((cost * seen).sum()) / by_chance if by_chance else 1.0


def quadratic_weighted_kappa(first: Numbers, second: Numbers) -> float:
    """Return kappa with quadratic weights on the values themselves, such as scores of 0 to 100.

    Equals 1 - mean squared difference / the same over all pairs; 1.0 when nothing varies.
    """
    import numpy as np

    a, b = np.asarray(first, float), np.asarray(second, float)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ShapeError(f"paired ratings of shapes {a.shape} and {b.shape}")
    by_chance = float((a * a).mean() + (b * b).mean() - 2 * a.mean() * b.mean())
    return 1 - float(((a - b) ** 2).mean()) / by_chance if by_chance else 1.0


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]] | Array, *, level: Level = "interval"
) -> float:
    """Return Krippendorff's alpha of any number of raters with gaps.

    Args:
        ratings: one row per rater, one column per thing; None or nan where a rater gave none.
        level: how far two values are apart: nominal (differ or not), ordinal (ranks), interval (squared).

    Returns:
        1 = full agreement, 0 = as by chance; nan when no thing has two ratings; 1.0 when nothing varies.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
    """
    import numpy as np

    table = np.array([[math.nan if v is None else v for v in row] for row in ratings], float)
    table = table[:, np.isfinite(table).sum(0) >= 2]
    if table.size == 0:
        return math.nan
    values = np.unique(table[np.isfinite(table)])
    counts = np.stack([(table == value).sum(0) for value in values], axis=1).astype(float)  # things x values
    share = counts / (counts.sum(1, keepdims=True) - 1)
    together = share.T @ counts - np.diag(share.sum(0))
    totals = together.sum(1)
    apart = _distances(values, totals, level)
    by_chance = float((apart * (np.outer(totals, totals) - np.diag(totals))).sum()) / (totals.sum() - 1)
    return 1 - float((apart * together).sum()) / by_chance if by_chance else 1.0


def _distances(values: Array, totals: Array, level: Level) -> Array:
    import numpy as np

    if level == "nominal":
        return (values[:, None] != values[None, :]).astype(float)
    place = values if level == "interval" else np.cumsum(totals) - totals / 2
    return (place[:, None] - place[None, :]) ** 2


class Calibration(NamedTuple):
    """How well stated probabilities fit what came true."""

    expected_error: float
    """ECE: mean gap between confidence and accuracy, over equal bins of the top probability."""
    brier: float
    """Mean squared distance between the probabilities of all options and the truth; 0 to 2."""


def calibration(
    probabilities: Sequence[Sequence[float]], gold: Sequence[int], *, bins: int = 10
) -> Calibration:
    """Return ECE (Naeini et al. 2015, equal-width bins) and the multi-class Brier score (Brier 1950).

    Args:
        probabilities: per item, one per option, summing to 1; items may have different numbers of options.
        gold: index of the right option per item.
        bins: equal bins of [0, 1] for the top probability.
    """
    import numpy as np

    if len(probabilities) != len(gold) or not gold:
        raise ShapeError(f"{len(probabilities)} rows of probabilities for {len(gold)} answers")
    top = np.array([max(row) for row in probabilities])
    right = np.array([row[g] == max(row) for row, g in zip(probabilities, gold, strict=True)], float)
    place = np.minimum((top * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=right - top, minlength=bins)
    squares = [
        sum((p - (index == g)) ** 2 for index, p in enumerate(row))
        for row, g in zip(probabilities, gold, strict=True)
    ]
    return Calibration(float(np.abs(gaps).sum()) / len(gold), float(np.mean(squares)))
