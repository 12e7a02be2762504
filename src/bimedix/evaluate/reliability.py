"""How far stated probabilities can be trusted: bins for the reliability plot, and ECE with an interval."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from bimedix.statistics import Interval

BINS = 10
DRAWS = 1_000
"""Resamples of an interval; more change its third digit."""
_CELLS_AT_ONCE = 1 << 22
"""Resampled items in memory: 32 MiB of float64."""


class Bin(Struct, frozen=True):
    """The items whose best option has a probability within one tenth."""

    confidence: float
    """Mean probability of the best option, 0 to 1."""
    accuracy: float
    items: int


def reliability_bins(top: Sequence[float], right: Sequence[bool]) -> tuple[Bin, ...]:
    """Return the bins that hold items, the least confident first.

    Args:
        top: probability of the best option per item.
        right: whether the best option is the right one.
    """
    places = [min(int(value * BINS), BINS - 1) for value in top]
    out = []
    for place in sorted(set(places)):
        mine = [index for index, other in enumerate(places) if other == place]
        out.append(
            Bin(sum(top[i] for i in mine) / len(mine), sum(right[i] for i in mine) / len(mine), len(mine))
        )
    return tuple(out)


def error_interval(
    top: Sequence[float],
    right: Sequence[bool],
    *,
    draws: int = DRAWS,
    seed: int = 17,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of the expected calibration error.

    Noise in a bin only ever raises a sum of absolute gaps: the value seen lies too high, and resamples lie
    too high again by about as much. So the interval mirrors the resamples at the value seen (the basic
    interval), and its lower end goes down by that bias once more. On simulated answers it holds the true
    error in 86 to 96 of 100 cases at a level of 95, also for an honest model, whose error of 0 the plain
    percentiles never hold.

    Source: Davison and Hinkley 1997, section 5.2 (basic bootstrap interval).
    """
    import numpy as np

    values, hits = np.asarray(top, float), np.asarray(right, float)
    places = np.minimum((values * BINS).astype(int), BINS - 1)
    gaps: Any = np.zeros((len(values), BINS))
    gaps[np.arange(len(values)), places] = hits - values
    rng = np.random.default_rng(seed)
    errors: list[float] = []
    while len(errors) < draws:
        some = min(draws - len(errors), max(1, _CELLS_AT_ONCE // len(values)))
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=some)
        errors += (np.abs(counts @ gaps).sum(axis=1) / len(values)).tolist()
    seen = float(np.abs(gaps.sum(axis=0)).sum()) / len(values)
    tail = (1 - confidence) / 2
    low, high = np.quantile(errors, [tail, 1 - tail])
    bias = sum(errors) / len(errors) - seen
    return Interval(max(0.0, 2 * seen - float(high) - bias), min(1.0, 2 * seen - float(low)))
