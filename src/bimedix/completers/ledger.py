"""The call ledger: every call, every attempt and every answer, in one SQLite file.

Order of writes (data.md, section 1.3): the intent is committed, then the bytes go out, then the raw answer
is committed, then it is read. So a `kill -9` loses nothing that was committed, repeats at most what was in
flight, and what may have been billed without an answer is listed.

Writes are gathered for up to 20 ms or 64 rows and committed in a thread of their own, because the loop
must not wait for the disk; reads have a connection of their own.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bimedix.completers.base import Request
from bimedix.completers.endpoint import RawAnswer, Reading
from bimedix.completers.lock import LedgerLock
from bimedix.completers.schema import prepare
from bimedix.errors import DataError
from bimedix.files import require_file

V = TypeVar("V")
GROUP_ROWS = 64
GROUP_S = 0.02

_CALL = "INSERT INTO calls VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state"
_INTENT = "INSERT INTO attempts (id, key, run, stage, sent, estimate_usd) VALUES (?, ?, ?, ?, ?, ?)"
_ANSWER = """UPDATE attempts SET ended = ?, status = ?, retry_after = ?, request_id = ?, content_type = ?,
    error = ?, batch = ? WHERE id = ?"""
_RAW = "INSERT INTO answers VALUES (?, ?)"
_READING = """UPDATE attempts SET outcome = ?, model = ?, tokens_in = ?, tokens_out = ?, tokens_cached = ?,
    tokens_reasoning = ?, usage = ?, cost_usd = ?, billed = ? WHERE id = ?"""
_FREE = """INSERT INTO attempts (id, key, run, stage, sent, ended, outcome, model, tokens_in,
    tokens_out, cost_usd, billed) VALUES (?, ?, ?, ?, ?, ?, 'answer', ?, ?, ?, 0, 'no')"""
_USE = "INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?, ?, ?)"
_STORED = """SELECT calls.state, attempts.id, outcome, status, raw, content_type, retry_after,
    request_id, error, batch FROM calls LEFT JOIN attempts ON attempts.key = calls.key
    LEFT JOIN answers ON answers.attempt = attempts.id
    WHERE calls.key = ? ORDER BY attempts.id"""
_OPEN_BATCHES = """SELECT part, id, keys, planned,
    EXISTS (SELECT 1 FROM json_each(keys) JOIN calls ON calls.key = json_each.value
        WHERE calls.state = 'asked')
    FROM batches WHERE completer = ? AND state IN ('planned', 'submitted') ORDER BY planned DESC"""
_TOTALS = """SELECT count(*), count(DISTINCT key), coalesce(sum(outcome NOT IN ('answer', 'empty')), 0),
    coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0),
    coalesce(sum(cost_usd), 0), coalesce(sum(CASE WHEN billed = 'possibly' THEN estimate_usd END), 0),
    coalesce(sum(outcome = 'lost'), 0), coalesce(sum(billed = 'possibly'), 0),
    coalesce(sum(billed = 'yes' AND cost_usd IS NULL), 0), coalesce(sum(usage = 'estimated'), 0)
    FROM attempts WHERE stage = coalesce(?, stage) AND id > ?"""


class Stored(Struct, frozen=True):
    """What the ledger holds of a call."""

    state: str
    raw: RawAnswer | None
    """The answer that counts: the one that was accepted, else the newest that nobody has read yet."""
    attempt: int = 0
    unread: bool = False
    empties: int = 0
    """Answers that were paid for and empty."""


class Lost(Struct, frozen=True):
    """An attempt that was cut off by the end of its process: possibly billed, no answer."""

    key: str
    stage: str
    sent: float
    estimate_usd: float | None


class Submission(Struct, frozen=True):
    """A batch of calls, written down before anything of it goes out."""

    part: str
    """Our own name for it."""
    id: str
    """The provider's; empty while it is not known whether the provider has it."""
    keys: frozenset[str]
    """Call keys, which are the custom ids."""
    planned: float
    """Seconds since 1970."""


class Totals(Struct, frozen=True):
    """Sums over all runs of a ledger, failed, retried and lost attempts included."""

    attempts: int
    calls: int
    """Different calls; an attempt more than that was made again."""
    unanswered: int
    """Attempts that ended without an answer: refused, broken, told to wait, lost."""
    tokens_in: int
    tokens_out: int
    cost_usd: float
    """Of attempts with a known price."""
    possibly_usd: float
    """At most so much more, for attempts that may have been billed without an answer."""
    lost: int
    possibly: int
    unpriced: int
    """Attempts that were billed at a price that is not known."""
    estimated: int
    """Attempts whose tokens were counted here, because the endpoint gave no believable usage."""


