"""What comes into the mix: items of the rooms before it, and why some of them stay out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bimedix.errors import MissingError
from bimedix.files import read_any_records
from bimedix.mix.settings import Settings
from bimedix.overlap.contamination import Match
from bimedix.records import (
    Conversation,
    Dialogue,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Passage,
    Record,
    Translation,
)
from bimedix.stage import RECORDS

ROOMS = ("curate", "synthesize", "review", "translate")
"""Rooms whose records are mixed, in the order they are read."""
Mixed: TypeAlias = MultipleChoice | OpenQuestion | Dialogue | Passage | Conversation


@dataclass(frozen=True)
class Given:
    """One record of an input, or why it cannot be mixed."""

    id: str
    item: Mixed | None
    reason: str = ""
    record: Record | None = None
    """The record as it came, when there is no item."""
    source: Mixed | None = None
    """What the item was translated from, where the record tells."""
    room: str = ""
    """Room that it comes from."""


def read_inputs(inputs: Mapping[str, Path], settings: Settings) -> Iterator[Given]:
    """Yield every record of the inputs, in order."""
    for room in ROOMS:
        if room in inputs:
            for record in read_any_records(inputs[room] / RECORDS):
                yield _given(record, room, settings)


def _given(record: Record, room: str, settings: Settings) -> Given:
    if isinstance(record, Mixed):
        return Given(record.id, record, room=room)
    if not isinstance(record, Translation):
        return Given(record.id, None, "not a kind of record that is mixed", record)
    if record.target is None:
        return Given(record.id, None, "has no readable translation", record)
    if record.route not in settings.translations:
        return Given(record.id, None, "translation waits for review", record)
    return Given(record.target.id, record.target, source=record.source, room=room)


def objection(item: Mixed, settings: Settings) -> str:
    """Return why an item stays out whatever the others are, or an empty text."""
    if is_held_out(item.origin, settings.held_out):
        return "belongs to a test split"
    if item.language != settings.source_language and item.language not in settings.languages:
        return "language is not in the mix"
    if isinstance(item, MultipleChoice) and not item.answers:
        return "has no answer key"
    if isinstance(item, OpenQuestion) and not item.answer.strip():
        return "the answer is empty"
    return ""


def is_held_out(origin: Origin, held_out: tuple[str, ...]) -> bool:
    """Tell whether a split is held out, by its name or as `dataset/split`."""
    return origin.split in held_out or f"{origin.dataset}/{origin.split}" in held_out


def test_files(settings: Settings, base: Path) -> list[Path]:
    """Return the registered test files.

    Raises:
        MissingError: a pattern finds none, so that a misspelt one does not switch the check off.
    """
    found = []
    for pattern in settings.tests:
        paths = sorted(path for path in base.glob(pattern) if path.is_file())
        if not paths:
            raise MissingError(
                f"mix: no test set matches '{pattern}' below {base}.\n"
                "  Patterns of `[mix] tests` start from the data folder and name records.jsonl files."
            )
        found += paths
    return found


test_files.__test__ = False  # type: ignore[attr-defined]


def describe(match: Match) -> str:
    """Return a match in one line: `0.93 like medqa:12: what was found`."""
    return f"{match.similarity:.2f} like {match.test_id}: {match.text}"
