"""Driving talks: order, retries, dedup, resumes, and what stops a run."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from stub import read_ledger, running_stub
from talks import ask, ask_all, quick_completer, run

from bimedix.completers import Reply, Request, Talk, pace
from bimedix.completers import ledger as ledger_module
from bimedix.completers.endpoint import AccessError, BudgetError, EndpointError, RawAnswer
from bimedix.completers.ledger import Ledger, read_totals
from bimedix.completers.lock import Holder, LedgerBusyError
from bimedix.completers.runner import run_talks
from bimedix.errors import DataError, UsageError
from bimedix.progress import Progress
from bimedix.records import Message


@pytest.fixture(autouse=True)
def _quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start at 500 calls a second: the ramp is what test_pace looks at."""
    monkeypatch.setattr(pace, "FIRST_PER_S", 500.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


def test_results_come_in_the_order_of_the_input(endpoint: str, ledger: Path) -> None:
    """A slow first call (two errors) does not let the second overtake it."""
    replies = run(["order a [[500 500]]", "order b", "order c"], endpoint, ledger)

    assert [reply.text.strip() for reply in replies] == [f"You said: order {name}" for name in "abc"]


@pytest.mark.parametrize(
    "faults",
    ["429", "429:0", "429:0.05", "429:Wed,_01_Jan_2020_00:00:00_GMT", "503", "529", "500", "502", "504",
     "drop", "lost", "cut", "html", "no-choices", "empty", "null", "500 429:0 cut drop"],
)  # fmt: skip
def test_a_fault_that_passes_is_overcome(endpoint: str, ledger: Path, faults: str) -> None:
    [reply] = run([f"fault [[{faults}]]"], endpoint, ledger)

    assert (reply.finish, reply.text) == ("stop", "You said: fault ")


def test_one_bad_record_never_costs_the_run(endpoint: str, ledger: Path) -> None:
    """A malformed call, a refusal and an answer that stays empty come back as what they are."""
    texts = ["one [[400*]]", "two [[filter]]", "three [[empty*]]", "four \ud800", "five [[500*]]", "six"]
    replies = run(texts, endpoint, ledger)

    assert [reply.finish for reply in replies] == ["error", "refusal", "error", "error", "error", "stop"]
    assert "stub says 400" in replies[0].error
    assert replies[2].error == "empty answer"
    assert "half of a character" in replies[3].error
    assert "given up after 6 tries" in replies[4].error


def test_a_cut_answer_is_asked_for_once_with_twice_the_limit(endpoint: str, ledger: Path) -> None:
    """The talk asks for 50 tokens; the stub cuts below 100."""
    whole, cut = run(["short [[short*]]", "cut [[length*]]"], endpoint, ledger)

    assert (whole.finish, whole.text) == ("stop", "You said: short ")
    assert cut.finish == "length"


def test_equal_calls_are_made_once(endpoint: str, ledger: Path) -> None:
    """400 rows of 100 prompts are 100 calls; the others are cached and cost nothing."""
    before = read_ledger(endpoint)["attempts"]
    replies = run([f"same {number % 100}" for number in range(400)], endpoint, ledger)

    assert read_ledger(endpoint)["attempts"] - before == 100
    assert sum(not reply.cached for reply in replies) == 100
    assert sum(reply.cost_usd or 0 for reply in replies) == pytest.approx(read_totals(ledger).cost_usd)


def test_a_change_of_the_input_calls_only_the_delta(endpoint: str, ledger: Path) -> None:
    """Reordered, cut and appended: one call; what was answered before stays the same."""
    texts = [f"delta {number}" for number in range(50)]
    first = run(texts, endpoint, ledger)
    before = read_ledger(endpoint)["attempts"]
    again = run([*reversed(texts[10:]), "delta new"], endpoint, ledger)

    assert read_ledger(endpoint)["attempts"] - before == 1
    assert [reply.text for reply in again[:-1]] == [reply.text for reply in reversed(first[10:])]
    assert all(reply.cached and reply.cost_usd == 0 for reply in again[:-1])


def test_another_sample_or_parameter_is_another_call(endpoint: str, ledger: Path) -> None:
    talks = [
        ("a", ask("a", "many")), ("b", ask("b", "many")),
        ("c", ask("c", "many", sample=1)), ("d", ask("d", "many", max_new_tokens=51)),
    ]  # fmt: skip
    replies = list(run_talks(talks, quick_completer(endpoint), ledger, progress=Progress(), name="demo"))

    assert len({reply.key for _, reply in replies}) == 3
    assert [name for name, _ in replies] == ["a", "b", "c", "d"]


def test_paid_failures_are_not_paid_again(endpoint: str, ledger: Path) -> None:
    """Empty answers and refusals stay answered in the next run; a 400 was free and is asked again."""
    texts = ["paid [[empty*]]", "paid [[filter]]", "paid [[400*]]"]
    run(texts, endpoint, ledger)
    before = read_ledger(endpoint)["attempts"]
    replies = run(texts, endpoint, ledger)

    assert read_ledger(endpoint)["attempts"] - before == 1
    assert [reply.finish for reply in replies] == ["error", "refusal", "error"]


def test_the_ledger_agrees_with_the_endpoints_bill(ledger: Path) -> None:
    """Tokens and attempts, with faults and over two runs, to the token."""
    faults = dict(enumerate(["[[empty]]", "[[500]]", "[[429:0]]", "[[filter]]"]))
    texts = [f"bill {number:04} {'word ' * 40}{faults.get(number % 20, '')}" for number in range(100)]
    with running_stub() as address:
        run(texts[:60], address, ledger)
        run(texts, address, ledger)
        bill, book = read_ledger(address), read_totals(ledger)

    assert book.attempts == bill["attempts"]
    assert [book.tokens_in, book.tokens_out] == bill["tokens"]


@pytest.mark.parametrize("fault", ["no-usage", "bad-usage", "wild-usage"])
def test_unbelievable_usage_is_counted_here(endpoint: str, ledger: Path, fault: str) -> None:
    [reply] = run([f"usage of some words [[{fault}]]"], endpoint, ledger)

    assert 5 < reply.tokens_in < 50
    assert read_totals(ledger).estimated == 1


@pytest.mark.parametrize("status", ["401", "403", "404", "402"])
def test_a_refused_key_or_model_stops_the_run(endpoint: str, ledger: Path, status: str) -> None:
    """Exit code 2, and what was answered before is kept."""
    run(["kept"], endpoint, ledger)
    with pytest.raises(AccessError, match=f"status {status}"):
        run(["kept", f"stop [[{status}*]]"], endpoint, ledger)

    assert run(["kept"], endpoint, ledger)[0].cached


def test_calls_in_flight_come_home_before_a_run_stops(ledger: Path) -> None:
    """Their answers are paid for: after the stop, none of them is asked again."""
    with running_stub("--latency-s", "0.2") as address:
        texts = [f"home {number}" for number in range(8)]
        with pytest.raises(AccessError):
            run([*texts, "stop [[401*]]"], address, ledger)
        answered = read_ledger(address)["billed"]
        again = run(texts, address, ledger)

    assert sum(reply.cached for reply in again) == answered > 0


def test_answers_in_flight_are_kept_when_a_run_is_interrupted(ledger: Path) -> None:
    """Ctrl-C, or a reader that stops early: nothing that was paid for is asked again."""
    with running_stub("--latency-s", "0.2") as address:
        talks = ask_all(f"early {number}" for number in range(40))
        results = run_talks(talks, quick_completer(address), ledger, progress=Progress(), name="demo")
        next(results)
        results.close()
        answered = read_ledger(address)["billed"]
        again = run([f"early {number}" for number in range(40)], address, ledger)

    assert sum(reply.cached for reply in again) == answered > 1


def test_a_budget_stops_the_run_and_a_higher_one_goes_on(endpoint: str, ledger: Path) -> None:
    """Nothing is spent beyond the budget; after a raise only the rest is asked."""
    texts = [f"budget {number} {'word ' * 20}" for number in range(40)]
    with pytest.raises(BudgetError, match="budget_usd"):
        run(texts, endpoint, ledger, budget_usd=0.002)
    spent = read_totals(ledger).cost_usd

    assert 0.001 < spent <= 0.002
    replies = run(texts, endpoint, ledger, budget_usd=1.0)
    assert sum(reply.cached for reply in replies) > 5
    assert read_totals(ledger).cost_usd == pytest.approx(
        spent + sum(reply.cost_usd or 0 for reply in replies)
    )


def test_a_budget_needs_a_price(endpoint: str, ledger: Path) -> None:
    with pytest.raises(UsageError, match="price_in"):
        run(["x"], endpoint, ledger, budget_usd=1.0, price=False)


def test_without_a_price_the_totals_say_so(endpoint: str, ledger: Path) -> None:
    [reply] = run(["unpriced"], endpoint, ledger, price=False)

    assert reply.cost_usd is None
    assert read_totals(ledger).unpriced == 1


def test_a_dead_endpoint_stops_the_run(ledger: Path) -> None:
    """Not one record after the other is dropped; few records or many."""
    for count in (2, 20):
        with pytest.raises(EndpointError, match="given up"):
            run([f"dead {number}" for number in range(count)], "http://127.0.0.1:9/v1", ledger)


def test_calls_that_are_all_malformed_stop_the_run(endpoint: str, ledger: Path) -> None:
    with pytest.raises(EndpointError, match="settings"):
        run([f"bad {number} [[400*]]" for number in range(40)], endpoint, ledger)


def test_a_wait_beyond_the_limit_stops_and_says_when_to_resume(endpoint: str, ledger: Path) -> None:
    with pytest.raises(EndpointError, match=r"asks to wait 86,400 s.*\n.*again after 20"):
        run(["long [[429:86400]]"], endpoint, ledger)


def test_a_429_for_ever_ends(endpoint: str, ledger: Path) -> None:
    completer = quick_completer(endpoint)
    completer.max_wait_s = 0.2
    talks = ask_all(["for ever [[429*]]"])
    with pytest.raises(EndpointError, match="max_wait_s"):
        list(run_talks(talks, completer, ledger, progress=Progress(), name="demo"))


def test_a_talk_asks_side_by_side_and_in_turns(endpoint: str, ledger: Path) -> None:
    """Replies come back in the order of their requests, and talks may ask for nothing at all."""

    def talk() -> Talk[list[str]]:
        def request(text: str) -> Request:
            return Request((Message("user", text),), "judge", "r")

        first = yield request("t a [[500]]"), request("t b")
        second = yield (request(f"then {first[1].text}"),)
        yield ()
        return [reply.text for reply in (*first, *second)]

    def silent() -> Talk[list[str]]:
        return []
        yield

    completer = quick_completer(endpoint)
    results = list(
        run_talks([("r", talk()), ("s", silent())], completer, ledger, progress=Progress(), name="d")
    )

    assert results == [
        ("r", ["You said: t a ", "You said: t b", "You said: then You said: t b"]), ("s", [])
    ]  # fmt: skip


def test_talks_are_opened_no_further_than_the_window(endpoint: str, ledger: Path) -> None:
    """A million records must not be a million open generators."""
    opened = 0

    def talks() -> Iterator[tuple[str, Talk[Reply]]]:
        nonlocal opened
        for number in range(10_000):
            opened += 1
            yield f"w{number}", ask(f"w{number}", f"window {number}")

    results = run_talks(talks(), quick_completer(endpoint), ledger, progress=Progress(), name="d", window=8)
    next(results)
    seen = opened
    results.close()

    assert seen <= 8 * 17


def test_the_key_goes_out_and_nowhere_else(endpoint: str, tmp_path: Path) -> None:
    """Not into the ledger, not into an error message."""
    completer = quick_completer(endpoint, key="sk-very-secret")
    talks = ask_all(["secret [[400]]"])
    results = list(run_talks(talks, completer, tmp_path / "c.sqlite", progress=Progress(), name="d"))

    assert read_ledger(endpoint)["headers"][-1]["Authorization"] == "Bearer sk-very-secret"
    assert "sk-very" not in repr(results) + completer.name
    assert all(b"sk-very" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_second_runner_is_refused_by_name(endpoint: str, ledger: Path) -> None:
    first = Ledger(ledger, stage="translate")
    with pytest.raises(LedgerBusyError, match=r"process \d+ on .*translate"):
        Ledger(ledger, stage="other")
    first.close()

    assert run(["after"], endpoint, ledger)


def test_a_lock_left_by_the_dead_is_taken_over(endpoint: str, ledger: Path) -> None:
    left = Holder(999_999_999, socket.gethostname(), "translate", "yesterday")
    ledger.with_name("calls.sqlite.lock").write_bytes(msgspec.json.encode(left))

    assert run(["x"], endpoint, ledger)


def test_a_lock_of_another_machine_holds_while_it_beats(ledger: Path) -> None:
    lock = ledger.with_name("calls.sqlite.lock")
    lock.write_bytes(msgspec.json.encode(Holder(1, "other-host", "translate", "today")))
    with pytest.raises(LedgerBusyError, match="other-host"):
        Ledger(ledger, stage="x")

    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    Ledger(ledger, stage="x").close()


def test_a_newer_ledger_is_refused(ledger: Path) -> None:
    book = Ledger(ledger, stage="x")
    book._write.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    book.close()

    with pytest.raises(DataError, match="schema 99"):
        Ledger(ledger, stage="x")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").mkdir()
    with pytest.raises(DataError, match=r"calls\.sqlite: the call ledger cannot be written"):
        Ledger(tmp_path / "calls.sqlite", stage="x")


def test_a_full_disk_stops_the_run_and_keeps_what_was_committed(
    endpoint: str, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names file and cause; with room again, only the rest is asked."""
    connect = ledger_module._connect

    def connect_to_small_disk(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 40")
        return connection

    texts = [f"full {number} {'word ' * 100}" for number in range(300)]
    with monkeypatch.context() as patched:
        patched.setattr(ledger_module, "_connect", connect_to_small_disk)
        with pytest.raises(DataError, match=r"calls\.sqlite: .*full"):
            run(texts, endpoint, ledger)

    assert sum(reply.cached for reply in run(texts, endpoint, ledger)) > 10


def test_totals_can_be_read_while_a_run_writes(endpoint: str, ledger: Path) -> None:
    results = run_talks(
        ask_all(f"while {n}" for n in range(300)), quick_completer(endpoint), ledger,
        progress=Progress(), name="demo", window=8,
    )  # fmt: skip
    for _ in range(200):
        next(results)

    assert read_totals(ledger, "demo").attempts > 50
    assert read_totals(ledger, "other").attempts == 0
    results.close()


def test_an_answer_that_nobody_read_is_read_and_not_asked_again(endpoint: str, ledger: Path) -> None:
    """Killed between the commit of the raw answer and its reading."""
    [first] = run(["unread"], endpoint, ledger)
    book = Ledger(ledger, stage="demo")
    book._write.execute("UPDATE attempts SET outcome = NULL, cost_usd = NULL")
    book._write.execute("UPDATE calls SET state = 'asked'")
    book.close()
    before = read_ledger(endpoint)["attempts"]
    [again] = run(["unread"], endpoint, ledger)

    assert (again.text, again.cached) == (first.text, True)
    assert read_ledger(endpoint)["attempts"] == before
    assert read_totals(ledger).cost_usd == pytest.approx(first.cost_usd)


def test_an_intent_without_an_answer_is_listed_as_possibly_billed(ledger: Path) -> None:
    async def send_and_die() -> None:
        book = Ledger(ledger, stage="demo")
        await book.intend("k1", "m", "{}", 0.25)
        number = await book.intend("k2", "m", "{}", 0.25)
        await book.keep(number, RawAnswer(200, b"{}"))
        book._pool.shutdown()
        book._write.close()
        book._lock.release()

    asyncio.run(send_and_die())
    book = Ledger(ledger, stage="demo")
    lost, sums = book.lost(), book.totals()
    book.close()

    assert [(row.key, row.estimate_usd) for row in lost] == [("k1", 0.25)]
    assert (sums.lost, sums.possibly_usd) == (1, 0.25)


RUN = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from talks import run
from bimedix.completers import pace
pace.FIRST_PER_S = 500.0
out = Path({out!r})
texts = [f"kill {{n}} {{'[[500]]' if n % 7 == 0 else ''}}" for n in range({count})]
replies = run(texts, {address!r}, Path({ledger!r}))
out.write_text("\\n".join(f"{{r.key}} {{r.text}} {{r.finish}}" for r in replies))
"""


def kill_until_done(address: str, folder: Path, count: int, kills: list[int]) -> Path:
    """Run in a process that is killed once the stub has billed so many calls, then once to the end."""
    out, here = folder / "out.txt", str(Path(__file__).parent)
    ledger = str(folder / "calls.sqlite")
    code = RUN.format(here=here, out=str(out), count=count, address=address, ledger=ledger)
    for calls in kills:
        process = subprocess.Popen([sys.executable, "-c", code])
        while read_ledger(address)["billed"] < calls:
            time.sleep(0.005)
        process.kill()
        process.wait()
    subprocess.run([sys.executable, "-c", code], check=True)
    return out


TWENTY = sorted(Random(4).sample(range(30, 1900), 20))


@pytest.mark.parametrize("count, kills", [
    pytest.param(150, [60], id="once"),
    pytest.param(2000, TWENTY, id="twenty times", marks=pytest.mark.slow),
])  # fmt: skip
def test_kills_lose_nothing_and_repeat_at_most_what_was_in_flight(
    tmp_path: Path, count: int, kills: list[int]
) -> None:
    """The output equals that of an undisturbed run; the possibly lost calls are listed apart."""
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
    with running_stub("--latency-s", "0.05") as address:
        killed = kill_until_done(address, tmp_path / "killed", count, kills)
        bill = read_ledger(address)
        calm = kill_until_done(address, tmp_path / "calm", count, [])
    book = Ledger(tmp_path / "killed" / "calls.sqlite", stage="demo")
    lost = book.lost()
    book.close()

    assert killed.read_text() == calm.read_text()
    assert bill["billed_calls"] == count
    assert bill["billed"] - count <= len(lost) <= 32 * len(kills)
    assert lost
