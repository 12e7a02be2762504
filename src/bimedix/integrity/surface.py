"""What is wrong at first sight: echo, leftover Latin, cut text, chatter, broken characters."""

import re
from functools import cache
from itertools import pairwise

from bimedix.integrity.lexicon import plain_forms
from bimedix.integrity.pair import Findings, Pair, Severity, Side
from bimedix.integrity.units import unit_reader
from bimedix.languages import language
from bimedix.records import Finding
from bimedix.text import script_shares

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_PLAIN_LATIN = re.compile(r"(?<![\w/.-])[a-z]{2,}(?![\w/-])")
_LATIN_NAME = re.compile(
    r"(?<![A-Za-z])[A-Za-z]*[A-Z][A-Za-z]*[A-Z0-9][A-Za-z0-9]*|(?<![A-Za-z])[A-Za-z]+-?\d+"
)
_MIXED = re.compile(
    r"(?:[\u0400-\u04ff]{2,}|[\u0621-\u064a]{4,})([a-z]{3,})|([a-z]{3,})[\u0400-\u04ff\u0621-\u064a]{2,}"
)
_OVERRIDE = re.compile("[\u202a-\u202e]")
_CONTROL = re.compile(
    "[\ufffd\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|(?:[\u00d8\u00d9][\u0080-\u00ff]){3,}"
)
_EMPTY_BRACKETS = re.compile(r"\(\s*[,،;./]?\s*\)|\(\s+-\s*\)|\(\s*-\s+\)|\[\s*\]")
"""A minus alone is a result of a test: (-)."""
_FENCE = re.compile(r"```|~~~|</?(?:translation|answer|output|target|source)>", re.IGNORECASE)
_CLOSERS = "\"'»”’)]}*_ \t\n\r\u00a0"

LENGTH_BANDS = {
    ("en", "ar"): (0.63, 0.73, 0.91), ("en", "es"): (0.82, 0.97, 1.17), ("en", "fr"): (0.86, 0.99, 1.20),
    ("en", "ru"): (0.79, 0.90, 1.13), ("en", "zh"): (0.19, 0.23, 0.31), ("en", "ja"): (0.28, 0.34, 0.45),
}  # fmt: skip
"""Target characters per source character: 0.5th and 5th percentile and median of the human translations in
TICO-19 (fr: the lower of TICO-19, without its misaligned rows, and bio-mqm; ja: of 74 texts of a contrast
set)."""
LONGEST = {
    ("en", "ar"): 1.61, ("en", "es"): 1.80, ("en", "fr"): 2.05, ("en", "ru"): 1.95, ("en", "zh"): 0.64,
    ("en", "ja"): 0.90,
}  # fmt: skip
"""Target characters per source character: 99.5th percentile of TICO-19 (ja: estimated)."""
_DEFAULT_BAND = (0.4, 0.5, 1.0)


def check_echo(pair: Pair) -> Findings:
    """Yield a translation that repeats its source."""
    source, target = pair.source.folded.lower, pair.target.folded.lower
    if pair.source.code == pair.target.code:
        return
    words = _WORD.findall(source)
    plain = [word for word in words if len(word) > 2]
    if not plain or _first(source) != _first(target) or _squeeze(source) != _squeeze(target):
        return
    own_script = language(pair.source.code).script == language(pair.target.code).script
    names_only = not _PLAIN_LATIN.search(pair.source.folded.cased) or len(plain) < 3
    yield pair.finding(
        "echo",
        "hint" if names_only or (own_script and len(plain) < 4) else "error",
        "the translation repeats the source",
        [(0, len(source))],
        [(0, len(target))],
    )


def _first(lower: str) -> str:
    return next(filter(str.isalnum, lower), "")


def _squeeze(lower: str) -> str:
    return "".join(char for char in lower if char.isalnum())


def check_residue(pair: Pair) -> Findings:
    """Yield words of the source's script that were left in a translation written in another one.

    Originals in brackets beside their translation pass; what the source has in brackets itself does not.
    """
    own = language(pair.target.code).script
    if own == "LATIN" or language(pair.source.code).script != "LATIN":
        return
    cased, source = pair.target.folded.cased, pair.source.folded
    yield from _half_translated(pair)
    found = list(_PLAIN_LATIN.finditer(cased))
    lower = pair.target.folded.lower
    if not found or (_first(source.lower) == _first(lower) and _squeeze(source.lower) == _squeeze(lower)):
        return
    is_unit = unit_reader(pair.source.code).lookup
    words = [word for word in _PLAIN_LATIN.finditer(source.lower) if not is_unit(word.group())]
    in_source = {word.group() for word in words}
    open_there = {word.group() for word in words if _bracketed(source.lower, word.start())}
    left = [
        match
        for match in found
        if match.group() in in_source
        and (match.group() in open_there or not _bracketed(cased, match.start()))
    ]
    if not left:
        return
    longest = _longest_run(cased, [match.span() for match in left])
    share = script_shares(pair.target.text).get("LATIN", 0.0)
    mostly = share > 0.5 and len(left) >= 4
    severity: Severity = "error" if longest >= 3 or mostly else "warning" if longest == 2 else "hint"
    yield pair.finding(
        "residue",
        severity,
        f"left untranslated: {', '.join(dict.fromkeys(match.group() for match in left))}",
        (),
        [match.span() for match in left],
    )


