"""What every room of the path has in common: a folder to fill, records and drops, a summary.

A room exposes `run(settings, inputs, out, context) -> Summary`:

- `settings`: the room's frozen dataclass, one table of the recipe;
- `inputs`: the folders of the rooms before it, by room name (`inputs["translate"] / "records.jsonl"`);
- `out`: the folder it fills: `records.jsonl`, `dropped.jsonl`, and whatever files of its own;
- `context`: progress, the call ledger, the run's seed.

The same settings and inputs give the same bytes; a room that was killed is called again with the same
`out` and goes on from what is there (calls in the ledger, checkpoints, a cache of predictions).
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from bimedix.files import RecordWriter
from bimedix.progress import Progress
from bimedix.records import Dropped, encode

RECORDS = "records.jsonl"
DROPPED = "dropped.jsonl"
APPROVALS = "approvals.jsonl"
"""What a review let through, by id and hash; the mix compares."""


@dataclass(frozen=True)
class Context:
    """What a room is given besides its settings and inputs."""

    calls: Path
    """The SQLite file of the call ledger, shared by all rooms of a run."""
    seed: int = 17
    """Fixes every draw; each draws from (seed, record id), so one record more moves no other."""
    progress: Progress = field(default_factory=Progress)
    base: Path = field(default_factory=Path)
    """Folder that relative paths of the recipe start from."""


@dataclass
class Summary:
    """What a room did; goes into the stage's ledger."""

    read: int = 0
    written: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Count by reason."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Numbers for the report; JSON values, units in the names."""


class StageWriter:
    """Writes `records.jsonl` and `dropped.jsonl` of a stage; both appear when whole.

    >>> with StageWriter(out, room="curate") as stage:          # doctest: +SKIP
    ...     stage.write(record)
    ...     stage.drop(other, "repeats an earlier text", place=first.id)
    """

    def __init__(self, out: Path, room: str) -> None:
        self.room = room
        self.dropped: Counter[str] = Counter()
        self._records = RecordWriter(out / RECORDS)
        self._dropped = RecordWriter(out / DROPPED)

    @property
    def written(self) -> int:
        """Records written so far."""
        return self._records.tally.written

    def write(self, record: Struct) -> None:
        """Keep a record."""
        self._records.write(record)

    def drop(
        self, record: Struct | None, reason: str, *, place: str = "", detail: str = "", id: str = ""
    ) -> None:
        """Leave a record out, whole and with the reason."""
        text = encode(record).decode() if record is not None else ""
        self.put(Dropped(id or getattr(record, "id", ""), self.room, reason, place, detail, text))

    def put(self, dropped: Dropped) -> None:
        """Keep a ready-made `Dropped`, such as a source reader yields."""
        self.dropped[dropped.reason] += 1
        self._dropped.write(dropped)

    def summary(self, read: int, **figures: Any) -> Summary:
        """Return the stage's summary."""
        return Summary(read, self.written, dict(sorted(self.dropped.items())), figures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dropped.__exit__(kind, error, trace)
        self._records.__exit__(kind, error, trace)
