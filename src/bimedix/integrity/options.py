"""Answer options: count, order, key, collapsed or empty options, all / none of the above, letters in text."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from bimedix.integrity.drugs import drug_reader
from bimedix.integrity.folding import fold
from bimedix.integrity.lexicon import plain_forms, table
from bimedix.integrity.pair import Findings, Pair, Side
from bimedix.integrity.sounds import consonants
from bimedix.languages import LANGUAGES, language
from bimedix.records import Finding, MultipleChoice
from bimedix.text import normalise

_CATCH_ALL = ("options.all_of_above", "options.none_of_above")


def check_options(source: MultipleChoice, target: MultipleChoice) -> Iterator[Finding]:
    """Yield what changed in the options and the key of a question.

    Options are paired by index; texts that are equal in the source already are reported at the source.
    """
    if len(source.options) != len(target.options):
        yield Finding(
            "option",
            "error",
            f"{len(source.options)} options in the source, {len(target.options)} in the translation",
            "options",
        )
    if source.answers != target.answers:
        yield Finding(
            "key",
            "error",
            f"the answer key is {_key(source)} in the source and {_key(target)} in the translation",
            "answers",
        )
    yield from _empty(source, target)
    yield from _equal(source.options, target.options)
    yield from _labels(source, target)
    yield from _order(source, target)


_MOST = 6
"""Options above which their order is not looked at: all orders are tried."""


def _order(source: MultipleChoice, target: MultipleChoice) -> Iterator[Finding]:
    """Yield options that fit those of the source better in another order.

    Told by numbers, drugs, routes, sides, names that sound alike, and all / none of the above; what says
    nothing of that kind may stand anywhere.
    """
    if len(source.options) != len(target.options) or not 2 <= len(source.options) <= _MOST:
        return
    left, right = ([Side(text, one.language) for text in one.options] for one in (source, target))
    short = all(_is_short(side) for side in (*left, *right))
    mine, theirs = ([_traits(side, short) for side in sides] for sides in (left, right))
    fit = [[_fit(one, other) for other in theirs] for one in mine]
    straight = tuple(range(len(mine)))

    def total(order: tuple[int, ...]) -> float:
        return sum(fit[index][place] for index, place in enumerate(order))

    best = max(permutations(straight), key=lambda order: (total(order), order == straight))
    if total(best) >= total(straight) + 1:
        told = ", ".join(str(best.index(place) + 1) for place in straight)
        yield Finding(
            "option", "error", f"the options fit those of the source in the order {told}", "options"
        )


def _is_short(side: Side) -> bool:
    return len(_WORD.findall(side.folded.lower)) <= _FEW


def _traits(side: Side, short: bool) -> tuple[frozenset[object], frozenset[str]]:
    """Return what an option names for sure, and how its words sound. `short`: all options are, so that words
    like more and before tell one from another.
    """
    sure: set[object] = {number.value for number in side.numbers if number.form == "digits"}
    sure |= {name.text for name in side.identifiers if name.text.isascii()}
    sure |= set(_CAPITALS.findall(side.folded.cased))
    sure |= {cue.value for cue in drug_reader(side.code).read(side)}
    words = _WORD.findall(side.folded.lower)
    telling = (name for name, cues in side.cues.items() if cues and name.startswith(_TELLING))
    sure |= {name.removesuffix("_also") for name in telling if short}
    sure.add(_catch_all(side))
    by_sound = len(words) <= _FEW and drug_reader(side.code).spoken
    heard = {consonants(word) for word in words} if by_sound else set()
    return frozenset(sure - {None}), frozenset(word for word in heard if len(word) >= 4)


_TELLING = ("routes.", "sides.")
_CAPITALS = re.compile(r"(?<![A-Za-z])(?:[A-Z][A-Za-z]*[A-Z]|[B-HJ-Z])(?![A-Za-z])")
"""Acronyms and single letters, which stay in Latin script: CCP, hepatitis B."""
_WORD = re.compile(r"[^\W\d_]{4,}")
_FEW = 6
"""Words of an option above which two may sound alike by chance."""


def _fit(
    one: tuple[frozenset[object], frozenset[str]], other: tuple[frozenset[object], frozenset[str]]
) -> float:
    """Return how much two options have in common; a word that sounds alike counts as one thing named."""
    alike = sum(any(Levenshtein.normalized_similarity(a, b) >= _ALIKE for b in other[1]) for a in one[1])
    return len(one[0] & other[0]) + alike


_ALIKE = 0.8


_LABEL = re.compile(r"\s*[(\[]?(?P<label>[^\W_]{1,2})[)\].:،、．。-]+(?=\s|[^\x00-\x7f])")
_ORDERS = ("ABCDEFGH", "12345678", "АБВГДЕЖЗ", "АВСДЕ", "アイウエオカキク")
"""Letters and digits that options are labelled with, besides those of `languages.py`."""


def _labels(source: MultipleChoice, target: MultipleChoice) -> Iterator[Finding]:
    """Yield options whose own label (A) names another option than that of the source."""
    mine, theirs = _label_indexes(source), _label_indexes(target)
    if mine is None or theirs is None or len(mine) != len(theirs):
        return
    for index, (was, now) in enumerate(zip(mine, theirs, strict=True)):
        if was != now:
            label = _LABEL.match(fold(target.options[index]).cased)
            text = f"the option is labelled {label['label'] if label else ''}, another one in the source"
            yield Finding(
                "letter", "error", text, f"options.{index}", (), ((0, label.end() if label else 0),)
            )


def _label_indexes(question: MultipleChoice) -> list[int] | None:
    """Return the index that each option's label stands for, None unless all options have one.

    The labels of one question are read in one order of letters, the first that has them all; a letter that no
    order has counts as another option.
    """
    found = [_LABEL.match(fold(option).cased) for option in question.options]
    labels = [match["label"].upper() for match in found if match]
    if not labels or len(labels) < len(found):
        return None
    own = [fold(letter).cased for letter in language(question.language).option_letters]
    orders = [*(list(order) for order in _ORDERS), own]
    order = next((order for order in orders if set(labels) <= set(order)), own)
    return [order.index(label) if label in order else -1 for label in labels]


def _key(question: MultipleChoice) -> str:
    letters = language(question.language).option_letters
    return ", ".join(letters[index] for index in question.answers) or "empty"


def _empty(source: MultipleChoice, target: MultipleChoice) -> Iterator[Finding]:
    for index, (mine, theirs) in enumerate(zip(source.options, target.options, strict=False)):
        if mine.strip() and not theirs.strip():
            yield Finding("option", "error", "the translated option is empty", f"options.{index}")


def _equal(source: Sequence[str], target: Sequence[str]) -> Iterator[Finding]:
    """Yield options that became one text, and those that were one before."""
    mine, theirs = [normalise(text) for text in source], [normalise(text) for text in target]
    for later in range(len(theirs)):
        for earlier in range(later):
            if (
                mine[earlier : earlier + 1] == mine[later : later + 1]
                and mine[later : later + 1]
                and mine[later]
            ):
                yield Finding(
                    "option",
                    "hint",
                    f"options {earlier + 1} and {later + 1} are equal in the source already",
                    f"options.{later}",
                )
            elif later < len(mine) and theirs[later] and theirs[earlier] == theirs[later]:
                yield Finding(
                    "option",
                    "error",
                    f"options {earlier + 1} and {later + 1} differ in the source and are equal here",
                    f"options.{later}",
                    (),
                    ((0, len(target[later])),),
                )


def check_catch_all(pair: Pair) -> Findings:
    """Yield an `all of the above` or `none of the above` that is gone, or has become the other."""
    if not pair.field.startswith("options."):
        return
    mine, theirs = (_catch_all(side) for side in (pair.source, pair.target))
    if mine == theirs or mine is None:
        return
    what = mine.partition(".")[2].replace("_", " ").replace("of above", "of the above")
    became = f" and became '{theirs.partition('.')[2].replace('_', ' ')}'" if theirs else ""
    yield pair.finding(
        "option",
        "error" if theirs else "warning",
        f"'{what}' is not kept{became}",
        [(0, len(pair.source.folded.lower))],
        [(0, len(pair.target.folded.lower))],
    )


def _catch_all(side: Side) -> str | None:
    """Return which of the two an option is; `none` wins, because its words contain those of `all`."""
    whole = len(side.folded.lower.strip(" .")) or 1
    for concept in reversed(_CATCH_ALL):
        if any(cue.end - cue.start >= 0.6 * whole for cue in side.found(concept)):
            return concept
    return None


def check_letters(pair: Pair) -> Findings:
    """Yield references to options (Ans. B, both A and C, الإجابة ب) that name other options.

    Letters are compared by index: A to E are أ ب ج د هـ, the abjad order; Latin letters may stay.
    """
    mine = letter_references(pair.source)
    theirs = letter_references(pair.target)
    if not mine or not theirs or mine == theirs:
        bare = (
            References(bare_letters(pair.source) | mine),
            References(bare_letters(pair.target) | theirs),
        )
        if len(bare[0]) == len(bare[1]) and bare[0] != bare[1]:
            mine, theirs = bare
    if not mine or mine == theirs:
        return
    named, seen = (_named(side, spans) for side, spans in ((pair.source, mine), (pair.target, theirs)))
    text = f"the reference to option {named} is missing"
    if theirs:
        text = f"the source refers to option {named}, the translation to {seen}"
    yield pair.finding(
        "letter",
        "error" if theirs else "warning",
        text,
        _all_spans(mine),
        _all_spans(theirs),
    )


def _named(side: Side, references: dict[int, list[tuple[int, int]]]) -> str:
    return ", ".join(side.folded.cased[start:end] for start, end in _all_spans(references))


def _all_spans(references: dict[int, list[tuple[int, int]]]) -> list[tuple[int, int]]:
    return sorted(span for spans in references.values() for span in spans)


class References(dict[int, list[tuple[int, int]]]):
    """Spans by option index; two are equal when they name the same options."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.keys() == other.keys()

    __hash__ = None


