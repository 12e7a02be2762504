"""Text: normalisation for comparison (never for output), words, sentences, direction, isolates."""

import re
import unicodedata
from collections import Counter
from functools import cache
from typing import Literal

from bimedix.languages import LANGUAGES, Direction, language

_TASHKEEL = {
    *range(0x0610, 0x061B), *range(0x064B, 0x0660), 0x0670, *range(0x06D6, 0x06DD),
    *range(0x06DF, 0x06E5), 0x06E7, 0x06E8, *range(0x06EA, 0x06EE),
}  # fmt: skip
_BIDI_MARKS = {0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_INVISIBLE = {0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x00AD, 0x0640}  # the last is tatweel
_REMOVED: dict[int, str | None] = dict.fromkeys(_TASHKEEL | _BIDI_MARKS | _INVISIBLE)
_FOLDED = str.maketrans("آأإٱىة؟،؛٪؉", "اااايه?,;%‰")
_DECIMAL_DIGITS = {ord(c): str(unicodedata.decimal(c)) for c in map(chr, range(0x110000))
                   if c > "9" and unicodedata.category(c) == "Nd"}  # fmt: skip
_WORD = re.compile(r"[^\W_]+(?:[’'٫.,\-][^\W_]+)*|[^\w\s]", re.UNICODE)


@cache
def _presentation_forms() -> dict[int, str]:
    """Arabic presentation forms (U+FB50-FDFF, U+FE70-FEFF) to their letters."""
    points = (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFF))
    return {p: unicodedata.normalize("NFKC", chr(p)) for p in points if unicodedata.category(chr(p)) != "Cn"}


def digits_to_ascii(text: str) -> str:
    """Map decimal digits of every script to 0-9, and the Arabic decimal sign to a point; groups fall out."""
    text = text.translate(_DECIMAL_DIGITS).replace("٫", ".")
    return re.sub(r"(?<=\d)٬(?=\d)", "", text)


@cache
def _comparison_table() -> dict[str, str]:
    """Characters that comparison changes, and what each becomes."""
    points = {*_presentation_forms(), *_REMOVED, *map(ord, "آأإٱىة؟،؛٪؉٫"), *_DECIMAL_DIGITS}
    table = {}
    for char in map(chr, sorted(points)):
        letters = char.translate(_presentation_forms()).translate(_REMOVED)
        table[char] = letters.translate(_FOLDED).translate(_DECIMAL_DIGITS).replace("٫", ".")
    return {char: into for char, into in table.items() if char != into}


