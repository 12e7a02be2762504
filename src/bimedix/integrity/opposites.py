"""Words with an opposite, denied or not: able and unable, قادر and عاجز, not able and غير قادر.

A row of `[opposites]` in the data of a language is an axis, the same by name in all languages, with the words
that deny (`no`), those that affirm (`yes`), those that come near to affirming (`also`) and those that affirm
and are never turned (`fixed`: 大半). A negation right before a word turns it. Two texts that name an axis
equally often have to agree on how often it is denied, whatever words say so; so antonyms are found, and a
negation that became a verb of refusal is no finding.

The axis `bound` (`bound_verb` for verbs, which may stand far from their number, `after_bound` for words that
follow it) is of numbers: at least is `yes`, at most is `no`, and each is compared with what the other side
says of the same number.
"""

from collections.abc import Hashable, Sequence
from functools import cache
from typing import NamedTuple

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue, plain_forms, table
from bimedix.integrity.numbers import Number
from bimedix.integrity.pair import Side
from bimedix.integrity.units import base_quantity
from bimedix.languages import language

_CLAUSE_ENDS = frozenset(".;:!?。；：！？؛؟")
_SENTENCE_ENDS = _CLAUSE_ENDS - frozenset(":：")
_PAUSES = _CLAUSE_ENDS | frozenset(",،，、")
_REACH = {True: 24, False: 8}
"""Characters between a negation and the word that it turns, where words are spaced and where not."""
_BOUNDS_REACH = 10
"""The same before a word for a bound: not for children under 15 kg says nothing of the bound."""
_TO_NUMBER = {"bound": 22, "bound_verb": 50}
"""Characters from a word for a bound to its number."""
_PREPOSITIONAL, _SHORT = 5, 12
"""Characters of a word for a bound that may be a preposition of place (under), and from it to its number."""
_FROM_NUMBER = 28
"""Characters from a number, its unit included, to a word for its bound."""


_BEHIND = 8
"""Characters between a word and the negation after it, in Japanese."""
BOUNDS = ("opposites.bound", "opposites.after_bound", "opposites.bound_verb")


class Pole(NamedTuple):
    """One word of an axis, and whether it is denied in its place."""

    axis: str
    denied: bool
    cue: Cue
    by: Cue | None
    """The negation that turned it."""
    sure: bool
    """False where a sign stands in its clause that may turn it, too."""
    values: frozenset[Hashable] = frozenset()
    """Of a bound: the number it is said of, as it is written and in base units."""
    exact: frozenset[Hashable] = frozenset()
    """In base units only, where it has a unit."""
    apart: bool = False
    """Words stand between one that denies and the negation that turned it: which is not an abnormal sign."""
    maybe: Cue | None = None
    """A negation before it in its clause that may turn it: none of the patients died."""
    signed: bool = False
    """A negation is a part of it, or turned it."""
    near: bool = False
    """It only comes near to affirming (`also`: has, for presence), and so excuses and never accuses."""


def named_by_both(source: Side, target: Side) -> frozenset[str]:
    """Return the axes of which both texts have words, as concepts; one name for the kinds of bounds."""
    mine, theirs = (
        {BOUNDS[0] if concept in BOUNDS else concept for concept in side.cues if concept.startswith(_SECTION)}
        for side in (source, target)
    )
    return frozenset(mine & theirs)


_SECTION = "opposites."


class Around(NamedTuple):
    """What may turn the words of a text."""

    turning: Sequence[Cue]
    """Signs that turn the first word after them (in Japanese, before them): not, غير."""
    firm: Sequence[Cue]
    """Signs that make it doubtful whether a word of their clause is denied."""
    soft: Sequence[Cue]
    """Those that do so near by: avoids, few."""
    breaks: Sequence[Cue]
    """Words that end a clause: if, but, とき."""
    announced: Sequence[tuple[Cue, Cue]]
    """Particles, each with the sign that it announces: n' ... pas."""
    exceptions: Sequence[Cue]
    """Words that take a negation before them back for one case: لا يستعمل إلا إذا."""


