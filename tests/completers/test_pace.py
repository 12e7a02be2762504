"""Pace: simulated endpoints with a cap, with refusals by chance, or with both."""

import heapq
from random import Random

import pytest

from bimedix.completers.pace import Pace
from bimedix.completers.waiting import retry_after_s


def simulate(
    calls: int, *, cap_per_s: float = 0.0, by_chance: float = 0.0, latency_s: float = 0.1, seed: int = 1
) -> tuple[float, float]:
    """Return calls answered per second and the share refused; 256 in flight, a bucket one second deep."""
    pace, draw = Pace(), Random(seed)
    now = filled = 0.0
    bucket = max(1.0, cap_per_s)
    waiting, sent, refused, done = calls, 0, 0, 0
    flying: list[tuple[float, int, bool]] = []
    later: list[float] = []
    log = {}
    while done < calls:
        while flying and flying[0][0] <= now:
            _, number, was_refused = heapq.heappop(flying)
            if was_refused:
                pace.refuse(log[number], now)
                heapq.heappush(later, now + draw.uniform(1, 1.5))
            done += not was_refused
        while later and later[0] <= now:
            heapq.heappop(later)
            waiting += 1
        events = []
        while waiting and len(flying) < 256:
            if wait_s := pace.wait_s(now):
                events.append(now + max(wait_s, 0.001))
                break
            log[sent] = pace.send(now)
            bucket, filled = min(max(1.0, cap_per_s), bucket + (now - filled) * cap_per_s), now
            turned_away = (cap_per_s > 0 and bucket < 1) or draw.random() < by_chance
            bucket -= not turned_away
            heapq.heappush(flying, (now + (0.005 if turned_away else latency_s), sent, turned_away))
            waiting, sent, refused = waiting - 1, sent + 1, refused + turned_away
        events += [flying[0][0]] if flying else []
        events += [later[0]] if later else []
        now = max(min(events, default=now), now + 1e-6)
    return done / now, refused / sent


@pytest.mark.parametrize("cap_per_s, latency_s", [(50, 0.1), (50, 1.0), (200, 0.1)])
def test_a_cap_is_used_to_the_full_with_few_refusals(cap_per_s: float, latency_s: float) -> None:
    """Goal: at least 95 % of the cap and at most 2 % refusals."""
    per_s, refused = simulate(int(60 * cap_per_s), cap_per_s=cap_per_s, latency_s=latency_s)

    assert per_s >= 0.95 * cap_per_s
    assert refused <= 0.02


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2, 0.28])
def test_refusals_by_chance_do_not_stall_the_run(share: float) -> None:
    """Some refused whatever the pace, in twelve runs of chance: none crawls, most run."""
    rates = sorted(simulate(6_000, by_chance=share, seed=seed)[0] for seed in range(12))

    assert rates[0] > 16
    assert rates[6] > 150


@pytest.mark.parametrize("seed", range(4))
def test_a_cap_is_kept_to_though_calls_are_refused_by_chance_as_well(seed: int) -> None:
    per_s, refused = simulate(3_000, cap_per_s=50, by_chance=0.1, seed=seed)

    assert per_s > 0.8 * 50
    assert refused < 0.15


def test_a_long_hold_does_not_blow_the_pace_up() -> None:
    """An endpoint that asks for an hour's rest; the pace goes on from where it was."""
    pace = Pace()
    pace.send(0.0)
    pace.wait_s(0.01)
    pace.wait_s(3600.0)

    assert pace.per_s <= 64


def test_without_refusals_the_pace_is_no_limit() -> None:
    per_s, refused = simulate(20_000)

    assert per_s > 1500
    assert refused == 0


@pytest.mark.parametrize("value, seconds", [
    ("1", 1.0), ("0.5", 0.5), ("0", None), ("-3", None), ("", None), ("soon", None), ("nan", None),
    ("Wed, 01 Jan 2020 00:00:00 GMT", None), ("inf", None),
])  # fmt: skip
def test_retry_after_is_read_or_left(value: str, seconds: float | None) -> None:
    assert retry_after_s(value) == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after_s("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30
