"""What the verdicts on one translation come to; pure functions."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from bimedix.records import Item, Verdict, content_hash
from bimedix.review.settings import Settings

State = Literal["unread", "waiting", "disputed", "approved", "corrected", "rejected"]
_GRADES = {"approve": 3, "fix": 1, "reject": 0}


class Ruling(Struct, frozen=True):
    """Where a translation stands after its reviews."""

    state: State
    """unread: none has come in; waiting: too few; disputed: they differ and nobody has decided."""
    target: Item | None = None
    """The corrected item."""
    reason: str = ""
    grave: bool = False
    """An error of severity major or worse; undecided counts as one."""
    grade: int | None = None
    """3 approved, 2 fixed a minor error, 1 fixed a worse one, 0 rejected."""


def latest_verdicts(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the last verdict of each reviewer, in the order in which reviewers came in first."""
    last: dict[str, Verdict] = {}
    for verdict in verdicts:
        last[verdict.reviewer] = verdict
    return list(last.values())


def rule(verdicts: Sequence[Verdict], settings: Settings) -> Ruling:
    """Decide one translation.

    Enough reviews that agree decide; where they differ an adjudicator decides, who is a third person: the
    reviewers' own labels stay as they are.
    """
    last = latest_verdicts(verdicts)
    plain = [verdict for verdict in last if verdict.reviewer not in settings.adjudicators]
    judges = [verdict for verdict in last if verdict.reviewer in settings.adjudicators]
    if not last:
        return Ruling("unread")
    if _differ(plain):
        return _ruled(judges[-1:]) if judges else Ruling("disputed", grave=True)
    if len(plain) >= settings.reviews:
        return _ruled(plain)
    if len(last) < settings.reviews:
        return Ruling("waiting")
    return Ruling("disputed", grave=True) if _differ(last) else _ruled(last)


def _differ(verdicts: Sequence[Verdict]) -> bool:
    return len({(verdict.decision, content_hash(verdict.target)) for verdict in verdicts}) > 1


def _ruled(voices: Sequence[Verdict]) -> Ruling:
    verdict = voices[0]
    reasons = "; ".join(dict.fromkeys(voice.reason for voice in voices if voice.reason))
    grave = any(is_grave(voice) for voice in voices)
    grade = min(grade_of(voice) for voice in voices)
    match verdict.decision:
        case "approve":
            return Ruling("approved", None, reasons, grave, grade)
        case "fix":
            return Ruling("corrected", verdict.target, reasons, grave, grade)
        case "reject":
            return Ruling("rejected", None, reasons, grave, grade)


def is_grave(verdict: Verdict) -> bool:
    """Tell whether a verdict names an error of severity major or worse; no grade counts as major."""
    return verdict.decision != "approve" and verdict.severity != "minor"


def grade_of(verdict: Verdict) -> int:
    """Return 3 for approved, 2 for a minor fix, 1 for a worse one, 0 for rejected."""
    return 2 if verdict.decision == "fix" and verdict.severity == "minor" else _GRADES[verdict.decision]
