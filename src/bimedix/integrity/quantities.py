"""Compare the numbers of a text and its translation: same values, same units, nothing lost or added."""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable
from fractions import Fraction
from functools import cache
from itertools import pairwise

from bimedix.integrity.folding import Covered, fold
from bimedix.integrity.frequency import Frequency, match_frequencies
from bimedix.integrity.lexicon import plain_forms, table
from bimedix.integrity.numbers import Number, number_reader
from bimedix.integrity.pair import Findings, Pair, Side
from bimedix.integrity.units import TIME, base_quantity, unit_reader, units
from bimedix.languages import language

Match = tuple[Number, Number]


def show(value: Fraction) -> str:
    """Write a value as a person would: 0.5, 1000, 1/3."""
    if value.denominator == 1:
        return str(value.numerator)
    shown = f"{float(value):.6g}"
    return shown if Fraction(shown) == value else f"{value.numerator}/{value.denominator}"


def written(number: Number) -> str:
    """Write a number with its unit."""
    return " ".join((show(number.value), "/".join(number.unit))).strip()


def _same_value(a: Number, b: Number) -> bool:
    return not set(a.values).isdisjoint(b.values)


def _same_unit(a: Number, b: Number) -> bool:
    return a.unit == b.unit


def _unit_open(a: Number, b: Number) -> bool:
    """One side has no unit, or only the head of the other's unit could be read."""
    head_only = len(a.unit) != len(b.unit) and a.unit[:1] == b.unit[:1]
    if head_only and min(len(a.unit), len(b.unit)) > 1 and a.unit[-1] == b.unit[-1]:
        return False  # units/kg/h and units/h: both were read to their end
    return not a.unit or not b.unit or head_only


def _firm_and_open(a: Number, b: Number) -> bool:
    return _both_firm(a, b) and _unit_open(a, b)


def _both_firm(a: Number, b: Number) -> bool:
    return _firm(a) and _firm(b)


def _firm(number: Number) -> bool:
    return number.form == "digits" or (number.form == "word" and bool(number.unit))


def _values(number: Number) -> tuple[Hashable, ...]:
    return number.values


def _quantities(number: Number) -> tuple[Hashable, ...]:
    """Return the values in base units, and the same without the time that they are divided by: a rate of
    400 mcg a day may be said as 0.4 mg with the day apart, as a frequency.
    """
    unit = number.unit
    if number.form == "fraction":
        return (base_quantity(number.value * 100, ("percent",)),)
    rate = len(unit) > 1 and units()[unit[-1]].dimension in TIME
    shorter = [unit[:-1]] if rate else []
    return tuple(base_quantity(value, part) for part in [unit, *shorter] for value in number.values if part)


def _other_time(a: Number, b: Number) -> bool:
    """Tell whether two numbers in words are of times of other units: two weeks, two months."""
    known = units()
    counted = a.unit_end > a.end and a.form != "ordinal"  # the source has a number; شهرين is one word
    written_out = counted and all(len(n.unit) == 1 and n.form != "ordinal" for n in (a, b))
    return written_out and a.unit != b.unit and all(known[n.unit[0]].dimension in TIME for n in (a, b))


def _rates_agree(a: Number, b: Number) -> bool:
    """Tell whether two quantities are not both rates, or equal ones: 25 mL an hour is not 25 mL a minute."""
    if not all(len(n.unit) > 1 and units()[n.unit[-1]].dimension in TIME for n in (a, b)):
        return True
    mine, theirs = ({base_quantity(value, n.unit) for value in n.values} for n in (a, b))
    return not mine.isdisjoint(theirs)


class Alignment:
    """Numbers of both sides, matched from the strictest rule to the loosest, in linear time."""

    def __init__(self, source: list[Number], target: list[Number]) -> None:
        self.left = source
        self.right = target
        self.matches: list[Match] = []
        self._take(_values, _same_unit)
        self.converted = self._take(_quantities, _rates_agree)
        open_matches = self._take(_values, _firm_and_open)
        self.unit_missing = [m for m in open_matches if bool(m[0].unit) != bool(m[1].unit)]
        self.unit_changed = self._take(_values, _both_firm)
        self._take(_values, _unit_open)
        self.time_changed = [match for match in self._take(_values) if _other_time(*match)]

    def _take(
        self,
        keys: Callable[[Number], tuple[Hashable, ...]],
        rule: Callable[[Number, Number], bool] = lambda mine, theirs: True,
    ) -> list[Match]:
        """Match each number of the source with the first of the target that shares a key and obeys a rule."""
        if not self.left or not self.right:
            return []
        shelves: dict[Hashable, deque[int]] = defaultdict(deque)
        for index, theirs in enumerate(self.right):
            for key in keys(theirs):
                shelves[key].append(index)
        taken, left, matches = set[int](), list[Number](), list[Match]()
        for mine in self.left:
            found = None
            for key in keys(mine):
                shelf = shelves.get(key, deque())
                while shelf and shelf[0] in taken:
                    shelf.popleft()
                found = next((i for i in shelf if i not in taken and rule(mine, self.right[i])), None)
                if found is not None:
                    break
            if found is None:
                left.append(mine)
            else:
                taken.add(found)
                matches.append((mine, self.right[found]))
        self.left = left
        self.matches += matches
        self.right = [number for index, number in enumerate(self.right) if index not in taken]
        return matches