def poles(side: Side, around: Around, shared: frozenset[str]) -> list[Pole]:
    """Return the words of some axes in reading order; those of others only use up a negation."""
    wanted = shared | frozenset(BOUNDS) if BOUNDS[0] in shared else shared
    after = "after" in table(side.code).get("polarity", {}).get("order", ())
    length = len(side.folded.lower)
    signs = Covered(length, (sign[2:] for sign in around.turning))
    words = side.found(*(concept for concept in side.cues if concept.startswith(_SECTION)))
    cues = _longest(words, side.found("polarity.lookalikes", "polarity.idioms"))
    cues = [cue for cue in cues if not _states(side, cue)]
    closed = Covered(length, (cue[2:] for cue in cues if _is_closed(cue, wanted)))
    free = [sign for sign in around.turning if not closed.meets(sign.start, sign.end)]
    firm = Covered(length, (cue[2:] for cue in side.found("polarity.negation")))
    around = around._replace(turning=free)
    back = side.found("polarity.turns_back")
    kept, turned = list[Pole](), dict[int, Cue | None]()
    for cue in cues:
        if cue.concept not in wanted and not free:
            continue
        signs_here = _nearest(side, cue, free, cues) if after else free
        neutral = _neutral(side.code, cue.concept.partition(".")[2])
        by = None if neutral else turned.get(cue.start) or _announced(cue, free, around)
        by = by or _turned_by(side, cue, signs_here, around, after)
        if by and by.concept == "polarity.joined" and firm.meets(cue.start, cue.end):
            by = None  # ничего нельзя denies once
        if by is None and back and not neutral and cue.concept not in _NOT_BACK:
            by = _turned_back(side, cue, free, back)
        turned[cue.start] = by
        if kept and cue.concept in BOUNDS and kept[-1].values and kept[-1].cue[2:] == cue[2:]:
            continue
        pole = _pole(side, cue, by, around, after) if cue.concept in wanted else None
        if pole:
            kept.append(pole._replace(signed=by is not None or signs.meets(cue.start, cue.end)))
        takes = not after and not neutral and cue.value != "also"
        if takes and free and (pole or cue.concept not in BOUNDS):
            free = [sign for sign in free if sign.end > cue.start and sign is not by]
    return kept


def _states(side: Side, cue: Cue) -> bool:
    """Tell whether words that forbid at the beginning of a clause are within one: symptoms do not improve."""
    lower = side.folded.lower
    if lower[cue.start : cue.end] not in _polarity(side.code, "commands"):
        return False
    before = lower[: cue.start].rstrip()
    word = before[max(before.rfind(" "), before.rfind("\n")) + 1 :]
    return word[-1:].isalnum() and word not in _polarity(side.code, "openers_of_commands")


@cache
def _polarity(code: str, name: str) -> frozenset[str]:
    """Return the folded forms of a list of `polarity`."""
    return frozenset(plain_forms(code, "polarity", name))


def _is_closed(cue: Cue, wanted: frozenset[str]) -> bool:
    axis = cue.concept.partition(".")[2]
    return axis in _CLOSED or (axis in _CLOSED_TOGETHER and cue.concept in wanted)


_CLOSED = frozenset({"unless", "regardless", "not_only", "sufficiency", "tolerance"})
"""Axes whose words hold a sign that turns nothing outside them: without a doctor's advice, do not."""
_CLOSED_TOGETHER = frozenset({"asymptomatic", "symptoms", "not_all"})
"""The same where both texts have such words: not every cough, 必ずしも."""


def _announced(cue: Cue, free: Sequence[Cue], around: Around) -> Cue | None:
    """Return the sign after a verb that a particle before it announces: n'existe aucun."""
    return next(
        (
            sign
            for particle, sign in around.announced
            if 0 <= cue.start - particle.end <= _PARTICLE
            and 0 <= sign.start - cue.end <= _NEAR[True]
            and sign in free
        ),
        None,
    )


def _turned_back(side: Side, cue: Cue, free: Sequence[Cue], back: Sequence[Cue]) -> Cue | None:
    """Return the sign of a predicate right after a noun (осложнений не было), or in the clause of an
    infinitive (исключить инфекцию тест не позволяет).
    """
    lower, end = side.folded.lower, cue.end
    while end < len(lower) and lower[end].isalpha():
        end += 1
    infinitive = lower[cue.start : end].endswith(tuple(_polarity(side.code, "infinitives")) or ("\0",))
    reach = _INFINITIVE if infinitive else _PREDICATE
    near = [one for one in back if 0 < one.start - cue.end <= reach]
    near = [one for one in near if _PAUSES.isdisjoint(lower[cue.end : one.start])]
    return next((sign for sign in free for one in near[:1] if one.start <= sign.start < one.end), None)


