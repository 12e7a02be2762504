"""Units of measure: forms in seven languages, exact conversion, compound units such as mg/kg/day."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from bimedix.integrity.folding import fold
from bimedix.integrity.lexicon import table
from bimedix.languages import LANGUAGES, language


@dataclass(frozen=True, slots=True)
class Unit:
    """One row of `data/units.toml`."""

    name: str
    dimension: str
    factor: Fraction
    """Base units of the dimension (gram, litre, second, metre, ...) in one of this unit; exact."""
    offset: Fraction
    """Added after scaling; only °F has one."""

    def to_base(self, value: Fraction) -> Fraction:
        """Convert a value to the base unit of the dimension, without rounding."""
        return value * self.factor + self.offset


@cache
def _rows() -> dict[str, dict[str, object]]:
    text = files("bimedix.integrity").joinpath("data", "units.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def units() -> dict[str, Unit]:
    """Return the table of units by name."""
    return {
        name: Unit(
            name,
            str(row["dimension"]),
            Fraction(str(row["factor"])),
            Fraction(str(row.get("offset", "0"))),
        )
        for name, row in _rows().items()
    }


TIME = frozenset({"time", "calendar"})
"""Dimensions that a number may share with an age, a date or a duration."""


class UnitReader:
    """Reads the unit that follows a number in texts of one language."""

    def __init__(self, code: str) -> None:
        row = language(code)
        self.spaced = row.spaced
        forms: dict[str, str] = {}
        stems: dict[str, str] = {}
        for name, entry in _rows().items():
            for own in (row.code, "any"):
                for form in entry.get(own, ()):  # type: ignore[attr-defined]
                    (stems if "*" in form else forms).setdefault(fold(form).lower, name)
        self._forms = forms
        self._stems = [(re.compile(_pattern(stem) + r"$"), name) for stem, name in stems.items()]
        every = sorted([*forms, *stems], key=len, reverse=True)
        ends = [_pattern(form) + _end(form, self.spaced) for form in every]
        self._unit = re.compile(f"(?:{'|'.join(ends)})")
        between = table(row.code).get("units", {}).get("between", ())
        words = "|".join(_pattern(fold(word).lower) for word in between)
        self._gap = re.compile(rf"[ \u00a0]{{0,2}}-?[ \u00a0]?(?:(?:{words})[ \u00a0])?" if words else _GAP)
        per = [re.escape(fold(form).lower) for form in table(row.code).get("units", {}).get("per", ("/",))]
        tight = [form if form == "/" else form + (r"[ \u00a0]?" if self.spaced else "") for form in per]
        self._per = re.compile(rf"[ \u00a0]?(?:{'|'.join(tight)})[ \u00a0]?")

        times = [
            _pattern(fold(form).lower)
            for entry in _rows().values()
            for form in entry.get(row.code, ())  # type: ignore[attr-defined]
            if entry["dimension"] in TIME and len(form) > 2
        ]
        clitics = "(?:وال|بال|لل|ال|و|ب|ل|ف)?" if row.script == "ARABIC" else ""
        bare = rf"(?<![^\W_]){clitics}({'|'.join(times)})(?![^\W_])" if times and self.spaced else r"(?!)()"
        self._bare_time = re.compile(bare)

        self._rates = _rates(row.code)

    def bare_times(self, lower: str) -> Iterator[tuple[str, int, int]]:
        """Yield the words for times that may stand for one of them: a week, أسبوع."""
        for found in self._bare_time.finditer(lower):
            name = self.lookup(found.group(1))
            if name:
                yield name, found.start(1), found.end()

    def rate_before(self, lower: str, at: int) -> tuple[str, int] | None:
        """Return what the number at a position is counted by, said before it, and where that begins: 毎分."""
        found = self._rates.search(lower, max(0, at - _RATE), at) if self._rates else None
        if found is None:
            return None
        name = self.lookup(next(filter(None, found.groups())))
        return (name, found.start()) if name else None

    def mentions(self, unit: str, lower: str) -> int:
        """Count where a unit is named, with a number or without."""
        forms = [form for form, name in self._forms.items() if name == unit]
        stems = [stem.pattern.removesuffix("$") for stem, name in self._stems if name == unit]
        ends = [_pattern(form) + _end(form, self.spaced) for form in sorted(forms, key=len, reverse=True)]
        return len(re.findall(f"(?<![a-z])(?:{'|'.join(ends + stems)})", lower))

    def lookup(self, text: str) -> str | None:
        """Return the name of the unit that a folded form stands for."""
        if text in self._forms:
            return self._forms[text]
        return next((name for stem, name in self._stems if stem.match(text)), None)

    def _per_volume(self, lower: str, at: int) -> tuple[tuple[str, ...], int, int]:
        """Read what is counted in a volume: 24,000/mm³, 100 × 10⁹/L."""
        per = self._per.match(lower, at)
        below = self._unit.match(lower, per.end()) if per else None
        name = self.lookup(below.group()) if below else None
        if per and below and name and units()[name].dimension == "volume":
            return ("count", name), per.start(), below.end()
        return (), at, at

    def read(self, lower: str, at: int) -> tuple[tuple[str, ...], int, int]:
        """Read the unit after a number that ends at `at`: its parts (numerator first), start and end."""
        found = self._unit.match(lower, self._gap.match(lower, at).end())  # type: ignore[union-attr]
        if not found:
            found = self._unit.match(lower, at)
        if not found:
            return self._per_volume(lower, at)
        name = self.lookup(found.group())
        if name is None:
            return (), at, at
        parts, start, end = [name], found.start(), found.end()
        while len(parts) < 3:
            per = self._per.match(lower, end)
            below = self._unit.match(lower, per.end()) if per else None
            following = self.lookup(below.group()) if below else None
            if below is None or following is None:
                break
            parts.append(following)
            end = below.end()
        return tuple(parts), start, end


@cache
def _rates(code: str) -> re.Pattern[str] | None:
    """Return what may stand before a number to say what it is counted by."""
    phrases = [fold(phrase).lower for phrase in table(code).get("units", {}).get("rate_before", ())]
    names = [
        re.escape(fold(form).lower)
        for entry in _rows().values()
        for own in (code, "any")
        for form in entry.get(own, ())  # type: ignore[attr-defined]
        if entry["dimension"] in _RATED and entry["factor"] not in _DAYS and "*" not in form
    ]
    one = f"({'|'.join(sorted(names, key=len, reverse=True))})"
    either = "|".join(one.join(map(re.escape, phrase.split("{}"))) for phrase in phrases)
    return re.compile(f"(?:{either})[ \u00a0]?$") if phrases else None


_RATED = frozenset({"time", "mass", "volume"})
_DAYS = frozenset({"86400", "604800"})
"""Days and weeks, which say how often and not how fast."""
_RATE = 14
"""Characters before a number in which it is said what it is counted by."""
_GAP = r"[ \u00a0]{0,2}-?[ \u00a0]?"


def _pattern(form: str) -> str:
    return re.escape(form).replace(r"\*", r"\w*").replace(r"\ ", r"[ \u00a0]")


def _end(form: str, spaced: bool) -> str:
    """Return what may not follow a form: letters; and no letter after a point, for U is not that of U.S."""
    if form[-1:].isalpha() and (spaced or form[-1] < "\u0250"):
        single = r"|\.[^\W\d_]" if len(form) == 1 else ""
        return rf"(?![^\W_]|'[^\W_]{single})" if spaced else rf"(?![a-z0-9]{single})"
    return ""


@cache
def unit_reader(code: str) -> UnitReader:
    """Return the reader of a language (`es-LA` gives `es`)."""
    return UnitReader(code)


Quantity: TypeAlias = tuple[tuple[str, ...], Fraction]
"""Dimensions, numerator first and the others in order, and the exact value in their base units."""


def base_quantity(value: Fraction, unit: tuple[str, ...]) -> Quantity:
    """Convert a value to base units, so that 1 g and 1000 mg give the same; (), value without a unit."""
    known = units()
    dimensions = tuple(known[name].dimension for name in unit)
    dimensions = (*dimensions[:1], *sorted(dimensions[1:]))
    if len(unit) == 1:
        return dimensions, known[unit[0]].to_base(value)
    for index, name in enumerate(unit):
        value = value / known[name].factor if index else value * known[name].factor
    return dimensions, value


def same_quantity(
    value: Fraction, unit: tuple[str, ...], other: Fraction, other_unit: tuple[str, ...]
) -> bool:
    """Tell whether two quantities with units are exactly equal after conversion."""
    return bool(unit) and base_quantity(value, unit) == base_quantity(other, other_unit)


def known_languages() -> tuple[str, ...]:
    """Return the codes that have a column of forms in the table."""
    return tuple(code for code in LANGUAGES if any(code in row for row in _rows().values()))