def _spans(numbers: list[Number]) -> list[tuple[int, int]]:
    return [(number.start, number.unit_end) for number in numbers]


def check_numbers(pair: Pair) -> Findings:
    """Yield what changed in values and units, with exact conversions as hints."""
    source, target = list(pair.source.numbers), list(pair.target.numbers)
    if source and target:
        equal = match_frequencies(pair).equal
        source = _outside(source, pair.source, [mine for mine, _ in equal])
        target = _outside(target, pair.target, [theirs for _, theirs in equal])
    if not source and not target:
        return
    aligned = Alignment(source, target)
    for mine, theirs in aligned.converted:
        if mine.unit != theirs.unit:
            yield pair.finding(
                "unit",
                "hint",
                f"{written(mine)} is given as {written(theirs)}: equal after conversion",
                _spans([mine]),
                _spans([theirs]),
            )
    yield from _unit_findings(pair, aligned)
    yield from _lost_weight(pair, aligned)
    yield from _check_order(pair)
    aligned.left = _unsummed(aligned.left, pair.source, [mine for mine, _ in aligned.matches])
    aligned.right = _unsummed(aligned.right, pair.target, [theirs for _, theirs in aligned.matches])
    lost = _excused([n for n in aligned.left if _firm(n)], pair.source, pair.target, source)
    new = _excused([n for n in aligned.right if _firm(n)], pair.target, pair.source, [])
    turned = _turned_words(pair, aligned)
    if lost and new:
        yield pair.finding(
            "number",
            "error",
            f"{_list(lost)} in the source became {_list(new)}",
            _spans(lost),
            _spans(new),
        )
    elif turned:
        yield pair.finding(
            "number",
            "error",
            f"{_list(turned[:1])} in the source became {_list(turned[1:])}",
            _spans([turned[0]]),
            _spans([turned[1]]),
        )
    elif lost:
        yield from _one_sided(pair, lost, "is missing from the translation", lost_side=True)
    elif new:
        yield from _one_sided(pair, new, "is not in the source", lost_side=False)


def _unsummed(left: list[Number], side: Side, matched: list[Number]) -> list[Number]:
    """Leave out the parts of a sum that the other side gives as one: 2 hours 30 minutes for 150 minutes."""
    sums = [number for number in matched if number.form == "loose" and number.unit]
    if not left or not sums:
        return left
    inside = Covered(len(side.folded.lower), ((number.start, number.end) for number in sums))
    return [number for number in left if not inside.meets(number.start, number.end)]


def _turned_words(pair: Pair, aligned: Alignment) -> list[Number]:
    """Return a number word of the source and another one that stands for it in the translation.

    Words are looser than digits (both, double, a second opinion), so both must be of one kind: the same unit
    (two days and six days), or alone of their kind (two doses and five, the second dose and the fifth).
    """
    counted = [n for n in aligned.left if _counts(pair.source, n)]
    instead = [n for n in aligned.right if _counts(pair.target, n)]
    for mine in counted:
        for theirs in instead:
            if mine.unit and mine.unit == theirs.unit:
                return [mine, theirs]
    ordinals = [n for n in aligned.left if _is_ordinal(n)], [n for n in aligned.right if _is_ordinal(n)]
    ones = [n for n in aligned.left if n.value == 1 and _word(pair.source, n) in _ones(pair.source.code)]
    twos = [n for n in instead if n.value == 2 and not n.unit]
    if len(ones) == len(twos) == 1 and not counted and len(pair.source.text) <= _SENTENCE:
        return [ones[0], twos[0]]
    parts = [n for n in aligned.left if _is_part(n)], [n for n in aligned.right if _is_part(n)]
    for left, right in ((counted, instead), ordinals, parts):
        if len(left) == len(right) == 1 and not left[0].unit and len(pair.source.text) <= _SENTENCE:
            return [left[0], right[0]]
    return []


