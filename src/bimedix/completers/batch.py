"""A provider's batch API behind the same call: half the price, answers within a day.

Calls are gathered, written down, submitted and waited for; keys, ledger and readers are those of online
calls. Nobody offers a create that is made only once, so what was submitted is the call ledger's to know: a
submission is committed before anything of it goes out, and one that was never answered is looked for at the
provider before its calls are sent again (data.md, section 1.5). So a killed run finds its batches again.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from bimedix.completers.base import Reply, Request
from bimedix.completers.batch_api import BatchApi
from bimedix.completers.endpoint import TOO_FAST, AccessError, RawAnswer, Reading
from bimedix.completers.http import HttpEndpoint
from bimedix.completers.key import call_key
from bimedix.completers.ledger import Ledger, Submission
from bimedix.completers.pace import Lane
from bimedix.errors import BimedixError
from bimedix.records import content_hash

GATHER_S = 1.0
"""A batch is closed when no call has come for so long, ..."""
MOST_GATHER_S = 30.0
"""... or when its first call has waited for so long."""
LOOK_BACK_S = 8 * 86_400
"""Batches that the ledger has never heard of are not looked at when older: they have ended long ago."""


class _Call(NamedTuple):
    """A call that waits to be sent."""

    key: str
    request: Request
    line: bytes
    future: "asyncio.Future[RawAnswer]"


@dataclass
class _Batch:
    """One batch of the provider, and the calls of this run that wait for it."""

    id: str
    keys: frozenset[str]
    waiting: dict[str, "asyncio.Future[RawAnswer]"] = field(default_factory=dict)
    watched: bool = False
    answers: dict[str, RawAnswer] | None = None
    """What came and nobody has taken yet; None while it goes on."""

    def holds(self, key: str) -> bool:
        """Tell whether an answer to a call may come, or has come, from this batch."""
        return key in (self.keys if self.answers is None else self.answers)


class BatchCompleter:
    """Sends the calls of an endpoint in batches, or, when few stand ready, online.

    Args:
        online: the endpoint itself: it builds bodies, reads answers, holds the connections.
        api: its batch API.
        calls: calls of one batch at most, and calls that are out at once.
        batch_from: so many calls have to stand ready for a batch; fewer go online. 1: always a batch.
    """

    paced = False

    def __init__(
        self, online: HttpEndpoint, api: BatchApi, *, calls: int = 10_000, batch_from: int = 1
    ) -> None:
        self.online, self.api, self.batch_from = online, api, batch_from
        self.name, self.parallel = online.name, calls
        self.backoff_s, self.max_wait_s, self.tries = online.backoff_s, online.max_wait_s, online.tries
        self._book: Ledger | None = None
        self._say: Callable[[str], None] = lambda _: None
        self._lane = Lane(online.parallel)
        self._most_calls = min(calls, api.most_calls)
        self._queue: list[_Call] = []
        self._queued_bytes, self._gather_until = 0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._adopted: list[_Batch] = []
        self._unsure: dict[str, tuple[Submission, asyncio.Task[None] | None]] = {}
        self._begun: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[Any]] = set()
        self._told = ""

    def bind(self, ledger: Ledger, say: Callable[[str], None]) -> None:
        """Take the ledger that submissions are written to, and the way to the screen."""
        self._book, self._say = ledger, say

    def read(self, request: Request, raw: RawAnswer) -> Reading:
        """Say what an answer means; one that came in a batch costs the batch price."""
        return self.online.read(request, raw)

    def estimate_usd(self, request: Request) -> float | None:
        """Return what one call costs at most: by batch, unless it may still go online."""
        most, price = self.online.estimate_usd(request), self.online.price
        return most if most is None or price is None or self.batch_from > 1 else most * price.batch

    async def complete(self, request: Request) -> Reply:
        """Send once and read."""
        return self.read(request, await self.send(request)).reply

    async def send(self, request: Request) -> RawAnswer:
        """Put a call into the next batch, or wait for the one that it is already in."""
        if self._begun is None:
            self._begun = asyncio.create_task(self._adopt())
        await asyncio.shield(self._begun)
        key = call_key(request, self.name)
        future: asyncio.Future[RawAnswer] = asyncio.get_running_loop().create_future()
        if batch := await self._already_in(key):
            self._join(batch, key, future)
            return structs.replace(await future, adopted=True)
        line = self.api.line(key, request)
        if len(line) > self.api.most_bytes:
            return _too_long(len(line), self.api.most_bytes)
        self._enqueue(_Call(key, request, line, future))
        return await future

    async def close(self) -> None:
        """Stop watching; batches at the provider go on and are found again."""
        jobs = [*self._jobs, *([self._begun] if self._begun else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        self._begun, self._adopted, self._queue, self._queued_bytes = None, [], [], 0
        self._unsure.clear()
        self._jobs.clear()
        await self.online.close()

    # --- submitting

    def _enqueue(self, call: _Call) -> None:
        if self._queue and self._queued_bytes + len(call.line) > self.api.most_bytes:
            self._submit()
        loop = asyncio.get_running_loop()
        if not self._queue:
            self._gather_until = loop.time() + MOST_GATHER_S
        self._queue.append(call)
        self._queued_bytes += len(call.line)
        if self._timer:
            self._timer.cancel()
        if len(self._queue) >= self._most_calls:
            self._submit()
        else:
            self._timer = loop.call_at(min(loop.time() + GATHER_S, self._gather_until), self._submit)

    def _submit(self) -> None:
        """Send what stands ready, in the background: as one batch, or call by call."""
        calls, self._queue, self._queued_bytes = self._queue, [], 0
        if self._timer:
            self._timer.cancel()
            self._timer = None
        futures = [call.future for call in calls]
        if len(calls) >= self.batch_from and calls:
            self._start(self._submit_batch(calls), futures)
            return
        for call in calls:
            self._start(self._send_online(call), [call.future])
        if calls and self._told != "online":
            self._told = "online"
            self._say(
                f"{len(calls):,} new calls stand ready, fewer than batch_from = {self.batch_from:,}: online"
            )

    async def _send_online(self, call: _Call) -> None:
        place = await self._lane.enter()
        raw = RawAnswer(0)
        try:
            raw = await self.online.send(call.request)
        finally:
            self._lane.leave(place, refused=raw.status in TOO_FAST)
        if not call.future.done():
            call.future.set_result(raw)

    async def _submit_batch(self, calls: list[_Call]) -> None:
        keys = [call.key for call in calls]
        part = content_hash([*keys, time.time_ns()])[:16]
        planned = Submission(part, "", frozenset(keys), time.time())
        if self._book:
            planned = await self._book.plan_batch(part, self.name, keys)
        try:
            made = await self.api.create_once([call.line for call in calls], planned, self._known_ids)
        except AccessError:
            if self._book:
                await self._book.note_batch(part, "refused")
            raise
        if self._book:
            await self._book.note_batch(part, "submitted", made)
        self._told = "batch"
        why = f" (batch_from = {self.batch_from:,})" if self.batch_from > 1 else ""
        self._say(f"{len(calls):,} new calls stand ready: batch {made}{why}")
        batch = _Batch(made, planned.keys)
        for call in calls:
            self._join(batch, call.key, call.future)

    def _known_ids(self) -> frozenset[str]:
        """Return the provider's ids of batches that the ledger knows."""
        return self._book.known_batches(self.name)[1] if self._book else frozenset()

    # --- finding and waiting

    async def _adopt(self) -> None:
        """Take up what earlier processes submitted: by the ledger, then by the provider's list."""
        parts: frozenset[str] = frozenset()
        if self._book:
            parts, _ = self._book.known_batches(self.name)
            for known in await self._book.open_batches(self.name):
                if known.id:
                    self._adopted.append(_Batch(known.id, known.keys))
                else:
                    self._unsure[known.part] = known, None
        try:
            unknown = await self.api.unknown(parts, time.time() - LOOK_BACK_S)
        except AccessError as error:
            if self.batch_from == 1:
                raise
            self.batch_from = self._most_calls + 1
            self._say(f"online, for there is no batch API here: {error}")
            return
        self._adopted += [_Batch(found.id, found.keys) for found in unknown]

    async def _already_in(self, key: str) -> _Batch | None:
        """Return the batch of an earlier process that a call is in; waits until that is known."""
        for part, (submission, search) in list(self._unsure.items()):
            if key not in submission.keys:
                continue
            if search is None:
                search = self._start(self._look_for(submission), [])
                self._unsure[part] = submission, search
            await asyncio.shield(search)
        return next((batch for batch in self._adopted if batch.holds(key)), None)

    async def _look_for(self, lost: Submission) -> None:
        """Find a submission that was never answered, or close it: its calls may be sent again."""
        assert self._book is not None
        found = await self.api.find(lost, self._known_ids())
        await self._book.note_batch(lost.part, "submitted" if found else "refused", found)
        if found:
            self._adopted.insert(0, _Batch(found, lost.keys))

    def _join(self, batch: _Batch, key: str, future: "asyncio.Future[RawAnswer]") -> None:
        """Let a call wait for a batch, or take its answer from one that has ended."""
        if batch.answers is not None:
            future.set_result(batch.answers.pop(key))
            return
        batch.waiting[key] = future
        if not batch.watched:
            batch.watched = True
            self._start(self._watch(batch), [])

    async def _watch(self, batch: _Batch) -> None:
        """Wait until a batch has ended, and give every call what came for it.

        Answers to calls that have not been asked for yet are kept: talks come one after the other.
        """
        try:
            state = await self.api.end(batch.id)
            answers = await self._harvest(batch, state)
        except BimedixError as error:
            _fail(list(batch.waiting.values()), error)
            return
        why = f"batch {batch.id} ended as {state['status']} without this call"
        why += f": {str(state['errors'])[:300]}" if state.get("errors") else ""
        for key, future in batch.waiting.items():
            if not future.done():
                future.set_result(answers.pop(key, RawAnswer(0, error=why, sent=False)))
        batch.waiting, batch.answers = {}, answers

    async def _harvest(self, batch: _Batch, state: dict[str, Any]) -> dict[str, RawAnswer]:
        """Return the first answer to every call; lines of no call of this batch are put aside."""
        answers: dict[str, RawAnswer] = {}
        strays = 0
        for custom_id, raw, line in await self.api.answers(batch.id, state):
            if custom_id in batch.keys:
                answers.setdefault(str(custom_id), structs.replace(raw, batch=batch.id))
                continue
            strays += 1
            if self._book:
                self._book.put_aside(batch.id, custom_id, line)
        if strays:
            self._say(f"batch {batch.id}: {strays:,} lines belong to no call of it; see the table `strays`")
        return answers

    def _start(
        self, work: Coroutine[Any, Any, Any], futures: list["asyncio.Future[RawAnswer]"]
    ) -> "asyncio.Task[Any]":
        """Run in the background; what goes wrong there is told to the calls that wait for it."""
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._jobs.add(task)

        def end(done: "asyncio.Task[Any]") -> None:
            self._jobs.discard(done)
            if not done.cancelled() and (error := done.exception()):
                _fail(futures, error)

        task.add_done_callback(end)
        return task


def _too_long(size: int, most: int) -> RawAnswer:
    told = f"the call has {size:,} bytes; a batch takes {most:,}"
    return RawAnswer(413, msgspec.json.encode({"error": {"message": told}}), sent=False)


def _fail(futures: list["asyncio.Future[RawAnswer]"], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
