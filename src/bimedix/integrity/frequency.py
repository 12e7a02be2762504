"""Read how often a drug is given, in times per day: q8h, bid, twice daily, مرتين يوميًا, كل 8 ساعات."""

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from bimedix.integrity.folding import Covered
from bimedix.integrity.lexicon import Cue, longest_of, plain_forms
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
    counted = _counted(side)
    found = [*_fixed(side), *_intervals(side), *_times(side, counted)]
    free = [count for count in counted if not any(one.start <= count.start < one.end for one in found)]
    found += [*_within(side, free), *_at_times_of_day(side, counted), *_bare(side)]
    found.sort(key=lambda one: (one.start - one.end, not one.firm))
    taken = Covered(len(side.folded.lower))
    kept: list[Frequency] = []
    for one in found:
        if not taken.meets(one.start, one.end):
            kept.append(one)
            taken.add(one.start, one.end)
    return _once(side, sorted(kept, key=lambda one: one.start))


def _once(side: Side, found: list[Frequency]) -> list[Frequency]:
    """Leave out what only repeats the one before: twice daily, in the morning and evening."""
    kept: list[Frequency] = []
    for one in found:
        before = kept[-1] if kept else None
        if before and before.per_day == one.per_day and one.start - before.end <= _AGAIN:
            gap = side.folded.lower[before.end : one.start]
            if _GAP_END.isdisjoint(gap) and not any(before.end <= n.start < one.start for n in side.numbers):
                kept[-1] = before._replace(end=one.end, firm=before.firm or one.firm)
                continue
        kept.append(one)
    return kept


_AGAIN = 20
"""Characters between a frequency and the same said again."""
_GAP_END = frozenset(".;!?\n。；！？")


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
    timed = [n for n in side.numbers if n.unit and _is_time(n)]
    lower = side.folded.lower
    ranges = number_reader(side.code).ranges
    starts = {number.start: number for number in reversed(timed)}
    ends = {number.unit_end: number for number in timed}
    for cue in side.found("frequency.every", "frequency.interval"):
        first = _at(starts, cue.end, 3)
        if first:
            other = _at(starts, first.unit_end + 1, 5) if first.unit_end == first.end else None
            if other and lower[first.unit_end : other.start].strip() not in ranges:
                other = None  # every day for 14 days
            last = other or first
            firm = cue.concept == "frequency.every"
            yield Frequency(_rate([*_range_before(side, first), last]), cue.start, last.unit_end, firm)
            continue
        name, _, end = unit_reader(side.code).read(lower, cue.end)
        if len(name) == 1 and units()[name[0]].dimension in TIME:
            one = Number((Fraction(1),), name, "word", cue.end, cue.end, end)
            yield Frequency(_rate([one]), cue.start, end, False)
    for cue in side.found("frequency.every_after", "frequency.interval_after"):
        before = ends.get(cue.start) or ends.get(cue.start - 1)
        if before:
            firm = cue.concept == "frequency.every_after"
            numbers = _range_before(side, before)
            yield Frequency(_rate(numbers), numbers[0].start, cue.end, firm)


def _range_before(side: Side, number: Number) -> list[Number]:
    """Return a number, and before it the one that begins a range with it, in its unit: 三至五年."""
    ranges, lower = number_reader(side.code).ranges, side.folded.lower
    for low in side.numbers:
        near = 0 < number.start - low.end <= _RANGE_SIGN and low.unit in ((), number.unit)
        if near and lower[low.end : number.start].strip() in ranges:
            return [replace(low, unit=number.unit), number]
    return [number]


_RANGE_SIGN = 4
"""Characters of a word or sign between the numbers of a range."""


def _at(starts: dict[int, Number], position: int, reach: int) -> Number | None:
    """Return the first number that starts at a position or a little later."""
    return next((starts[at] for at in range(position, position + reach + 1) if at in starts), None)


class _Count(NamedTuple):
    """How many times, with every reading of a range."""

    values: frozenset[Fraction]
    start: int
    end: int