def _lost_weight(pair: Pair, aligned: Alignment) -> Findings:
    """Yield doses by body weight that became plain ones: 5 mg/kg, 5 mg."""
    for mine, theirs in aligned.matches:
        if "kg" not in mine.unit[1:] or "kg" in theirs.unit or not theirs.unit:
            continue
        if _mentions(pair.source, "kg") > _mentions(pair.target, "kg"):
            text = f"{written(mine)} in the source became {written(theirs)}"
            yield pair.finding("unit", "error", text, _spans([mine]), _spans([theirs]))
            return


def _mentions(side: Side, unit: str) -> int:
    return unit_reader(side.code).mentions(unit, side.folded.lower)


def _word(side: Side, number: Number) -> str:
    return side.folded.lower[number.start : number.end]


@cache
def _ones(code: str) -> frozenset[str]:
    """Return words for one that are no article."""
    return frozenset(plain_forms(code, "numbers", "ones"))


def _counts(side: Side, number: Number) -> bool:
    """Tell whether a word counts something: from three on, or two, and not a pair or a double; or one of a
    unit: one minute."""
    if number.form == "loose" and number.unit and number.end < number.unit_end:
        return True
    two = number.form == "loose" and number.value == 2
    return number.form == "word" or (two and side.folded.lower[number.start : number.end] in _twos(side.code))


_SENTENCE = 250
"""Characters of a text in which a number word that is alone on each side is the same one."""


@cache
def _twos(code: str) -> frozenset[str]:
    words = table(code).get("numbers", {}).get("words", {}).get("2", ())
    return frozenset(fold(word).lower for word in words if not word.startswith(_NO_TWO))


_NO_TWO = (
    "both", "double", "twofold", "pair", "couple", "dual", "كلا", "كلت", "كلي", "ضعف", "زوج", "مزدوج",
    "ثنائي", "amb", "doble", "par", "paire", "об", "дво", "вдвое", "пара",
)  # fmt: skip


def _is_ordinal(number: Number) -> bool:
    return number.form == "ordinal"


def _is_part(number: Number) -> bool:
    return number.form == "fraction"


def _check_order(pair: Pair) -> Findings:
    """Yield two numbers that changed places: 130/80 and 80/130, from 9.1 to 7.3 and from 7.3 to 9.1.

    A hyphen says nothing, because lines from right to left are also written with the greater number first.
    """
    mine, theirs = _ordered(pair.source), _ordered(pair.target)
    for values, (first, second) in mine.items():
        turned = theirs.get((values[1], values[0]))
        if turned and values not in theirs and values[0] != values[1]:
            yield pair.finding(
                "number",
                "error",
                f"{show(values[0])} and {show(values[1])} have changed places",
                [(first.start, second.unit_end)],
                [(turned[0].start, turned[1].unit_end)],
            )


def _ordered(side: Side) -> dict[tuple[Fraction, Fraction], Match]:
    """Return the pairs of numbers with a slash or a word for a range between them; dates are left out."""
    joins = {"-", "~", "〜", *plain_forms(side.code, "options", "joins")}
    links = (number_reader(side.code).ranges - joins) | {"/"}
    lower = side.folded.lower
    firm = [number for number in side.numbers if number.form in ("digits", "word")]
    return {
        (first.value, second.value): (first, second)
        for first, second in pairwise(firm)
        if lower[max(first.end, min(first.unit_end, second.start)) : second.start].strip() in links
        and not _DATE.match(lower, first.start)
        and lower[max(0, first.start - 1)] != "/"
    }


_DATE = re.compile(r"\d+/\d+/\d")


def _one_sided(pair: Pair, numbers: list[Number], what: str, *, lost_side: bool) -> Findings:
    firm = any(n.form == "digits" and not _small(n) for n in numbers)
    spans = _spans(numbers)
    yield pair.finding(
        "number",
        "error" if firm else "warning",
        f"{_list(numbers)} {what}",
        spans if lost_side else (),
        () if lost_side else spans,
    )


def _small(number: Number) -> bool:
    """1 and 2 without a unit, and 1 of what is counted: languages say them by articles, duals and the noun
    alone (take 1 tablet, تناول قرصًا).
    """
    if number.unit:
        return number.value == 1 and units()[number.unit[0]].dimension in _COUNTED
    return number.value in (0, 1, 2)


_COUNTED = frozenset({"tablets", "drops", "puffs"})


def _list(numbers: list[Number]) -> str:
    return ", ".join(written(number) for number in numbers)