_NOT_BACK = frozenset({*BOUNDS, "opposites.amount"})
"""Axes of words that a predicate does not deny: most have not."""
_INFINITIVE = 50
"""Characters between an infinitive and its predicate."""
_PREDICATE = 14
"""Characters between a noun, its ending included, and a predicate that denies it."""
_PARTICLE = 12
"""Characters between a particle and its verb."""


_WHOLE = frozenset((*BOUNDS, *(f"{_SECTION}{axis}" for axis in _CLOSED)))
"""Axes whose words are not said of a part of them: with or without food says nothing of without food."""


def _longest(cues: Sequence[Cue], others: Sequence[Cue]) -> list[Cue]:
    """Keep the words that are no part of a longer one, nor of a phrase that says something else."""
    own, kept, last = frozenset(cues), list[Cue](), Cue("", "", -1, -1)
    for cue in sorted([*cues, *others], key=_by_place):
        inside = cue.end <= last.end and cue[2:] != last[2:]
        if not inside:
            last = cue
        again = last in own and cue.value == last.value and not {cue.concept, last.concept} & _WHOLE
        if cue in own and (not inside or again):
            kept.append(cue)  # a longer one of another axis that says as much
    return kept


def _by_place(cue: Cue) -> tuple[int, int]:
    return cue.start, -cue.end


def _pole(side: Side, cue: Cue, by: Cue | None, around: Around, after: bool) -> Pole | None:
    axis = cue.concept.partition(".")[2]
    number = _number(side, cue, axis)
    if cue.concept in BOUNDS and number is None:
        return None
    if cue.value == "also":
        return Pole(axis, False, cue, None, True, near=True)
    denied = (cue.value == "no") != (by is not None)
    before = [] if after else _led(side, cue, by, around)  # in Japanese that is of another word
    led, maybe = (
        bool(before),
        next((sign for sign in before if by is None and _reaches(sign, cue, around)), None),
    )
    if number is not None:
        after_it = cue._replace(end=max(cue.end, number.unit_end))  # больше трех таблеток не принимайте
        followed = not denied and any(
            sign.concept == "polarity.negation"
            and 0 <= sign.start - after_it.end <= _NEAR[True]
            and _one_clause(after_it, sign, around, side.folded.lower)
            and not side.folded.lower[sign.start - 1].isalpha()  # ولا begins another clause
            for sign in around.firm
        )
        exact = _quantities(number)
        values = exact | frozenset(number.values)
        return Pole("bound", denied, cue, by, not (led or followed), values, exact)
    alone = _single(side.code, axis) and _in_sentence(cue, by, around, side.folded.lower)
    counted = cue.concept in _QUANTITIES  # which a negation behind them leaves as they are
    followed = not (denied or counted) and cue.value != "fixed" and _followed(side, cue, by, around, after)
    between = side.folded.lower[min(by.end, cue.end) : max(by.start, cue.start)] if by else ""
    apart = cue.value == "no" and _words(between) > 0
    signed = by or (cue.value == "no" and any(cue.start <= s.start < cue.end for s in around.turning))
    excepted = bool(signed) and any(
        0 <= word.start - cue.end <= _TO_EXCEPTION
        and _CLAUSE_ENDS.isdisjoint(side.folded.lower[cue.end : word.start])
        for word in around.exceptions
    )
    sure = not (alone or led or followed or excepted)
    return Pole(axis, denied, cue, by, sure, apart=apart and not after, maybe=maybe)


def _nearest(side: Side, cue: Cue, signs: Sequence[Cue], words: Sequence[Cue]) -> list[Cue]:
    """Return the next sign after a word, unless another word stands between that is no next one of a list:
    装用中は使用しない, 発熱も咳もなかった.
    """
    sign = next((sign for sign in signs if sign.start >= cue.end), None)
    if sign is None or side.folded.lower.startswith(plain_forms(side.code, "polarity", "listing"), cue.end):
        return [sign] if sign else []
    between = (word for word in words if word.value != "also" and cue.end < word.start < sign.start)
    return [] if any(word.end <= sign.start for word in between) else [sign]


def _turned_by(side: Side, cue: Cue, free: Sequence[Cue], around: Around, after: bool) -> Cue | None:
    lower = side.folded.lower
    if _neutral(side.code, cue.concept.partition(".")[2]) or cue.value == "fixed":
        return None
    if after:
        near = next((sign for sign in free if 0 <= sign.start - cue.end <= _BEHIND), None)
        return near if near and _one_clause(cue, near, around, lower) else None
    reach = _BOUNDS_REACH if cue.concept in BOUNDS else _REACH[language(side.code).spaced]
    before = [sign for sign in free if 0 <= cue.start - sign.end <= reach]
    if not before or cue.concept == BOUNDS[1] or not _one_clause(before[-1], cue, around, lower):
        return None
    gap = lower[before[-1].end : cue.start]
    adjacent = cue.concept in _QUANTITIES or before[-1].concept in _ADJACENT
    far = _words(gap) > (0 if adjacent else _WORDS)
    return None if far or (cue.value == "no" and _has_conjunction(gap, side.code)) else before[-1]