def _counted(side: Side) -> list[_Count]:
    """Return where times are counted: twice, three times, 2 to 4 doses."""
    once = {cue.end: cue for cue in side.found("frequency.times")}
    counted = [_Count(frozenset({Fraction(cue.value)}), cue.start, cue.end) for cue in once.values()]
    ranges = number_reader(side.code).ranges

    def between(end: int, start: int) -> str:
        return side.folded.lower[end:start].strip()

    ends: dict[int, list[int]] = {}
    for index, number in enumerate(side.numbers):
        ends.setdefault(number.end, []).append(index)
    for word in side.found("frequency.times_words"):
        for index in ends.get(word.start, []) + ends.get(word.start - 1, []) + ends.get(word.start - 2, []):
            number = side.numbers[index]
            if number.form not in ("ordinal", "fraction"):
                said, start = set(number.values[:1]), number.start
                before = side.numbers[index - 1] if index else None
                if before and not before.unit and between(before.end, number.start) in ranges:
                    said.add(before.value)
                    start = before.start
                for end, cue in once.items():
                    if 0 < number.start - end < 8 and between(end, number.start) in ranges:
                        said.add(Fraction(cue.value))
                        start = cue.start
                counted.append(_Count(frozenset(said), start, word.end))
    return sorted((count for count in counted if max(count.values) <= _MOST), key=lambda count: count.start)


def _periods(side: Side) -> list[Cue]:
    """Return words for a period; a time of the day stands for the day."""
    parts = [cue._replace(value="1") for cue in side.found("frequency.dayparts")]
    found = sorted([*side.found("frequency.periods"), *parts], key=lambda cue: cue.start)
    if not found or language(side.code).spaced:
        return found
    spans = [(n.end, n.unit_end) for n in side.numbers if n.unit and n.value != 1 and _is_time(n)]
    inside = Covered(len(side.folded.lower), spans)
    return [cue for cue in found if not inside.meets(cue.start, cue.start + 1)]  # 2週間に is not 週に


def _times(side: Side, counted: list[_Count]) -> Iterator[Frequency]:
    """N times a day, in either order."""
    periods = _periods(side) if counted else []
    spaced = language(side.code).spaced
    places = [period.start for period in periods]
    for values, start, end in counted:
        at = bisect_left(places, start)
        beside = periods[max(0, at - 2) : at + 2]
        near = [p for p in beside if _adjacent(side, start, end, p) and (spaced or _before(p, start, end))]
        if near:
            period = near[0]
            days = Fraction(period.value)
            per_day = frozenset(value / days for value in values)
            yield Frequency(per_day, min(start, period.start), max(end, period.end), True)


def _within(side: Side, counted: list[_Count]) -> Iterator[Frequency]:
    """N times in M hours, in either order: four times in 24 hours, 24小时内最多四次, 2週間に1回.

    Firm for a day; what happens so often in longer times may be anything.
    """
    if not counted:
        return
    lower, spaced = side.folded.lower, language(side.code).spaced
    words = plain_forms(side.code, "frequency", "within")
    words = tuple(f" {word}" for word in words) if spaced else words
    places = [count.start for count in counted]
    for time in side.numbers:
        if len(time.unit) != 1 or not _is_time(time):
            continue
        before = " " + lower[max(0, time.start - 20) : time.start].rstrip()
        after = lower[time.unit_end : time.unit_end + 4].lstrip()
        rate = _rate([time])
        if not rate or not (before.endswith(words) if spaced else after.startswith(words)):
            continue
        at = bisect_left(places, time.start)
        count = next((one for one in counted[max(0, at - 1) : at + 1] if _is_beside(side, one, time)), None)
        if count:
            per_day = frozenset(value * each for value in count.values for each in rate)
            start, end = min(count.start, time.start), max(count.end, time.unit_end)
            yield Frequency(per_day, start, end, rate == {Fraction(1)})


def _is_beside(side: Side, count: _Count, time: Number) -> bool:
    """Tell whether a count and a time are near, with no other number and no end of a clause between them."""
    start, end = (count.end, time.start) if count.end <= time.start else (time.unit_end, count.start)
    if not start <= end <= start + _WITHIN or not _GAP_END.isdisjoint(side.folded.lower[start:end]):
        return False
    return not any(start <= number.start < end for number in side.numbers)


_WITHIN = 26
"""Characters between a number of times and the time in which they fall."""


def _at_times_of_day(side: Side, counted: list[_Count]) -> Iterator[Frequency]:
    """In the morning and evening: as many times a day as are named, and more when each is: 早晚各两次."""
    lower = side.folded.lower
    joins = frozenset(plain_forms(side.code, "frequency", "and"))
    own = plain_forms(side.code, "frequency", "each")
    groups: list[list[Cue]] = []
    for cue in longest_of(side.found("frequency.dayparts", "frequency.daynouns")):
        gap = lower[groups[-1][-1].end : cue.start] if groups else ""
        if groups and _GAP_END.isdisjoint(gap) and _links(gap, joins, side, groups[-1][-1].end, cue.start):
            groups[-1].append(cue)
        else:
            groups.append([cue])
    named = [(len({cue.value for cue in group}), group[0].start, group[-1].end) for group in groups]
    named += [(int(cue.value), cue.start, cue.end) for cue in side.found("frequency.day_groups")]
    for times, start, end in named:
        if times < 2:
            continue
        each = next(
            (c for c in counted if c.start >= end and lower[end : c.start].strip() in ("", *own)), None
        )
        if each:
            times, end = times * int(max(each.values)), each.end
        firm = any(
            abs(dose.unit_end - start) <= _NEAR or abs(dose.start - end) <= _NEAR
            for dose in side.numbers
            if dose.unit and _is_dose(dose)
        )
        yield Frequency(frozenset({Fraction(times)}), start, end, firm)