def letter_references(side: Side) -> References:
    """Return the options that a text names by letter, by index from 0, with the spans of the letters."""
    found = References()
    cased = side.folded.cased
    reference = _reference(side.code)
    matches = [
        match
        for pattern in (reference.labelled, reference.whole, reference.first)
        for match in pattern.finditer(cased)
    ]
    for match in matches:
        for one in reference.letter.finditer(cased, match.start("letters"), match.end("letters")):
            spans = found.setdefault(reference.indexes[one.group().upper()], [])
            if one.span() not in spans:
                spans.append(one.span())
    return found


def bare_letters(side: Side) -> References:
    """Return the letters that stand alone in a text, in brackets or without: (B) is right, B) because, ب خطأ.

    They may name something else (hepatitis B), so they only tell where both sides have as many. A letter that
    is a word of the language does not count at the start of a sentence or among capitals (ONCE A WEEK), nor
    does one of a name (E. coli).
    """
    reference = _reference(side.code)
    words = {fold(word).cased.upper() for word in table(side.code).get("options", {}).get("letter_words", ())}
    found = References()
    cased = side.folded.cased
    for match in reference.bare.finditer(cased):
        letter = match["letter"]
        word = letter.upper() in words and (
            match["begins"] is not None or _AMONG_CAPITALS.match(cased, match.end())
        )
        if match["open"] or not word:
            found.setdefault(reference.indexes[letter.upper()], []).append(match.span("letter"))
    return found


