"""Pace: how many calls a second an endpoint takes, found out by asking.

Starts at 16 calls a second and doubles every half second until the first refusal (429); a refusal of a
call sent after the last cut sets the pace to 0.9 x the calls admitted in the last second, counted by send
time; then it grows by 2 % a second. Source: data.md, section 1.4 (prototype: 99 % of a cap, 0.5 % 429s).

Some endpoints refuse a share of calls whatever the pace. Under a true cap the cuts come at about the same
pace; where each of several cuts comes at a clearly lower pace than the one before, or at the lowest there
is, the refusals do not follow the pace: their share is learnt, the doubling starts again, and from then on
only refusals clearly above that share slow us down. When they do, and came as often at first as later on,
the share was learnt too low, and is learnt anew. A single refusal does not end the doubling.
"""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field

from bimedix.errors import BimedixError

FIRST_PER_S = 16.0
SLOWEST_PER_S = 0.5
TOP_PER_S = 20_000.0
BURST_S = 0.02
"""So many seconds' worth of calls may go out at once; timers are no finer than that."""
LEAST_TRIAL_CALLS = 6
"""As the next, at a slow pace, where two seconds' worth of calls are enough."""
TRIAL_CALLS = 20
"""Calls after a cut before the next one, unless half of them are refused."""
STREAK = 4
"""Cuts, at least a second apart and each at a lower pace, that show refusals that do not follow the pace."""
STRAY_SHARE = 0.02
"""Share of refusals, and one more, that does not end the doubling: a pace above a cap brings more at once."""
MOST_BASELINE = 0.4
"""A larger share of refusals is always put down to the pace."""


@dataclass
class Sent:
    """A call that was let through."""

    at: float
    """Seconds, monotonic."""
    refused: bool = False


