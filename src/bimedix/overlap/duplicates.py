"""Exact repeats: two records whose normalised texts are equal.

The text is normalised as `bimedix.text.normalise` does it, so case, Arabic spelling variants and digit
scripts do not hide a repeat, and numbers stay: "5 mg" and "50 mg" are different texts.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from bimedix.records import (
    Conversation,
    Dialogue,
    MultipleChoice,
    OpenQuestion,
    ParallelText,
    Passage,
    item_fields,
)
from bimedix.text import normalise

Textual = MultipleChoice | OpenQuestion | Dialogue | Passage | Conversation | ParallelText
"""Records that hold text of a source."""


def text_of(record: Textual) -> str:
    """Return all texts of a record, one per line, as they are; a rationale and a title are left out."""
    return "\n".join(_texts(record))


def _texts(record: Textual) -> Iterator[str]:
    match record:
        case Conversation():
            yield from (message.content for message in record.messages)
        case ParallelText():
            yield from (record.source, record.target)
        case _:
            fields = item_fields(record)
            yield from (text for name, text in fields.items() if name not in ("rationale", "title"))


def text_key(record: Textual) -> bytes:
    """Return 16 bytes: blake2b of the normalised texts; equal for records that repeat each other."""
    whole = "\x1f".join(normalise(text) for text in _texts(record))
    return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class Repeat:
    """An earlier record with the same text."""

    first: str
    """Id of the record that was there first."""
    same_answer: bool
    """False: the same question stands under another answer key, so one of the two is wrong."""


@dataclass
class Seen:
    """Remembers the texts of a stream: about 250 bytes a record."""

    _first: dict[bytes, tuple[str, tuple[int, ...]]] = field(default_factory=dict)

    def check(self, record: Textual) -> Repeat | None:
        """Return the earlier record that this one repeats; else remember this one."""
        answers = record.answers if isinstance(record, MultipleChoice) else ()
        key = text_key(record)
        if known := self._first.get(key):
            return Repeat(known[0], known[1] == answers)
        self._first[key] = (record.id, answers)
        return None