class Ledger:
    """One process's hold on a ledger file; writes need a running event loop, reads do not."""

    def __init__(self, path: Path, *, stage: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.stage = path, stage
        self.run = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        self._lock = _guarded(path, lambda: LedgerLock(path, stage))
        try:
            self._open(path)
        except BaseException:
            self._lock.release()
            raise
        self._rows: list[tuple[str, tuple[Any, ...]]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._committing = False
        self._timer: asyncio.TimerHandle | None = None
        self._broken: DataError | None = None
        self._pool = ThreadPoolExecutor(1, "ledger")

    def _open(self, path: Path) -> None:
        self._write = _guarded(path, lambda: _connect(path))
        _guarded(path, lambda: prepare(self._write, path))
        self._read = _connect(path)
        self._next: int = self._read.execute("SELECT coalesce(max(id), 0) + 1 FROM attempts").fetchone()[0]

    def find(self, key: str) -> Stored | None:
        """Return what is kept of a call; None when it was never asked."""
        rows = self._read.execute(_STORED, (key,)).fetchall()
        if not rows:
            return None
        empties = sum(row[2] == "empty" for row in rows)
        best: Stored | None = None
        for state, attempt, outcome, status, body, kind, retry_after, request_id, error, batch in rows:
            unread = outcome is None and body is not None
            if body is not None and (outcome in {"answer", "empty"} or unread):
                told = (kind or "", retry_after or "", request_id or "", error or "")
                raw = RawAnswer(status or 0, body, *told, batch=batch or "")
                best = Stored(state, raw, attempt, unread, empties)
        return best or Stored(rows[0][0], None, empties=empties)

    async def intend(self, key: str, completer: str, body: str, estimate_usd: float | None) -> int:
        """Commit that a call goes out now; returns the attempt's number."""
        attempt = self._new_attempt()
        self._add(_CALL, (key, completer, body, "asked"))
        await self.commit(_INTENT, (attempt, key, self.run, self.stage, time.time(), estimate_usd))
        return attempt

    async def keep(self, attempt: int, raw: RawAnswer) -> None:
        """Commit an answer as it came, before anyone reads it."""
        if raw.status:
            self._add(_RAW, (attempt, raw.body))
        row = (raw.status, raw.retry_after, raw.request_id, raw.content_type, raw.error, raw.batch, attempt)
        await self.commit(_ANSWER, (time.time(), *row))

    def adopt(self, key: str) -> None:
        """Take the lost attempts of a call out of the bill: their answer was found and is booked now."""
        self._add(
            "UPDATE attempts SET outcome = 'retry', billed = 'no' WHERE key = ? AND outcome = 'lost'", (key,)
        )

    def settle(self, attempt: int, reading: Reading) -> None:
        """Write what an answer was; committed with the next group."""
        reply = reading.reply
        cost = reply.cost_usd if reading.billed == "yes" else 0.0
        row = (reading.outcome, reply.model, reply.tokens_in, reply.tokens_out, reading.tokens_cached)
        self._add(_READING, (*row, reading.tokens_reasoning, reading.usage, cost, reading.billed, attempt))

    def close_call(self, key: str, state: str) -> asyncio.Future[None]:
        """Write the state of a call; the future ends when it is on the disk."""
        return self.commit("UPDATE calls SET state = ? WHERE key = ?", (state, key))

    def keep_free(
        self, key: str, completer: str, body: str, row: tuple[Any, ...], answer: bytes
    ) -> asyncio.Future[None]:
        """Write a call that cost nothing: (sent, ended, model, tokens in, tokens out), and its answer."""
        attempt = self._new_attempt()
        self._add(_CALL, (key, completer, body, "answered"))
        self._add(_RAW, (attempt, answer))
        return self.commit(_FREE, (attempt, key, self.run, self.stage, *row))

    def use(self, request: Request, key: str) -> None:
        """Write that a record of this stage used a call."""
        self._add(_USE, (self.stage, request.record_id, request.purpose, request.sample, key, self.run))

    def totals(self, stage: str | None = None) -> Totals:
        """Return the sums of one stage or of all, as far as they are committed."""
        return Totals(*self._read.execute(_TOTALS, (stage, 0)).fetchone())

    def lost(self) -> list[Lost]:
        """Return the attempts that a kill cut off."""
        query = "SELECT key, stage, sent, estimate_usd FROM attempts WHERE outcome = 'lost' ORDER BY id"
        return [Lost(*row) for row in self._read.execute(query)]

    async def plan_batch(self, part: str, completer: str, keys: list[str]) -> Submission:
        """Commit that a batch of these calls is about to go out."""
        planned = time.time()
        row = (part, completer, planned, "planned", "", msgspec.json.encode(keys).decode())
        await self.commit("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)", row)
        return Submission(part, "", frozenset(keys), planned)

    async def note_batch(self, part: str, state: str, id: str = "") -> None:
        """Commit what became of a batch."""
        await self.commit("UPDATE batches SET state = ?, id = ? WHERE part = ?", (state, id, part))

    async def open_batches(self, completer: str) -> list[Submission]:
        """Return the batches that may still hold answers, newest first; those without any are closed."""
        found = []
        rows = self._read.execute(_OPEN_BATCHES, (completer,)).fetchall()
        for part, provider_id, keys, planned, asked in rows:
            if asked:
                found.append(Submission(part, provider_id, frozenset(msgspec.json.decode(keys)), planned))
            else:
                await self.note_batch(part, "harvested", provider_id)
        return found

    def known_batches(self, completer: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return (our names, the provider's ids) of all batches of a completer that were ever planned."""
        rows = self._read.execute("SELECT part, id FROM batches WHERE completer = ?", (completer,)).fetchall()
        return frozenset(row[0] for row in rows), frozenset(row[1] for row in rows if row[1])

    def put_aside(self, batch: str, custom_id: str | None, line: bytes) -> None:
        """Keep a line of results that belongs to no call of its batch."""
        self._add("INSERT INTO strays VALUES (?, ?, ?)", (batch, custom_id, line))

    def commit(self, statement: str, row: tuple[Any, ...]) -> asyncio.Future[None]:
        """Add a row; the future ends when its group is on the disk."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._add(statement, row)
        return future

    async def flush(self) -> None:
        """Commit what is waiting."""
        while self._rows or self._committing:
            if self._broken:
                raise self._broken
            self._start_group()
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Commit what is waiting and let go of the file."""
        if self._timer:
            self._timer.cancel()
        self._pool.shutdown(wait=True)
        try:
            if self._rows and not self._broken:
                self._insert(self._rows)
                self._write.execute("COMMIT")
        except sqlite3.Error as error:
            raise _broken(self.path, error) from error
        finally:
            self._write.close()
            self._read.close()
            self._lock.release()

    def _new_attempt(self) -> int:
        self._next += 1
        return self._next - 1

    def _add(self, statement: str, row: tuple[Any, ...]) -> None:
        if self._broken:
            raise self._broken
        self._rows.append((statement, row))
        if len(self._rows) >= GROUP_ROWS:
            self._start_group()
        elif self._timer is None and not self._committing:
            self._timer = asyncio.get_running_loop().call_later(GROUP_S, self._start_group)

    def _start_group(self) -> None:
        """Insert what is waiting, and commit it in the thread; one group at a time."""
        if self._committing or not self._rows:
            return
        if self._timer:
            self._timer.cancel()
            self._timer = None
        rows, waiting = self._rows, self._waiting
        self._rows, self._waiting, self._committing = [], [], True
        loop = asyncio.get_running_loop()
        try:
            self._insert(rows)
        except sqlite3.Error as error:
            self._end_group(waiting, error)
            return
        job = loop.run_in_executor(self._pool, self._write.execute, "COMMIT")
        job.add_done_callback(lambda done: self._end_group(waiting, done.exception()))

    def _insert(self, rows: list[tuple[str, tuple[Any, ...]]]) -> None:
        self._write.execute("BEGIN IMMEDIATE")
        for statement, row in rows:
            self._write.execute(statement, row)

    def _end_group(self, waiting: list[asyncio.Future[None]], error: BaseException | None) -> None:
        self._committing = False
        if error is not None:
            self._broken = _broken(self.path, error)
            waiting += self._waiting
        for future in waiting:
            if future.done():
                continue
            if self._broken:
                future.set_exception(self._broken)
            else:
                future.set_result(None)
        if len(self._rows) >= GROUP_ROWS:
            self._start_group()
        elif self._rows and self._timer is None and not self._broken:
            self._timer = asyncio.get_running_loop().call_later(GROUP_S, self._start_group)


def read_totals(path: Path, stage: str | None = None, *, after: int = 0) -> Totals:
    """Return the sums of a ledger, of one stage or of all; also while a run writes to it.

    Args:
        after: count attempts above this number only, such as `last_attempt` gave earlier.

    Raises:
        MissingError: there is no such ledger.
    """
    return Totals(*_look(path, _TOTALS, (stage, after)))


def last_attempt(path: Path) -> int:
    """Return the number of the last attempt in a ledger; 0 when there is none yet."""
    if not path.exists():
        return 0
    has_attempts = _look(path, "SELECT count(*) FROM sqlite_master WHERE name = 'attempts'", ())[0]
    return int(_look(path, "SELECT coalesce(max(id), 0) FROM attempts", ())[0]) if has_attempts else 0


def _look(path: Path, query: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Ask a ledger one thing without holding it."""
    require_file(path)
    connection = _guarded(path, lambda: sqlite3.connect(path, timeout=30))
    try:
        row: tuple[Any, ...] = _guarded(path, lambda: connection.execute(query, values).fetchone())
        return row
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _guarded(path: Path, action: Callable[[], V]) -> V:
    """Do it, and say in our words what the disk or the file has against it."""
    try:
        return action()
    except (sqlite3.Error, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: BaseException) -> DataError:
    return DataError(
        f"{path}: the call ledger cannot be written: {error}.\n"
        "  Look at free space and rights of its folder. What was committed is safe; start again to go on."
    )