_QUANTITIES = frozenset({"opposites.amount"})
"""Axes whose words a negation turns only right before them: لم يعد معظم الخبراء denies no majority."""
_WORDS = 2
"""Words between a negation and a word that it turns."""
_TO_EXCEPTION = 60
"""Characters between a denied word and its exception."""
_ADJACENT = frozenset({"polarity.privatives", "polarity.without"})
"""Signs that turn the next word only: a scan without contrast detects stones."""


def _words(gap: str) -> int:
    """Count the words of a gap; what is written together with a word beside it is a part of that word."""
    return len(gap.split()) - (gap[:1] not in _SPACE) - (gap[-1:] not in _SPACE)


_SPACE = frozenset(("", " ", "\u00a0", "\n"))


def _has_conjunction(gap: str, code: str) -> bool:
    """Tell whether a gap has a word for and, or: no X and unable is not able."""
    return not _conjunctions(code).isdisjoint(gap.split())


@cache
def _conjunctions(code: str) -> frozenset[str]:
    """Return the words for and, or."""
    return frozenset(form for form in plain_forms(code, "options", "joins") if form.isalpha())


def _one_clause(first: Cue, last: Cue, around: Around, lower: str) -> bool:
    if not _PAUSES.isdisjoint(lower[first.end - 1 : last.start]):
        return False
    return not any(first.end <= word.start < last.start for word in around.breaks)


def _reaches(sign: Cue, cue: Cue, around: Around) -> bool:
    """Tell whether a negation may turn a word that stands some way behind it."""
    plain = sign.concept in ("polarity.negation", "polarity.joined")
    return plain and sign in around.turning and cue.start - sign.end <= _MAY_REACH


_MAY_REACH = 45
"""Characters between a negation and a word that it may turn."""


def _led(side: Side, cue: Cue, by: Cue | None, around: Around) -> list[Cue]:
    """Return the other signs before a word in its clause, of soft ones those near by."""
    lower = side.folded.lower
    near = (sign for sign in around.soft if cue.start - sign.end <= _NEAR[True])
    before = [sign for sign in (*around.firm, *near) if sign.end <= cue.start and sign is not by]
    if cue.value == "no":
        before = [sign for sign in before if not _has_conjunction(lower[sign.end : cue.start], side.code)]
    return [sign for sign in before if _one_clause(sign, cue, around, lower)]


def _followed(side: Side, cue: Cue, by: Cue | None, around: Around, after: bool) -> bool:
    """Tell whether a sign right after a word may be its own: continuing is not advised."""
    lower, reach = side.folded.lower, _NEAR[language(side.code).spaced]
    near = [sign for sign in around.firm if 0 <= sign.start - cue.end <= reach]
    near += [sign for sign in around.soft if 0 <= sign.start - cue.end <= _NEAR[False]]
    back = _TURNING_BACK if language(side.code).spaced else _TURNING_BACK[:1]
    near = [
        sign
        for sign in near
        if sign is not by and (after or sign.concept in back or sign.concept.startswith(_SECTION))
    ]
    near = [
        sign for sign in near if sign.concept != "polarity.soft" or after or sign.start - cue.end <= _SOON
    ]
    forward = _polarity(side.code, "forward")
    near = [
        sign
        for sign in near
        if lower[sign.start : sign.end] not in forward or not _words(lower[cue.end : sign.start])
    ]
    near = [sign for sign in near if not _has_conjunction(lower[cue.end : sign.start], side.code)]
    return any(_one_clause(cue, sign, around, lower) for sign in near)


_SOON = 14
"""Characters after a word within which a soft sign may be its own: continuing is discouraged."""
_TURNING_BACK = tuple(f"polarity.{name}" for name in ("negation", "joined", "denials", "soft", "privatives"))


