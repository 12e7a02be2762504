"""Words with an opposite, denied or not: able and unable, قادر and عاجز, not able and غير قادر.

A row of `[opposites]` in the data of a language is an axis, the same by name in all languages, with the words
that deny (`no`), those that affirm (`yes`) and those that come near to affirming (`also`). A negation right
before a word turns it. Two texts that name an axis equally often have to agree on how often it is denied,
whatever words say so; so antonyms are found, and a negation that became a verb of refusal is no finding.

The axis `bound` (and `after_bound`, for words that follow their number) is of numbers: at least is `yes`, at
most is `no`, and each is compared with what the other side says of the same number.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue, plain_forms, table
from bimedix.integrity.numbers import Number
from bimedix.integrity.pair import Side
from bimedix.languages import language

_CLAUSE_ENDS = frozenset(".;:!?。；：！？؛؟")
_SENTENCE_ENDS = _CLAUSE_ENDS - frozenset(":：")
_PAUSES = _CLAUSE_ENDS | frozenset(",،，、")
_REACH = {True: 24, False: 5}
"""Characters between a negation and the word that it turns, where words are spaced and where not."""
_TO_NUMBER, _FROM_NUMBER = 22, 28
"""Characters from the word for a bound to its number, and back to a number before it, unit included."""


_BEHIND = 8
"""Characters between a word and the negation after it, in Japanese."""
BOUNDS = ("opposites.bound", "opposites.after_bound")


class Pole(NamedTuple):
    """One word of an axis, and whether it is denied in its place."""

    axis: str
    denied: bool
    cue: Cue
    by: Cue | None
    """The negation that turned it."""
    sure: bool
    """False where a sign stands in its clause that may turn it, too."""
    values: frozenset[Fraction] = frozenset()
    """Of a bound: the number it is said of."""
    signed: bool = False
    """A negation is a part of it, or turned it."""
    near: bool = False
    """It only comes near to affirming (`also`: has, for presence), and so excuses and never accuses."""


@cache
def axes(code: str) -> frozenset[str]:
    """Return the axes that a language has words for."""
    return frozenset(table(code).get("opposites", {}))


def poles(
    side: Side,
    negations: Sequence[Cue],
    others: Sequence[Cue],
    shared: Iterable[str],
    led: Sequence[tuple[Cue, Cue]] = (),
) -> list[Pole]:
    """Return the words of the axes that both languages have, in reading order.

    Args:
        side: the text.
        negations: signs that turn the first word after them (in Japanese, before them): not, غير.
        others: signs that make it doubtful whether a word is denied: avoids, few.
        shared: the axes to look for.
        led: particles, each with the sign that it announces: n' ... pas.
    """
    wanted = [f"opposites.{axis}" for axis in shared]
    if side.cues.keys().isdisjoint(wanted):
        return []
    after = "after" in table(side.code).get("polarity", {}).get("order", ())
    signs = Covered(len(side.folded.lower), (sign[2:] for sign in negations))
    cues = _longest(side.found(*wanted))
    closed = Covered(
        len(side.folded.lower), (cue[2:] for cue in cues if cue.concept.partition(".")[2] in _CLOSED)
    )
    free = [sign for sign in negations if not closed.meets(sign.start, sign.end)]
    kept: list[Pole] = []
    for cue in cues:
        twin = next((one for one in kept[-2:] if one.cue.start == cue.start), None)
        by = twin.by if twin else _led(cue, free, led) or _turned_by(side, cue, free, after)
        pole = _pole(side, cue, by, [*negations, *others], after)
        if pole is None:
            continue
        kept.append(pole._replace(signed=pole.by is not None or signs.meets(cue.start, cue.end)))
        if not after and not pole.near:
            free = [sign for sign in free if sign.end > cue.start and sign is not pole.by]
    return kept


_CLOSED = frozenset({"unless", "regardless", "not_only"})
"""Axes whose words hold a sign that turns nothing outside them: without a doctor's advice, do not."""


def _led(cue: Cue, free: Sequence[Cue], led: Sequence[tuple[Cue, Cue]]) -> Cue | None:
    """Return the sign after a verb that a particle before it announces: n'existe aucun."""
    return next(
        (
            sign
            for particle, sign in led
            if 0 <= cue.start - particle.end <= _PARTICLE
            and 0 <= sign.start - cue.end <= _AFTER[True]
            and sign in free
        ),
        None,
    )