def _unit_findings(pair: Pair, aligned: Alignment) -> Findings:
    for mine, theirs in (*aligned.unit_changed, *aligned.time_changed):
        if _same_charge(mine, theirs) and _ION.search(pair.source.folded.lower):
            continue
        yield pair.finding(
            "unit",
            "error",
            f"{written(mine)} in the source became {written(theirs)}",
            _spans([mine]),
            _spans([theirs]),
        )
    known = units()
    gone = [
        (mine, theirs)
        for mine, theirs in aligned.unit_missing
        if mine.unit and mine.form == "digits" and known[mine.unit[0]].dimension not in TIME
    ]
    for mine, theirs in gone:
        dimension = known[mine.unit[0]].dimension
        if dimension in _SAID_OTHERWISE or _unit_beside(pair.target, theirs, dimension):
            continue
        yield pair.finding(
            "unit",
            "error",
            f"{written(mine)} in the source has no unit in the translation",
            _spans([mine]),
            _spans([theirs]),
        )


def _same_charge(a: Number, b: Number) -> bool:
    return {*a.unit[:1], *b.unit[:1]} == {"mmol", "mEq"} and a.unit[1:] == b.unit[1:]


_ION = re.compile(r"\b(?:sodium|potassium|chloride|bicarbonate|lithium|ammonium)|\b(?:na|k|cl|hco3|li)\b")
"""Ions of one charge, of which a mmol is a mEq."""
_SAID_OTHERWISE = frozenset({"count", "length", "tablets", "drops", "puffs", "temperature"})
"""Dimensions whose units have too many names to miss one: a word that is not in the table may be theirs."""


def _unit_beside(side: Side, number: Number, dimension: str) -> bool:
    """Tell whether a number near by has such a unit, which then holds for a list: 10, 20 and 30 mg."""
    return any(
        other.unit
        and units()[other.unit[0]].dimension == dimension
        and -_LIST < other.start - number.end < _LIST
        for other in side.numbers
    )


_LIST = 12
"""Characters between numbers of one list."""


def _outside(numbers: list[Number], side: Side, found: list[Frequency]) -> list[Number]:
    """Leave out the numbers inside frequencies that agree: every 8 hours is said as three times a day."""
    if not found:
        return numbers
    taken = Covered(len(side.folded.lower), ((one.start, one.end) for one in found))
    return [number for number in numbers if not taken.meets(number.start, number.start + 1)]


def _excused(numbers: list[Number], side: Side, other: Side, same_side: list[Number]) -> list[Number]:
    """Leave out numbers that the other side has in another form.

    They stand in an identifier (فيتامين ب 12), are said once there and twice here, or are decimals that one
    side writes in a way its language does not have (1,7 in English).
    """
    if not numbers:
        return numbers
    pool = {digit for name in other.identifiers for digit in name.digits}
    theirs = {value for number in other.numbers for value in number.values}
    mine = Counter(value for number in same_side if number.form == "digits" for value in number.values)
    odd_here = Covered(
        len(side.folded.lower), (span for span, value in _comma_decimals(side) if value in theirs)
    )
    odd_there = {value for _, value in _comma_decimals(other)}

    rates = {name for number in other.numbers for name in number.unit[1:]}

    def excused(number: Number) -> bool:
        if number.value == 1 and number.unit[:1] and number.unit[0] in rates:
            return True  # 25 mL in 1 hour, 25 mL/h
        if number.value == 1 and not language(side.code).spaced and _uncounted(number, other):
            return True  # the last tablet, 最後の1錠
        if any(value.denominator == 1 and str(value) in pool for value in number.values):
            return True
        if number.form != "digits":
            return False
        again = any(value in theirs and (not same_side or mine[value] > 1) for value in number.values)
        return again or odd_here.meets(number.start, number.end) or number.value in odd_there

    return [number for number in numbers if not excused(number)]


def _uncounted(number: Number, other: Side) -> bool:
    """Tell whether the other side names the unit of a number more often than it counts by it."""
    unit = number.unit[0] if number.unit else ""
    counted = sum(unit in one.unit for one in other.numbers)
    return bool(unit) and _mentions(other, unit) > counted


_COMMA = re.compile(r"(?<![\d.,])\d{1,9},\d{1,2}(?![\d.,]\d|\d)")


def _comma_decimals(side: Side) -> list[tuple[tuple[int, int], Fraction]]:
    found = _COMMA.finditer(side.folded.lower)
    return [(match.span(), Fraction(match.group().replace(",", "."))) for match in found]
