"""Negation and EXCEPT: neither dropped nor added.

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

Words that have an opposite (`opposites.py`) are compared first; those that agree are counted no more.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache, reduce
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue, longest_of, plain_forms, table
from bimedix.integrity.opposites import (
    BOUNDS,
    Around,
    Pole,
    Turned,
    agreed,
    is_bound,
    named_by_both,
    poles,
    turned,
)
from bimedix.integrity.pair import Findings, Pair, Severity, Side
from bimedix.languages import language
from bimedix.records import Finding

_REACH = {True: 70, False: 20}
"""Characters between two words of one negation, where words are spaced and where not."""
_CLOSE, _FAR = 20, 60
"""Characters between two signs of which the second only repeats the first: surely, and perhaps."""
_SENTENCE = 250
"""Characters of a text in which each word like unknown has a counterpart that the lists know."""
_LONG = 400
"""Characters of a text above which a word of one side need not be the opposite of a word of the other."""
_TWICE = 30
"""Characters between a negation and the soft sign that it takes back: must not be interrupted."""
_LISTED = 8
"""Characters between the signs of a list where words are not spaced."""
_COMMAS = frozenset(",،，")
_CLAUSE_ENDS = frozenset(".;:!?。；：！？؛؟")


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
        cues = sorted([*self.firm, *self.limits], key=_START)
        firm = set(self.firm)
        near = ((a, b) for a, b in pairwise(cues) if b.start - a.end <= _FAR and b in firm)
        if not self.spaced:
            return sum(self._says_again(a, b) for a, b in near)
        return sum(self._links(self.lower[a.end : b.start]) for a, b in near if self._beside(a, b, reach))

    def echoes(self, cues: Sequence[Cue]) -> list[Cue]:
        """Return the firm signs that only repeat a limit among some cues: ألا يقل عمره ... ولا وزنه."""
        said = _covered(self.lower, cues)
        both = sorted([*self.firm, *self.limits], key=_START)
        pairs = [(a, b) for a, b in pairwise(both) if said.meets(a.start, a.end) and a in self.limits]
        linked = (b for a, b in pairs if b in self.firm and self._beside(a, b, _CLOSE))
        return [b for b in linked if self.lower[b.start - 1] in _attached(self.code)]

    def _says_again(self, one: Cue, other: Cue) -> bool:
        """Tell whether a sign is said again for the next of a list, without spaces: 无红肿，亦无渗液."""
        gap = self.lower[one.end : other.start]
        alike = self.lower[one.start : one.end][-1] == self.lower[other.start : other.end][-1]
        alike = alike or not self.conjunctions.isdisjoint(gap)
        apart = any(one.end <= word.start < other.start for word in self.breaks if word.end <= other.start)
        return alike and not apart and len(gap) <= _LISTED and _CLAUSE_ENDS.isdisjoint(gap)

    def _beside(self, one: Cue, other: Cue, reach: int) -> bool:
        """Tell whether two signs are near enough to be one: far off, if they are the same with a conjunction
        between them (no food for six hours, and no water).
        """
        gap = self.lower[one.end : other.start]
        same = self.lower[one.start : one.end] == self.lower[other.start : other.end]
        conjunction = gap.split()[-1:] in [
            [word]
            for word in (*self.conjunctions - _words_of(self.code, "alternatives"), *_attached(self.code))
        ]
        plain = other.concept == "polarity.negation" and _COMMAS.isdisjoint(gap)  # not: with and without
        again = same or other.concept != "polarity.negation" or self._goes_on(other)
        return (len(gap) <= reach and again) or (same and conjunction and plain)

    def _goes_on(self, cue: Cue) -> bool:
        """Tell whether a sign is one that goes on with any other: لم يأكل ولا شرب."""
        return self.lower[cue.start : cue.end] in _words_of(self.code, "going_on")

    def _links(self, gap: str) -> bool:
        words = gap.split()
        if not (_CLAUSE_ENDS | _COMMAS if len(gap) <= _CLOSE else _CLAUSE_ENDS).isdisjoint(gap):
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
        taken = _covered(self.lower, cues)
        return self._kept(lambda cue: not taken.meets(cue.start, cue.end))

    def softened(self, cues: Sequence[Cue]) -> "Signs":
        """Return the same, with the signs that a cue of a list overlaps as soft: they need no counterpart."""
        if not cues:
            return self
        taken = _covered(self.lower, cues)
        moved = [cue for cue in self.firm if taken.meets(cue.start, cue.end)]
        firm, denials, affixed = (
            [cue for cue in found if not taken.meets(cue.start, cue.end)]
            for found in (self.firm, self.denials, self.affixed)
        )
        soft = sorted([*self.soft, *moved], key=_START)
        return self._replace(firm=firm, denials=denials, affixed=affixed, soft=soft)

    def joined_by(self, other: "Signs") -> "Signs":
        """Return those of two stretches of one text."""
        return self._of(lambda name: [*getattr(self, name), *getattr(other, name)])

    def _kept(self, keep: Callable[[Cue], bool]) -> "Signs":
        return self._of(lambda name: list(filter(keep, getattr(self, name))))

    def _of(self, found: Callable[[str], Sequence[Cue]]) -> "Signs":
        firm, denials, affixed, soft, weak, limits, idioms, merged, affirming = map(found, _LISTS)
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


_LISTS = ("firm", "denials", "affixed", "soft", "weak", "limits", "idioms", "merged", "affirming")


def signs(side: Side) -> Signs:
    """Return the signs of a text."""
    lower = side.folded.lower
    idioms = side.found("polarity.idioms")
    limits = [cue for cue in side.found("polarity.limits") if _number_follows(side, cue)]
    bounded = [cue for cue in side.found(*BOUNDS) if is_bound(side, cue)]
    otherwise = [
        cue for cue in side.found("polarity.otherwise") if _written(side, cue) in _otherwise(side.code)
    ]
    numbered = [cue for cue in side.found("polarity.abbreviations") if _number_follows(side, cue)]
    idle = {*idioms, *limits, *bounded, *numbered, *otherwise, *side.found("polarity.lookalikes")}
    longer = longest_of([*idle, *side.found(*_NEGATIONS)])
    passed = _covered(lower, [cue for cue in longer if cue in idle])

    def found(*names: str) -> list[Cue]:
        cues = side.found(*(f"polarity.{name}" for name in names))
        return [cue for cue in cues if not passed.meets(cue.start, cue.end)]

    negated = _covered(lower, side.found(*_NEGATIONS))
    against = [cue for cue in _against(side) if not passed.meets(*cue[2:])]
    against = [cue for cue in against if not negated.meets(*cue[2:])]
    soft = longest_of([*found("denials", "affixed", "soft", "privatives"), *against])
    joined = longest_of(found("joined", "exceptions"))
    apart = [cue for cue in joined if _written(side, cue) in _firm_as_written(side.code)]
    joined = [cue for cue in joined if cue not in apart]
    firm = _whole(longest_of(found("negation", "without", "except")), [*soft, *joined])
    covered = _covered(lower, [cue for cue in firm if cue.concept == "polarity.except"])
    joined = [cue for cue in joined if not covered.meets(cue.start, cue.end)]
    firm = sorted([*firm, *apart], key=_START)
    firm, absorbed = _absorbed(side, firm)
    reach = _REACH[language(side.code).spaced]
    alone = _alone(joined, firm, side, reach)
    merged = sorted([*absorbed, *(cue for cue in joined if cue not in alone)], key=_START)
    firm = sorted([*firm, *alone], key=_START)
    said = _covered(lower, firm)
    soft = [cue for cue in soft if not said.meets(cue.start, cue.end)]
    denials, affixed = (
        [cue for cue in soft if cue.concept == name] for name in ("polarity.denials", "polarity.affixed")
    )
    soft = sorted(
        [*soft, *_unled(found("particles"), sorted([*firm, *bounded, *limits], key=_START), lower, reach)],
        key=_START,
    )
    said = _covered(lower, [*firm, *soft])
    weak = longest_of(side.found(*_WEAK))
    same = {(cue.start, cue.end) for cue in longer if cue.concept == "polarity.lookalikes"}
    weak = [cue for cue in weak if (cue.start, cue.end) in same or not passed.meets(cue.start, cue.end)]
    weak = [cue for cue in weak if not said.meets(cue.start, cue.end)]
    affirming = side.found("polarity.affirming")
    if affirming:
        said = _covered(lower, [*firm, *soft, *idioms])
        affirming = [cue for cue in affirming if not said.meets(cue.start, cue.end)]
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


def _absorbed(side: Side, firm: list[Cue]) -> tuple[list[Cue], list[Cue]]:
    """Part the signs from those that belong to a word before them: пока ... не, tant que ... pas, until."""
    taken = []
    for cue in side.found("polarity.absorbs"):
        sign = next(
            (one for one in firm if one.start >= cue.end and one.concept == "polarity.negation"), None
        )
        if sign and sign not in taken and _near(cue, sign, side.folded.lower, _FAR):
            taken.append(sign)
    return [cue for cue in firm if cue not in taken], taken


_WEAK = ("polarity.weak", "polarity.restrictive", "polarity.scarce", "polarity.limiting")
_NEGATIONS = ("polarity.negation", "polarity.without", "polarity.except", "polarity.privatives")


def _against(side: Side) -> list[Cue]:
    """Return the words of opposites that deny, of the axes on which they do it without a negation."""
    return [cue for cue in side.found(*sorted(_axes(side.code))) if cue.value == "no"]


@cache
def _conjunctions(code: str) -> frozenset[str]:
    return frozenset(form for form in plain_forms(code, "options", "joins") if form.isalpha())


@cache
def _words_of(code: str, name: str) -> frozenset[str]:
    """Return the folded forms of a list of `polarity`: going_on, alternatives, attached, ..."""
    return frozenset(plain_forms(code, "polarity", name))


def _attached(code: str) -> frozenset[str]:
    """Return the conjunctions that are written together with the next word: و."""
    return _words_of(code, "attached")


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
    longer = sorted(words, key=_START)

    def inside(cue: Cue, word: Cue) -> bool:
        return word.start <= cue.start and cue.end <= word.end and word[2:] != cue[2:]

    return [cue for cue in cues if not any(inside(cue, word) for word in _beside(cue, longer))]


def _covered(lower: str, cues: Sequence[Cue]) -> Covered:
    return Covered(len(lower), ((cue.start, cue.end) for cue in cues))


def _alone(cues: Sequence[Cue], others: Sequence[Cue], side: Side, reach: int) -> list[Cue]:
    """Return the cues that are no part of another negation, the first of those that belong together."""
    kept: list[Cue] = []
    for cue in cues:
        beside = [*_beside(cue, others), *kept[-1:]]
        if not any(
            _near(cue, other, side.folded.lower, reach) and _joins(cue, other, side) for other in beside
        ):
            kept.append(cue)
    return kept


def _joins(cue: Cue, other: Cue, side: Side) -> bool:
    """Tell whether two signs are one: sin que exista ninguna; or two: aucun, et des gens sans."""
    lower = side.folded.lower
    between = lower[min(cue.end, other.end) : max(cue.start, other.start)]
    if any(f", {word} " in between for word in _words_of(side.code, "coordinating")):
        return False  # neither affected it, and no dose
    if other.concept == "polarity.except" and cue.concept == "polarity.joined":
        return False  # à moins qu'aucune
    if other.concept != "polarity.without":
        return not (cue.start > other.end and lower[other.end] == "," and _begins(other, lower))
    return cue.start >= other.end and _COMMAS.isdisjoint(lower[other.end : cue.start])


def _begins(cue: Cue, lower: str) -> bool:
    """Tell whether a sign is an answer: No, nunca se da."""
    before = lower[max(0, cue.start - 3) : cue.start].strip(" \u00a0\"'-¡")
    return not before or before[-1] in _CLAUSE_ENDS


def _unled(particles: Sequence[Cue], others: Sequence[Cue], lower: str, reach: int) -> list[Cue]:
    """Return the particles without a sign: each sign after them has one (n'ont pu, et n'a pas), and joined
    signs may stand before them (personne ne).
    """
    ends = [*(cue.start for cue in particles[1:]), len(lower)]

    def leads(cue: Cue, other: Cue, end: int) -> bool:
        follows = cue.start < other.start < end
        return _near(cue, other, lower, reach) and (follows or other.concept == "polarity.joined")

    pairs = zip(particles, ends, strict=False)
    return [cue for cue, end in pairs if not any(leads(cue, other, end) for other in _beside(cue, others))]


_START = attrgetter("start")


def _beside(cue: Cue, others: Sequence[Cue]) -> Sequence[Cue]:
    """Return the last two that start before a cue and the first two that start with it or after it."""
    at = bisect_left(others, cue.start, key=_START)
    return others[max(0, at - 2) : at + 2]


def _near(cue: Cue, other: Cue, lower: str, reach: int) -> bool:
    between = lower[min(cue.end, other.end) : max(cue.start, other.start)]
    return len(between) <= reach and _CLAUSE_ENDS.isdisjoint(between)


def check_negation(pair: Pair) -> Findings:
    """Yield sentences whose negation is gone, and sentences that became negative.

    Each firm sign of the source has to meet a firm one, or a soft one that the source's own soft signs do not
    account for; each firm sign of the translation has to meet any sign, or take back a soft one of its own.
    Texts with as many sentences on both sides are compared sentence by sentence, too.
    """
    answers = _answer(pair.source), _answer(pair.target)
    source, target = signs(pair.source), signs(pair.target)
    if all(answers) and answers[0] != answers[1]:
        if not _denies_after(pair):
            yield pair.finding("negation", "error", f"the answer {answers[0]} became {answers[1]}")
            return
        source = source.without(pair.source.found("polarity.answers")[:1])
        target = target.without(pair.target.found("polarity.answers")[:1])
    shared = named_by_both(pair.source, pair.target)
    outright = pair.source.found("polarity.outright")
    if not (shared or source.firm or source.denials or source.limits or target.firm or outright):
        return
    aligned = _parts(pair, source, target, shared)
    against = _contradiction(pair, aligned)
    if against:
        yield against
        return
    parts = [_rest(part) for part in aligned]
    source, target = (reduce(Signs.joined_by, found) for found in zip(*parts, strict=True))
    strict = "strict" in table(pair.target.code).get("polarity", {}).get("order", ())
    lost = [cue for mine, theirs in parts if _dropped(mine, theirs) for cue in mine.firm]
    new = [cue for mine, theirs in parts if _added(mine, theirs) for cue in theirs.firm]
    if _dropped(source, target) or (lost := _silent(parts)):
        lost = lost or [*source.firm, *source.denials, *source.limits]
        kind = "exception" if lost[0].concept == "polarity.except" else "negation"
        text = f"the {kind} of the source ({_quote(source, lost)}) is missing from the translation"
        free = [_reworded(pair, a, *b) for a, b in zip(aligned, parts, strict=True)]
        severity: Severity = "error" if _unmet(parts, free) else "warning"
        yield pair.finding("negation", severity, text, [(cue.start, cue.end) for cue in lost])
    elif _added(source, target) or (new := _silent([(theirs, mine) for mine, theirs in parts])):
        new = new or list(target.firm)
        text = f"the translation negates ({_quote(target, new)}), the source does not"
        turned = [
            (theirs, mine)
            for (mine, theirs), part in zip(parts, aligned, strict=True)
            if strict or not part.source.firm  # a sentence that denies may be said with one sign more
        ]
        free = [0] * len(turned)
        severity = "error" if _unmet(turned, free) or (strict and _overflows(aligned, target)) else "warning"
        yield pair.finding("negation", severity, text, (), [(cue.start, cue.end) for cue in new])
    elif lonely := _unsaid(pair, aligned):
        said = [(cue.start, cue.end) for cue in lonely]
        text = f"what the source denies ({_words(pair.source, said)}) is not denied in the translation"
        yield pair.finding("negation", "error", text, said)
    elif strict and _overflows(aligned, target):
        new = [*target.firm, *_privatives(target)] or new
        text = f"the translation negates ({_quote(target, new)}), the source does not"
        yield pair.finding("negation", "error", text, (), [(cue.start, cue.end) for cue in new])


def _answer(side: Side) -> str:
    """Return yes or no where a text begins with it, else nothing."""
    cues = side.found("polarity.answers")
    return cues[0].value if cues and cues[0].start <= _OPENING else ""


def _denies_after(pair: Pair) -> bool:
    """Tell whether both answers go on with a negation: to a question that denies, languages answer no, it is
    not, or نعم، ليس.
    """
    return all(_denied_first(side) for side in (pair.source, pair.target))


def _denied_first(side: Side) -> bool:
    """Tell whether the sentence of an answer has a sign besides the answer."""
    answer = side.found("polarity.answers")[0]
    end = side.sentence_ends[0]
    return any(answer.end <= cue.start < end for cue in side.found("polarity.negation", "polarity.joined"))


_OPENING = 2
"""Characters before an answer: quotes, dashes."""


def _unmet(parts: Sequence[tuple[Signs, Signs]], free: Sequence[int]) -> bool:
    """Tell whether the evidence is strong: one side of some sentences has more signs than all that may stand
    for them on the other. `free`: how many of them need no sign there.
    """
    return any(
        _count(mine) > _count(theirs) + _spare(mine, theirs) + more
        for (mine, theirs), more in zip(parts, free, strict=True)
        if (mine.denials or len(mine.firm) != len(theirs.firm)) and not _affirms(mine, theirs)
    )


def _affirms(mine: Signs, theirs: Signs) -> bool:
    """Tell whether two signs of one side that take each other back are what the other says without any: no
    dose is free of risk, 任何剂量都有风险.
    """
    firm, denials = mine.firm, mine.denials
    if len(firm) != 1 or len(denials) != 1 or _all(theirs):
        return False
    return firm[0].end <= denials[0].start and _near(firm[0], denials[0], mine.lower, _TWICE)


def _count(found: Signs) -> int:
    return len(found.firm) - found.repeated(_CLOSE) + len(found.denials)


def _spare(mine: Signs, theirs: Signs) -> int:
    """How many signs of one side may stand for firm ones of the other."""
    plain = len(mine.soft) - len(mine.denials) - len(mine.affixed)
    turning = sum(cue.concept == "polarity.privatives" for cue in theirs.soft)
    others = len(theirs.soft) - len(theirs.denials) - turning
    unturned = max(0, len(mine.affixed) - turning)
    soft = max(0, turning - len(mine.affixed)) + max(0, others - plain - unturned)
    known = all(_words_of(found.code, "affirming") for found in (mine, theirs))
    affirming = max(0, len(theirs.affirming) - len(mine.affirming)) if known else 0
    return soft + len(theirs.limits) + len(theirs.idioms) + len(theirs.merged) + affirming


def _dropped(source: Signs, target: Signs) -> bool:
    """Tell whether signs of the source are without counterpart, all counted and those that repeat left out:
    "no X and no Y" may become one negation of both, or two of each other.
    """
    spare = max(0, len(target.soft) - len(source.soft)) + max(0, len(target.limits) - len(source.limits))
    merged = len(source.firm) - source.repeated(_CLOSE) > len(target.firm) - target.repeated(_CLOSE) + spare
    plain = len(source.firm) + len(source.denials) + len(source.limits)
    plain += len(source.affixed) if source.firm and len(source.lower) <= _SENTENCE else 0
    return (
        len(source.firm) > len(target.firm) + spare
        or (merged and bool(target.firm))
        or plain > _all(target) - min(_weak(source), _weak(target))
    )


def _added(source: Signs, target: Signs) -> bool:
    spare = max(0, len(source.soft) - len(target.soft)) + max(0, len(source.weak) - len(target.weak))
    spare += len(source.firm) + len(source.idioms) + len(source.limits)
    if len(target.firm) - target.repeated(_FAR) <= spare:
        return False
    return len(target.soft) <= len(source.soft) or not any(
        _near(firm, soft, target.lower, _TWICE) for firm in target.firm for soft in _beside(firm, target.soft)
    )


def _privatives(found: Signs) -> list[Cue]:
    return [cue for cue in found.soft if cue.concept == "polarity.privatives"]


def _silent(parts: Sequence[tuple[Signs, Signs]]) -> list[Cue]:
    """Return the firm signs of sentences without any sign on the other side, nor one to spare beside them."""
    lost: list[Cue] = []
    for index, (mine, theirs) in enumerate(parts):
        beside = parts[max(0, index - 1) : index + 2] if len(parts) > 1 else ()
        if (
            (mine.firm or mine.denials)
            and beside
            and not _all(theirs)
            and all(_all(a) >= _all(b) for a, b in beside)
        ):
            lost += [*mine.firm, *mine.denials]
    return lost


def _all(found: Signs) -> int:
    return _weak(found) + sum(map(len, (found.firm, found.soft, found.limits, found.idioms)))


def _weak(found: Signs) -> int:
    """Return how many weak signs are there besides those that end a span of time."""
    return sum(cue.concept != "polarity.limiting" for cue in found.weak)


class Part(NamedTuple):
    """A sentence and its translation, or the whole of both."""

    source: Signs
    target: Signs
    mine: list[Pole]
    theirs: list[Pole]
    length: int
    """Characters of the source."""
    spans: tuple[tuple[int, int], tuple[int, int]]
    """Where both stand."""


def _reworded(pair: Pair, part: Part, mine: Signs, theirs: Signs) -> int:
    """Return how many signs of the source may be said without one: those of double denials whose denied word
    is gone, too (not impaired, preserved), and an answer before a sentence that repeats it. `mine` and
    `theirs` are what is left of a part.
    """
    answer = _answer_twice(part.source)
    free = int(any(sign in mine.firm for sign in answer) and not _answer_twice(part.target, 1))
    fewer, missing = len(mine.soft) - len(theirs.soft), _count(mine) - _count(theirs)
    one, other, spans = pair.source, pair.target, part.spans
    axes = _axes(one.code) or _axes(other.code)
    signed = _covered(mine.lower, mine.firm)
    denying = [
        cue for cue in _words_denying(one, spans[0]) if cue.concept in axes and not signed.meets(*cue[2:])
    ]
    left = {cue.concept for cue in _words_denying(other, spans[1])}
    for firm in mine.firm:
        near = [cue for cue in denying if _near(firm, cue, mine.lower, _DOUBLE) and cue.start >= firm.end]
        soft = [cue for cue in mine.soft if _near(firm, cue, mine.lower, _DOUBLE) and cue.start >= firm.end]
        gone = not any(cue.concept in left for cue in near) if near else fewer > 0
        both = 1 + any(cue in mine.denials for cue in soft)
        if (near or soft) and gone and missing >= both:
            free += both
    return free


_DOUBLE = 20
"""Characters between a negation and a word that denies, of a double denial."""


def _answer_twice(found: Signs, least: int = 2) -> Sequence[Cue]:
    """Return the answer that a text begins with and what repeats it: No, it is not enough."""
    if len(found.firm) < least or not _begins(found.firm[0], found.lower):
        return []
    gap = found.lower[found.firm[0].end : found.firm[1].start if least > 1 else None]
    return found.firm[:least] if gap[:1] in _ANSWERED and (least < 2 or len(gap) <= _FAR) else []


_ANSWERED = _CLAUSE_ENDS | _COMMAS
"""What follows an answer."""


def _words_denying(side: Side, span: tuple[int, int]) -> list[Cue]:
    names = [name for name in side.cues if name.startswith("opposites.")]
    return [cue for cue in side.found(*names) if cue.value == "no" and span[0] <= cue.start < span[1]]


@cache
def _axes(code: str) -> frozenset[str]:
    """Return the axes whose words deny as a negation does, as concepts."""
    return frozenset(f"opposites.{name}" for name in table(code).get("polarity", {}).get("axes", ()))


def _unsaid(pair: Pair, parts: Sequence[Part]) -> list[Cue]:
    """Return words that deny by themselves (stopped, missed, excluded) in sentences whose translation has no
    sign and no word that denies.
    """
    lost: list[Cue] = []
    denying = pair.source.found("polarity.outright")
    names = [name for name in pair.target.cues if name.startswith("opposites.")]
    there = [cue for cue in pair.target.found(*names) if cue.value == "no"] if denying else []
    for part in parts:
        start, end = part.spans[0]
        mine = [cue for cue in denying if start <= cue.start < end]
        first, last = part.spans[1]
        silent = not _all(part.target) and not any(first <= cue.start < last for cue in there)
        if mine and silent and not part.source.firm and not part.source.idioms:
            lost += mine
    return lost


def _overflows(parts: Sequence[Part], target: Signs) -> bool:
    """Tell whether a translation has more signs that deny a word than a short source has signs of any kind:
    for a language whose lists of privatives and of exceptions are complete. Signs of the target that agree
    with a word of the source are not among its rest.
    """
    if sum(part.length for part in parts) > _SHORT:
        return False
    source = [cue for part in parts for name in _LISTS for cue in getattr(part.source, name)]
    idle = ("polarity.limiting", "polarity.restrictive", "polarity.affirming")
    have = sum(cue.concept not in idle for cue in dict.fromkeys(source))
    if _may_deny(parts[0].source.lower, parts[0].source.code):
        return False
    denied = len(target.firm) - target.repeated(_FAR) - len(_exceptions(target))
    return denied + len(_privatives(target)) > have


_SHORT = 200
"""Characters of a text in which every word that denies is one that the lists know."""
_STEM = 5
"""Letters that follow a prefix which denies."""


def _may_deny(lower: str, code: str) -> bool:
    """Tell whether a text has words that may deny by their first letters: inadvertently, subnational."""
    pattern = _denying(code)
    return bool(pattern and pattern.search(lower))


@cache
def _denying(code: str) -> re.Pattern[str] | None:
    prefixes = sorted(_words_of(code, "prefixes"))
    return re.compile(rf"\b(?:{'|'.join(prefixes)})-?[^\W\d_]{{{_STEM},}}") if prefixes else None


def _parts(pair: Pair, source: Signs, target: Signs, shared: frozenset[str]) -> list[Part]:
    """Return sentence by sentence where both sides have as many, else the whole."""
    mine, theirs = _poles(pair.source, source, shared), _poles(pair.target, target, shared)
    ends, other_ends = pair.source.sentence_ends, pair.target.sentence_ends
    if len(ends) != len(other_ends) or len(ends) < 2:
        spans = (0, len(source.lower)), (0, len(target.lower))
        return [Part(source, target, mine, theirs, len(source.lower), spans)]
    stretches = zip(pairwise((0, *ends)), pairwise((0, *other_ends)), strict=True)
    return [
        Part(
            source.within(*here),
            target.within(*there),
            _within(mine, *here),
            _within(theirs, *there),
            here[1] - here[0],
            (here, there),
        )
        for here, there in stretches
    ]


def _poles(side: Side, found: Signs, shared: frozenset[str]) -> list[Pole]:
    if not shared:
        return []
    firm = [*found.firm, *found.limits, *found.idioms]
    idle = ("polarity.restrictive", "polarity.limiting", "polarity.affixed")
    weak = found.weak if found.spaced else ()
    soft = [cue for cue in (*found.soft, *weak) if cue.concept not in idle]
    breaks = side.found("polarity.breaks")
    words = poles(
        side, Around(found.turning, firm, soft, breaks, _announced(side, found), _taken_back(side)), shared
    )
    if not found.merged:
        return words
    taken = _covered(found.lower, found.merged)  # пока не видно: until it is seen
    return [one._replace(sure=one.sure and not taken.meets(*one.cue[2:])) for one in words]


def _taken_back(side: Side) -> list[Cue]:
    """Return the exceptions of a language that has a word for them that is no unless."""
    own = table(side.code).get("polarity", {}).get("exceptions")
    return side.found("polarity.exceptions", "polarity.except") if own else []


def _announced(side: Side, found: Signs) -> list[tuple[Cue, Cue]]:
    """Return the particles, each with the sign that follows it in its clause: ne ... pas, n'... aucun."""
    pairs = []
    for particle in side.found("polarity.particles"):
        sign = next((one for one in found.turning if one.start >= particle.end), None)
        if sign and _near(particle, sign, found.lower, _FAR):
            pairs.append((particle, sign))
    return pairs