_PARTICLE = 12
"""Characters between a particle and its verb."""


def _longest(cues: Sequence[Cue]) -> list[Cue]:
    """Keep the longest of the words that overlap."""
    return [
        cue
        for cue in cues
        if not any(
            other.start <= cue.start
            and cue.end <= other.end
            and other.end - other.start > cue.end - cue.start
            for other in cues
        )
    ]


def _pole(side: Side, cue: Cue, by: Cue | None, others: Sequence[Cue], after: bool) -> Pole | None:
    axis = cue.concept.partition(".")[2]
    number = _number(side, cue, axis)
    if axis in ("bound", "after_bound") and number is None:
        return None
    if cue.value == "also":
        return Pole(axis, False, cue, None, True, near=True)
    denied = (cue.value == "no") != (by is not None)
    sure = not _doubtful(side, cue, by, others, after, denied)
    if number is not None:
        return Pole("bound", denied, cue, by, sure, frozenset(number.values))
    return Pole(axis, denied, cue, by, sure)


def _turned_by(side: Side, cue: Cue, negations: Sequence[Cue], after: bool) -> Cue | None:
    if _neutral(side.code, cue.concept.partition(".")[2]):
        return None
    lower, spaced = side.folded.lower, language(side.code).spaced
    if after:
        near = next((sign for sign in negations if 0 <= sign.start - cue.end <= _BEHIND), None)
        gap = lower[cue.end : near.start] if near else ""
    else:
        before = [sign for sign in negations if 0 <= cue.start - sign.end <= _REACH[spaced]]
        near = before[-1] if before else None
        gap = lower[near.end - 1 : cue.start] if near else ""
    far = near is not None and near.concept == "polarity.without" and len(gap) > _PREPOSITION
    apart = far or not _PAUSES.isdisjoint(gap) or _parted(gap, side.code, cue.value != "no")
    return None if apart else near


_PREPOSITION = 18
"""Characters between without and a word that it turns."""


@cache
def _breaks(code: str) -> tuple[str, ...]:
    """Return words that end a clause without a sign (とき)."""
    return plain_forms(code, "polarity", "breaks")


@cache
def _conjunctions(code: str) -> frozenset[str]:
    """Return the words for and, or: no X and unable is not able."""
    return frozenset(form for form in plain_forms(code, "options", "joins") if form.isalpha())


def _doubtful(side: Side, cue: Cue, by: Cue | None, signs: Sequence[Cue], after: bool, denied: bool) -> bool:
    """Tell whether another sign may turn a word: one before it in its clause (not in Japanese, where it is of
    another word), one right after it where it is not denied, and for a word without an opposite any of its
    sentence, because lists stand under one negation: no fever or rash.
    """
    lower, single = side.folded.lower, _single(side.code, cue.concept.partition(".")[2])
    ends, reach = _SENTENCE_ENDS if single else _PAUSES, _AFTER[language(side.code).spaced]
    for sign in signs:
        if sign is by or (sign.start < cue.end and cue.start < sign.end):
            continue
        if sign.start < cue.start:
            gap, may_turn = lower[sign.end : cue.start], not after
            listed = cue.value != "no"
        else:
            gap, listed = lower[cue.end : sign.start], False
            may_turn = not denied and len(gap) <= reach and (after or sign.concept in _TURNING_BACK)
        if (single or may_turn) and ends.isdisjoint(gap) and (single or not _parted(gap, side.code, listed)):
            return True
    return False


_TURNING_BACK = ("polarity.negation", "polarity.denials")


def _parted(gap: str, code: str, listed: bool) -> bool:
    """Tell whether words between a sign and a word part them: とき, and `and` unless they may be a list."""
    words = gap.split()
    joined = not listed and not _conjunctions(code).isdisjoint(words)
    return joined or any(word in (words if language(code).spaced else gap) for word in _breaks(code))


_AFTER = {True: 25, False: 12}
"""Characters after a word within which a sign may be its own: continuing is not advised."""


@cache
def _neutral(code: str, axis: str) -> bool:
    """Tell whether an axis has no words that affirm: unless, until. No negation turns them."""
    return "yes" not in table(code).get("opposites", {}).get(axis, {})