def _half_translated(pair: Pair) -> Findings:
    """Yield words that begin in one alphabet and end in another; the source has their Latin letters."""
    found = [
        match.span()
        for match in _MIXED.finditer(pair.target.folded.lower)
        if (match[1] or match[2]) in pair.source.folded.lower
    ]
    if found:
        words = ", ".join(pair.target.folded.cased[start:end] for start, end in found)
        yield pair.finding("residue", "error", f"half a word is left untranslated: {words}", (), found)


def _bracketed(text: str, at: int) -> bool:
    """Tell whether a position is inside brackets, where originals are given beside their translation."""
    near = max(0, at - 300)
    return text.rfind("(", near, at) > text.rfind(")", near, at)


def _longest_run(text: str, spans: list[tuple[int, int]]) -> int:
    """Return the most untranslated words in a row, with nothing but spaces between them."""
    longest = run = 1
    for (_, end), (start, _) in pairwise(spans):
        run = run + 1 if not text[end:start].strip(" ,") else 1
        longest = max(longest, run)
    return longest


def check_stripped(pair: Pair) -> Findings:
    """Yield a translation from which Latin names, genes and units have fallen out: `address ?`, `( )`."""
    source, target = pair.source.folded, pair.target.folded
    empty = [m.span() for m in _EMPTY_BRACKETS.finditer(target.cased)]
    if empty and len(empty) > len(_EMPTY_BRACKETS.findall(source.cased)):
        yield pair.finding("stripped", "error", "brackets are empty that hold text in the source", (), empty)
    if language(pair.target.code).script == "LATIN":
        return
    is_unit = unit_reader(pair.source.code).lookup
    names = [
        m for m in _LATIN_NAME.finditer(source.cased) if len(m.group()) > 1 and not is_unit(m.group().lower())
    ]
    if len(names) < 2 or re.search("[A-Za-z]", target.cased):
        return
    gap = [m.span() for m in re.finditer(r"(?<=\w) +(?=[?.,،:)])| {2,}|(?<=[(/]) +", target.cased)]
    if gap:
        text = f"no Latin letters are left of {', '.join(dict.fromkeys(m.group() for m in names))}"
        severity: Severity = "error" if len(gap) > 1 else "warning"  # one may be a slip of the typist
        yield pair.finding("stripped", severity, text, [m.span() for m in names], gap)


def check_cut(pair: Pair) -> Findings:
    """Yield a translation that ends too early: too short, ending without a sign or on a word like `of`.

    The length bands are those of human translations (`LENGTH_BANDS`). Options end with a sign or without.
    """
    source, target = (side.folded.cased.rstrip(_CLOSERS) for side in (pair.source, pair.target))
    if not target or len(source) < 12:
        return
    ratio = len(target) / len(source)
    option = pair.field.startswith("options.")
    open_end = not option and source[-1:] in _FINAL and target[-1:] not in _ends(source[-1])
    dangles = _dangles(target, pair.target) and not _dangles(source, pair.source)
    severity = _cut_severity(pair, len(source), ratio, open_end, dangles)
    if severity:
        why = ", and no sign ends it" if open_end else ""
        text = f"the translation seems to be cut: {ratio:.2f} characters per character of the source{why}"
        yield pair.finding("cut", severity, text, (), [(len(target) - 1, len(target))])


def check_surplus(pair: Pair) -> Findings:
    """Yield a translation that is far too long and has more sentences than its source."""
    source, target = pair.source, pair.target
    most = LONGEST.get((source.code, target.code), 2.5)
    length = len(source.folded.cased)
    if length < 20 or len(target.folded.cased) <= most * length:
        return
    ends, more = target.sentence_ends, len(target.sentence_ends) - len(source.sentence_ends)
    if more > 0:
        text = f"{more} sentences more than the source, and {len(target.text) / length:.2f} times its length"
        start = ends[-more - 1] if more < len(ends) else 0
        yield pair.finding("surplus", "warning", text, (), [(start, ends[-1])])