def _within(found: list[Pole], start: int, end: int) -> list[Pole]:
    return [pole for pole in found if start <= pole.cue.start < end]


def _contradiction(pair: Pair, parts: Sequence[Part]) -> Finding | None:
    """Return an error where the sides say the opposite of each other, in a sentence or as a whole."""
    for part in parts:
        if part.length > _LONG or _asks_otherwise(part.source, part.target):
            continue
        for one in turned(part.mine, part.theirs):
            unspaced = not (part.source.spaced and part.target.spaced)
            if unspaced and (_settled(part, one) or _evens_out(parts, one)):
                continue
            spans = [[_span(pole) for pole in found] for found in one]
            was, now = (
                _words(side, found) for side, found in zip((pair.source, pair.target), spans, strict=True)
            )
            return pair.finding("negation", "error", f"'{was}' in the source became '{now}'", *spans)
    return None


def _settled(part: Part, one: Turned) -> bool:
    """Tell whether two words only seem to be opposites: a sign that turns one may turn another word of its
    sentence, because both sides have as many (brain death cannot be diagnosed, 无法诊断脑死亡), the word of
    the translation agrees with another one, or an EXCEPT at the end turns all.
    """
    by = any(pole.by for pole in (*one.source, *one.target))
    if by and _total(part.source) == _total(part.target):
        return True
    both = agreed(part.mine, part.theirs)
    here = _covered(part.source.lower, [pole.cue for pole in one.source])
    others = [b.cue for a, b in zip(both.source, both.target, strict=True) if not here.meets(*a.cue[2:])]
    said = _covered(part.target.lower, others)
    return _ends_with_except(part.source) or all(said.meets(*pole.cue[2:]) for pole in one.target)


