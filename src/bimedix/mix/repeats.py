"""Near-duplicates among what is to be mixed: which of them are one item, and which of those stays.

Two texts that read alike are two items when a number, a unit, a name with digits, a negation or a side
differs, or, of questions, the right answer: dose variants teach what the dose does.
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
from bimedix.overlap.contamination import compared
from bimedix.overlap.duplicates import Textual, text_of
from bimedix.overlap.near import NearDuplicates
from bimedix.records import MultipleChoice, OpenQuestion
from bimedix.text import digits_to_ascii

_TELLING = ("polarity.negation", "polarity.except", "sides.", "routes.", "frequency.", "options.")
_DIGITS = re.compile(r"\d+")
_NOT_TELLING = "_also"


def same_facts(one: Textual, other: Textual) -> bool:
    """Tell whether two texts that are alike say the same of numbers, names, negation, side and answer."""
    return type(one) is type(other) and _digits(one) == _digits(other) and _facts(one) == _facts(other)


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
    return numbers, Counter(name.text for name in side.identifiers), cues, _answers(record)


def _answers(record: Textual) -> frozenset[str]:
    match record:
        case MultipleChoice():
            return frozenset(map(compared, record.answer_texts))
        case OpenQuestion() if len(record.answer) < 40:
            return frozenset({compared(record.answer)})
    return frozenset()


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
