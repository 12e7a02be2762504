"""Negation and EXCEPT: neither dropped nor added. What the signs are is told in `signs.py`.

Words that have an opposite (`opposites.py`) are compared first; those that agree are counted no more.
"""

import re
from collections.abc import Sequence
from functools import cache, reduce
from itertools import pairwise
from typing import NamedTuple

from bimedix.integrity.lexicon import Cue, table
from bimedix.integrity.opposites import (
    Around,
    Pole,
    Turned,
    agreed,
    named_by_both,
    poles,
    turned,
)
from bimedix.integrity.pair import Findings, Pair, Severity, Side
from bimedix.integrity.signs import (
    BY_START,
    CLAUSE_ENDS,
    CLOSE,
    COMMAS,
    FAR,
    LISTS,
    Signs,
    denying_axes,
    in_reach,
    neighbours,
    opens_answer,
    signs,
    spans_of,
    words_of,
)
from bimedix.records import Finding

_SENTENCE = 250
"""Characters of a text in which each word like unknown has a counterpart that the lists know."""
_LONG = 400
"""Characters of a text above which a word of one side need not be the opposite of a word of the other."""
_TWICE = 30
"""Characters between a negation and the soft sign that it takes back: must not be interrupted."""


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
    return firm[0].end <= denials[0].start and in_reach(firm[0], denials[0], mine.lower, _TWICE)


def _count(found: Signs) -> int:
    return len(found.firm) - found.repeated(CLOSE) + len(found.denials)


def _spare(mine: Signs, theirs: Signs) -> int:
    """How many signs of one side may stand for firm ones of the other."""
    plain = len(mine.soft) - len(mine.denials) - len(mine.affixed)
    turning = sum(cue.concept == "polarity.privatives" for cue in theirs.soft)
    others = len(theirs.soft) - len(theirs.denials) - turning
    unturned = max(0, len(mine.affixed) - turning)
    soft = max(0, turning - len(mine.affixed)) + max(0, others - plain - unturned)
    known = all(words_of(found.code, "affirming") for found in (mine, theirs))
    affirming = max(0, len(theirs.affirming) - len(mine.affirming)) if known else 0
    return soft + len(theirs.limits) + len(theirs.idioms) + len(theirs.merged) + affirming


def _dropped(source: Signs, target: Signs) -> bool:
    """Tell whether signs of the source are without counterpart, all counted and those that repeat left out:
    "no X and no Y" may become one negation of both, or two of each other.
    """
    spare = max(0, len(target.soft) - len(source.soft)) + max(0, len(target.limits) - len(source.limits))
    merged = len(source.firm) - source.repeated(CLOSE) > len(target.firm) - target.repeated(CLOSE) + spare
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
    if len(target.firm) - target.repeated(FAR) <= spare:
        return False
    return len(target.soft) <= len(source.soft) or not any(
        in_reach(firm, soft, target.lower, _TWICE)
        for firm in target.firm
        for soft in neighbours(firm, target.soft)
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
    axes = denying_axes(one.code) or denying_axes(other.code)
    signed = spans_of(mine.lower, mine.firm)
    denying = [
        cue for cue in _words_denying(one, spans[0]) if cue.concept in axes and not signed.meets(*cue[2:])
    ]
    left = {cue.concept for cue in _words_denying(other, spans[1])}
    for firm in mine.firm:
        near = [cue for cue in denying if in_reach(firm, cue, mine.lower, _DOUBLE) and cue.start >= firm.end]
        soft = [
            cue for cue in mine.soft if in_reach(firm, cue, mine.lower, _DOUBLE) and cue.start >= firm.end
        ]
        gone = not any(cue.concept in left for cue in near) if near else fewer > 0
        both = 1 + any(cue in mine.denials for cue in soft)
        if (near or soft) and gone and missing >= both:
            free += both
    return free


_DOUBLE = 20
"""Characters between a negation and a word that denies, of a double denial."""


def _answer_twice(found: Signs, least: int = 2) -> Sequence[Cue]:
    """Return the answer that a text begins with and what repeats it: No, it is not enough."""
    if len(found.firm) < least or not opens_answer(found.firm[0], found.lower):
        return []
    gap = found.lower[found.firm[0].end : found.firm[1].start if least > 1 else None]
    return found.firm[:least] if gap[:1] in _ANSWERED and (least < 2 or len(gap) <= FAR) else []


_ANSWERED = CLAUSE_ENDS | COMMAS
"""What follows an answer."""


def _words_denying(side: Side, span: tuple[int, int]) -> list[Cue]:
    names = [name for name in side.cues if name.startswith("opposites.")]
    return [cue for cue in side.found(*names) if cue.value == "no" and span[0] <= cue.start < span[1]]


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
    source = [cue for part in parts for name in LISTS for cue in getattr(part.source, name)]
    idle = ("polarity.limiting", "polarity.restrictive", "polarity.affirming")
    have = sum(cue.concept not in idle for cue in dict.fromkeys(source))
    if _may_deny(parts[0].source.lower, parts[0].source.code):
        return False
    denied = len(target.firm) - target.repeated(FAR) - len(_exceptions(target))
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
    prefixes = sorted(words_of(code, "prefixes"))
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
    taken = spans_of(found.lower, found.merged)  # пока не видно: until it is seen
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
        if sign and in_reach(particle, sign, found.lower, FAR):
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
    here = spans_of(part.source.lower, [pole.cue for pole in one.source])
    others = [b.cue for a, b in zip(both.source, both.target, strict=True) if not here.meets(*a.cue[2:])]
    said = spans_of(part.target.lower, others)
    return _ends_with_except(part.source) or all(said.meets(*pole.cue[2:]) for pole in one.target)


def _ends_with_except(found: Signs) -> bool:
    """Tell whether a question is turned by its last word: all of these rule it out EXCEPT."""
    excepts = (cue for cue in found.firm if cue.concept == "polarity.except")
    return any(found.lower[cue.end :].lstrip()[:1] in ("", *CLAUSE_ENDS) for cue in excepts)


def _total(found: Signs) -> int:
    """Return how many words deny, a repeated one counted once."""
    return len(found.firm) - found.repeated(CLOSE) + len(found.soft) + len(found.idioms) + len(found.limits)


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
    near = one.cue.end <= other.cue.start and len(gap) <= FAR and CLAUSE_ENDS.isdisjoint(gap)
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
    ends = sorted([*found.merged, *limiting, *unless], key=BY_START)
    plain = [cue for cue in found.firm if cue not in unless]
    before = [[firm for firm in plain if firm.end <= end.start] for end in ends]
    return [
        (firms[-1], end)
        for firms, end in zip(before, ends, strict=True)
        if firms and CLAUSE_ENDS.isdisjoint(found.lower[firms[-1].end : end.start])
    ]


def _quote(found: Signs, cues: Sequence[Cue]) -> str:
    return ", ".join(dict.fromkeys(found.lower[cue.start : cue.end] for cue in cues))
