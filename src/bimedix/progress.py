"""Progress of long work: a bar with rate and time left, quiet, or JSON rows; always on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TextIO, TypeVar

import msgspec

Mode = Literal["bar", "quiet", "json"]
T = TypeVar("T")


@dataclass
class Task:
    """One piece of long work; `advance` as it goes on."""

    name: str
    total: int | None
    unit: str
    report: "Progress"
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    notes: dict[str, Any] = field(default_factory=dict)
    handle: Any = None
    _last: float = 0.0

    def advance(self, count: int = 1, **notes: Any) -> None:
        """Say that `count` more units are done; notes (loss, spend, ...) are shown beside the bar."""
        self.done += count
        self.notes.update(notes)
        self.report.show(self)

    @property
    def rate(self) -> float:
        """Units per second since the start."""
        return self.done / max(time.monotonic() - self.started, 1e-9)


class Progress:
    """Shows tasks in one of three modes."""

    def __init__(self, mode: Mode = "quiet", stream: TextIO | None = None) -> None:
        self.mode = mode
        self.stream = stream or sys.stderr
        self._rich: Any = None

    def say(self, text: str) -> None:
        """Print one line (as a JSON row in json mode)."""
        if self.mode == "json":
            self._row({"event": "message", "text": text})
        elif self.mode == "bar":
            console = self._rich.console if self._rich else None
            console.print(text, markup=False, highlight=False) if console else print(text, file=self.stream)

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "records") -> Iterator[Task]:
        """Open a task for the length of a block."""
        task = Task(name, total, unit, self)
        if self.mode == "bar":
            self._open_bar(task)
        elif self.mode == "json":
            self._row({"event": "start", "task": name, "total": total, "unit": unit})
        try:
            yield task
        finally:
            task._last = 0.0
            self.show(task)
            if self.mode == "bar":
                self._rich.stop()
                self._rich = None

    def track(
        self, things: Iterable[T], name: str, total: int | None = None, unit: str = "records"
    ) -> Iterator[T]:
        """Yield the things and count them."""
        with self.task(name, total, unit) as task:
            for thing in things:
                yield thing
                task.advance()

    def show(self, task: Task) -> None:
        """Bring the display up to date, at most five times a second."""
        now = time.monotonic()
        if now - task._last < 0.2:
            return
        task._last = now
        if self.mode == "bar" and self._rich:
            notes = "  ".join(f"{key} {value}" for key, value in task.notes.items())
            self._rich.update(
                task.handle, completed=task.done, rate=f"{task.rate:,.1f} {task.unit}/s", notes=notes
            )
        elif self.mode == "json":
            left = (task.total - task.done) / task.rate if task.total and task.rate else None
            row = {"event": "progress", "task": task.name, "done": task.done, "total": task.total}
            row |= {"unit": task.unit, "per_s": round(task.rate, 2), "left_s": left and round(left, 1)}
            self._row(row | task.notes)

    def _open_bar(self, task: Task) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description:<22}"), BarColumn(24), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[notes]}"),
            console=Console(file=self.stream), transient=False,
        )  # fmt: skip
        self._rich.start()
        task.handle = self._rich.add_task(task.name, total=task.total, rate="", notes="")

    def _row(self, row: dict[str, Any]) -> None:
        self.stream.write(msgspec.json.encode(row).decode() + "\n")
        self.stream.flush()