def _in_sentence(cue: Cue, by: Cue | None, around: Around, lower: str) -> bool:
    """Tell whether another sign stands in the sentence of a word without an opposite: lists stand under one
    negation (no fever or rash).
    """
    for sign in (*around.firm, *around.soft):
        if sign is by or (sign.start < cue.end and cue.start < sign.end):
            continue
        first, last = (sign, cue) if sign.start < cue.start else (cue, sign)
        if _SENTENCE_ENDS.isdisjoint(lower[first.end : last.start]):
            return True
    return False


_NEAR = {True: 30, False: 12}
"""Characters between a word and a soft sign before it, or any sign after it, that may turn it: where words
are spaced and where not.
"""


@cache
def _neutral(code: str, axis: str) -> bool:
    """Tell whether an axis has no words that affirm: unless, until. No negation turns them."""
    return "yes" not in table(code).get("opposites", {}).get(axis, {})


@cache
def _single(code: str, axis: str) -> bool:
    """Tell whether an axis has no words that deny."""
    return "no" not in table(code).get("opposites", {}).get(axis, {})


def _firm(side: Side) -> list[Number]:
    """Return the numbers that are written: a week alone is none."""
    return [number for number in side.numbers if number.form != "loose" or not number.unit]


def _quantities(number: Number) -> frozenset[Hashable]:
    """Return what a number says in the base of its unit (half an hour, 30 minutes), or without one."""
    return frozenset(base_quantity(v, number.unit) if number.unit else v for v in number.values)


def _number(side: Side, cue: Cue, axis: str) -> Number | None:
    lower = side.folded.lower
    if axis in _TO_NUMBER:
        preposition = axis == "bound" and cue.end - cue.start <= _PREPOSITIONAL
        reach = _SHORT if preposition else _TO_NUMBER[axis]
        after = (n for n in _firm(side) if 0 <= n.start - cue.end <= reach)
        after = (n for n in after if axis != "bound_verb" or n.form != "ordinal")
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
        and _of_one_number(one, other, mine, theirs)
    ]  # fmt: skip
    for axis in dict.fromkeys(pole.axis for pole in mine if not pole.values):
        left, excuses = _of(axis, mine)
        right, other_excuses = _of(axis, theirs)
        if not left or not right or not all(pole.sure and not pole.apart for pole in (*left, *right)):
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


def _of_one_number(one: Pole, other: Pole, mine: Sequence[Pole], theirs: Sequence[Pole]) -> bool:
    """Tell whether two bounds are of the same number, which has no other bound on its side."""
    if said := one.exact & other.exact:
        return all(sum(bool(pole.exact & said) for pole in side) == 1 for side in (mine, theirs))
    said = one.values & other.values
    return bool(said) and all(sum(bool(pole.values & said) for pole in side) == 1 for side in (mine, theirs))


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
        for pole in mine:
            if any(_once(pole, other) for other in found.source):
                continue
            same = next((o for o in rest if _same(pole, o) and (pole.signed == o.signed or not alike)), None)
            if same:
                rest = [other for other in rest if not _once(same, other)]
                found.source.append(pole)
                found.target.append(same)
    for pole in [pole for pole in mine if pole not in found.source]:
        other = next((o for o in rest if _may_say(pole, o)), None)
        if other:
            rest.remove(other)
            found.source.append(pole._replace(by=pole.maybe or pole.by))
            found.target.append(other._replace(by=other.maybe or other.by))
    for axis in {pole.axis for pole in found.source if not pole.values}:
        if len({pole.denied for pole in (*mine, *theirs) if pole.axis == axis and not pole.near}) == 1:
            found.again.extend(pole for pole in rest if pole.axis == axis)
    return found


def _once(one: Pole, other: Pole) -> bool:
    """Tell whether two poles are of the same words: fails to, of ability and of effect."""
    return one.cue.start < other.cue.end and other.cue.start < one.cue.end


def _may_say(one: Pole, other: Pole) -> bool:
    """Tell whether two words say the same if a negation of their clause turns one of them."""
    if one.axis != other.axis or one.values or other.values or one.denied == other.denied:
        return False
    if one.near or other.near or one.signed or other.signed:
        return False
    return bool(one.maybe) != bool(other.maybe)


def _same(one: Pole, other: Pole) -> bool:
    """Tell whether two words say the same, at least one of them by itself: what both sides say by a negation
    is left to be counted, because one negation may stand for a list.
    """
    if one[:2] != other[:2] or one.near or other.near:
        return False
    plain = one.by is None and other.by is None and one.denied
    if not plain and not (one.sure and other.sure):
        return False
    if one.values or other.values:
        return bool(one.values & other.values)
    return one.by is None or other.by is None
