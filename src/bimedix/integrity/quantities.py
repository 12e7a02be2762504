"""Compare the numbers of a text and its translation: same values, same units, nothing lost or added."""

import re
from collections.abc import Callable
from fractions import Fraction

from bimedix.integrity.frequency import match_frequencies
from bimedix.integrity.numbers import Number
from bimedix.integrity.pair import Findings, Pair, Side
from bimedix.integrity.units import TIME, same_quantity, units

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
    return a.unit == b.unit and _same_value(a, b)


def _converted(a: Number, b: Number) -> bool:
    return any(same_quantity(v, a.unit, w, b.unit) for v in a.values for w in b.values)


def _unit_open(a: Number, b: Number) -> bool:
    """Equal values where one side has no unit, or only the head of the other's unit could be read."""
    if not _same_value(a, b):
        return False
    return not a.unit or not b.unit or a.unit[0] == b.unit[0]


def _firm(number: Number) -> bool:
    return number.form == "digits" or (number.form == "word" and bool(number.unit))


class Alignment:
    """Numbers of both sides, matched from the strictest rule to the loosest."""

    def __init__(self, pair: Pair, source: list[Number], target: list[Number]) -> None:
        self.pair = pair
        self.left = list(source)
        self.right = list(target)
        self.converted: list[Match] = []
        self.unit_changed: list[Match] = []
        self.unit_missing: list[Match] = []
        self._take(_same_unit)
        self.converted = self._take(_converted)
        open_matches = self._take(_unit_open)
        self.unit_missing = [m for m in open_matches if bool(m[0].unit) != bool(m[1].unit)]
        self.unit_changed = self._take(_same_value, firm=True)
        self._take(_same_value)

    def _take(self, rule: Callable[[Number, Number], bool], firm: bool = False) -> list[Match]:
        matches: list[Match] = []
        if not self.left or not self.right:
            return matches
        for mine in list(self.left):
            if firm and not _firm(mine):
                continue
            for theirs in self.right:
                if (not firm or _firm(theirs)) and rule(mine, theirs):
                    matches.append((mine, theirs))
                    self.left.remove(mine)
                    self.right.remove(theirs)
                    break
        return matches


def _spans(numbers: list[Number]) -> list[tuple[int, int]]:
    return [(number.start, number.unit_end) for number in numbers]


def check_numbers(pair: Pair) -> Findings:
    """Yield what changed in values and units, with exact conversions as hints."""
    source, target = list(pair.source.numbers), list(pair.target.numbers)
    if source and target:
        equal = match_frequencies(pair).equal
        source = [n for n in source if not any(mine.start <= n.start < mine.end for mine, _ in equal)]
        target = [n for n in target if not any(theirs.start <= n.start < theirs.end for _, theirs in equal)]
    if not source and not target:
        return
    aligned = Alignment(pair, source, target)
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
    lost = [number for number in aligned.left if _firm(number)]
    new = [number for number in aligned.right if _firm(number)]
    lost = _excused(lost, pair.source, pair.target, source, is_lost=True)
    new = _excused(new, pair.target, pair.source, target, is_lost=False)
    if lost and new:
        yield pair.finding(
            "number",
            "error",
            f"{_list(lost)} in the source became {_list(new)}",
            _spans(lost),
            _spans(new),
        )
    elif lost:
        yield from _one_sided(pair, lost, "is missing from the translation", lost_side=True)
    elif new:
        yield from _one_sided(pair, new, "is not in the source", lost_side=False)


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
    """1 and 2 without a unit: languages say them by articles, duals and plurals."""
    return not number.unit and number.value in (0, 1, 2)


def _list(numbers: list[Number]) -> str:
    return ", ".join(written(number) for number in numbers)


def _unit_findings(pair: Pair, aligned: Alignment) -> Findings:
    for mine, theirs in aligned.unit_changed:
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
    there = {known[n.unit[0]].dimension for n in pair.target.numbers if n.unit}
    for mine, theirs in gone:
        dimension = known[mine.unit[0]].dimension
        if dimension in there or dimension in {"length", "tablets", "drops", "puffs", "temperature"}:
            continue
        yield pair.finding(
            "unit",
            "error" if _next_is_blank(pair.target, theirs) else "warning",
            f"{written(mine)} in the source has no unit in the translation",
            _spans([mine]),
            _spans([theirs]),
        )


def _next_is_blank(side: Side, number: Number) -> bool:
    """Tell whether the text ends or a sign follows, where the unit should stand."""
    rest = side.folded.lower[number.end :].lstrip(" \u00a0")
    return not rest or not (rest[0].isalpha() or rest[0] in "%°/")


def _excused(
    numbers: list[Number], side: Side, other: Side, same_side: list[Number], *, is_lost: bool
) -> list[Number]:
    """Leave out numbers that the other side has in another form."""
    pool = {digit for name in other.identifiers for digit in name.digits}
    kept = []
    for number in numbers:
        if any(value.denominator == 1 and str(value) in pool for value in number.values):
            continue
        if number.form == "digits" and _comma_decimal(number, side, other):
            continue
        if number.form == "digits" and _repeats(number, same_side if is_lost else [], other):
            continue
        kept.append(number)
    return kept


def _comma_decimal(number: Number, side: Side, other: Side) -> bool:
    """Tell whether one side writes 1,7 for 1.7 in a language that does not, and was read as 1 and 7."""
    for here, there in ((side, other), (other, side)):
        for match in _COMMA.finditer(here.folded.lower):
            value = Fraction(match.group().replace(",", "."))
            if here is side:
                inside = match.start() <= number.start < match.end()
                if inside and any(value in n.values for n in there.numbers):
                    return True
            elif value in number.values:
                return True
    return False


_COMMA = re.compile(r"(?<![\d.,])\d+,\d{1,2}(?![\d.,]\d|\d)")


def _repeats(number: Number, same_side: list[Number], other: Side) -> bool:
    """Tell whether the other side has the value too, and it is only said once more here."""
    theirs = any(_same_value(number, n) for n in other.numbers)
    mine = sum(_same_value(number, n) for n in same_side if n.form == "digits")
    return theirs and (not same_side or mine > 1)
