"""`run_talks`: drives many talks at once, and gives their results in the order of the input.

Every answer comes from the ledger or is kept there before anyone reads it; equal calls are made once; a
failing call costs its record, never the run. What stops a run is raised after the calls in flight have
come home.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from bimedix.completers.base import Completer, Reply, Request, Talk
from bimedix.completers.desk import Desk
from bimedix.completers.endpoint import Endpoint
from bimedix.completers.ledger import Ledger
from bimedix.completers.recording import Recorder
from bimedix.errors import BimedixError
from bimedix.progress import Progress, Task

T = TypeVar("T")
DRAIN_S = 30.0
"""So long a stopped run waits for the calls that are in flight."""
FINISHED_PER_OPEN = 16
"""So many finished talks per open one may wait for a slow talk before them."""


def run_talks(
    talks: Iterable[tuple[str, Talk[T]]],
    completer: Completer,
    ledger_path: Path,
    *,
    progress: Progress,
    name: str,
    budget_usd: float | None = None,
    window: int | None = None,
    total: int | None = None,
    by_purpose: Mapping[str, Completer] | None = None,
) -> Iterator[tuple[str, T]]:
    """Drive talks and yield (id, result) in input order; the completer is closed at the end.

    Args:
        talks: (record id, talk) pairs; read lazily.
        completer: who answers.
        ledger_path: the SQLite file of the call ledger.
        progress: shows done, rate, spend, calls in flight and errors.
        name: the stage; spend is summed by it, over all runs of this ledger.
        budget_usd: the most this stage may spend in this ledger, attempts that may have been billed
            included.
        window: talks open at once; default 4 x `completer.parallel`, at least 64; by batch as many as calls.
        total: number of talks, where known, for the time left.
        by_purpose: who answers the requests of a purpose in place of `completer`, such as another judge;
            they share ledger and budget, and are closed too.

    Raises:
        BudgetError: the next call would go over the budget.
        AccessError: the endpoint refuses the key, the account or the model.
        EndpointError: it answers nothing any more, or asks to wait longer than allowed.
        LedgerBusyError: another process writes to this ledger.
    """
    others = by_purpose or {}
    loop = asyncio.new_event_loop()
    try:
        ledger = Ledger(ledger_path, stage=name)
        try:
            desk = _Front(completer, others, ledger, budget_usd, progress)
            with progress.task(name, total) as task:
                open_talks = window or _window(completer)
                yield from _Crowd(iter(talks), desk, loop, task, open_talks).run()
            loop.run_until_complete(ledger.flush())
        finally:
            for one in _each(completer, others):
                loop.run_until_complete(one.close())
            ledger.close()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _window(completer: Completer) -> int:
    """Return how many talks to open: enough that calls never wait for talks."""
    by_batch = isinstance(completer, Endpoint) and not completer.paced
    return completer.parallel if by_batch else max(64, 4 * completer.parallel)


def _each(completer: Completer, others: Mapping[str, Completer]) -> list[Completer]:
    """Return every completer once."""
    return list({id(one): one for one in (completer, *others.values())}.values())


class _Front:
    """The desks of a run: one a completer, over one ledger and one purse."""

    def __init__(
        self,
        completer: Completer,
        others: Mapping[str, Completer],
        ledger: Ledger,
        budget_usd: float | None,
        progress: Progress,
    ) -> None:
        desks: dict[int, Desk] = {}
        for one in _each(completer, others):
            recorder = one if isinstance(one, Recorder) else None
            inner = recorder.inner if recorder else one
            desks[id(one)] = Desk(inner, ledger, budget_usd=budget_usd, recorder=recorder, say=progress.say)
        self.ledger, self._main, self._desks = ledger, desks[id(completer)], list(desks.values())
        self._by_purpose = {purpose: desks[id(one)] for purpose, one in others.items()}
        for desk in self._desks:
            desk.purse = self._main.purse

    async def answer(self, request: Request) -> Reply:
        """Ask whoever answers this purpose."""
        return await self._by_purpose.get(request.purpose, self._main).answer(request)

    def notes(self) -> dict[str, Any]:
        """Return what the progress line shows, summed over the desks."""
        notes: dict[str, Any] = {}
        for desk in self._desks:
            for name, value in desk.notes().items():
                notes[name] = value if name == "usd" else notes.get(name, 0) + value
        return notes

    def check_end(self) -> None:
        """Raise when an endpoint gave nothing but failures."""
        for desk in self._desks:
            desk.check_end()

    def stop(self, failure: BimedixError) -> None:
        """Let no further call out."""
        for desk in self._desks:
            desk.lane.stop(failure)


class _Crowd(Generic[T]):
    """The talks that are open: `window` unfinished ones, and finished ones that wait for their turn."""

    def __init__(
        self,
        talks: Iterator[tuple[str, Talk[T]]],
        desk: _Front,
        loop: asyncio.AbstractEventLoop,
        progress: Task,
        window: int,
    ) -> None:
        self.talks, self.desk, self.loop, self.progress, self.window = talks, desk, loop, progress, window
        self.line: deque[tuple[str, asyncio.Task[T]]] = deque()
        self.unfinished = 0
        self.failure: BaseException | None = None
        self.ended = False
        self.wake = asyncio.Event()

    def run(self) -> Iterator[tuple[str, T]]:
        """Yield results in order until the talks run out or one of them stops the run."""
        try:
            self._fill()
            while self.line:
                self.loop.run_until_complete(self._until_something_happens())
                if self.failure:
                    raise self.failure
                while self.line and self.line[0][1].done():
                    record_id, task = self.line.popleft()
                    yield record_id, task.result()
                    self.progress.advance(**self.desk.notes())
                self._fill()
            self.desk.check_end()
        finally:
            self._clear()

    def _fill(self) -> None:
        """Open talks up to the window."""
        while not self.ended and self.unfinished < self.window and len(self.line) < self._longest:
            pair = next(self.talks, None)
            if pair is None:
                self.ended = True
                return
            task = self.loop.create_task(_drive(pair[1], self.desk))
            task.add_done_callback(self._finish)
            self.unfinished += 1
            self.line.append((pair[0], task))

    @property
    def _has_room(self) -> bool:
        """Half the window is free: worth opening more talks."""
        return not self.ended and self.unfinished <= self.window // 2 and len(self.line) < self._longest

    @property
    def _longest(self) -> int:
        return FINISHED_PER_OPEN * self.window

    def _finish(self, task: "asyncio.Task[T]") -> None:
        self.unfinished -= 1
        if not task.cancelled() and task.exception():
            self.failure = self.failure or task.exception()
            self.wake.set()
        elif (self.line and task is self.line[0][1]) or self._has_room:
            self.wake.set()

    async def _until_something_happens(self) -> None:
        """Let the talks go on until the first in line is done, more may be opened, or one has failed."""
        self.wake.clear()
        if not self.failure and not self.line[0][1].done():
            await self.wake.wait()

    def _clear(self) -> None:
        """Let no further call out and wait for those in flight: their answers are paid for."""
        open_talks = [task for _, task in self.line]
        if not open_talks:
            return
        self.desk.stop(self.failure if isinstance(self.failure, BimedixError) else BimedixError("stopped"))
        self.loop.run_until_complete(asyncio.wait(open_talks, timeout=DRAIN_S))
        for task in open_talks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*open_talks, return_exceptions=True))


async def _drive(talk: Talk[T], desk: _Front) -> T:
    """Take one talk to its end."""
    try:
        requests = next(talk)
        while True:
            if len(requests) == 1:
                replies: tuple[Reply, ...] = (await desk.answer(requests[0]),)
            else:
                replies = tuple(await asyncio.gather(*map(desk.answer, requests)))
            requests = talk.send(replies)
    except StopIteration as end:
        result: T = end.value
        return result