def _ends_with_except(found: Signs) -> bool:
    """Tell whether a question is turned by its last word: all of these rule it out EXCEPT."""
    excepts = (cue for cue in found.firm if cue.concept == "polarity.except")
    return any(found.lower[cue.end :].lstrip()[:1] in ("", *_CLAUSE_ENDS) for cue in excepts)


def _total(found: Signs) -> int:
    """Return how many words deny, a repeated one counted once."""
    return len(found.firm) - found.repeated(_CLOSE) + len(found.soft) + len(found.idioms) + len(found.limits)


def _evens_out(parts: Sequence[Part], one: Turned) -> bool:
    """Tell whether the sides agree on an axis as wholes, so that the sentences are not each other's."""
    axis = one.source[0].axis
    mine, theirs = (
        [pole for pole in side if pole.axis == axis and not pole.near]
        for side in (
            [pole for part in parts for pole in part.mine],
            [pole for part in parts for pole in part.theirs],
        )
    )
    same = sum(pole.denied for pole in mine) == sum(pole.denied for pole in theirs)
    return len(parts) > 1 and len(mine) == len(theirs) and same


def _asks_otherwise(source: Signs, target: Signs) -> bool:
    """Tell whether an exception of a question met a negation: all are harmful except, which is not."""
    excepted = [sum(cue.concept == "polarity.except" for cue in found.firm) for found in (source, target)]
    asks = not _ASKS.isdisjoint(source.lower + target.lower)
    return asks and excepted[0] != excepted[1] and len(source.firm) == len(target.firm)


