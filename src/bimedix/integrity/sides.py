"""Opposites that must not turn: left and right, before and after, acute and chronic, ..."""

from bimedix.integrity.pair import Findings, Pair, Side

OPPOSITES = (
    ("left", "right"), ("unilateral", "bilateral"), ("before", "after"), ("increase", "decrease"),
    ("acute", "chronic"), ("anterior", "posterior"), ("medial", "lateral"), ("proximal", "distal"),
    ("systolic", "diastolic"), ("most", "least"), ("benign", "malignant"), ("positive", "negative"),
)  # fmt: skip
_COUNTED = frozenset({"left"})
"""Pairs where one of several mentions may turn: the counts have to agree, too."""


def check_sides(pair: Pair) -> Findings:
    """Yield opposites that turned: only one is named in the source, and only the other in the translation."""
    for one, other in OPPOSITES:
        mine, theirs = _counts(pair.source, one, other), _counts(pair.target, one, other)
        if not any(mine) or not any(theirs):
            continue
        turned = _turned(pair, one, other) or _turned(pair, other, one)
        swapped = one in _COUNTED and sum(mine) == sum(theirs) and sum(mine) > 1 and mine != theirs
        if turned or swapped:
            was, now = (one, other) if mine[0] > theirs[0] else (other, one)
            yield pair.finding(
                "side",
                "error",
                f"{was} in the source became {now}",
                _spans(pair.source, was),
                _spans(pair.target, now),
            )


def _turned(pair: Pair, was: str, now: str) -> bool:
    """Tell whether the source names only `was` and the translation only `now`.

    Words that are near a name without saying it (`was_also`: high for increase) excuse, and never accuse.
    """
    source, target = pair.source, pair.target
    if not source.found(f"sides.{was}") or not target.found(f"sides.{now}"):
        return False
    excuses = (
        *source.found(f"sides.{now}", f"sides.{now}_also"),
        *target.found(f"sides.{was}", f"sides.{was}_also"),
    )
    return not excuses


def _counts(side: Side, one: str, other: str) -> tuple[int, int]:
    return len(side.cues.get(f"sides.{one}", ())), len(side.cues.get(f"sides.{other}", ()))


def _spans(side: Side, name: str) -> list[tuple[int, int]]:
    return [(cue.start, cue.end) for cue in side.found(f"sides.{name}")]