_NEAR = 60
"""Characters between a dose and the times of the day at which it is given."""
_LONGEST_LINK = 30


def _links(gap: str, joins: frozenset[str], side: Side, start: int, end: int) -> bool:
    """Tell whether two times of the day are one list: morning and evening, one at noon and one at night."""
    words = gap.replace(",", " , ").replace("،", " , ").split()
    if len(gap) > _LONGEST_LINK or any(n.value != 1 for n in side.numbers if start <= n.start < end):
        return False
    first = words[0] if words else ","
    return first in joins or first.startswith(plain_forms(side.code, "polarity", "attached"))


def _before(period: Cue, start: int, end: int) -> bool:
    """Tell whether a period stands where Chinese and Japanese have it: 每日两次, 1日2回, 2次/日."""
    return period.end <= start or period.start == end


def _adjacent(side: Side, start: int, end: int, period: Cue) -> bool:
    gap = (
        side.folded.lower[end : period.start]
        if period.start >= end
        else side.folded.lower[period.end : start]
    )
    return (
        len(gap) <= (14 if side.code in _LOOSE_ORDER else 10) and _GAP_END.isdisjoint(gap) and ":" not in gap
    )


_LOOSE_ORDER = frozenset({"ar"})


def _bare(side: Side) -> Iterator[Frequency]:
    """A period alone: 75 mg daily. Said of a dose it is firm; else it may be said of anything."""
    ends = [number.unit_end for number in side.numbers if number.unit and _is_dose(number)]
    for cue in _periods(side):
        numbered = any(char.isdigit() for char in side.folded.lower[cue.start : cue.end])
        firm = not numbered and any(0 <= cue.start - end <= _REACH for end in ends)
        yield Frequency(frozenset({1 / Fraction(cue.value)}), cue.start, cue.end, firm)


def _is_time(number: Number) -> bool:
    return units()[number.unit[0]].dimension in TIME


def _is_dose(number: Number) -> bool:
    return units()[number.unit[0]].dimension in DOSE_DIMENSIONS


class FrequencyMatch(NamedTuple):
    """Frequencies of both sides: which agree, and which have no counterpart."""

    equal: list[tuple[Frequency, Frequency]]
    source: list[Frequency]
    target: list[Frequency]


def _in_months(one: Frequency) -> frozenset[Fraction]:
    """Return rates with intervals from four weeks on in half months: every 6 months is twice a year."""
    return frozenset(
        Fraction(1, 15 * max(2, round(2 / (rate * _MONTH)))) if rate and rate <= _FOUR_WEEKS else rate
        for rate in one.per_day
    )


_MONTH, _FOUR_WEEKS = Fraction(365, 12), Fraction(1, 28)


def match_frequencies(pair: Pair) -> FrequencyMatch:
    """Match equal frequencies, firm ones first."""
    left, right = pair.source.once(frequencies), pair.target.once(frequencies)
    equal: list[tuple[Frequency, Frequency]] = []
    for firm in (True, False):
        by_rate: dict[frozenset[Fraction], deque[Frequency]] = defaultdict(deque)
        for theirs in right:
            if theirs.firm or not firm:
                by_rate[_in_months(theirs)].append(theirs)
        for mine in left:
            if (mine.firm or not firm) and by_rate[_in_months(mine)]:
                equal.append((mine, by_rate[_in_months(mine)].popleft()))
        done = {id(one) for match in equal for one in match}
        left = [one for one in left if id(one) not in done]
        right = [one for one in right if id(one) not in done]
    agreed = {_in_months(mine) for mine, _ in equal}
    left, right = _said(left, agreed, pair.target), _said(right, agreed, pair.source)
    return FrequencyMatch(equal, left, right)


def _said(rest: list[Frequency], agreed: set[frozenset[Fraction]], other: Side) -> list[Frequency]:
    """Leave out the frequencies that the other side names once and then refers to: بالوتيرة نفسها."""
    if not rest or not other.found("frequency.again"):
        return rest
    return [one for one in rest if _in_months(one) not in agreed]
