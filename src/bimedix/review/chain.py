"""The history of verdicts: append-only, each line bound to all before it by a hash.

h_i = blake2b(h_(i-1) || canonical JSON of event i). Undoing is another event. An edited, deleted or moved
line breaks the chain, and `verify` names the first one. Source: data.md, section 4.1.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from bimedix.errors import DataError
from bimedix.files import read_lines
from bimedix.records import Verdict

_canonical = msgspec.json.Encoder(order="sorted")


class Event(Struct, frozen=True):
    """One line of the chain."""

    number: int
    """From 1."""
    hash: str
    event: Verdict


def link(previous: str, event: Verdict) -> str:
    """Return the hash that binds an event to the hash before it; 64 hex digits."""
    return hashlib.blake2b(previous.encode() + _canonical.encode(event), digest_size=32).hexdigest()


def verify(path: Path) -> list[Event]:
    """Return the events of an unbroken chain; a last line that a crash cut short is left out.

    Raises:
        DataError: a line was edited, deleted, added or moved; names the first one.
    """
    if not path.exists():
        return []
    events: list[Event] = []
    previous = ""
    whole = path.read_bytes().endswith(b"\n")
    lines = list(read_lines(path))
    for at, (number, line) in enumerate(lines, start=1):
        try:
            event = msgspec.json.decode(line, type=Event)
        except (msgspec.DecodeError, ValueError) as error:
            if at == len(lines) and not whole:
                break
            raise DataError(f"{path}:{number}: not an event of the chain: {error}.") from error
        if event.number != at or event.hash != link(previous, event.event):
            raise DataError(
                f"{path}:{number}: the chain is broken here: this line, or one before it, was changed.\n"
                "  Restore the file from a copy; its verdicts cannot be trusted as they are."
            )
        events.append(event)
        previous = event.hash
    return events


def append(path: Path, verdicts: Iterable[Verdict]) -> list[Event]:
    """Add verdicts that the chain does not hold yet; returns the whole chain, safe on the disk.

    What a reviewer said of a version is matched in order with what the chain has of them: reading the same
    sheets again adds nothing, while a change of mind, and back, is two events.
    """
    events = verify(path)
    held: dict[tuple[str, str, str], list[Verdict]] = defaultdict(list)
    for event in events:
        held[_key(event.event)].append(event.event)
    fresh: list[Event] = []
    previous = events[-1].hash if events else ""
    for verdict in verdicts:
        known = held[_key(verdict)]
        if verdict in known:
            del known[: known.index(verdict)]
            continue
        known[:] = [verdict]
        previous = link(previous, verdict)
        fresh.append(Event(len(events) + len(fresh) + 1, previous, verdict))
    _write(path, fresh)
    return [*events, *fresh]


def _key(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.id, verdict.version, verdict.reviewer


def _write(path: Path, fresh: list[Event]) -> None:
    """Append to the file; the rest of a line that a crash cut short is taken off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with path.open("r+b") as out:
        out.truncate(out.read().rfind(b"\n") + 1)
        out.seek(0, os.SEEK_END)
        out.write(b"".join(msgspec.json.encode(event) + b"\n" for event in fresh))
        out.flush()
        os.fsync(out.fileno())
