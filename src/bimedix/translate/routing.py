"""Decisions of the translation loop as pure functions: which version is kept, when to stop, where it goes."""

from collections.abc import Sequence
from typing import NamedTuple

from bimedix.draws import uniform_draw
from bimedix.records import Attempt, Route
from bimedix.translate.settings import Settings

NO_JUDGMENT = "no judgment could be read"
BELOW = "score below the threshold"
APART = "judges are apart"
INSTRUCTION = "the text speaks to the model"
NO_TRUST = "the judge failed its controls"


def errors(attempt: Attempt) -> int:
    """Count the integrity errors of a version; warnings and hints do not count."""
    return sum(finding.severity == "error" for finding in attempt.findings)


def passes(attempt: Attempt, threshold: float) -> bool:
    """Tell whether a version has no integrity error and a score of at least the threshold (0 to 100)."""
    return errors(attempt) == 0 and attempt.score is not None and attempt.score >= threshold


def best_of(attempts: Sequence[Attempt]) -> int:
    """Return the index of the version to keep: fewest integrity errors, then highest score, then earliest.

    So a revision that breaks a check loses to a lower-scored one that does not (data.md, section 2.4).
    """
    return min(range(len(attempts)), key=lambda at: (errors(attempts[at]), -_score(attempts[at]), at))


def _score(attempt: Attempt) -> float:
    return -1.0 if attempt.score is None else attempt.score


def stop_reason(attempts: Sequence[Attempt], settings: Settings) -> str:
    """Return why the loop ends after these versions, or nothing while it goes on."""
    last = attempts[-1]
    if passes(last, settings.threshold):
        return "accepted"
    if last.score is None:
        return NO_JUDGMENT
    if len(attempts) > settings.rounds:
        return "rounds used up"
    if len(attempts) == 1:
        return ""
    if _swings(attempts, settings.min_gain):
        return "scores swing"
    best = attempts[best_of(attempts[:-1])]
    fewer = errors(last) < errors(best)
    return "" if fewer or _score(last) - _score(best) >= settings.min_gain else "no gain"


def _swings(attempts: Sequence[Attempt], least: float) -> bool:
    """Tell whether the last two steps went down and up, or up and down, by at least `least` points."""
    if len(attempts) < 3:
        return False
    first, middle, last = map(_score, attempts[-3:])
    down, up = middle - first, last - middle
    return down * up < 0 and min(abs(down), abs(up)) >= least


class Routing(NamedTuple):
    """Where a translation goes."""

    route: Route
    reasons: tuple[str, ...]
    inclusion_probability: float


def route_of(attempt: Attempt, settings: Settings, *, id: str, seed: int, flags: Sequence[str]) -> Routing:
    """Send a kept version to a person, to the audit, or on.

    Everything weak goes to review: a failed check, a score below the threshold, judges apart, text that
    speaks to the model. Of the rest the audit takes a uniform share, drawn by (seed, id), so that what is
    read says something of what is not; the probability is written down.

    Args:
        attempt: the version that was kept.
        flags: further reasons for review, such as `INSTRUCTION`.
    """
    reasons = review_reasons(attempt, settings, flags)
    if reasons:
        return Routing("review", reasons, 1.0)
    if uniform_draw(seed, "audit", id) < settings.audit_share:
        return Routing("audit", (), settings.audit_share)
    return Routing("accepted", (), 1.0 - settings.audit_share)


def review_reasons(attempt: Attempt, settings: Settings, flags: Sequence[str] = ()) -> tuple[str, ...]:
    """Return why a person has to read this version; empty when nobody has to."""
    failed = sorted({finding.check for finding in attempt.findings if finding.severity == "error"})
    reasons = [f"check failed: {check}" for check in failed]
    if attempt.score is None:
        reasons.append(NO_JUDGMENT)
    elif attempt.score < settings.threshold:
        reasons.append(BELOW)
    if attempt.scores and max(attempt.scores) - min(attempt.scores) > settings.judge_disagreement:
        reasons.append(APART)
    return (*reasons, *flags)
