"""Signs of negation and of EXCEPT in a text.

Signs are words, by language and by strength:

- *firm* ones deny what they stand before: not, without, EXCEPT, لا, ما عدا;
- *joined* ones do so too, and are one negation with a firm one of their clause: no ... ningún;
- *particles* say nothing beside another sign, and deny by themselves: on ne peut;
- *soft* ones deny by their own meaning (absence, غير, недоступен; in English *affixed*, unknown, and
  *denials*, rules out), and a translator may put one for a firm sign;
- *weak* ones (only, few, until) are at times said with a negation, and *limits* (no more than) without;
- *idioms* hold a sign and deny nothing (not only, لا سيما, 不仅), *lookalikes* look like a sign (unit, 性别);
- *privatives* are soft and turn the word after them (غير, عدم); *restrictive*, *scarce* and *limiting* words
  are weak and say what a negation with an exception says: only, hardly, until, لا ... إلا (*exceptions*);
- *affirming* words say without a sign what others say with one: normal (not thickened), مجانا (no charge);
- *answers* open an answer (yes, no), *breaks* end a clause (if, but), *otherwise* and *abbreviations* look
  like a sign until one sees how they are written (وإلا, no. 5), *axes* name opposites whose `no` is soft;
- *going_on* are signs that go on with the one before (not seen and not heard), *alternatives* words for or,
  *coordinating* ones join clauses, *attached* ones are written together with the next word (و), *prefixes*
  may deny: subnational.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue, longest_of, plain_forms, table
from bimedix.integrity.opposites import (
    BOUNDS,
    is_bound,
)
from bimedix.integrity.pair import Side
from bimedix.languages import language

_REACH = {True: 70, False: 20}
"""Characters between two words of one negation, where words are spaced and where not."""
CLOSE, FAR = 20, 60
"""Characters between two signs of which the second only repeats the first: surely, and perhaps."""
_LISTED = 8
"""Characters between the signs of a list where words are not spaced."""
COMMAS = frozenset(",،，")
CLAUSE_ENDS = frozenset(".;:!?。；：！？؛؟")


class Signs(NamedTuple):
    """Signs of a text in reading order; words of one negation count once."""

    firm: Sequence[Cue]
    denials: Sequence[Cue]
    """Soft ones that no translation says without a sign: denies, rules out, least likely, false."""
    affixed: Sequence[Cue]
    """Soft ones that a translation shows as a rule: unknown, inactive."""
    soft: Sequence[Cue]
    """Denials and affixed ones among them."""
    weak: Sequence[Cue]
    limits: Sequence[Cue]
    """No more than, at most: said with a negation or without."""
    idioms: Sequence[Cue]
    merged: Sequence[Cue]
    """Joined ones that were counted with a firm one."""
    affirming: Sequence[Cue]
    """Words that say without a sign what others say with one: normal is not thickened."""
    turning: Sequence[Cue]
    """Signs that turn the word after them."""
    bounded: Sequence[Cue]
    """Words for a bound of a number."""
    lower: str
    conjunctions: frozenset[str]
    code: str
    """The language: its data name the negations that go on with another one, and the words for or."""
    spaced: bool
    """Words have spaces between them."""
    breaks: Sequence[Cue]
    """Words that end a clause."""

    def repeated(self, reach: int) -> int:
        """How many firm signs only repeat the one before: is not meant to and does not, لا سعال ولا حمى."""
        cues = sorted([*self.firm, *self.limits], key=BY_START)
        firm = set(self.firm)
        near = ((a, b) for a, b in pairwise(cues) if b.start - a.end <= FAR and b in firm)
        if not self.spaced:
            return sum(self._says_again(a, b) for a, b in near)
        return sum(self._links(self.lower[a.end : b.start]) for a, b in near if self._beside(a, b, reach))

    def echoes(self, cues: Sequence[Cue]) -> list[Cue]:
        """Return the firm signs that only repeat a limit among some cues: ألا يقل عمره ... ولا وزنه."""
        said = spans_of(self.lower, cues)
        both = sorted([*self.firm, *self.limits], key=BY_START)
        pairs = [(a, b) for a, b in pairwise(both) if said.meets(a.start, a.end) and a in self.limits]
        linked = (b for a, b in pairs if b in self.firm and self._beside(a, b, CLOSE))
        return [b for b in linked if self.lower[b.start - 1] in _attached(self.code)]

    def _says_again(self, one: Cue, other: Cue) -> bool:
        """Tell whether a sign is said again for the next of a list, without spaces: 无红肿，亦无渗液."""
        gap = self.lower[one.end : other.start]
        alike = self.lower[one.start : one.end][-1] == self.lower[other.start : other.end][-1]
        alike = alike or not self.conjunctions.isdisjoint(gap)
        apart = any(one.end <= word.start < other.start for word in self.breaks if word.end <= other.start)
        return alike and not apart and len(gap) <= _LISTED and CLAUSE_ENDS.isdisjoint(gap)

    def _beside(self, one: Cue, other: Cue, reach: int) -> bool:
        """Tell whether two signs are near enough to be one: far off, if they are the same with a conjunction
        between them (no food for six hours, and no water).
        """
        gap = self.lower[one.end : other.start]
        same = self.lower[one.start : one.end] == self.lower[other.start : other.end]
        conjunction = gap.split()[-1:] in [
            [word]
            for word in (*self.conjunctions - words_of(self.code, "alternatives"), *_attached(self.code))
        ]
        plain = other.concept == "polarity.negation" and COMMAS.isdisjoint(gap)  # not: with and without
        again = same or other.concept != "polarity.negation" or self._goes_on(other)
        return (len(gap) <= reach and again) or (same and conjunction and plain)

    def _goes_on(self, cue: Cue) -> bool:
        """Tell whether a sign is one that goes on with any other: لم يأكل ولا شرب."""
        return self.lower[cue.start : cue.end] in words_of(self.code, "going_on")

    def _links(self, gap: str) -> bool:
        words = gap.split()
        if not (CLAUSE_ENDS | COMMAS if len(gap) <= CLOSE else CLAUSE_ENDS).isdisjoint(gap):
            return False
        return not self.conjunctions.isdisjoint(words) or words[-1:] in [
            [word] for word in _attached(self.code)
        ]

    def within(self, start: int, end: int) -> "Signs":
        """Return those that begin in a stretch of the text."""

        return self._kept(lambda cue: start <= cue.start < end)

    def without(self, cues: Sequence[Cue]) -> "Signs":
        """Return those that no cue of a list overlaps."""
        if not cues:
            return self
        taken = spans_of(self.lower, cues)
        return self._kept(lambda cue: not taken.meets(cue.start, cue.end))

    def softened(self, cues: Sequence[Cue]) -> "Signs":
        """Return the same, with the signs that a cue of a list overlaps as soft: they need no counterpart."""
        if not cues:
            return self
        taken = spans_of(self.lower, cues)
        moved = [cue for cue in self.firm if taken.meets(cue.start, cue.end)]
        firm, denials, affixed = (
            [cue for cue in found if not taken.meets(cue.start, cue.end)]
            for found in (self.firm, self.denials, self.affixed)
        )
        soft = sorted([*self.soft, *moved], key=BY_START)
        return self._replace(firm=firm, denials=denials, affixed=affixed, soft=soft)

    def joined_by(self, other: "Signs") -> "Signs":
        """Return those of two stretches of one text."""
        return self._of(lambda name: [*getattr(self, name), *getattr(other, name)])

    def _kept(self, keep: Callable[[Cue], bool]) -> "Signs":
        return self._of(lambda name: list(filter(keep, getattr(self, name))))

    def _of(self, found: Callable[[str], Sequence[Cue]]) -> "Signs":
        firm, denials, affixed, soft, weak, limits, idioms, merged, affirming = map(found, LISTS)
        counted = firm, denials, affixed, soft, weak, limits, idioms, merged, affirming
        return Signs(
            *counted,
            self.turning,
            self.bounded,
            self.lower,
            self.conjunctions,
            self.code,
            self.spaced,
            self.breaks,
        )


LISTS = ("firm", "denials", "affixed", "soft", "weak", "limits", "idioms", "merged", "affirming")


def signs(side: Side) -> Signs:
    """Return the signs of a text."""
    lower = side.folded.lower
    idioms, limits, bounded, idle = _idle(side)
    longer = longest_of([*idle, *side.found(*_NEGATIONS)])
    passed = spans_of(lower, [cue for cue in longer if cue in idle])

    def found(*names: str) -> list[Cue]:
        return _outside(side.found(*(f"polarity.{name}" for name in names)), passed)

    against = _outside(_outside(_against(side), passed), spans_of(lower, side.found(*_NEGATIONS)))
    soft = longest_of([*found("denials", "affixed", "soft", "privatives"), *against])
    joined = longest_of(found("joined", "exceptions"))
    apart = [cue for cue in joined if _written(side, cue) in _firm_as_written(side.code)]
    joined = [cue for cue in joined if cue not in apart]
    firm = _whole(longest_of(found("negation", "without", "except")), [*soft, *joined])
    joined = _outside(joined, spans_of(lower, [cue for cue in firm if cue.concept == "polarity.except"]))
    firm = sorted([*firm, *apart], key=BY_START)
    firm, absorbed = _absorbed(side, firm)
    reach = _REACH[language(side.code).spaced]
    alone = _alone(joined, firm, side, reach)
    merged = sorted([*absorbed, *(cue for cue in joined if cue not in alone)], key=BY_START)
    firm = sorted([*firm, *alone], key=BY_START)
    said = spans_of(lower, firm)
    soft = _outside(soft, said)
    denials, affixed = (
        [cue for cue in soft if cue.concept == name] for name in ("polarity.denials", "polarity.affixed")
    )
    soft = sorted(
        [*soft, *_unled(found("particles"), sorted([*firm, *bounded, *limits], key=BY_START), lower, reach)],
        key=BY_START,
    )
    said = spans_of(lower, [*firm, *soft])
    same = {(cue.start, cue.end) for cue in longer if cue.concept == "polarity.lookalikes"}
    weak = longest_of(side.found(*_WEAK))
    weak = [cue for cue in weak if (cue.start, cue.end) in same or not passed.meets(cue.start, cue.end)]
    weak = _outside(weak, said)
    affirming = side.found("polarity.affirming")
    if affirming:
        affirming = _outside(affirming, spans_of(lower, [*firm, *soft, *idioms]))
    own_joined = [cue for cue in joined if cue.concept == "polarity.joined"]
    turning = longest_of([*found("negation", "without", "privatives"), *own_joined, *apart])
    turning = [cue for cue in turning if cue not in absorbed]
    lists = firm, denials, affixed, soft, weak, limits, idioms, merged, affirming
    return Signs(
        *lists,
        turning,
        bounded,
        lower,
        _conjunctions(side.code),
        side.code,
        language(side.code).spaced,
        side.found("polarity.breaks"),
    )


def _idle(side: Side) -> tuple[list[Cue], list[Cue], list[Cue], set[Cue]]:
    """Return idioms, limits, bounds, and these with all other words that only look like signs."""
    idioms = side.found("polarity.idioms")
    limits = [cue for cue in side.found("polarity.limits") if _number_follows(side, cue)]
    bounded = [cue for cue in side.found(*BOUNDS) if is_bound(side, cue)]
    otherwise = [
        cue for cue in side.found("polarity.otherwise") if _written(side, cue) in _otherwise(side.code)
    ]
    numbered = [cue for cue in side.found("polarity.abbreviations") if _number_follows(side, cue)]
    lookalikes = side.found("polarity.lookalikes")
    return idioms, limits, bounded, {*idioms, *limits, *bounded, *numbered, *otherwise, *lookalikes}


def _outside(cues: Sequence[Cue], taken: Covered) -> list[Cue]:
    """Return the cues outside some stretches of the text."""
    return [cue for cue in cues if not taken.meets(cue.start, cue.end)]


def _absorbed(side: Side, firm: list[Cue]) -> tuple[list[Cue], list[Cue]]:
    """Part the signs from those that belong to a word before them: пока ... не, tant que ... pas, until."""
    taken = []
    for cue in side.found("polarity.absorbs"):
        sign = next(
            (one for one in firm if one.start >= cue.end and one.concept == "polarity.negation"), None
        )
        if sign and sign not in taken and in_reach(cue, sign, side.folded.lower, FAR):
            taken.append(sign)
    return [cue for cue in firm if cue not in taken], taken


_WEAK = ("polarity.weak", "polarity.restrictive", "polarity.scarce", "polarity.limiting")
_NEGATIONS = ("polarity.negation", "polarity.without", "polarity.except", "polarity.privatives")


@cache
def denying_axes(code: str) -> frozenset[str]:
    """Return the axes whose words deny as a negation does, as concepts."""
    return frozenset(f"opposites.{name}" for name in table(code).get("polarity", {}).get("axes", ()))


def _against(side: Side) -> list[Cue]:
    """Return the words of opposites that deny, of the axes on which they do it without a negation."""
    return [cue for cue in side.found(*sorted(denying_axes(side.code))) if cue.value == "no"]


@cache
def _conjunctions(code: str) -> frozenset[str]:
    return frozenset(form for form in plain_forms(code, "options", "joins") if form.isalpha())


@cache
def words_of(code: str, name: str) -> frozenset[str]:
    """Return the folded forms of a list of `polarity`: going_on, alternatives, attached, ..."""
    return frozenset(plain_forms(code, "polarity", name))


def _attached(code: str) -> frozenset[str]:
    """Return the conjunctions that are written together with the next word: و."""
    return words_of(code, "attached")


@cache
def _firm_as_written(code: str) -> frozenset[str]:
    """Return joined signs that are firm by a letter which folding takes away: ألا, but not إلا."""
    return frozenset(table(code).get("polarity", {}).get("as_written", ()))


@cache
def _otherwise(code: str) -> frozenset[str]:
    """Return words for otherwise that folding makes equal to a negation: وإلا, but not وألا."""
    return frozenset(table(code).get("polarity", {}).get("otherwise", ()))


def _number_follows(side: Side, cue: Cue) -> bool:
    """Tell whether a limit is one of a number: no more than 5 days, and not no more than a sewer."""
    return any(0 <= number.start - cue.end <= _LIMIT for number in side.numbers)


_LIMIT = 15
"""Characters between a limit and its number."""


def _written(side: Side, cue: Cue) -> str:
    start, end = side.folded.original((cue.start, cue.end))
    return side.text[start:end]


def _whole(cues: Sequence[Cue], words: Sequence[Cue]) -> list[Cue]:
    """Return the signs that are no part of a longer one: 不 of 不足."""
    longer = sorted(words, key=BY_START)

    def inside(cue: Cue, word: Cue) -> bool:
        return word.start <= cue.start and cue.end <= word.end and word[2:] != cue[2:]

    return [cue for cue in cues if not any(inside(cue, word) for word in neighbours(cue, longer))]


def spans_of(lower: str, cues: Sequence[Cue]) -> Covered:
    """Return the stretches of a text that its cues take."""
    return Covered(len(lower), ((cue.start, cue.end) for cue in cues))


def _alone(cues: Sequence[Cue], others: Sequence[Cue], side: Side, reach: int) -> list[Cue]:
    """Return the cues that are no part of another negation, the first of those that belong together."""
    kept: list[Cue] = []
    for cue in cues:
        beside = [*neighbours(cue, others), *kept[-1:]]
        if not any(
            in_reach(cue, other, side.folded.lower, reach) and _joins(cue, other, side) for other in beside
        ):
            kept.append(cue)
    return kept


def _joins(cue: Cue, other: Cue, side: Side) -> bool:
    """Tell whether two signs are one: sin que exista ninguna; or two: aucun, et des gens sans."""
    lower = side.folded.lower
    between = lower[min(cue.end, other.end) : max(cue.start, other.start)]
    if any(f", {word} " in between for word in words_of(side.code, "coordinating")):
        return False  # neither affected it, and no dose
    if other.concept == "polarity.except" and cue.concept == "polarity.joined":
        return False  # à moins qu'aucune
    if other.concept != "polarity.without":
        return not (cue.start > other.end and lower[other.end] == "," and opens_answer(other, lower))
    return cue.start >= other.end and COMMAS.isdisjoint(lower[other.end : cue.start])


def opens_answer(cue: Cue, lower: str) -> bool:
    """Tell whether a sign is an answer: No, nunca se da."""
    before = lower[max(0, cue.start - 3) : cue.start].strip(" \u00a0\"'-¡")
    return not before or before[-1] in CLAUSE_ENDS


def _unled(particles: Sequence[Cue], others: Sequence[Cue], lower: str, reach: int) -> list[Cue]:
    """Return the particles without a sign: each sign after them has one (n'ont pu, et n'a pas), and joined
    signs may stand before them (personne ne).
    """
    ends = [*(cue.start for cue in particles[1:]), len(lower)]

    def leads(cue: Cue, other: Cue, end: int) -> bool:
        follows = cue.start < other.start < end
        return in_reach(cue, other, lower, reach) and (follows or other.concept == "polarity.joined")

    pairs = zip(particles, ends, strict=False)
    return [cue for cue, end in pairs if not any(leads(cue, other, end) for other in neighbours(cue, others))]


BY_START = attrgetter("start")


def neighbours(cue: Cue, others: Sequence[Cue]) -> Sequence[Cue]:
    """Return the last two that start before a cue and the first two that start with it or after it."""
    at = bisect_left(others, cue.start, key=BY_START)
    return others[max(0, at - 2) : at + 2]


def in_reach(cue: Cue, other: Cue, lower: str, reach: int) -> bool:
    """Tell whether at most so many characters, and no end of a clause, stand between two cues."""
    between = lower[min(cue.end, other.end) : max(cue.start, other.start)]
    return len(between) <= reach and CLAUSE_ENDS.isdisjoint(between)
