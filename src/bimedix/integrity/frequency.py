"""Read how often a drug is given, in times per day: q8h, bid, twice daily, مرتين يوميًا, كل 8 ساعات."""

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue
from bimedix.integrity.numbers import Number, number_reader
from bimedix.integrity.pair import Pair, Side
from bimedix.integrity.units import TIME, unit_reader, units
from bimedix.languages import language

_DAY = 86400
_MOST = 48
"""Times in a period above which it is no frequency of a drug: 12,000 tests a day."""
_Q = re.compile(
    r"(?<![^\W_])(?:q\.?[ \u00a0]?(?P<low>\d{1,3})(?:-(?P<high>\d{1,3}))?[ \u00a0]?"
    r"(?P<unit>h|hr|hrs|hours|d|days|w|wk|weeks)"
    r"|(?P<each>\d{1,3})-?[ \u00a0]?hourly)(?!\w)"
)
DOSE_DIMENSIONS = frozenset(
    {"mass", "volume", "activity", "equivalents", "amount", "tablets", "drops", "puffs"}
)
_REACH = 3
"""Characters between a dose and the word for its period."""
_Q_DAYS = {"h": Fraction(1, 24), "d": Fraction(1), "w": Fraction(7)}


class Frequency(NamedTuple):
    """How often, with every reading of a range (every 4 to 6 hours)."""

    per_day: frozenset[Fraction]
    start: int
    end: int
    firm: bool
    """False for a bare `daily`, which may be said of anything."""


def frequencies(side: Side) -> list[Frequency]:
    """Return the frequencies of a text in reading order; of two that overlap, the longer."""
    found = [*_fixed(side), *_intervals(side), *_times(side), *_bare(side)]
    found.sort(key=lambda one: (one.start - one.end, not one.firm))
    taken = Covered(len(side.folded.lower))
    kept: list[Frequency] = []
    for one in found:
        if not taken.meets(one.start, one.end):
            kept.append(one)
            taken.add(one.start, one.end)
    return sorted(kept, key=lambda one: one.start)


def _fixed(side: Side) -> Iterator[Frequency]:
    for cue in side.found("frequency.fixed"):
        yield Frequency(frozenset({Fraction(cue.value)}), cue.start, cue.end, True)
    for match in _Q.finditer(side.folded.lower):
        days = _Q_DAYS[(match.group("unit") or "h")[0]]
        counts = [match.group(name) for name in ("low", "high", "each") if match.group(name)]
        rates = frozenset(1 / (int(count) * days) for count in counts if int(count))
        if rates:
            yield Frequency(rates, match.start(), match.end(), True)


def _rate(numbers: list[Number]) -> frozenset[Fraction]:
    """Return times per day of intervals such as 8 hours; a month counts 30 days, a year 365."""
    rates = set()
    for number in numbers:
        unit = units()[number.unit[0]]
        seconds = number.value * unit.factor
        if unit.dimension != "time":
            seconds *= (Fraction(365, 12) if unit.factor % 12 == 0 else 30) * _DAY
        if seconds:
            rates.add(Fraction(_DAY) / seconds)
    return frozenset(rates)


def _intervals(side: Side) -> Iterator[Frequency]:
    """Every N hours: a word before the number, or after it (8時間ごと)."""
    timed = [n for n in side.numbers if n.unit and units()[n.unit[0]].dimension in TIME]
    lower = side.folded.lower
    ranges = number_reader(side.code).ranges
    starts = {number.start: number for number in reversed(timed)}
    ends = {number.unit_end: number for number in timed}
    for cue in side.found("frequency.every"):
        first = _at(starts, cue.end, 3)
        if first:
            other = _at(starts, first.unit_end + 1, 5) if first.unit_end == first.end else None
            if other and lower[first.unit_end : other.start].strip() not in ranges:
                other = None  # every day for 14 days
            last = other or first
            yield Frequency(_rate([first, last]), cue.start, last.unit_end, True)
            continue
        name, _, end = unit_reader(side.code).read(lower, cue.end)
        if len(name) == 1 and units()[name[0]].dimension in TIME:
            one = Number((Fraction(1),), name, "word", cue.end, cue.end, end)
            yield Frequency(_rate([one]), cue.start, end, False)
    for cue in side.found("frequency.every_after"):
        before = ends.get(cue.start) or ends.get(cue.start - 1)
        if before:
            yield Frequency(_rate([before]), before.start, cue.end, True)


