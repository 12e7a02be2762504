"""What a judge's score means: the share of good translations at each score, and a threshold that was checked.

A threshold that is chosen and praised on the same items is too good by as much as it was fitted. So the items
are split in halves by (seed, id): the curve and the threshold come from one half, what they are worth from
the other. Source: data.md, section 2.3; pool adjacent violators: Ayer et al. (1955).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from bimedix.draws import uniform_draw
from bimedix.review.agreement import FEWEST, Scored, propose_threshold
from bimedix.statistics import wilson_interval


class Step(NamedTuple):
    """A stretch of scores with one share of good translations."""

    score: float
    """The lowest of the stretch, 0 to 100."""
    good: float
    """Share of translations without a grave error, 0 to 1."""
    items: int


def isotonic(scored: Sequence[Scored]) -> list[Step]:
    """Return the rising step curve nearest to what the reviewers said, by weighted least squares."""
    blocks: list[tuple[float, float, float, int]] = []
    by_score: dict[float, list[Scored]] = defaultdict(list)
    for one in scored:
        by_score[one.score].append(one)
    for score, here in sorted(by_score.items()):
        weight = sum(s.weight for s in here)
        good = sum(s.weight for s in here if not s.grave)
        blocks.append((score, good, weight, len(here)))
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            (low, *left), (_, *right) = blocks[-2:]
            blocks[-2:] = [(low, left[0] + right[0], left[1] + right[1], int(left[2] + right[2]))]
    return [Step(score, good / weight, items) for score, good, weight, items in blocks]


def share_at(curve: Sequence[Step], score: float) -> float:
    """Return the share of good translations that a curve gives a score; below its first step that step's."""
    return next((step.good for step in reversed(curve) if step.score <= score), curve[0].good)


def band(scored: Sequence[Scored], at: Sequence[float], *, seed: int, draws: int = 400) -> list[list[float]]:
    """Return [low, high] of the curve at each score: 95 % of the curves of resampled items lie between."""
    import numpy as np

    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(draws):
        curve = isotonic([scored[row] for row in rng.integers(0, len(scored), len(scored)).tolist()])
        curves.append([share_at(curve, score) for score in at])
    low, high = np.quantile(np.array(curves), [0.025, 0.975], axis=0)
    return [[round(float(a), 4), round(float(b), 4)] for a, b in zip(low, high, strict=True)]


def halves(scored: Sequence[Scored], seed: int) -> tuple[list[Scored], list[Scored]]:
    """Split items by a draw from (seed, id): one item more moves no other."""
    first = {s.id for s in scored if uniform_draw(seed, "calibration", s.id) < 0.5}
    return [s for s in scored if s.id in first], [s for s in scored if s.id not in first]


def calibrate(scored: Sequence[Scored], precision: float, *, seed: int) -> dict[str, Any]:
    """Return curve and threshold of one half of the items, and what the other half says of them.

    Args:
        scored: items with the judges' score and the reviewers' grade.
        precision: share of good translations that the threshold has to guarantee.
    """
    if len(scored) < 2 * FEWEST:
        return {"items": len(scored), "told": f"fewer than {2 * FEWEST} items with score and verdict"}
    fitted, held = halves(scored, seed)
    if min(len(fitted), len(held)) < FEWEST:
        return {"items": len(scored), "told": f"fewer than {FEWEST} items in one of the halves"}
    curve = isotonic(fitted)
    threshold = propose_threshold(fitted, precision, seed=seed)
    return {
        "items": [len(fitted), len(held)],
        "curve": [[step.score, round(step.good, 4), step.items] for step in curve],
        "curve_interval": band(fitted, [step.score for step in curve], seed=seed),
        "brier": round(_brier(curve, held), 4),
        "brier_of_the_mean": round(_brier([Step(0, _share(fitted), len(fitted))], held), 4),
        "threshold": threshold,
        "checked": None if threshold is None else _checked(held, threshold, precision),
    }


def _brier(curve: Sequence[Step], held: Sequence[Scored]) -> float:
    """Return the mean squared distance between what the curve says and what the reviewers said."""
    total = sum(s.weight for s in held)
    return sum(s.weight * (share_at(curve, s.score) - (not s.grave)) ** 2 for s in held) / total


def _share(scored: Sequence[Scored]) -> float:
    return sum(s.weight for s in scored if not s.grave) / sum(s.weight for s in scored)


def _checked(held: Sequence[Scored], threshold: float, precision: float) -> dict[str, Any]:
    """Return the share of good ones that the threshold lets through, with its bound at 95 % on one side."""
    inside = [s for s in held if s.score >= threshold]
    if not inside:
        return {"items": 0, "share_accepted": 0.0, "precision": None, "at_least": None, "holds": False}
    share, total = _share(inside), sum(s.weight for s in inside)
    effective = max(1, int(total**2 / sum(s.weight**2 for s in inside)))
    low = wilson_interval(int(share * effective + 1e-9), effective, 0.90).low
    return {
        "items": len(inside),
        "share_accepted": round(total / sum(s.weight for s in held), 4),
        "precision": round(share, 4),
        "at_least": round(low, 4),
        "holds": low >= precision,
    }
