"""The desk: answers a request from the ledger, from an equal call in flight, or by asking.

What is asked again, how long to wait and when to give up follow the table of data.md, section 1.4.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from msgspec import structs

from bimedix.completers.base import Completer, Reply, Request
from bimedix.completers.endpoint import (
    TOO_FAST,
    AccessError,
    Bound,
    BudgetError,
    Endpoint,
    EndpointError,
    RawAnswer,
    Reading,
)
from bimedix.completers.key import call_body, call_key
from bimedix.completers.ledger import Ledger, Stored
from bimedix.completers.pace import Lane
from bimedix.completers.recording import Recorder
from bimedix.completers.waiting import backoff_s, retry_after_s
from bimedix.errors import UsageError

HOLD_LANE_S = 5.0
"""A `Retry-After` above this holds all calls to the endpoint, not the refused one alone."""
EMPTY_ANSWERS = 3
"""So often an empty answer is paid for before the call is given up."""
BARREN_CALLS = 8
"""So many calls in a row given up, with no answer between them, stop the run."""
MALFORMED_CALLS = 20
"""So many calls refused as malformed, before any was answered, stop the run."""

_encode = msgspec.json.Encoder(order="sorted").encode
_decode_reply = msgspec.json.Decoder(Reply).decode


class Desk:
    """One completer, its ledger, its lane and its budget."""

    def __init__(
        self,
        completer: Completer,
        ledger: Ledger,
        *,
        budget_usd: float | None,
        recorder: Recorder | None,
        say: Callable[[str], None],
    ) -> None:
        if isinstance(completer, Bound):
            completer.bind(ledger, say)
        self.completer, self.ledger, self.recorder = completer, ledger, recorder
        self.endpoint = completer if isinstance(completer, Endpoint) else None
        self.lane = Lane(completer.parallel, paced=self.endpoint is not None and self.endpoint.paced)
        self.purse = Purse(ledger, budget_usd)
        self.counts: Counter[str] = Counter()
        self._flight: dict[str, asyncio.Future[Reply]] = {}
        self._draw = Random(ledger.run)
        self._barren = 0
        self._last_error = ""

    async def answer(self, request: Request) -> Reply:
        """Return the reply; an answer cut at its limit is asked for once more, with twice the limit.

        Not where its likeliest tokens were wanted: then only its beginning counts.
        """
        reply = await self._once(request)
        if reply.finish == "length" and not reply.top_logprobs:
            longer = structs.replace(request, max_new_tokens=2 * request.max_new_tokens)
            second = await self._once(longer)
            reply = second if second.finish != "error" else reply
        if self.recorder:
            self.recorder.note(request, reply)
        return reply

    def notes(self) -> dict[str, Any]:
        """Return what the progress line shows."""
        if not self.endpoint:
            return {}
        errors = {name: n for name, n in sorted(self.counts.items()) if name not in {"answer", "cached"}}
        return {"usd": round(self.purse.spent_usd, 4), "in_flight": self.lane.in_flight, **errors}

    def check_end(self) -> None:
        """Raise when calls were given up and the endpoint never answered one in this run."""
        if self._barren and not self.counts["answer"]:
            raise self._gone()

    async def _once(self, request: Request) -> Reply:
        try:
            key = call_key(request, self.completer.name)
        except UnicodeEncodeError as error:
            self.counts["unreadable"] += 1
            return Reply("", finish="error", error=f"the text holds half of a character: {error}")
        self.ledger.use(request, key)
        if (flying := self._flight.get(key)) is not None:
            return structs.replace(await asyncio.shield(flying), cached=True, cost_usd=0.0)
        future = self._flight[key] = asyncio.get_running_loop().create_future()
        try:
            reply = structs.replace(await self._ask(key, request), key=key)
        except BaseException as error:
            self._flight.pop(key, None)
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()
            else:
                future.cancel()
            raise
        future.set_result(reply)
        return reply

    async def _ask(self, key: str, request: Request) -> Reply:
        stored = self.ledger.find(key)
        reply = self._reread(key, request, stored) if stored and stored.raw else None
        if reply:
            self.counts["cached"] += 1
            self._flight.pop(key, None)
            return structs.replace(reply, cached=True, cost_usd=0.0)
        if self.endpoint:
            return await self._call(self.endpoint, key, request, stored.empties if stored else 0)
        return await self._ask_free(key, request)

    def _reread(self, key: str, request: Request, stored: Stored) -> Reply | None:
        """Return the reply in a kept answer; None when it holds none and the call has to go out again."""
        assert stored.raw is not None
        if not self.endpoint:
            try:
                return _decode_reply(stored.raw.body)
            except msgspec.DecodeError:
                return None
        reading = self.endpoint.read(request, stored.raw)
        if stored.unread:
            self.ledger.settle(stored.attempt, reading)
            self.purse.spend(reading)
            if reading.outcome == "answer":
                self.ledger.close_call(key, "answered")
        if reading.outcome == "answer" or (reading.outcome == "empty" and stored.state == "answered"):
            return reading.reply
        return None

    async def _ask_free(self, key: str, request: Request) -> Reply:
        """Ask a completer that costs nothing; errors are not kept, so they are asked again next time."""
        place = await self.lane.enter()
        started = time.time()
        try:
            reply = await self.completer.complete(request)
        finally:
            self.lane.leave(place)
        if reply.finish == "error":
            self.counts["error"] += 1
            self._flight.pop(key, None)
            return reply
        self.counts["answer"] += 1
        row = (started, time.time(), reply.model, reply.tokens_in, reply.tokens_out)
        body = _encode(call_body(request)).decode()
        kept = self.ledger.keep_free(key, self.completer.name, body, row, msgspec.json.encode(reply))
        kept.add_done_callback(lambda done: self._forget(key, done))
        return reply

    async def _call(self, endpoint: Endpoint, key: str, request: Request, empties: int) -> Reply:
        """Ask an endpoint until it answers, or until it is no use."""
        body = _encode(call_body(request)).decode()
        failures = waits = 0
        waited_s = 0.0
        while True:
            again = bool(failures or waits or empties)
            raw, reading = await self._attempt(endpoint, key, request, body, again)
            self.counts[reading.outcome] += 1
            match reading.outcome:
                case "answer":
                    self._barren = 0
                    return self._close(key, "answered", reading.reply)
                case "empty":
                    empties += 1
                    if empties >= EMPTY_ANSWERS:
                        return self._close(key, "answered", reading.reply)
                case "wait":
                    waits += 1
                    waited_s += await self._wait(endpoint, raw, waits, waited_s)
                case "retry":
                    failures += 1
                    if failures >= endpoint.tries:
                        return self._give_up(key, reading.reply, failures)
                    await self.lane.sleep(backoff_s(endpoint.backoff_s, failures, self._draw))
                case "fail":
                    return self._refused(key, reading.reply)
                case "stop":
                    raise AccessError(f"{endpoint.name}: {reading.reply.error}")

    async def _attempt(
        self, endpoint: Endpoint, key: str, request: Request, body: str, again: bool
    ) -> tuple[RawAnswer, Reading]:
        """Send once: reserve, commit the intent, send, commit the answer, read it, book it."""
        estimate_usd = endpoint.estimate_usd(request)
        await self.purse.reserve(estimate_usd)
        try:
            place = await self.lane.enter(again=again)
            raw = RawAnswer(0)
            try:
                attempt = await self.ledger.intend(key, endpoint.name, body, estimate_usd)
                raw = await endpoint.send(request)
            finally:
                self.lane.leave(place, refused=raw.status in TOO_FAST)
            if raw.adopted:
                self.ledger.adopt(key)
            await self.ledger.keep(attempt, raw)
            reading = endpoint.read(request, raw)
            self.ledger.settle(attempt, reading)
            self.purse.spend(reading, estimate_usd)
        finally:
            self.purse.release(estimate_usd)
        return raw, reading

    async def _wait(self, endpoint: Endpoint, raw: RawAnswer, waits: int, waited_s: float) -> float:
        """Wait as the endpoint asks, or back off; returns the seconds."""
        asked_s = retry_after_s(raw.retry_after)
        unit_s = endpoint.backoff_s
        wait_s = asked_s * self._draw.uniform(1, 1.5) if asked_s else backoff_s(unit_s, waits, self._draw)
        if waited_s + (asked_s or wait_s) > endpoint.max_wait_s:
            then = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + (asked_s or wait_s)))
            raise EndpointError(
                f"{endpoint.name}: asks to wait {asked_s or wait_s:,.0f} s (status {raw.status}), "
                f"{waited_s:,.0f} s after the first refusal; max_wait_s is {endpoint.max_wait_s:,.0f}.\n"
                f"  Every answer so far is kept. Start the same command again after {then}."
            )
        if asked_s and asked_s > HOLD_LANE_S:
            self.lane.hold(asked_s)
        await self.lane.sleep(wait_s)
        return wait_s

    def _close(self, key: str, state: str, reply: Reply) -> Reply:
        """Write the end of a call; equal requests share its answer until that is on the disk."""
        self.ledger.close_call(key, state).add_done_callback(lambda done: self._forget(key, done))
        return reply

    def _forget(self, key: str, done: "asyncio.Future[None]") -> None:
        """Let the ledger answer from now on; a ledger that broke is told by the next write."""
        self._flight.pop(key, None)
        if not done.cancelled():
            done.exception()

    def _give_up(self, key: str, reply: Reply, tries: int) -> Reply:
        self._barren += 1
        self._last_error = reply.error
        if self._barren >= BARREN_CALLS:
            raise self._gone()
        error = f"given up after {tries} tries: {reply.error}"
        return self._close(key, "failed", structs.replace(reply, finish="error", error=error))

    def _gone(self) -> EndpointError:
        return EndpointError(
            f"{self.completer.name}: {self._barren} calls in a row were given up; the last one: "
            f"{self._last_error}\n"
            "  Every answer so far is kept. Look at the endpoint (address, load, network), then start the "
            "same command again."
        )

    def _refused(self, key: str, reply: Reply) -> Reply:
        if self.counts["fail"] >= MALFORMED_CALLS and not self.counts["answer"] + self.counts["cached"]:
            raise EndpointError(
                f"{self.completer.name}: refused the first {self.counts['fail']} calls: {reply.error}\n"
                "  The reason lies with the settings, not with the records: check max_new_tokens, "
                "temperature and the model's limits."
            )
        return self._close(key, "failed", reply)


class Purse:
    """What a stage has spent in all its runs, and what it may: reserve before sending."""

    def __init__(self, ledger: Ledger, budget_usd: float | None) -> None:
        totals = ledger.totals(ledger.stage)
        self.stage, self.budget_usd = ledger.stage, budget_usd
        self.spent_usd = totals.cost_usd + totals.possibly_usd
        self.reserved_usd = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    async def reserve(self, estimate_usd: float | None) -> None:
        """Set aside what a call may cost; wait for calls in flight when only their reserves stand in the way.

        Raises:
            BudgetError: what is spent and this call together go over the budget.
            UsageError: there is a budget and the price is not known.
        """
        if self.budget_usd is None:
            self.reserved_usd += estimate_usd or 0.0
            return
        if estimate_usd is None:
            raise UsageError(
                f"[{self.stage}] budget_usd is set and the price of the model is not known.\n"
                "  Set price_in and price_out (USD per million tokens), or leave the budget out."
            )
        while self.spent_usd + self.reserved_usd + estimate_usd > self.budget_usd:
            if self.reserved_usd < 1e-12:
                raise BudgetError(
                    f"[{self.stage}] ${self.spent_usd:,.4f} of budget_usd = {self.budget_usd:g} is spent, "
                    f"and the next call may cost ${estimate_usd:,.4f}.\n"
                    "  Every answer so far is kept. Raise budget_usd and start the same command again."
                )
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        self.reserved_usd += estimate_usd

    def release(self, estimate_usd: float | None) -> None:
        """Give a reserve back."""
        self.reserved_usd = max(0.0, self.reserved_usd - (estimate_usd or 0.0))
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def spend(self, reading: Reading, estimate_usd: float | None = None) -> None:
        """Book an attempt: its cost, or its estimate when it was possibly billed."""
        if reading.billed == "yes":
            self.spent_usd += reading.reply.cost_usd or 0.0
        elif reading.billed == "possibly":
            self.spent_usd += estimate_usd or 0.0