def normalise(text: str) -> str:
    """Return the form in which two texts are compared; idempotent, and numbers stay.

    Order of evaluate-serve.md, section 6, and data.md, section 5: NFC, presentation forms by table,
    bidi marks, joiners, tatweel and tashkeel out, alef and ya forms and ta marbuta unified, punctuation
    and digits to ASCII, case-folded, spaces collapsed. Never NFKC: 10² would become 102.

    Every record goes through here several times, so characters are replaced kind by kind, and only those
    that occur: four times the speed of `str.translate` over Arabic, nine over English.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        table = _comparison_table()
        for char in set(text):
            if char in table:
                text = text.replace(char, table[char])
        if "٬" in text:
            text = re.sub(r"(?<=\d)٬(?=\d)", "", text)
        text = unicodedata.normalize("NFC", text.casefold())
        return " ".join(text.split())
    return " ".join(text.lower().split())


def words(text: str, code: str) -> list[str]:
    """Cut a text into words and punctuation signs; single characters where words are not spaced (zh, ja).

    In those languages runs of ASCII letters and digits stay together.
    """
    found = _WORD.findall(text)
    if language(code).spaced:
        return found
    return [piece for word in found for piece in re.findall(r"[A-Za-z0-9.]+|.", word, re.DOTALL)]


def sentences(text: str, code: str) -> list[str]:
    """Cut a text at sentence ends; joining the parts gives the text back, byte for byte."""
    ends = re.escape(language(code).sentence_ends)
    gap = r"\s+" if language(code).spaced else r"\s*"
    cut = re.compile(rf"(?<=[{ends}])[\"'»”)\]]*{gap}(?=\S)|\n+")
    parts, start = [], 0
    for found in cut.finditer(text):
        before = text[start : found.start()]
        if (
            re.search(r"(?:^|\s)(?:[A-Za-z]|\d+|Dr|Mr|Mrs|e\.g|i\.e|vs|Fig|No|approx)\.$", before)
            and "\n" not in found.group()
        ):
            continue
        parts.append(text[start : found.end()])
        start = found.end()
    return [*parts, text[start:]] if start < len(text) else parts


@cache
def _script(char: str) -> str:
    name = unicodedata.name(char, "OTHER").split()[0]
    return "CJK" if name in {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"} else name


def script_shares(text: str) -> dict[str, float]:
    """Return the share of letters per Unicode script name (LATIN, ARABIC, CYRILLIC, CJK, ...); sums to 1."""
    counts: dict[str, int] = {}
    for char, times in Counter(text).items():
        if char.isalpha():
            counts[_script(char)] = counts.get(_script(char), 0) + times
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()} if total else {}


def block_direction(text: str, fallback: Direction = "ltr") -> Direction:
    """Return the direction of one block (paragraph, list item, cell).

    Right to left when it has at least 2 strong right-to-left letters and they are at least 35 % of all
    strong letters; a block without letters takes `fallback`. Source: evaluate-serve.md, section 9,
    rule 2. `dir=auto` takes the first strong letter and is wrong for an Arabic sentence that opens with
    a drug name in Latin letters.
    """
    right = left = 0
    for char in text:
        match unicodedata.bidirectional(char):
            case "R" | "AL":
                right += 1
            case "L":
                left += 1
    if right + left == 0:
        return fallback
    return "rtl" if right >= 2 and right / (right + left) >= 0.35 else "ltr"


_OVERRIDES = re.compile("[\u202a-\u202e]")
_RTL = r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]"
_RUN = {
    "rtl": re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,:/%+\-–−<>≤≥=°²³µμ()]*[A-Za-z0-9%)°²³]|[A-Za-z0-9]"),
    "ltr": re.compile(rf"{_RTL}(?:(?:{_RTL}|[ ،؛؟])*{_RTL})?"),
}


def strip_controls(text: str) -> str:
    """Remove bidi embedding and override controls (U+202A-202E), which spoof what a reader sees."""
    return _OVERRIDES.sub("", text)


def opposite_runs(text: str, direction: Direction) -> list[tuple[int, int]]:
    """Return the spans that run against the direction of their block: drug names, doses, ranges, citations.

    They are what has to be isolated. Digits alone count in right-to-left blocks, because signs and units
    around them would otherwise jump.
    """
    return [_without_open_ends(text, *found.span()) for found in _RUN[direction].finditer(text)]


def _without_open_ends(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave a closing parenthesis to the block whose opening one stands outside of the run."""
    while text[end - 1] == ")" and text.count(")", start, end) > text.count("(", start, end):
        end -= 1
    return start, end


def isolate(text: str, direction: Direction | None = None) -> str:
    """Wrap opposite runs in FSI and PDI (U+2068, U+2069), for plain text and terminals."""
    direction = direction or block_direction(text)
    out, at = [], 0
    for start, end in opposite_runs(text, direction):
        out += [text[at:start], "\u2068", text[start:end], "\u2069"]
        at = end
    return "".join([*out, text[at:]])


Script = Literal["ARABIC", "CJK", "CYRILLIC", "LATIN"]


def written_in(text: str, code: str, *, least: float = 0.5) -> bool:
    """Tell whether at least the share `least` of the letters is in the script of language `code`."""
    shares = script_shares(text)
    return not shares or shares.get(LANGUAGES[code].script, 0.0) >= least
