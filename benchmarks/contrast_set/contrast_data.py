"""The hand-written half of the contrast set: sentences, translations, and edits of exact spans."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

SENTENCES = Path(__file__).with_name("sentences.jsonl")
LATER = {part: SENTENCES.with_name(f"{part}.jsonl") for part in ("second_open", "second_held", "third_open")}
"""By other hands, in a file for each part."""
Fields = dict[str, str]
"""Texts by field name, as `bimedix.records.item_fields` names them."""


class Edit(Struct, frozen=True, forbid_unknown_fields=True):
    """One change of a translation: an error, or a harmless rewording."""

    cls: str = msgspec.field(name="class")
    old: str = ""
    """Occurs exactly once in the whole translation; empty when `new` is the whole field."""
    new: str = ""
    """What stands there afterwards; of the classes ..._swapped: the span it changes places with."""
    field: str = ""


class Rendering(Struct, frozen=True, forbid_unknown_fields=True):
    """The translation into one language."""

    fields: Fields
    numbers: tuple[str, ...] = ()
    """Tokens of digits, each exactly once in the translation; mechanical number errors start from them."""
    terms: tuple[tuple[str, str], ...] = ()
    """(English term, its translation)."""
    errors: tuple[Edit, ...] = ()
    harmless: tuple[Edit, ...] = ()


class Sentence(Struct, frozen=True, forbid_unknown_fields=True):
    """An English item and its translations by ISO 639-1 code."""

    id: str
    kind: Literal["passage", "mcq", "dialogue", "open"]
    source: Fields
    translations: dict[str, Rendering]
    answers: tuple[int, ...] = ()
    roles: tuple[Literal["user", "assistant"], ...] = ()


def read_sentences(path: Path = SENTENCES) -> Iterator[Sentence]:
    """Yield the sentences of the file, in its order."""
    decoder = msgspec.json.Decoder(Sentence)
    yield from map(decoder.decode, path.read_bytes().splitlines())


def apply_edit(fields: Fields, edit: Edit) -> Fields:
    """Return the fields with the edit made.

    Raises:
        ValueError: the span is not there exactly once.
    """
    if not edit.old:
        return fields | {edit.field: edit.new}
    if edit.cls.endswith("_swapped"):
        first, second = field_of(fields, edit.old), field_of(fields, edit.new)
        marked = fields | {first: fields[first].replace(edit.old, "\0")}
        marked |= {second: marked[second].replace(edit.new, edit.old)}
        return marked | {first: marked[first].replace("\0", edit.new)}
    if edit.cls == "option_collapsed":
        return fields | {name: edit.new for name, text in fields.items() if text == edit.old}
    name = field_of(fields, edit.old)
    return fields | {name: fields[name].replace(edit.old, edit.new)}


def field_of(fields: Fields, span: str) -> str:
    """Return the name of the one field in which the span occurs once."""
    hits = [name for name, text in fields.items() for _ in range(text.count(span))]
    if len(hits) != 1:
        raise ValueError(f"'{span}' occurs {len(hits)} times, not once, in {fields}")
    return hits[0]


def draw(below: int, *words: object) -> int:
    """Return a number in [0, below) that depends on the words alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, words)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % below