_AMONG_CAPITALS = re.compile(r"[ \u00a0]+[A-ZА-Я]{2,}(?![^\W\d_])")


class _Reference(NamedTuple):
    labelled: re.Pattern[str]
    """`Ans. B`, `options (a) and (c)`, `الإجابة ب`."""
    whole: re.Pattern[str]
    """A text that is nothing but letters: `Both A and C`."""
    first: re.Pattern[str]
    """Two letters or more at the start of a sentence: `A and B are wrong`."""
    letter: re.Pattern[str]
    bare: re.Pattern[str]
    """A letter alone: its `letter`, the bracket that opens before it, and whether it begins a sentence."""
    indexes: dict[str, int]


_ALPHABET_ORDER = {"ت": 90, "ث": 91}
"""Letters of the order أ ب ت ث, which no abjad list has: seen where ج and د should be."""
_NAMES = {"الف": 0, "باء": 1, "جيم": 2, "دال": 3, "هاء": 4, "ه": 4, "ا": 0}


@cache
def _reference(code: str) -> _Reference:
    row = language(code)
    indexes = {letter: index for index, letter in enumerate(LANGUAGES["en"].option_letters)}
    if row.script == "ARABIC":
        indexes |= {fold(letter).cased: index for index, letter in enumerate(row.option_letters[:5])}
        indexes |= _NAMES | _ALPHABET_ORDER
    elif row.script == "CYRILLIC":
        indexes |= {"А": 0, "В": 1, "С": 2, "Е": 4}
    one = f"(?:{'|'.join(map(re.escape, sorted(indexes, key=len, reverse=True)))})"
    word = r"[^\W\d_]" if row.spaced else "[A-Za-z]"
    after = rf"(?!{word}|['-]\w)"
    item = rf"(?:(?<!{word}){one}{after}|(?i:['\"(]{one}['\")]))"
    joins = "|".join(map(re.escape, plain_forms(code, "options", "joins"))) or "and|,"
    labels = "|".join(map(re.escape, plain_forms(code, "options", "labels"))) or "answer"
    both = "|".join(map(re.escape, plain_forms(code, "options", "both"))) or "both"
    only = "|".join(map(re.escape, plain_forms(code, "options", "only"))) or "only"
    article = r"(?:وال|بال|لل|ال|و|ب|ل|ف)?" if row.script == "ARABIC" else ""
    wide = rf"[ \u00a0]*(?:{joins})[ \u00a0]*(?:{joins})?[ \u00a0]*"
    rest = rf"(?:{wide}(?:{item}|{one}{after}))"
    before = rf"(?<!{word})" if row.spaced else ""
    copula = r"(?:[ \u00a0]+(?:is|are|هي|هو|es|est))?"
    labelled = (
        rf"{before}{article}(?i:{labels}){copula}[ \u00a0]*[:.-]?{copula}[ \u00a0]*(?P<letters>{item}{rest}*)"
    )
    whole = rf"\A(?i:{both})?[ \u00a0]*(?P<letters>{item}{rest}+)[ \u00a0]*(?i:{only})?[ .]*\Z"
    first = rf"(?:\A|(?<=[.;:!?] ))(?P<letters>{one}{after}{rest}+)(?=[ \u00a0]+[^\W\d_A-Z]{{2}})"
    name = r"\.[ \u00a0]?[^\W\d_]"
    bare = (
        rf"(?P<begins>\A|(?<=[.;:!?\n\"'(\[])\s*)?(?P<open>[(\[\"'](?=..?[)\]\"']))?"
        rf"(?<![\w.°-])(?<!\w')(?<![\d°] )(?P<letter>{one}){after}(?!{name})(?![-\d])"
    )
    return _Reference(
        re.compile(labelled),
        re.compile(whole),
        re.compile(first),
        re.compile(rf"(?:(?<!{word})|(?<=و)){one}{after}", re.I),
        re.compile(bare),
        indexes,
    )