@cache
def _single(code: str, axis: str) -> bool:
    """Tell whether an axis has no words that deny."""
    return "no" not in table(code).get("opposites", {}).get(axis, {})


def _firm(side: Side) -> list[Number]:
    return [number for number in side.numbers if number.form != "loose"]


def _number(side: Side, cue: Cue, axis: str) -> Number | None:
    lower = side.folded.lower
    if axis == "bound":
        after = (n for n in _firm(side) if 0 <= n.start - cue.end <= _TO_NUMBER)
        return next((n for n in after if _PAUSES.isdisjoint(lower[cue.end : n.start])), None)
    if axis == "after_bound":
        before = [n for n in _firm(side) if n.end <= cue.start and cue.start - n.unit_end <= _FROM_NUMBER]
        near = before[-1] if before else None
        return near if near and _CLAUSE_ENDS.isdisjoint(lower[near.end : cue.start]) else None
    return None


def is_bound(side: Side, cue: Cue) -> bool:
    """Tell whether a word for a bound has a number."""
    return _number(side, cue, cue.concept.partition(".")[2]) is not None


class Turned(NamedTuple):
    """Words of the source and words of the translation that say the opposite."""

    source: list[Pole]
    target: list[Pole]


def turned(mine: Sequence[Pole], theirs: Sequence[Pole]) -> list[Turned]:
    """Return the axes on which two texts contradict each other."""
    found = [
        Turned([one], [other])
        for one in mine
        for other in theirs
        if one.values and one.sure and other.sure and one.denied != other.denied
        and one.values & other.values and _alone(one, mine) and _alone(other, theirs)
    ]  # fmt: skip
    for axis in dict.fromkeys(pole.axis for pole in mine if not pole.values):
        left, excuses = _of(axis, mine)
        right, other_excuses = _of(axis, theirs)
        if not left or not right or not all(pole.sure for pole in (*left, *right)):
            continue
        denied = sum(pole.denied for pole in left), sum(pole.denied for pole in right)
        excused = excuses if denied[0] > denied[1] else other_excuses
        if _contradict(left, right) and not excused:
            found.append(Turned(left, right))
    return found


def _of(axis: str, found: Sequence[Pole]) -> tuple[list[Pole], bool]:
    """Return the words of an axis that count, and whether others excuse."""
    own = [pole for pole in found if pole.axis == axis]
    return [pole for pole in own if not pole.near], any(pole.near for pole in own)


def _alone(bound: Pole, others: Sequence[Pole]) -> bool:
    """Tell whether a number has one bound only."""
    return sum(bool(other.values & bound.values) for other in others) == 1


def _contradict(left: Sequence[Pole], right: Sequence[Pole]) -> bool:
    denied, other = sum(pole.denied for pole in left), sum(pole.denied for pole in right)
    if len(left) == len(right):
        return denied != other
    return (denied == len(left) and other == 0) or (denied == 0 and other == len(right))


class Agreed(NamedTuple):
    """Words that say the same on both sides, and those of the translation that say it once more: at once is
    立即 ... 不可耽搁.
    """

    source: list[Pole]
    target: list[Pole]
    again: list[Pole]


def agreed(mine: Sequence[Pole], theirs: Sequence[Pole]) -> Agreed:
    """Match the words that say the same, one for one, first those that both have a negation in them or none;
    where neither side says the opposite, what is left over of their axis only repeats it.
    """
    found = Agreed([], [], [])
    rest = list(theirs)
    for alike in (True, False):
        for pole in [pole for pole in mine if pole not in found.source]:
            same = next((o for o in rest if _same(pole, o) and (pole.signed == o.signed or not alike)), None)
            if same:
                rest.remove(same)
                found.source.append(pole)
                found.target.append(same)
    for axis in {pole.axis for pole in found.source if not pole.values}:
        if len({pole.denied for pole in (*mine, *theirs) if pole.axis == axis and not pole.near}) == 1:
            found.again.extend(pole for pole in rest if pole.axis == axis)
    return found


def _same(one: Pole, other: Pole) -> bool:
    """Tell whether two words say the same, at least one of them by itself: what both sides say by a negation
    is left to be counted, because one negation may stand for a list.
    """
    if one[:2] != other[:2] or not (one.sure and other.sure) or one.near or other.near:
        return False
    if one.values or other.values:
        return bool(one.values & other.values)
    return one.by is None or other.by is None
