"""The contrast set: right translations, harmless rewordings of them, and the same with one seeded error.

    for case in pairs("open"):
        findings = check_pair(case.source, case.target)

`sentences.jsonl` holds items in English, their translations, and edits written by hand: exact spans of the
target with what they become. Edits that need no knowledge of a language (a digit changed, an option dropped,
a text cut) are made by `contrast_seeding.py`. Nothing here imports the checks or shares a table with them;
docs/decisions/0011-contrast-set.md tells the rules.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import contrast_seeding as seeding
from contrast_data import LATER, Edit, Fields, Rendering, Sentence, apply_edit, read_sentences
from contrast_seeding import Seeded
from msgspec import structs

from bimedix.records import (
    Dialogue,
    Item,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    Turn,
    translated_id,
    with_fields,
)

Part = Literal["open", "held", "second_open", "second_held", "third_open"]
Glossary = tuple[tuple[str, str], ...]

HARMLESS = "harmless"
FAMILIES: dict[str, str] = {
    "number_digit": "number", "number_tenfold": "number", "number_decimal": "number",
    "number_range": "number", "number_word": "number", "number_dropped": "number",
    "number_swapped": "number",
    "unit_scale": "unit", "unit_dimension": "unit", "unit_dropped": "unit",
    "option_dropped": "option", "option_order": "option", "option_order_words": "option",
    "option_collapsed": "option", "option_all_none": "option",
    "key_changed": "key",
    "letter_reference": "letter", "letter_label": "letter",
    "cut_last_sentence": "cut", "cut_mid": "cut",
    "drug_replaced": "drug", "drug_swapped": "drug", "drug_dropped": "drug",
    "negation_dropped": "negation", "negation_added": "negation", "except_dropped": "negation",
    "frequency_changed": "frequency", "frequency_dropped": "frequency",
    "route_changed": "route", "route_dropped": "route",
    "laterality": "other", "before_after": "other", "acute_chronic": "other", "direction": "other",
    "echo": "other", "latin_residue": "other", "latin_stripped": "other", "unrelated": "other",
}  # fmt: skip
"""Class of error → family of check that is asked to see it. A class that is not here is harmless."""


@dataclass(frozen=True)
class Case:
    """One pair and what is to be said of it."""

    id: str
    sentence_id: str
    language: str
    """ISO 639-1, of the target."""
    cls: str
    """Class of the seeded error; of a harmless case `right`, or the kind of rewording."""
    family: str
    """A value of FAMILIES, or `harmless`: no error may be reported."""
    source: Item
    target: Item
    glossary: Glossary = ()
    """(English term, its translation), by hand: of the families drug and harmless, and of option_order."""


def part_of(sentence_id: str) -> Part:
    """Return the part of a sentence of the first set, by hash of its id: one third is held out, with all it
    gives.
    """
    return "held" if hashlib.blake2b(sentence_id.encode()).digest()[0] % 3 == 0 else "open"


def pairs(part: Part) -> Iterator[Case]:
    """Yield the cases of one part, in the order of the file: right, harmless, then seeded errors."""
    if part in LATER:
        sentences = list(read_sentences(LATER[part]))
    else:
        sentences = [sentence for sentence in read_sentences() if part_of(sentence.id) == part]
    for sentence in sentences:
        for language in sentence.translations:
            others = [s for s in sentences if s is not sentence and language in s.translations]
            yield from _cases(sentence, language, others)


def _cases(sentence: Sentence, language: str, others: Sequence[Sentence]) -> Iterator[Case]:
    """Yield the cases of one translation; an edit that gives a pair already seen is left out."""
    rendering, original = sentence.translations[language], source_item(sentence)
    numbers: dict[str, int] = {}
    seen: list[tuple[Item, Item]] = []
    for cls, source, target in _pairs(sentence, original, language, others):
        if (source, target) in seen:
            continue
        seen.append((source, target))
        numbers[cls] = numbers.get(cls, 0) + 1
        family = FAMILIES.get(cls, HARMLESS)
        terms = family in ("drug", HARMLESS) or cls == "option_order"
        yield Case(
            f"{sentence.id}.{language}.{cls}.{numbers[cls]}",
            sentence.id,
            language,
            cls,
            family,
            source,
            target,
            rendering.terms if terms else (),
        )


def _pairs(
    sentence: Sentence, original: Item, language: str, others: Sequence[Sentence]
) -> Iterator[tuple[str, Item, Item]]:
    """Yield class, source and target of one translation and all its edits."""
    rendering = sentence.translations[language]
    right = target_item(original, rendering.fields, language)
    yield "right", original, right
    yield from _edited(original, rendering, rendering.harmless, language)
    yield from (_seeded(original, seed, language) for seed in seeding.harmless(sentence, language))
    yield from _edited(original, rendering, rendering.errors, language)
    yield from (_seeded(original, seed, language) for seed in seeding.errors(sentence, language, others))
    if isinstance(right, MultipleChoice):
        moved = tuple(sorted((answer + 1) % len(right.options) for answer in right.answers))
        yield "key_changed", original, structs.replace(right, answers=moved)


def _edited(
    original: Item, rendering: Rendering, edits: Sequence[Edit], language: str
) -> Iterator[tuple[str, Item, Item]]:
    for edit in edits:
        yield edit.cls, original, target_item(original, apply_edit(rendering.fields, edit), language)


def _seeded(original: Item, seed: Seeded, language: str) -> tuple[str, Item, Item]:
    source = original if seed.source is None else with_texts(original, seed.source)
    target = target_item(source, seed.target, language)
    if seed.kept_options is not None and isinstance(target, MultipleChoice):
        target = with_options(target, seed.kept_options)
    return seed.cls, source, target


def source_item(sentence: Sentence) -> Item:
    """Return the English record of a sentence."""
    texts, key, origin = sentence.source, f"contrast:{sentence.id}", Origin("contrast", sentence.id)
    match sentence.kind:
        case "passage":
            return Passage(key, "en", origin, texts["text"])
        case "open":
            return OpenQuestion(key, "en", origin, texts["question"], texts["answer"])
        case "dialogue":
            turns = zip(sentence.roles, texts.values(), strict=True)
            return Dialogue(key, "en", origin, tuple(Turn(role, text) for role, text in turns))
        case "mcq":
            options = tuple(texts[name] for name in seeding.options_of(texts))
            return MultipleChoice(
                key,
                "en",
                origin,
                texts["question"],
                options,
                sentence.answers,
                texts.get("context"),
                texts.get("rationale"),
            )


def with_texts(item: Item, fields: Fields) -> Item:
    """Return the item with other texts, itself otherwise."""
    return structs.replace(
        with_fields(item, fields, language=item.language, id=item.id), parents=item.parents
    )


def target_item(source: Item, fields: Fields, language: str) -> Item:
    """Return the record of a translation."""
    return with_fields(source, fields, language=language, id=translated_id(source.id, language))


def with_options(item: MultipleChoice, kept: Sequence[int]) -> MultipleChoice:
    """Return the item with these options only; the key goes with its texts."""
    return structs.replace(
        item,
        options=tuple(item.options[index] for index in kept),
        answers=tuple(kept.index(answer) for answer in item.answers if answer in kept),
    )
