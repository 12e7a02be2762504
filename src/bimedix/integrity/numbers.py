"""Read numbers exactly: digits of every script, words, duals and ordinals, with their units and spans.

Numbers are compared by value, so 1.5, ١٫٥ and 1,5 (in a language that writes so) are the same number; a
group sign that could be a decimal sign keeps both readings. Identifiers (B12, CD4, COVID-19) are no numbers.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Literal, NamedTuple

from bimedix.integrity.folding import Covered, Folded
from bimedix.integrity.lexicon import Cue, lexicon, plain_forms, table
from bimedix.integrity.units import TIME, unit_reader, units
from bimedix.languages import language

Form = Literal["digits", "word", "ordinal", "fraction", "loose"]
"""How it is written. `loose` may be a number (a month's name, one, both) and only ever excuses another; a
`fraction` is a part of one without a unit (half of them)."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a text."""

    values: tuple[Fraction, ...]
    """Its readings; one, unless the writing is ambiguous."""
    unit: tuple[str, ...]
    """Names of `data/units.toml`, numerator first; empty when no unit follows."""
    form: Form
    start: int
    end: int
    """Span of the digits or words in the folded text."""
    unit_end: int
    """End with the unit; equal to `end` without one."""
    scale: Fraction = Fraction(1)
    """What a word such as million made of the digits; 1 without one."""

    @property
    def value(self) -> Fraction:
        """The most likely reading."""
        return self.values[0]


class Identifier(NamedTuple):
    """A name with digits in it: B12, CD4, COVID-19, 5-HT."""

    text: str
    """Folded, lower case, without hyphens."""
    digits: tuple[str, ...]
    start: int
    end: int


_LETTER = "A-Za-z\u0370-\u03ff\u0400-\u04ff\u0621-\u064a"
_IDENTIFIER = re.compile(
    rf"(?<![{_LETTER}\d])(?:[{_LETTER}\d]*[{_LETTER}]-?\d[{_LETTER}\d]*(?:-(?:[{_LETTER}]*\d[{_LETTER}\d]*|[A-Z]+(?![{_LETTER}]))){{0,6}}"
    rf"|\d+-[{_LETTER}]*[A-Z][A-Za-z]*(?:-\d+)?|\d+[A-Z](?![{_LETTER}]))"
)
_DIGITS_FIRST = re.compile(rf"(\d[\d.,٫]*)-?([{_LETTER}]+)")
_ARABIC_CLITIC = re.compile(r"(?:[وفبلك]|ال|وال|بال|لل|فال|كال)-?(?=\d)")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_NUMBER = re.compile(
    r"(?<![\d])(?:\d{1,3}(?:\u00a0\d{3})+(?!\d)|\d+(?:[.,٫٬·]\d+)*|(?<![\w.])[.٫·]\d+)"
    r"(?:(?P<power>[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)|\^(?P<caret>-?\d+)|<sup>(?P<sup>-?\d+)</sup>)?"
)
_ARABIC_COMMA = re.compile(r"(?<=\d)،(?=\d{3}(?!\d))")
"""Between thousands, where a machine puts it for the comma: 100،000."""
_ODD_GROUP = re.compile(r"٬(?=\d{1,2}$)")
"""A sign for thousands before the last one or two digits, where typists put it for the decimal sign: 6٬8."""
_TIMES_SIGN = re.compile(r"[ \u00a0]*[×x*·х][ \u00a0]*")
_LONGEST = 60
"""Characters above which a run of digits is no number (sequences, hashes)."""
_SPACED_GROUPS = re.compile(r"(?<![\d.,])(\d{1,3}(?: \d{3}){1,4})(?![\d]|[.,]\d)")
_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5", "⅛": "1/8"}
_VULGARS = re.compile(f"[{''.join(_VULGAR)}]")
_DIGIT_OR_PART = re.compile(rf"\d|{_VULGARS.pattern}")
_FRACTION = re.compile(r"(?<![\d/.,])([123])/([2345])(?![\d/.,])")
_ROMAN = {"I": 1, "V": 5, "X": 10}
_ROMANS = re.compile(r"(?<!\w)(?=[IVX]{2})X{0,3}(?:IX|IV|V?I{0,3})(?!\w)")
_AFTERNOON = re.compile(r"[ \u00a0]?(?:p\.?m\b\.?|مساء|م(?!\w)|ظهرا|بعد الظهر|عصرا)")
_DECADE = re.compile(r"'?s(?!\w)")
_YEAR_BEFORE = re.compile(r"(?<!\d)(?:19|20)\d\d-$")
_ORDINAL_END = re.compile(r"(?:st|nd|rd|th|er|e|eme|ere|-?[йяеог]{1,3}|[ªº°a](?!\w))(?![^\W\d_])")
_CJK_RUN = re.compile(r"[〇零一二三四五六七八九十百千两]+")
_CJK_DIGIT = {char: index for index, char in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2}
_CJK_SCALE = {"十": 10, "百": 100, "千": 1000}


def readings(written: str, code: str) -> tuple[Fraction, ...]:
    """Return every value that digits with separators can mean in a language, the likely one first.

    `1,234` is a thousand and more or a decimal; in English a point is always decimal. `٫` and `٬` are never
    ambiguous.
    """
    written = _ODD_GROUP.sub("٫", written.replace("\u00a0", "").replace(" ", "").replace("·", "٫"))
    written = written.replace("٬", "")
    if "٫" in written:
        return (Fraction(written.replace(",", "").replace(".", "").replace("٫", ".")),)
    signs = [char for char in written if char in ".,"]
    if not signs:
        return (Fraction(int(written)),)
    whole = Fraction(int(written.replace(".", "").replace(",", "")))
    if len(signs) > 1:
        if len(set(signs)) == 1:
            return (whole,)
        last = max(written.rfind("."), written.rfind(","))
        head = written[:last].replace(".", "").replace(",", "")
        return (Fraction(f"{head}.{written[last + 1 :]}"),)
    head, sign, tail = written.partition(signs[0])
    decimal = Fraction(f"{head or '0'}.{tail}")
    comma_is_decimal = code in _COMMA_DECIMAL
    if len(tail) != 3 or not 1 <= len(head) <= 3 or head.startswith("0"):
        return (decimal,)
    if sign == ".":
        both = comma_is_decimal or tail.endswith("00")
        return (whole, decimal) if both else (decimal,)
    if comma_is_decimal:
        return (decimal, whole)
    return (whole,) if tail.endswith("0") else (whole, decimal)


_COMMA_DECIMAL = frozenset({"ar", "es", "fr", "ru"})


class NumberReader:
    """Reads the numbers and identifiers of texts in one language."""

    def __init__(self, code: str) -> None:
        row = language(code)
        self.code, self.spaced = row.code, row.spaced
        self.units = unit_reader(code)
        self.lexicon = lexicon(code)
        own = table(row.code).get("numbers", {})
        self.joins = frozenset(plain_forms(code, "numbers", "join"))
        self.ranges = frozenset(plain_forms(code, "numbers", "range")) or frozenset("-")
        self._part = _part_pattern(code)
        self.rounded = own.get("rounded_days", {})
        self.ratio = plain_forms(code, "numbers", "ratio")
        self._of = _of_pattern(code)
        self.centuries = tuple(own.get("centuries", ())) or ("\0",)
        self.after_units = frozenset(plain_forms(code, "numbers", "after_units"))
        self.percent_before = tuple(own.get("percent_before", ()))

    def read(
        self, text: Folded, cues: dict[str, list[Cue]]
    ) -> tuple[tuple[Number, ...], tuple[Identifier, ...]]:
        """Return the numbers in reading order, and the identifiers."""
        identifiers = self._identifiers(text) if _ANY_DIGIT.search(text.cased) else ()
        numbers = self._digits(text, cues, identifiers)
        taken = Covered(len(text.lower), ((number.start, number.end) for number in numbers))
        numbers += [n for n in self._words(text, cues) if not taken.meets(n.start, n.end)]
        numbers += self._loose(text, cues)
        numbers += self._bare_times(text.lower, numbers)
        numbers = self._with_parts(text.lower, cues, numbers)
        numbers += self._sums(text.lower, numbers) + self._ratios(text.lower, numbers)
        numbers.sort(key=lambda number: (number.start, number.form == "loose"))
        return tuple(self._spread(text.lower, numbers)), identifiers

    def _identifiers(self, text: Folded) -> tuple[Identifier, ...]:
        found = []
        for match in _IDENTIFIER.finditer(text.cased):
            start, token = match.start(), match.group()
            if self.units.lookup(token.lower()):
                continue  # mm3
            clitic = _ARABIC_CLITIC.match(token)
            if clitic and not re.search(r"[A-Za-z]", token):
                continue
            first = _DIGITS_FIRST.match(token)
            if first and self._is_plain(first.group(2)):
                continue
            digits = tuple(re.findall(r"\d+", token))
            found.append(Identifier(token.replace("-", "").lower(), digits, start, match.end()))
        return tuple(found)

    def _is_plain(self, letters: str) -> bool:
        """Tell whether letters after digits are a unit, an ordinal ending or a word: 5mg, 2nd, 14-day."""
        lower = letters.lower()
        if self.units.lookup(lower) or lower in {
            "s",
            "st",
            "nd",
            "rd",
            "th",
            "am",
            "pm",
            "x",
            "e",
            "er",
            "eme",
        }:
            return True
        return lower == letters and len(letters) > 1

    def _digits(
        self, text: Folded, cues: dict[str, list[Cue]], names: tuple[Identifier, ...]
    ) -> list[Number]:
        lower = text.lower
        scales = {cue.start: cue for cue in cues.get("numbers.scales", ())}
        taken = Covered(len(lower), ((name.start, name.end) for name in names))
        found: list[Number] = []
        for start, end, values, form in self._raw(lower):
            if taken.meets(start, end):
                continue
            form_here: Form = form
            word = scales.get(end) or scales.get(end + 1)
            scale = Fraction(1)
            if word and (word.start == end or lower[end] in " \u00a0-"):
                scale, end = Fraction(word.value), word.end
                values = tuple(value * scale for value in values)
            elif decade := _DECADE.match(lower, end):
                full = values[0] + 1900 if values[0] < 100 else values[0]
                values, end = (*values, full, values[0] % 100), decade.end()
            elif _ORDINAL_END.match(lower, end) and not self.units.read(lower, end)[0]:
                form_here = "ordinal"
            unit, _, unit_end = self.units.read(lower, end)
            if not unit and any(lower.endswith(sign, 0, start) for sign in self.percent_before):
                unit = ("percent",)
            if unit == ("g", "L") and text.cased[end:unit_end].strip().startswith("G"):
                unit, values = ("count", "L"), tuple(value * 10**9 for value in values)  # giga per litre
            if _YEAR_BEFORE.search(lower, max(0, start - 5), start) and end - start == 2:
                values = (*values, values[0] + 100 * int(lower[start - 5 : start - 3]))
            if lower.startswith(self.centuries, end) or lower.startswith(self.centuries, end + 1):
                form_here = "loose"
            if not unit and _AFTERNOON.match(lower, end) and values[0] < 12:
                values = (*values, values[0] + 12)
            if found and found[-1].end == start and found[-1].scale > max(scale, values[0]):
                first = found.pop()  # 20万8千 is one number
                values, start = tuple(first.value + value for value in values), first.start
            rate = self.units.rate_before(lower, start) if len(unit) == 1 else None
            if rate and rate[0] != unit[0]:
                unit, found = (*unit, rate[0]), [number for number in found if number.start < rate[1]]
            found.append(Number(values, unit, form_here, start, end, unit_end, scale))
        return found

    def _raw(self, lower: str) -> list[tuple[int, int, tuple[Fraction, ...], Form]]:
        found: list[tuple[int, int, tuple[Fraction, ...], Form]] = []
        if not _DIGIT_OR_PART.search(lower):
            return found
        taken = Covered(len(lower))
        lower = _ARABIC_COMMA.sub(",", lower)
        for match in _FRACTION.finditer(lower):
            if int(match.group(1)) < int(match.group(2)):
                value = Fraction(int(match.group(1)), int(match.group(2)))
                found.append((match.start(), match.end(), (value,), "digits"))
                taken.add(match.start(), match.end())
        if " " in lower:
            for match in _SPACED_GROUPS.finditer(lower):
                found.append(
                    (match.start(), match.end(), (Fraction(match.group().replace(" ", "")),), "digits")
                )
                taken.add(match.start(), match.end())
        for match in _NUMBER.finditer(lower):
            if taken.meets(match.start(), match.end()) or match.end() - match.start() > _LONGEST:
                continue
            power = match.group("power") or match.group("caret") or match.group("sup")
            body = match.group()
            if power is not None:
                body = re.split(r"[⁻⁰¹²³⁴⁵⁶⁷⁸⁹^<]", body)[0]
            for start, written in self._split(body, match.start()):
                end = start + len(written)
                values = readings(written, self.code)
                if power is not None and end == match.start() + len(body):
                    values = (values[0] ** _exponent(power),)
                    end = match.end()
                    if found and written == "10" and _TIMES_SIGN.fullmatch(lower, found[-1][1], start):
                        start, _, factors, _ = found.pop()
                        values = tuple(factor * values[0] for factor in factors)
                found.append((start, end, values, "digits"))
        for match in _VULGARS.finditer(lower):
            found.append((*match.span(), (Fraction(_VULGAR[match.group()]),), "digits"))
        return found

    def _split(self, written: str, start: int) -> list[tuple[int, str]]:
        """Split digits that no number is written like: lists (10,11,12) and section numbers (1.2.3)."""
        signs = [char for char in written if char in ".,"]
        if re.fullmatch(r"\d+\.\d+(?:,\d+\.\d+)+", written):
            return [(start + found.start(), found.group()) for found in re.finditer(r"[\d.]+", written)]
        listed = len(signs) > 1 and not re.fullmatch(
            r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+(?:,\d+)?", written
        )
        english_list = (
            signs == [","] and self.code not in _COMMA_DECIMAL and not re.search(r",\d{3}$", written)
        )
        if (not listed and not english_list) or "٫" in written:
            return [(start, written)]
        return [(start + found.start(), found.group()) for found in re.finditer(r"\d+", written)]

    def _words(self, text: Folded, cues: dict[str, list[Cue]]) -> list[Number]:
        if not self.spaced:
            return self._cjk(text.lower)
        words = (*cues.get("numbers.words", ()), *cues.get("numbers.scales", ()))
        parts = sorted((*words, *self._units_of_tens(text.lower, cues)), key=lambda cue: cue.start)
        found: list[Number] = []
        group: list[Cue] = []
        for cue in parts:
            if group and not self._joins(group[-1], cue, text.lower[group[-1].end : cue.start]):
                found.append(self._compose(text.lower, group))
                group = []
            group.append(cue)
        if group:
            found.append(self._compose(text.lower, group))
        return found

    def _units_of_tens(self, lower: str, cues: dict[str, list[Cue]]) -> list[Cue]:
        """Return ordinals that a word for tens follows: في الثانية والسبعين, the seventy-second."""
        tens = {cue.start for cue in cues.get("numbers.words", ()) if int(cue.value) in range(20, 100, 10)}
        return [
            cue
            for cue in cues.get("numbers.ordinals", ())
            if int(cue.value) < 10
            and any(
                at in tens and lower[cue.end : at].strip() in self.joins
                for at in range(cue.end + 1, cue.end + 6)
            )
        ]

    def _joins(self, left: Cue, right: Cue, gap: str) -> bool:
        """Tell whether two words make one number: twenty + five, خمسة + وعشرون, two + hundred."""
        words = gap.replace("-", " ").split()
        if len(gap) > 5 or gap == "" or not all(word in self.joins for word in words):
            return False
        if right.concept == "numbers.scales":
            return not words
        if left.concept == "numbers.scales":
            return True
        a, b = int(left.value), int(right.value)
        tens_first = a >= 20 and a % 10 == 0 and a < 100 and b < 10
        units_first = b >= 20 and b % 10 == 0 and b < 100 and a < 10 and bool(words)
        return tens_first or units_first or (a >= 100 > b)

    def _compose(self, lower: str, group: list[Cue]) -> Number:
        total = current = Fraction(0)
        for cue in group:
            value = Fraction(cue.value)
            if cue.concept == "numbers.scales":
                current = (current or Fraction(1)) * value
                if value > 100:
                    total, current = total + current, Fraction(0)
            else:
                current += value
        end = group[-1].end
        unit, _, unit_end = self.units.read(lower, end)
        value = total + current
        alone = len(group) == 1
        form: Form = "loose" if alone and (value <= 2 or group[0].concept == "numbers.scales") else "word"
        if alone and not unit and value <= 2 and lower[group[0].start : end] in self.after_units:
            noun = lower[: group[0].start].rstrip().rpartition(" ")[2]
            name = self.units.lookup(noun)
            if name:  # غراما واحدا, the noun is part of it
                start = lower.rindex(noun, 0, group[0].start)
                return Number((value,), (name,), "word", start, end, end)
        other = self.rounded.get(str(value)) if unit == ("day",) else None
        values = (value, Fraction(other)) if other else (value,)
        return Number(values, unit, form, group[0].start, end, unit_end)

    def _cjk(self, lower: str) -> list[Number]:
        found: list[Number] = []
        for match in _CJK_RUN.finditer(lower):
            value = _cjk_value(match.group())
            if value is None:
                continue
            unit, _, unit_end = self.units.read(lower, match.end())
            if not unit and any(lower.endswith(sign, 0, match.start()) for sign in self.percent_before):
                unit = ("percent",)
            form: Form = "word" if unit and value > 1 else "loose"
            found.append(Number((Fraction(value),), unit, form, match.start(), match.end(), unit_end))
        return found

    def _loose(self, text: Folded, cues: dict[str, list[Cue]]) -> list[Number]:
        found = []
        for concept in ("numbers.ordinals", "numbers.months", "numbers.hours", "frequency.times"):
            for cue in cues.get(concept, ()):
                form: Form = "ordinal" if concept == "numbers.ordinals" else "loose"
                values = tuple(map(Fraction, cue.value.split()))
                found.append(Number(values, (), form, cue.start, cue.end, cue.end))
        for cue in cues.get("numbers.duals_of_units", ()):
            found.append(Number((Fraction(2),), (cue.value,), "word", cue.start, cue.end, cue.end))
        for match in _ROMANS.finditer(text.cased):
            value, span = Fraction(_roman_value(match.group())), match.span()
            found.append(Number((value,), (), "loose", *span, span[1]))
        return found

    def _bare_times(self, lower: str, numbers: list[Number]) -> list[Number]:
        """Read a time without a number as one of it: after a week, بعد أسبوع."""
        taken = Covered(len(lower), ((number.start, number.unit_end) for number in numbers if number.unit))
        found: list[Number] = []
        for unit, start, end in self.units.bare_times(lower):
            if taken.meets(start, end):
                continue
            found.append(Number((Fraction(1),), (unit,), "loose", start, end, end))
        return found

    def _with_parts(self, lower: str, cues: dict[str, list[Cue]], numbers: list[Number]) -> list[Number]:
        """Read parts of one (half an hour, two thirds), numbers with a part (two and a half hours, 1½), and
        words for an amount (полчаса, 一刻钟); they take the place of the numbers inside them.
        """
        whole = [found for number in numbers if (found := self._mixed(lower, number))]
        whole += _written_mixed(lower, numbers)
        taken = Covered(len(lower), ((number.start, number.unit_end) for number in whole))
        if self.spaced:
            whole += self._bare_mixed(lower, taken)
            taken = Covered(len(lower), ((number.start, number.unit_end) for number in whole))
        counted = Covered(len(lower), ((n.end, n.unit_end) for n in numbers if n.end < n.unit_end))
        for cue in cues.get("numbers.quantities", ()):
            *values, unit = cue.value.split()
            if not taken.meets(cue.start, cue.end) and not counted.meets(cue.start, cue.end):
                amounts = tuple(map(Fraction, values))
                whole.append(Number(amounts, (unit,), "word", cue.start, cue.end, cue.end))
                taken.add(cue.start, cue.end)
        words = Covered(len(lower), ((n.start, n.end - 1) for n in numbers if n.form == "word"))
        whole += [
            self._fraction(lower, cue, cues)
            for cue in cues.get("numbers.fractions", ())
            if not taken.meets(cue.start, cue.end) and not words.meets(cue.start - 1, cue.start)  # أربع, ربع
        ]
        if not whole:
            return numbers
        taken = Covered(len(lower), ((number.start, number.unit_end) for number in whole))
        return [n for n in numbers if not taken.meets(n.start, n.end)] + whole

    def _mixed(self, lower: str, number: Number) -> Number | None:
        """Return a number with the part that follows it: one and a half, ساعتان ونصف, 两个半."""
        if number.value.denominator > 1 or number.form == "ordinal":
            return None
        early = self._part.match(lower, number.end) if number.end < number.unit_end else None
        own = () if early else number.unit  # два с половиной is not two seconds
        part = early or self._part.match(lower, number.unit_end)
        if part is None:
            return None
        sign = next(name for name in _PARTS if part[name])
        unit, _, end = self._unit_of(lower, part.end())
        if not self.spaced and not unit and part[sign][:1] == "个" and lower[part.end() : part.end() + 1]:
            name = self.units.lookup(f"个{lower[part.end()]}")  # 一个半月
            unit, end = ((name,), part.end() + 1) if name else ((), part.end())
        if own and unit and own != unit:
            return None  # two tablets and half an hour
        values = tuple(value + _PARTS[sign] for value in number.values)
        form: Form = "digits" if number.form == "digits" else "word"
        return Number(values, own or unit, form, number.start, part.end(), end)

    def _bare_mixed(self, lower: str, taken: Covered) -> list[Number]:
        """Return a unit without a number that a part follows: a tablet and a half, قرص ونصف."""
        found = []
        for part in self._part.finditer(lower):
            word = _LAST_WORD.search(lower, max(0, part.start() - 20), part.start())
            name = self.units.lookup(word.group()) if word else None
            if word and name and len(word.group()) > 2 and not taken.meets(word.start(), part.end()):
                value = 1 + next(_PARTS[sign] for sign in _PARTS if part[sign])
                unit, _, end = self._unit_of(lower, part.end())
                if not unit or unit == (name,):
                    found.append(Number((value,), (name,), "word", word.start(), part.end(), end))
        return found

    def _unit_of(self, lower: str, at: int) -> tuple[tuple[str, ...], int, int]:
        """Read the unit after a part of one, and after the words between them: half an hour."""
        unit, start, end = self.units.read(lower, at)
        linked = None if unit else self._of.match(lower, at)
        return self.units.read(lower, linked.end()) if linked else (unit, start, end)

    def _fraction(self, lower: str, cue: Cue, cues: dict[str, list[Cue]]) -> Number:
        value = Fraction(cue.value)
        unit, _, end = self._unit_of(lower, cue.end)
        if unit:
            return Number((value,), unit, "word", cue.start, cue.end, end)
        linked = self._of.match(lower, cue.end)
        after = linked.end() if linked else cue.end
        scale = next((one for one in cues.get("numbers.scales", ()) if 0 <= one.start - after <= 1), None)
        if scale:
            return Number((value * Fraction(scale.value),), (), "loose", cue.start, scale.end, scale.end)
        ordinal = (Fraction(value.denominator),) if value.numerator == 1 else ()
        return Number((value, *ordinal), (), "fraction", cue.start, cue.end, cue.end)

    def _ratios(self, lower: str, numbers: list[Number]) -> list[Number]:
        """Return what part of a whole is said by two numbers, in percent: three in ten, un sur cinq."""
        if not self.ratio:
            return []
        found = []
        counted = sorted((n for n in numbers if n.form != "fraction"), key=lambda n: n.start)
        for first, second in pairwise(counted):
            gap = lower[max(first.end, first.unit_end) : second.start]
            if len(gap) > 30 or not gap or second.value <= first.value or second.value > 1000:
                continue
            words = gap.strip(" \u00a0")
            if any(words.endswith(f" {one}") or words == one for one in self.ratio):
                percent = first.value * 100 / second.value
                found.append(Number((percent,), ("percent",), "loose", first.start, second.end, second.end))
        return found

    def _sums(self, lower: str, numbers: list[Number]) -> list[Number]:
        """Return the sums of times that follow each other: 2 hours 30 minutes, 4 heures 30."""
        known = units()
        timed = sorted((n for n in numbers if n.unit or n.form in ("digits", "word")), key=lambda n: n.start)
        found = []
        for first, second in pairwise(timed):
            if len(first.unit) != 1 or known[first.unit[0]].dimension not in TIME:
                continue
            gap = lower[first.unit_end : second.start].strip(" \u00a0")
            if gap and (gap not in self.joins or not second.unit):
                continue
            unit = second.unit or (("minute",) if first.unit == ("hour",) and second.value < 60 else ())
            if len(unit) != 1 or known[unit[0]].dimension != known[first.unit[0]].dimension:
                continue
            if known[unit[0]].factor < known[first.unit[0]].factor:
                total = first.value * known[first.unit[0]].factor / known[unit[0]].factor + second.value
                end = max(second.end, second.unit_end)
                found.append(Number((total,), unit, "loose", first.start, end, end))
        return found

    def _spread(self, lower: str, numbers: list[Number]) -> list[Number]:
        """Give the first number of a range what the second has: 5 to 10 mg, 3 to 5 million."""
        out = list(numbers)
        for index in range(len(out) - 1, 0, -1):
            left, right = out[index - 1], out[index]
            if left.unit or left.end > right.start or "loose" in (left.form, right.form):
                continue
            if lower[left.end : right.start].strip(" \u00a0") in self.ranges:
                out[index - 1] = replace(
                    left, values=_scaled(left, right), unit=right.unit, scale=max(left.scale, right.scale)
                )
        return out


_PARTS = {"halves": Fraction(1, 2), "quarters": Fraction(1, 4), "three_quarters": Fraction(3, 4)}
"""Lists of what follows a number to add a part of one."""


def _part_pattern(code: str) -> re.Pattern[str]:
    """Return the pattern of words that add a part of one: and a half, ونصف, с половиной."""
    spaced = language(code).spaced
    groups = []
    for name in _PARTS:
        forms = sorted(plain_forms(code, "numbers", name), key=len, reverse=True)
        end = r"(?![^\W_])" if spaced else r"(?![数夜径信])"
        groups.append(f"(?P<{name}>{'|'.join(map(re.escape, forms)) or '(?!)'}){end}")
    return re.compile((r"[ \u00a0-]" if spaced else r"[ \u00a0]?") + f"(?:{'|'.join(groups)})")


def _of_pattern(code: str) -> re.Pattern[str]:
    """Return the pattern of words between a part of one and its unit: half an hour, un quart d'heure."""
    forms = sorted(plain_forms(code, "numbers", "of"), key=len, reverse=True)
    end = r"(?:[ \u00a0]|(?<=')|(?<=ال))" if language(code).spaced else ""
    return re.compile(rf"[ \u00a0-]?(?:{'|'.join(map(re.escape, forms)) or '(?!)'}){end}")


_LAST_WORD = re.compile(r"[^\W\d_]+$")
_SLASHED = re.compile(r"\d/\d")


def _written_mixed(lower: str, numbers: list[Number]) -> list[Number]:
    """Return digits with a written part: 1 1/2, 2½."""
    digits = sorted((n for n in numbers if n.form == "digits"), key=lambda n: n.start)
    return [
        Number((first.value + second.value,), second.unit, "digits", first.start, second.end, second.unit_end)
        for first, second in pairwise(digits)
        if not first.unit
        and first.value.denominator == 1
        and second.value < 1
        and 0 <= second.start - first.end <= 1
        and (lower[second.start] in _VULGAR or _SLASHED.fullmatch(lower, second.start, second.end))
        and not lower[first.end : second.start].strip(" \u00a0")
    ]


def _scaled(left: Number, right: Number) -> tuple[Fraction, ...]:
    """Return the readings of the first number of a range: the 3 of 3 to 5 million is 3 million, or 3."""
    if left.scale == right.scale or left.value * right.scale >= right.value:
        return left.values
    return (*(value * right.scale for value in left.values), *left.values)


_ANY_DIGIT = re.compile(r"\d")


def _roman_value(written: str) -> int:
    """Return the value of I to XXXIX: a smaller sign before a greater one is taken away."""
    values = [_ROMAN[char] for char in written]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


def _exponent(power: str) -> int:
    return max(-30, min(30, int(power.translate(_SUPERSCRIPTS))))


def _cjk_value(run: str) -> int | None:
    """Return the value of Chinese numerals up to 9,999; None for a run that is no number."""
    if not any(char in _CJK_SCALE for char in run):
        return int("".join(str(_CJK_DIGIT[char]) for char in run)) if len(run) <= 4 else None
    total, digit = 0, None
    for char in run:
        if char in _CJK_SCALE:
            total += (1 if digit is None else digit) * _CJK_SCALE[char]
            digit = None
        else:
            digit = _CJK_DIGIT[char]
    return total + (digit or 0)


@cache
def number_reader(code: str) -> NumberReader:
    """Return the reader of a language (`es-LA` gives `es`)."""
    return NumberReader(code)
