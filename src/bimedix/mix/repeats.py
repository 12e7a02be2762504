"""Near-duplicates among what is to be mixed: which of them are one item, and which of those stays.

Two texts that read alike are two items when a number, a unit, a name with digits, a negation or a side
differs (dose variants teach what the dose does), or when they ask something else of the same long context, or
have another right answer.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from bimedix.integrity.pair import Side
from bimedix.languages import LANGUAGES
from bimedix.mix.inputs import Mixed
from bimedix.mix.select import pair_key
from bimedix.overlap.contamination import compared, stem_of
from bimedix.overlap.duplicates import Textual, text_of
from bimedix.overlap.near import NearDuplicates
from bimedix.records import MultipleChoice, OpenQuestion
from bimedix.text import digits_to_ascii

_TELLING = ("polarity.negation", "polarity.except", "sides.", "routes.", "frequency.", "options.")
_DIGITS = re.compile(r"\d+")
ALIKE = 90.0
"""Similarity of letters, 0 to 100, that two questions need, and two answers; ours."""
_NOT_TELLING = "_also"


def same_facts(one: Textual, other: Textual) -> bool:
    """Tell whether two texts that are alike ask the same, and say the same of numbers, negation and side."""
    if type(one) is not type(other) or _digits(one) != _digits(other):
        return False
    return _asks_the_same(one, other) and _facts(one) == _facts(other)


def _asks_the_same(one: Textual, other: Textual) -> bool:
    """Compare question and answer by themselves: beside a long context they weigh next to nothing."""
    from rapidfuzz import fuzz

    pairs = [(stem_of(one), stem_of(other))]
    if isinstance(one, OpenQuestion) and isinstance(other, OpenQuestion):
        pairs.append((one.answer, other.answer))
    return all(fuzz.ratio(compared(mine), compared(theirs)) >= ALIKE for mine, theirs in pairs)


@lru_cache(maxsize=4096)
def _digits(record: Textual) -> Counter[str]:
    """Count runs of digits: cheap, and most variants differ in them."""
    return Counter(_DIGITS.findall(digits_to_ascii(text_of(record))))


@lru_cache(maxsize=4096)
def _facts(record: Textual) -> tuple[Any, ...]:
    code = record.language if record.language in LANGUAGES else "en"
    side = Side(text_of(record), code)
    cues = Counter(
        name
        for name, found in side.cues.items()
        if name.startswith(_TELLING) and not name.endswith(_NOT_TELLING)
        for _ in found
    )
    numbers = Counter((number.values, number.unit) for number in side.numbers)
    answers = record.answer_texts if isinstance(record, MultipleChoice) else ()
    names = Counter(name.text for name in side.identifiers)
    return numbers, names, cues, frozenset(map(compared, answers))


def repeated(near: NearDuplicates, read: Callable[[int], Mixed]) -> dict[int, str]:
    """Return the places of records that give way, each with the id of the one that stays.

    The smallest id stays, without marks of language, so that an item and its translation stay together.
    """
    leaving: dict[int, str] = {}
    for places in near.groups(read, same_facts):
        ids = {place: read(place).id for place in places}
        stays = min(places, key=lambda place: (pair_key(ids[place]), ids[place]))
        leaving |= {place: ids[stays] for place in places if place != stays}
    return leaving
