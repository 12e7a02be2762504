"""The certificate: an anytime-valid upper bound on the share of errors among what nobody read.

Betting against "the error share is at least p0" (data.md, section 4.3; Waudby-Smith and Ramdas, arXiv
2010.09686): capital E_n grows while reviews come out clean, and by Ville's inequality it ever reaches 1/alpha
with probability at most alpha if the claim is true. So one may look after every review and stop whenever one
likes. An *error* is what these reviewers call one; undecided items count as errors.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bimedix.errors import UsageError

BETS = (0.3, 0.5, 0.7, 0.85, 0.95)
"""Shares of the capital that are bet; E_n is the mean over them. Source: data.md, section 4.3."""
_STEPS = 60


def capital(reviews: int, errors: int, p0: float, bets: Sequence[float] = BETS) -> float:
    """Return E_n(p0) after `reviews` audits with `errors` errors, drawn with replacement or from many.

    Args:
        p0: the error share that is bet against, in (0, 1).
    """
    _require(0 < p0 < 1, f"p0 = {p0}; an error share to bet against lies between 0 and 1.")
    _require(0 <= errors <= reviews, f"{errors} errors among {reviews} reviews.")
    logs = [errors * math.log1p(-bet) + (reviews - errors) * math.log1p(bet * p0 / (1 - p0)) for bet in bets]
    return _mean_exp(logs)


def capital_path(
    outcomes: Sequence[int], population: int, p0: float, bets: Sequence[float] = BETS
) -> Iterator[float]:
    """Yield E_n(p0) after each review of a finite set, drawn without replacement, in the order drawn.

    Args:
        outcomes: 1 for an error, 0 for none.
        population: number of items the audit draws from.

    The share among what is left moves with every draw: m_n = (N p0 - errors so far) / (N - n + 1). At
    m_n <= 0 the claim is already true of what was seen, so nothing can be certified any more; above 1 it is
    impossible, so the bound is certified (infinite capital); at exactly 1 an error is certain under the claim
    and nothing is bet.
    """
    _require(len(outcomes) <= population, f"{len(outcomes)} reviews of {population} items.")
    logs, errors, spent = [0.0] * len(bets), 0, False
    for seen, outcome in enumerate(outcomes):
        left = (population * p0 - errors) / (population - seen)
        if not spent and left > 1 + 1e-12:
            logs = [math.inf] * len(bets)
        elif left <= 1e-12:
            spent, logs = True, [-math.inf] * len(bets)
        elif not spent and left < 1 - 1e-12:
            gain = [math.log1p(-bet) if outcome else math.log1p(bet * left / (1 - left)) for bet in bets]
            logs = [log + step for log, step in zip(logs, gain, strict=True)]
        errors += outcome
        yield _mean_exp(logs)


def _mean_exp(logs: Sequence[float]) -> float:
    top = max(logs)
    if math.isinf(top):
        return math.inf if top > 0 else 0.0
    if top > 700:
        return math.inf
    return sum(math.exp(log) for log in logs) / len(logs)


def upper_bound(outcomes: Sequence[int], *, alpha: float = 0.05, population: int | None = None) -> float:
    """Return U_n: with probability 1 - alpha the error share is below it, however often one looked.

    The smallest p0 whose capital reached 1/alpha at any time so far, by bisection; the running minimum makes
    it monotone, so a later error never takes a certificate back.

    Args:
        outcomes: 1 for an error, 0 for none, in the order drawn.
        alpha: probability of being wrong.
        population: size of the finite set; None draws from so many that it does not matter.
    """
    _require(0 < alpha < 1, f"alpha = {alpha}; between 0 and 1.")
    low, high = 0.0, 1.0
    for _ in range(_STEPS if population is None else 40):
        middle = (low + high) / 2
        reached = _ever_reached(outcomes, middle, alpha, population)
        low, high = (low, middle) if reached else (middle, high)
    return high


def _ever_reached(outcomes: Sequence[int], p0: float, alpha: float, population: int | None) -> bool:
    if population is not None:
        return any(value >= 1 / alpha for value in capital_path(outcomes, population, p0))
    errors = 0
    for reviews, outcome in enumerate(outcomes, start=1):
        errors += outcome
        last_clean = not outcome and (reviews == len(outcomes) or outcomes[reviews])
        if last_clean and capital(reviews, errors, p0) >= 1 / alpha:
            return True
    return False


def reviews_needed(p0: float, errors: int = 0, *, alpha: float = 0.05) -> int:
    """Return how many reviews certify "below p0" when `errors` of them find one, wherever they fall."""
    low, high = errors, max(errors, 1)
    while capital(high, errors, p0) < 1 / alpha:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if capital(middle, errors, p0) >= 1 / alpha else (middle, high)
    return high


@dataclass(frozen=True)
class Certificate:
    """What can be said of the unread rest, and what it rests on."""

    reviews: int
    errors: int
    population: int
    """Accepted items that the audit draws from."""
    alpha: float
    bound: float
    """Upper bound of the error share, 0 to 1, valid with probability 1 - alpha at any time of looking."""
    goal: float
    """The share that is to be certified."""
    certified: bool
    reviews_to_go: int
    """Clean reviews that still reach the goal; 0 when certified."""
    counts_as_error: str = "an error that these reviewers call major or worse; undecided counts as one"

    def told(self) -> str:
        """Say it in one line."""
        share = f"at most {self.bound:.2%} errors with {100 - 100 * self.alpha:.4g}% confidence"
        go = "" if self.certified else f"; {self.reviews_to_go:,} more clean reviews reach {self.goal:.1%}"
        return f"{share} ({self.errors} errors in {self.reviews:,} audits of {self.population:,}){go}"


def certify(
    outcomes: Sequence[int], population: int, *, goal: float = 0.02, alpha: float = 0.05
) -> Certificate:
    """Return the certificate of an audit so far, for a set of known size.

    Args:
        outcomes: 1 for an error, 0 for none, in the order drawn.
        population: accepted items the audit draws from, without replacement.
        goal: error share to certify.
    """
    bound = upper_bound(outcomes, alpha=alpha, population=population)
    certified = bound <= goal
    more = 0 if certified else _clean_reviews_to_go(outcomes, population, goal, alpha)
    return Certificate(len(outcomes), sum(outcomes), population, alpha, bound, goal, certified, more)


@dataclass(frozen=True)
class Stratified:
    """Certificates of several strata that hold all at once, and what they say of the whole."""

    strata: dict[str, Certificate]
    bound: float
    """Sum of share of the population times bound: the whole's error share is below it, too."""
    certified: bool
    """Every stratum reaches the goal."""


def certify_strata(
    audits: Mapping[str, tuple[Sequence[int], int]], *, goal: float = 0.02, alpha: float = 0.05
) -> Stratified:
    """Return a certificate per stratum, each at alpha over their number, so that all hold with 1 - alpha.

    Args:
        audits: by stratum its outcomes in the order drawn, and its population.
    """
    each = {
        name: certify(outcomes, population, goal=goal, alpha=alpha / len(audits))
        for name, (outcomes, population) in sorted(audits.items())
    }
    whole = sum(one.population for one in each.values())
    bound = sum(one.population / whole * one.bound for one in each.values())
    return Stratified(each, bound, all(one.certified for one in each.values()))


def _clean_reviews_to_go(outcomes: Sequence[int], population: int, goal: float, alpha: float) -> int:
    path = capital_path([*outcomes, *[0] * (population - len(outcomes))], population, goal)
    for reviews, value in enumerate(path, start=1):
        if reviews > len(outcomes) and value >= 1 / alpha:
            return reviews - len(outcomes)
    return population - len(outcomes)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)