@dataclass
class Pace:
    """The rate and what it was learnt from; takes the time as an argument, so it can be simulated."""

    per_s: float = field(default_factory=lambda: FIRST_PER_S)
    doubling: bool = True
    baseline: float = 0.0
    """Share of calls that is refused whatever the pace."""
    _learnt: float = 0.0
    _started: float = -1.0
    _at: float = 0.0
    _tokens: float = 1.0
    _short: bool = False
    _cut_at: float = -1.0
    _streak: int = 0
    _counted_at: float = -1.0
    _counted_per_s: float = 0.0
    _streak_calls: int = 0
    _streak_refused: int = 0
    _second: deque[Sent] = field(default_factory=deque)
    _since_cut: deque[Sent] = field(default_factory=deque)
    _since_cut_total: int = 0

    def wait_s(self, now: float) -> float:
        """Return how long the next call has to wait; 0: it may go."""
        self._advance(now)
        self._short = self._tokens < 1
        return (1 - self._tokens) / self.per_s if self._short else 0.0

    def send(self, now: float) -> Sent:
        """Let a call through."""
        self._tokens -= 1
        call = Sent(now)
        self._second.append(call)
        while self._second[0].at <= now - 1:
            self._second.popleft()
        self._since_cut.append(call)
        self._since_cut_total += 1
        if len(self._since_cut) > 200:
            self._since_cut.popleft()
        if self.baseline and self._since_cut_total % 200 == 0:
            share = sum(sent.refused for sent in self._since_cut) / 200
            self.baseline = min(self._learnt, (self.baseline + share) / 2)
        return call

    def refuse(self, call: Sent, now: float) -> None:
        """Note that a call was refused for being too fast, and slow down if that is the reason."""
        call.refused = True
        if call.at <= self._cut_at:
            return
        calls = len(self._since_cut)
        refused = sum(sent.refused for sent in self._since_cut)
        trial = min(TRIAL_CALLS, max(LEAST_TRIAL_CALLS, 2 * self.per_s))
        if self._cut_at >= 0 and calls < trial and refused < calls / 2:
            return
        if self.doubling and refused <= 1 + STRAY_SHARE * calls:
            return
        noise = 4 * math.sqrt(self.baseline * (1 - self.baseline) * calls)
        if self.baseline and refused <= self.baseline * calls + noise:
            return
        self._cut(calls, refused, now)

    def _cut(self, calls: int, refused: int, now: float) -> None:
        if now - self._counted_at >= 1:
            falling = self._counted_per_s > 0 and self.per_s < 0.95 * self._counted_per_s
            falling = falling or self.per_s <= 2 * SLOWEST_PER_S
            self._streak = self._streak + 1 if falling else 0
            self._streak_calls = self._streak_calls + calls if falling else 0
            self._streak_refused = self._streak_refused + refused if falling else 0
            self._counted_at, self._counted_per_s = now, self.per_s
        if self._streak >= STREAK and self._streak_refused <= MOST_BASELINE * self._streak_calls:
            self._learn(self._streak_refused / self._streak_calls)
        elif self.baseline and not self.doubling and self._is_spread(calls, refused):
            self._learn(refused / calls)
        else:
            span_s = min(1.0, max(0.25, now - self._started))
            admitted = sum(not sent.refused for sent in self._second if sent.at > now - 1)
            least = self.per_s / 2 if len(self._second) < TRIAL_CALLS else 0.0
            self.per_s = max(SLOWEST_PER_S, least, min(self.per_s, 0.9 * admitted / span_s))
            self.doubling = False
        self._cut_at, self._tokens = now, min(self._tokens, 0.0)
        self._since_cut.clear()
        self._since_cut_total = 0

    def _learn(self, share: float) -> None:
        """Take a share of refusals for one that follows no pace, and look for the pace anew."""
        self.baseline = self._learnt = share
        self.doubling, self._streak, self._counted_per_s = True, 0, 0.0

    def _is_spread(self, calls: int, refused: int) -> bool:
        """Tell whether refusals since the last cut came as often at first, at a lower pace, as later on."""
        early = sum(sent.refused for sent in list(self._since_cut)[: calls // 2])
        return refused >= 8 and refused <= MOST_BASELINE * calls and early >= 0.42 * refused

    def _advance(self, now: float) -> None:
        if self._started < 0:
            self._started = self._at = now
        passed_s = now - self._at
        self._at = now
        self._tokens = min(max(1.0, self.per_s * BURST_S), self._tokens + self.per_s * passed_s)
        if self._short:
            grown = (4.0 if self.doubling else 1.02) ** min(passed_s, 1.0)
            self.per_s = min(TOP_PER_S, self.per_s * grown)


class Lane:
    """The way to one endpoint: at most `parallel` calls in flight, at its pace, or held for a while."""

    def __init__(self, parallel: int, *, paced: bool = True) -> None:
        self.parallel = max(1, parallel)
        self.in_flight = 0
        self.pace = Pace() if paced else None
        self.stopped: BimedixError | None = None
        self._held_until = 0.0
        self._waiting: deque[asyncio.Future[Sent]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._stop = asyncio.Event()

    async def enter(self, *, again: bool = False) -> Sent:
        """Wait for a place; retried calls go first. Raises what the run was stopped with."""
        if self.stopped:
            raise self.stopped
        if not self._waiting and self._delay_s() == 0:
            return self._admit()
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if again else self._waiting.append)(future)
        self._pump()
        return await future

    def leave(self, call: Sent, *, refused: bool = False) -> None:
        """Give the place back."""
        self.in_flight -= 1
        if refused and self.pace:
            self.pace.refuse(call, time.monotonic())
        self._pump()

    def hold(self, wait_s: float) -> None:
        """Let nobody through for so many seconds."""
        self._held_until = max(self._held_until, time.monotonic() + wait_s)

    def stop(self, error: BimedixError) -> None:
        """Let nobody through any more; those who wait or sleep get the error."""
        self.stopped = self.stopped or error
        self._stop.set()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(self.stopped)

    async def sleep(self, wait_s: float) -> None:
        """Sleep, but not longer than the run lasts."""
        try:
            await asyncio.wait_for(self._stop.wait(), wait_s)
        except TimeoutError:
            return
        assert self.stopped is not None
        raise self.stopped

    def _delay_s(self) -> float:
        """Seconds until a call may go: 0 now, infinity when a place has to come free first."""
        if self.in_flight >= self.parallel:
            return math.inf
        now = time.monotonic()
        held_s = self._held_until - now
        return held_s if held_s > 0 else self.pace.wait_s(now) if self.pace else 0.0

    def _admit(self) -> Sent:
        self.in_flight += 1
        now = time.monotonic()
        return self.pace.send(now) if self.pace else Sent(now)

    def _pump(self) -> None:
        """Let through whoever may go, and come back when the next one may."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            delay_s = self._delay_s()
            if delay_s == 0:
                self._waiting.popleft().set_result(self._admit())
                continue
            if delay_s < math.inf:
                self._timer = asyncio.get_running_loop().call_later(max(delay_s, 0.001), self._pump)
            return