def _at(starts: dict[int, Number], position: int, reach: int) -> Number | None:
    """Return the first number that starts at a position or a little later."""
    return next((starts[at] for at in range(position, position + reach + 1) if at in starts), None)


def _times(side: Side) -> Iterator[Frequency]:
    """N times a day, in either order."""
    periods = side.found("frequency.periods")
    if not periods:
        return
    counted: list[tuple[frozenset[Fraction], int, int]] = [
        (frozenset({Fraction(cue.value)}), cue.start, cue.end) for cue in side.found("frequency.times")
    ]
    ranges = number_reader(side.code).ranges
    spaced = language(side.code).spaced

    def between(end: int, start: int) -> str:
        return side.folded.lower[end:start].strip()

    ends: dict[int, list[int]] = {}
    for index, number in enumerate(side.numbers):
        ends.setdefault(number.end, []).append(index)
    once = {cue.end: cue for cue in side.found("frequency.times")}
    for word in side.found("frequency.times_words"):
        for index in ends.get(word.start, []) + ends.get(word.start - 1, []) + ends.get(word.start - 2, []):
            number = side.numbers[index]
            if number.form != "ordinal":
                said, start = set(number.values[:1]), number.start
                before = side.numbers[index - 1] if index else None
                if before and not before.unit and between(before.end, number.start) in ranges:
                    said.add(before.value)
                    start = before.start
                for end, cue in once.items():
                    if 0 < number.start - end < 8 and between(end, number.start) in ranges:
                        said.add(Fraction(cue.value))
                        start = cue.start
                counted.append((frozenset(said), start, word.end))
    places = [period.start for period in periods]
    for values, start, end in counted:
        at = bisect_left(places, start)
        beside = periods[max(0, at - 2) : at + 2]
        near = [p for p in beside if _adjacent(side, start, end, p) and (spaced or _before(p, start, end))]
        if near and max(values) <= _MOST:
            period = near[0]
            days = Fraction(period.value)
            per_day = frozenset(value / days for value in values)
            yield Frequency(per_day, min(start, period.start), max(end, period.end), True)


def _before(period: Cue, start: int, end: int) -> bool:
    """Tell whether a period stands where Chinese and Japanese have it: 每日两次, 1日2回, 2次/日."""
    return period.end <= start or period.start == end


def _adjacent(side: Side, start: int, end: int, period: Cue) -> bool:
    gap = (
        side.folded.lower[end : period.start]
        if period.start >= end
        else side.folded.lower[period.end : start]
    )
    return len(gap) <= (14 if side.code in _LOOSE_ORDER else 10) and not re.search(r"[.;:!?\n]", gap)


_LOOSE_ORDER = frozenset({"ar"})


def _bare(side: Side) -> Iterator[Frequency]:
    """A period alone: 75 mg daily. Said of a dose it is firm; else it may be said of anything."""
    ends = [number.unit_end for number in side.numbers if number.unit and _is_dose(number)]
    for cue in side.found("frequency.periods"):
        numbered = any(char.isdigit() for char in side.folded.lower[cue.start : cue.end])
        firm = not numbered and any(0 <= cue.start - end <= _REACH for end in ends)
        yield Frequency(frozenset({1 / Fraction(cue.value)}), cue.start, cue.end, firm)


def _is_dose(number: Number) -> bool:
    return units()[number.unit[0]].dimension in DOSE_DIMENSIONS


class FrequencyMatch(NamedTuple):
    """Frequencies of both sides: which agree, and which have no counterpart."""

    equal: list[tuple[Frequency, Frequency]]
    source: list[Frequency]
    target: list[Frequency]


def match_frequencies(pair: Pair) -> FrequencyMatch:
    """Match equal frequencies, firm ones first."""
    left, right = frequencies(pair.source), frequencies(pair.target)
    equal: list[tuple[Frequency, Frequency]] = []
    for firm in (True, False):
        by_rate: dict[frozenset[Fraction], deque[Frequency]] = defaultdict(deque)
        for theirs in right:
            if theirs.firm or not firm:
                by_rate[theirs.per_day].append(theirs)
        for mine in left:
            if (mine.firm or not firm) and by_rate[mine.per_day]:
                equal.append((mine, by_rate[mine.per_day].popleft()))
        done = {id(one) for match in equal for one in match}
        left = [one for one in left if id(one) not in done]
        right = [one for one in right if id(one) not in done]
    return FrequencyMatch(equal, left, right)
