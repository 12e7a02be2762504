"""Edits that need no knowledge of a language: digits, options, letters, cuts, echoes, stripped letters.

All draws depend on the sentence's id, the language and the class, so new sentences change no old case.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contrast_data import Fields, Rendering, Sentence, draw

from bimedix.languages import language as row_of

ALPHABET = "أبتثج"
"""The Arabic letters in alphabetical order: wrong as labels of options, which go by abjad."""
FOREIGN_SCRIPTS = frozenset({"ar", "ru", "zh", "ja"})
"""Languages not written in Latin letters."""
_SENTENCE_END = re.compile(r"(?<=[.!?؟])\s+|(?<=[。！？])")
_LATIN = re.compile(r"[A-Za-zµ]+")


@dataclass(frozen=True)
class Seeded:
    """One mechanical change. What is None stays as it is in the right pair."""

    cls: str
    target: Fields
    source: Fields | None = None
    kept_options: tuple[int, ...] | None = None
    """Options left in the target, by index; the fields above name them 0, 1, ... anew."""


def harmless(sentence: Sentence, language: str) -> Iterator[Seeded]:
    """Yield changes that keep the meaning: digits of another script, labels before the options."""
    fields = sentence.translations[language].fields
    other = {name: other_digits(text, sentence.id) for name, text in fields.items()}
    if language == "ar" and other != fields:
        yield Seeded("digit_script", other)
    if sentence.kind == "mcq":
        letters = row_of(language).option_letters
        yield Seeded("option_labels", _labelled(fields, letters), _labelled(sentence.source, "ABCDEFGH"))


def errors(sentence: Sentence, language: str, others: Sequence[Sentence]) -> Iterator[Seeded]:
    """Yield mechanical errors; `others` lend the text of unrelated targets."""
    rendering = sentence.translations[language]
    where = (sentence.id, language)
    yield from number_errors(rendering, where)
    if sentence.kind == "mcq":
        yield from option_errors(sentence, rendering, where)
    yield from cuts(rendering.fields, where, language)
    if language in FOREIGN_SCRIPTS:
        yield from latin_errors(sentence.source, rendering.fields, where)
    if draw(2, *where, "echo") == 0:
        yield Seeded("echo", dict(sentence.source))
    yield from unrelated(sentence, language, others)


def number_errors(rendering: Rendering, where: tuple[str, str]) -> Iterator[Seeded]:
    """Yield one number with a changed digit and one that is ten times too large or too small."""
    if not rendering.numbers:
        return
    number = rendering.numbers[draw(len(rendering.numbers), *where, "digit")]
    yield Seeded("number_digit", _with_number(rendering.fields, number, changed_digit(number, where)))
    whole = [number for number in rendering.numbers if len(re.split(r"[.,٫]", number)) == 1]
    if whole:
        number = whole[draw(len(whole), *where, "tenfold")]
        smaller = unicodedata.decimal(number[-1]) == 0 and draw(2, *where, "smaller") == 0
        zero = chr(ord(number[-1]) - unicodedata.decimal(number[-1]))
        wrong = number[:-1] if smaller and len(number) > 1 else number + zero
        yield Seeded("number_tenfold", _with_number(rendering.fields, number, wrong))


def changed_digit(number: str, where: tuple[str, str]) -> str:
    """Return the number with its first digit raised by 1 to 8, turning over from 9 to 1; 0 becomes 1 to 8."""
    value = unicodedata.decimal(number[0])
    zero = ord(number[0]) - value
    return chr(zero + (value + draw(8, *where, "step")) % 9 + 1) + number[1:]


def number_pattern(number: str) -> re.Pattern[str]:
    """Return a pattern that finds this number where it is not part of a longer one or of a Latin name."""
    return re.compile(rf"(?<![\dA-Za-z])(?<!\d[.,٫٬]){re.escape(number)}(?!\d|[.,٫٬]\d)")


def _with_number(fields: Fields, number: str, new: str) -> Fields:
    return {name: number_pattern(number).sub(new, text) for name, text in fields.items()}


def option_errors(sentence: Sentence, rendering: Rendering, where: tuple[str, str]) -> Iterator[Seeded]:
    """Yield one option dropped, two exchanged, two collapsed, and labels that do not go by index."""
    fields, count = rendering.fields, len(options_of(rendering.fields))
    dropped = draw(count, *where, "drop")
    if count > 2 and sentence.answers != (dropped,):
        kept = tuple(index for index in range(count) if index != dropped)
        yield Seeded("option_dropped", fields, kept_options=kept)
    first = draw(count, *where, "first")
    second = (first + 1 + draw(count - 1, *where, "second")) % count
    one, two = f"options.{first}", f"options.{second}"
    shown = tell_themselves(fields[one], fields[two], rendering, where[1])
    exchanged = fields | {one: fields[two], two: fields[one]}
    yield Seeded("option_order" if shown else "option_order_words", exchanged)
    yield Seeded("option_collapsed", fields | {one: fields[two]})
    wrong = _labelled(fields, wrong_labels(where, count))
    yield Seeded("letter_label", wrong, _labelled(sentence.source, "ABCDEFGH"))


def tell_themselves(first: str, second: str, rendering: Rendering, language: str) -> bool:
    """Tell whether numbers, Latin letters in a foreign script, or the glossary show which option is which."""
    pattern = r"\d+|[A-Za-z]+" if language in FOREIGN_SCRIPTS else r"\d+"
    marks = [
        (re.findall(pattern, text), [term for _, term in rendering.terms if term in text])
        for text in (first, second)
    ]
    return marks[0] != marks[1]


def wrong_labels(where: tuple[str, str], count: int) -> Sequence[str]:
    """Return labels in alphabetical in place of abjad order, or with two exchanged."""
    letters = list(row_of(where[1]).option_letters)
    if where[1] == "ar" and draw(2, *where, "alphabet") == 0:
        return ALPHABET
    place = draw(count - 1, *where, "label")
    letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return letters


def options_of(fields: Fields) -> list[str]:
    """Return the names of the fields that are options, in order."""
    return [name for name in fields if name.startswith("options.")]


def _labelled(fields: Fields, letters: Sequence[str]) -> Fields:
    names = options_of(fields)
    return fields | {name: f"{letters[place]}) {fields[name]}" for place, name in enumerate(names)}


def cuts(fields: Fields, where: tuple[str, str], language: str) -> Iterator[Seeded]:
    """Yield the longest text without its last sentence, and broken off in the middle."""
    spaced = row_of(language).spaced
    name = max((name for name in fields if not name.startswith("options.")), key=lambda n: len(fields[n]))
    text = fields[name]
    last = sentences_of(text)[-1]
    if last != text and len(last) >= (12 if spaced else 6):
        yield Seeded("cut_last_sentence", fields | {name: text[: -len(last)].rstrip()})
    if len(text) >= (60 if spaced else 25):
        at = len(text) * (40 + draw(26, *where, "cut")) // 100
        at = text.rindex(" ", 0, at) if spaced else at
        yield Seeded("cut_mid", fields | {name: text[:at].rstrip(" .,;:،؛。、，；：—–")})


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [part for part in _SENTENCE_END.split(text) if part]


def latin_errors(source: Fields, target: Fields, where: tuple[str, str]) -> Iterator[Seeded]:
    """Yield one option or sentence left in English, and the whole with its Latin letters stripped."""
    options = [name for name in options_of(source) if re.search(r"[A-Za-z]{4}", source[name])]
    whole = [
        name
        for name in target
        if len(sentences_of(source[name])) == len(sentences_of(target[name])) > 1 and source[name].isascii()
    ]
    if options:
        name = options[draw(len(options), *where, "left")]
        yield Seeded("latin_residue", target | {name: source[name]})
    elif whole:
        name = whole[0]
        mine, theirs = sentences_of(target[name]), sentences_of(source[name])
        place = draw(len(mine), *where, "left")
        yield Seeded("latin_residue", target | {name: target[name].replace(mine[place], theirs[place])})
    stripped = {name: _without_latin(text) for name, text in target.items()}
    if any(re.search(r"[A-Za-z]{2}", text) for text in target.values()) and all(stripped.values()):
        yield Seeded("latin_stripped", stripped)


def _without_latin(text: str) -> str:
    return re.sub(r" {2,}", " ", _LATIN.sub("", text)).strip()


def unrelated(sentence: Sentence, language: str, others: Sequence[Sentence]) -> Iterator[Seeded]:
    """Yield the translation of another item with the same fields."""
    names = list(sentence.source)
    alike = [other for other in others if list(other.source) == names]
    if alike:
        other = min(alike, key=lambda other: draw(2**32, sentence.id, other.id))
        yield Seeded("unrelated", other.translations[language].fields)


def other_digits(text: str, seed: str) -> str:
    """Return the text with the numbers in the other digits: Western to Arabic-Indic (or Persian), and back.

    Numbers in Latin names (CD4) and before superscripts stay. A comma without three digits after it is a
    decimal sign.
    """
    zero = 0x6F0 if draw(4, seed, "persian") == 0 else 0x660

    def turned(match: re.Match[str]) -> str:
        if match[0][0].isascii():
            grouped = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", match[0]) is not None
            table = {48 + d: zero + d for d in range(10)} | {ord("."): "٫", ord(","): "٬" if grouped else "٫"}
        else:
            table = {ord(c): ord("0") + unicodedata.decimal(c) for c in "٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹"}
            table |= {ord("٫"): ord("."), ord("٬"): ord(",")}
        return match[0].translate(table)

    return re.sub(r"(?<![A-Za-z\d])\d+(?:[.,٫٬]\d+)*(?![A-Za-z\d⁰¹²³⁴⁵⁶⁷⁸⁹])", turned, text)