def _cut_severity(pair: Pair, length: int, ratio: float, open_end: bool, dangles: bool) -> Severity | None:
    low, short, median = LENGTH_BANDS.get((pair.source.code, pair.target.code), _DEFAULT_BAND)
    far_too_short = ratio < low * 0.75 and length >= (60 if open_end else _LONG_ENOUGH)
    expected = median if length >= 60 else 0.9 * median
    question_lost = _asks(pair.source) and not _asks(pair.target) and _fewer(pair)
    open_and_short = open_end and (dangles or (ratio < expected and length >= 30))
    sentence_lost = length >= 60 and _sentences_lost(pair, median) and ratio < _SHORT * short
    if (
        far_too_short
        or open_and_short
        or sentence_lost
        or question_lost
        or (ratio < low and length >= 60 and open_end)
    ):
        return "error"
    return "warning" if (open_end or dangles) and length >= 30 else None


_LONG_ENOUGH = 160
"""Characters of a source from which a translation that ends with its sign is never said in half of them."""
_FINAL = frozenset(".!?…:;。！？")
_LISTING = frozenset(";:,،؛；：，、")


def _ends(sign: str) -> frozenset[str]:
    """Return the signs that may end a translation; the lines of a list also end on a comma."""
    return _FINAL | _LISTING if sign in _LISTING else _FINAL


@cache
def _dangling(code: str) -> frozenset[str]:
    return frozenset(plain_forms(code, "surface", "dangling"))


def _dangles(text: str, side: Side) -> bool:
    return text[-1] in ",،、(-" or text.split()[-1].lower() in _dangling(side.code)


def _fewer(pair: Pair) -> bool:
    return len(pair.target.sentence_ends) < len(pair.source.sentence_ends)


def _asks(side: Side) -> bool:
    """Tell whether a text ends with a question, or in a way that asks for the options."""
    text = side.folded.cased.rstrip(_CLOSERS)
    return text[-1:] in "?？:：…_" or text.endswith(plain_forms(side.code, "surface", "asks"))


def _sentences_lost(pair: Pair, median: float) -> bool:
    """Tell whether a translation with fewer sentences may be one of the source without its last ones.

    One that is too long for that has drawn sentences together.
    """
    ends = pair.source.sentence_ends
    lost = len(ends) - len(pair.target.sentence_ends)
    return lost > 0 and len(pair.target.folded.cased) <= _LONG * median * ends[-lost - 1]


_SHORT, _LONG = 1.05, 1.3
"""Share of the 5th percentile of lengths below which a sentence may be lost, and of the median up to which a
text may be the translation of the rest."""


def check_chatter(pair: Pair) -> Findings:
    """Yield what a model adds around a translation: fences, tags, `Sure!`, `Here is the translation`."""
    target, source = pair.target.folded, pair.source.folded
    spans = [m.span() for m in _FENCE.finditer(target.cased)] if not _FENCE.search(source.cased) else []
    for code in {"en", pair.target.code, pair.source.code}:
        for opener in plain_forms(code, "surface", "openers"):
            if target.lower.lstrip(" \n\"'*#").startswith(opener) and opener not in source.lower:
                at = target.lower.index(opener)
                spans.append((at, at + len(opener)))
    if spans:
        yield pair.finding("chatter", "error", "the reply holds more than the translation", (), spans)


def check_characters(pair: Pair) -> Findings:
    """Yield broken characters, bidi overrides, and isolates that do not balance."""
    text = pair.target.text
    for pattern, what in (
        (_CONTROL, "a character that is no text (U+FFFD, a control, half a pair, or text decoded wrongly)"),
        (_OVERRIDE, "a bidi embedding or override control (U+202A-202E), which hides the true order"),
    ):
        spans = [found.span() for found in pattern.finditer(text)]
        if spans and not pattern.search(pair.source.text):
            yield _raw(pair, f"the translation has {what}", tuple(spans))
    if any("\u2066" <= char <= "\u2069" for char in text) and not _balanced(text):
        spans = [m.span() for m in re.finditer("[\u2066-\u2069]", text)]
        yield _raw(pair, "directional isolates (U+2066-2069) do not balance", tuple(spans))


def _raw(pair: Pair, explanation: str, spans: tuple[tuple[int, int], ...]) -> Finding:
    return Finding("characters", "error", explanation, pair.field, (), spans)


def _balanced(text: str) -> bool:
    """Tell whether every isolate is closed within its line."""
    for line in text.splitlines() or [text]:
        depth = 0
        for char in line:
            depth += (char in "\u2066\u2067\u2068") - (char == "\u2069")
            if depth < 0:
                return False
        if depth:
            return False
    return True
