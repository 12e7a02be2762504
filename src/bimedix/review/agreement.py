"""How far reviewers agree with each other, and the judges' scores with the reviewers.

Kappa collapses where nearly everything is good, so AC1 stands beside alpha, and n and the counts of labels
are printed with both; intervals are bootstraps over items. Source: data.md, sections 2.3 and 4.2.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from bimedix.records import Verdict
from bimedix.review.decide import grade_of
from bimedix.statistics import (
    bootstrap_interval,
    kendall_tau_b,
    krippendorff_alpha,
    quadratic_weighted_kappa,
    spearman,
)

FEWEST = 10
"""Items below which no interval is worth printing."""


def agreement(items: Sequence[Sequence[Verdict]]) -> dict[str, Any]:
    """Return agreement over the items that at least two reviewers read.

    Args:
        items: per item the latest verdict of each reviewer.
    """
    double = [verdicts for verdicts in items if len(verdicts) >= 2]
    if not double:
        return {"items": 0}
    columns = [[float(grade_of(verdict)) for verdict in verdicts] for verdicts in double]
    decisions = Counter(verdict.decision for verdicts in double for verdict in verdicts)
    same = [len(set(column)) == 1 for column in columns]
    return {
        "items": len(double),
        "labels": dict(sorted(decisions.items())),
        "reviewers": len({verdict.reviewer for verdicts in double for verdict in verdicts}),
        "same_grade": round(sum(same) / len(same), 4),
        "alpha_ordinal": _rounded(_alpha(columns, "ordinal")),
        "alpha_ordinal_interval": _interval(columns, lambda drawn: _alpha(drawn, "ordinal")),
        "alpha_nominal": _rounded(_alpha(columns, "nominal")),
        "alpha_nominal_interval": _interval(columns, lambda drawn: _alpha(drawn, "nominal")),
        "ac1": _rounded(gwet_ac1(columns)),
        "ac1_interval": _interval(columns, gwet_ac1),
    }


def _alpha(columns: Sequence[Sequence[float]], level: Any) -> float:
    most = max(map(len, columns))
    rows = [[column[at] if at < len(column) else None for column in columns] for at in range(most)]
    return krippendorff_alpha(rows, level=level)


def gwet_ac1(columns: Sequence[Sequence[float]]) -> float:
    """Return Gwet's AC1 of nominal ratings, with any number of raters per item; 1.0 when nothing varies.

    Source: Gwet, Computing inter-rater reliability in the presence of high agreement (2008).
    """
    kinds = sorted({value for column in columns for value in column})
    if len(kinds) < 2:
        return 1.0
    seen = sum(_pairs_that_agree(column) for column in columns) / len(columns)
    shares = [
        sum(column.count(kind) / len(column) for column in map(list, columns)) / len(columns)
        for kind in kinds
    ]
    by_chance = sum(share * (1 - share) for share in shares) / (len(kinds) - 1)
    return (seen - by_chance) / (1 - by_chance)


def _pairs_that_agree(column: Sequence[float]) -> float:
    counts = Counter(column).values()
    return sum(count * (count - 1) for count in counts) / (len(column) * (len(column) - 1))


def _interval(
    columns: Sequence[Sequence[float]], statistic: Callable[[Sequence[Sequence[float]]], float]
) -> list[float | None] | None:
    """Return the 95 % interval of a statistic over items; None where there are too few of them."""
    if len(columns) < FEWEST:
        return None
    found = bootstrap_interval(
        lambda rows: statistic([columns[int(row)] for row in rows]), range(len(columns)), draws=400
    )
    return [_rounded(found.low), _rounded(found.high)]


class Scored(NamedTuple):
    """An item that was judged by the machine and by people."""

    score: float
    """Of the judges, 0 to 100."""
    grade: int
    """Of the reviewers, 0 to 3."""
    grave: bool
    weight: float
    """1 / inclusion probability."""
    id: str = ""
    """Of the translation: what halves are drawn by."""


def grade_of_score(score: float) -> int:
    """Return the grade that a judge's score claims, by the anchors of the judge's prompt: 90, 70, 40."""
    return sum(score >= anchor for anchor in (40, 70, 90))


def _mean_error(claimed: Sequence[float], grades: Sequence[float]) -> float:
    return fmean(claimed) - fmean(grades)


def alignment(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return how well scores follow the reviewers, with 95 % intervals over items where there are enough.

    Spearman and tau-b compare orders; quadratic kappa and the mean error compare the grade that a score
    claims (`grade_of_score`) with that of the reviewers, so a judge who is too kind has a mean error above 0.
    """
    if len(scored) < 2:
        return {"items": len(scored)}
    scores, grades = [s.score for s in scored], [float(s.grade) for s in scored]
    claimed = [float(grade_of_score(score)) for score in scores]
    figures: dict[str, Any] = {
        "items": len(scored),
        "grades": {str(grade): count for grade, count in sorted(Counter(s.grade for s in scored).items())},
    }
    measures: tuple[tuple[str, Callable[..., float], list[float]], ...] = (
        ("spearman", spearman, scores),
        ("kendall_tau_b", kendall_tau_b, scores),
        ("quadratic_kappa", quadratic_weighted_kappa, claimed),
        ("mean_error_in_grades", _mean_error, claimed),
    )
    for name, measure, side in measures:
        figures[name] = _rounded(measure(side, grades))
        if len(scored) >= FEWEST:
            low, high = bootstrap_interval(measure, side, grades, draws=400)
            figures[f"{name}_interval"] = [_rounded(low), _rounded(high)]
    return figures


def propose_threshold(
    scored: Sequence[Scored], precision: float, *, draws: int = 1_000, seed: int = 17
) -> float | None:
    """Return the lowest score whose accepted set is good enough, with 95 % confidence on one side.

    Good: no error of severity major or worse. Precision is weighted by inclusion probability (Hajek), its
    lower bound a bootstrap over the items. None: no score guarantees it, so everything has to be read.

    Args:
        precision: share of good translations to guarantee.
    """
    import numpy as np

    if len(scored) < FEWEST:
        return None
    scores = np.array([s.score for s in scored])
    weights = np.array([s.weight for s in scored])
    good = np.array([not s.grave for s in scored], float) * weights
    counts = np.random.default_rng(seed).multinomial(len(scored), [1 / len(scored)] * len(scored), size=draws)
    chosen: float | None = None
    for threshold in sorted(set(scores.tolist()), reverse=True):
        inside = scores >= threshold
        total = counts[:, inside] @ weights[inside]
        share = np.divide(counts[:, inside] @ good[inside], total, out=np.zeros(draws), where=total > 0)
        enough = inside.sum() >= math.ceil(math.log(0.05) / math.log(precision))
        if enough and float(np.quantile(share, 0.05)) >= precision:
            chosen = threshold
    return chosen


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
