"""The form in which integrity checks read a text, with the way back to the original code points.

Like `text.normalise`, but every character knows where it came from, so that a finding can be drawn over the
text a person sees. Never NFKC: 10² would become 102.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

_ARABIC = dict(zip("آأإٱىةئیکھہۀ", "اااايهئيكههه", strict=True))
_HYPHENS = dict.fromkeys("‐‑‒–—−﹣－", "-")
_QUOTES = dict.fromkeys("’‘ʼ´", "'") | dict.fromkeys("“”„«»", '"')
_SPACES = dict.fromkeys("\u202f\u2009\u2007", "\u00a0")
_OTHER = {
    "µ": "μ",
    "٪": "%",
    "﹪": "%",
    "؟": "?",
    "؛": ";",
    "⁄": "/",
    "∶": ":",
    "º": "°",
    "˚": "°",
}
_SINGLE = _ARABIC | _HYPHENS | _QUOTES | _SPACES | _OTHER
_REMOVED_RANGES = (
    (0x0300, 0x036F), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670), (0x06D6, 0x06DC),
    (0x06DF, 0x06E4), (0x06E7, 0x06E8), (0x06EA, 0x06ED), (0x200B, 0x200F), (0x202A, 0x202E),
    (0x2060, 0x2069), (0xFEFF, 0xFEFF), (0x00AD, 0x00AD), (0x0640, 0x0640), (0x061C, 0x061C),
)  # fmt: skip
_FORMS = "\ufb50-\ufdff\ufe70-\ufefc"
_REMOVED = "".join(f"{chr(first)}-{chr(last)}" for first, last in _REMOVED_RANGES)
_IRREGULAR = re.compile(f"[{_REMOVED}]+|[{_FORMS}]")


def _fold_char(char: str) -> str:
    """Return one character for one: ASCII digits and signs, letters without accent or hamza seat."""
    if char in _SINGLE:
        return _SINGLE[char]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"  # half of a pair: no text at all
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.decimal(char))
    if "！" <= char <= "～" and char not in "！？，":
        return _SINGLE.get(chr(ord(char) - 0xFEE0), chr(ord(char) - 0xFEE0))
    base = unicodedata.normalize("NFD", char)[0]
    return base if base != char and base.isalpha() and not "\u3040" <= char <= "\ud7ff" else char


class _Table(dict[int, str]):
    """A translation table that fills itself, one code point at a time."""

    def __missing__(self, point: int) -> str:
        self[point] = _fold_char(chr(point))
        return self[point]


_TABLE = _Table()


class Covered:
    """Which characters of a text are taken; asks and answers in the length of the span."""

    def __init__(self, length: int, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._taken = bytearray(length)
        for start, end in spans:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Take the characters from start to end."""
        self._taken[start:end] = b"\1" * (end - start)

    def meets(self, start: int, end: int) -> bool:
        """Tell whether one of them is taken."""
        return 1 in self._taken[start:end]


class Folded(NamedTuple):
    """A text as the checks read it."""

    cased: str
    """Digits and signs in ASCII, no accents, tashkeel, tatweel or bidi marks; capitals kept."""
    lower: str
    """The same in lower case; the same length."""
    offsets: tuple[int, ...] | None
    """Original position of each character and of the end; None when nothing moved."""

    def original(self, span: tuple[int, int]) -> tuple[int, int]:
        """Map a span of the folded text to code points of the original."""
        start, end = span
        if self.offsets is None:
            return span
        return self.offsets[start], (self.offsets[end - 1] + 1 if end > start else self.offsets[end])


@cache
def _expand_form(char: str) -> str:
    """Return the letters of an Arabic presentation form, folded."""
    return unicodedata.normalize("NFKC", char).translate(_TABLE)


def fold(text: str) -> Folded:
    """Fold a text; its digits keep their value and their place."""
    if not _IRREGULAR.search(text):
        cased = text.translate(_TABLE)
        return Folded(cased, cased.lower(), None)
    parts: list[str] = []
    offsets: list[int] = []
    at = 0
    for found in _IRREGULAR.finditer(text):
        start = found.start()
        parts.append(text[at:start].translate(_TABLE))
        offsets.extend(range(at, start))
        at = found.end()
        if at == start + 1 and "\ufb50" <= text[start] != "\ufeff":
            letters = _expand_form(text[start])
            parts.append(letters)
            offsets.extend([start] * len(letters))
    parts.append(text[at:].translate(_TABLE))
    offsets.extend(range(at, len(text) + 1))
    cased = "".join(parts)
    return Folded(cased, cased.lower(), tuple(offsets))