_ASKS = frozenset("?？؟")


def _span(pole: Pole) -> tuple[int, int]:
    return min(pole.cue.start, pole.by.start if pole.by else pole.cue.start), max(
        pole.cue.end, pole.by.end if pole.by else pole.cue.end
    )


def _words(side: Side, spans: Sequence[tuple[int, int]]) -> str:
    return ", ".join(dict.fromkeys(side.folded.lower[start:end] for start, end in spans))


def _rest(part: Part) -> tuple[Signs, Signs]:
    """Return the signs of both sides without those that agree."""
    both = agreed(part.mine, part.theirs)
    source = part.source.without(_said(both.source))._replace(weak=part.source.weak)
    said = _explained(both.target, part.theirs, source.spaced and part.target.spaced)
    target = part.target.without([*said, *part.target.echoes(said)])
    listed = [pole for pole in part.mine if any(_listed(part.source, one, pole) for one in both.source)]
    source, target = source.softened(_said(listed)), target.softened(_said(both.again))
    for unless in [cue for cue in target.firm if cue.concept == "polarity.except"]:
        until = next((cue for cue in source.weak if cue.concept == "polarity.limiting"), None)
        if until and not any(cue.concept == "polarity.except" for cue in source.firm):
            source, target = source.without([until]), target.without([unless])
    target, source = _restricted(target, source, ends=True)
    source, target = _restricted(source, target, ends=False)
    return source, target


def _listed(found: Signs, one: Pole, other: Pole) -> bool:
    """Tell whether a word only repeats one before it: do not cut it, and do not apply heat."""
    gap = found.lower[one.cue.end : other.cue.start]
    said, again = (found.lower[pole.cue.start : pole.cue.end] for pole in (one, other))
    near = one.cue.end <= other.cue.start and len(gap) <= _FAR and _CLAUSE_ENDS.isdisjoint(gap)
    return near and said == again and not found.conjunctions.isdisjoint(gap.split())


def _restricted(one: Signs, other: Signs, *, ends: bool) -> tuple[Signs, Signs]:
    """Return both without the negations with an exception or an end that meet a word without a negation:
    لا ... إلا and only, not ... until and 才. `ends`: a span of time that ends is such a word, too.
    """
    excess = len(_exceptions(one)) - len(_exceptions(other))  # may not until is قد لا ... إلا بعد
    for firm, end in _exceptions(one)[: max(0, excess)]:
        only = next(
            (cue for cue in other.weak if cue.concept in _RESTRICTING[ends or not other.spaced]), None
        )
        if only and not any(cue.start < only.start for cue in (*other.firm, *other.denials)):
            one, other = one.without([firm, end]), other.without([only])
    return one, other


_ONLY = ("polarity.restrictive", "polarity.scarce")
_RESTRICTING = {False: _ONLY, True: (*_ONLY, "polarity.limiting")}


def _explained(agreed: Sequence[Pole], every: Sequence[Pole], spaced: bool) -> list[Cue]:
    """Return words that agree, each with its negation; in Chinese and Japanese only if that turns no other
    word, which does not: 発熱も咳もなかった.
    """
    said = _said(agreed)
    needed = {pole.by for pole in every if pole.by and pole.cue not in said and not pole.near}
    return said if spaced else [cue for cue in said if cue not in needed]


def _said(found: Sequence[Pole]) -> list[Cue]:
    return [cue for pole in found for cue in (pole.cue, pole.by) if cue]


def _exceptions(found: Signs) -> list[tuple[Cue, Cue]]:
    """Return the negations with an exception, and those with an end in time: لا ... إلا, لا ... قبل."""
    limiting = [cue for cue in found.weak if cue.concept == "polarity.limiting"]
    unless = [cue for cue in found.firm if cue.concept == "polarity.except"]
    ends = sorted([*found.merged, *limiting, *unless], key=_START)
    plain = [cue for cue in found.firm if cue not in unless]
    before = [[firm for firm in plain if firm.end <= end.start] for end in ends]
    return [
        (firms[-1], end)
        for firms, end in zip(before, ends, strict=True)
        if firms and _CLAUSE_ENDS.isdisjoint(found.lower[firms[-1].end : end.start])
    ]


def _quote(found: Signs, cues: Sequence[Cue]) -> str:
    return ", ".join(dict.fromkeys(found.lower[cue.start : cue.end] for cue in cues))
