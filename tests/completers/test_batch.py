"""The batch APIs: the same answers, half the price, and nothing paid twice whatever gets lost."""

import asyncio
import io
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from stub import read_ledger, running_stub
from talks import SHAPES, ask_all, batch_of, die, ended_by_kill, online_of, start_in_a_child

from bimedix.completers import Completer, Reply, Request, batch
from bimedix.completers.batch import BatchCompleter
from bimedix.completers.batch_api import AnthropicBatches, OpenAiBatches
from bimedix.completers.endpoint import AccessError, RawAnswer
from bimedix.completers.ledger import Ledger, read_totals
from bimedix.completers.runner import run_talks
from bimedix.completers.settings import CompleterSettings, check_settings, open_completer
from bimedix.progress import Progress
from bimedix.records import Message

both = pytest.mark.parametrize("shape", ["openai", "anthropic"])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "GATHER_S", 0.05)


def run_with(
    completer: Completer, texts: Iterable[str], ledger: Path, told: io.StringIO | None = None
) -> list[Reply]:
    progress = Progress("json", told) if told else Progress()
    return [
        reply for _, reply in run_talks(ask_all(texts), completer, ledger, progress=progress, name="demo")
    ]


def run_batch(texts: Iterable[str], address: str, ledger: Path, shape: str = "openai") -> list[Reply]:
    return run_with(batch_of(shape, address), texts, ledger)


@both
def test_a_batch_gives_what_online_calls_give_at_half_the_price(
    address: str, tmp_path: Path, shape: str
) -> None:
    """In the order of the input, with separators of lines inside the texts, and under the same keys."""
    texts = [f"text {number} \u2028 \u0085 end" for number in range(25)]
    batched = run_batch(texts, address, tmp_path / "a", shape)
    sizes = read_ledger(address)["batch_calls"]
    online = run_with(online_of(shape, address), texts, tmp_path / "b")

    assert sizes == [10, 10, 5]
    assert [(reply.text, reply.key) for reply in batched] == [(reply.text, reply.key) for reply in online]
    assert sum(r.cost_usd or 0 for r in batched) == pytest.approx(sum(r.cost_usd or 0 for r in online) / 2)


@both
def test_an_online_run_answers_a_batch_run_from_the_ledger(address: str, tmp_path: Path, shape: str) -> None:
    run_with(online_of(shape, address), ["shared"], tmp_path / "a")

    assert run_batch(["shared"], address, tmp_path / "a", shape)[0].cached
    assert read_ledger(address)["batches"] == 0


@both
@pytest.mark.parametrize(
    "fault", ["expired", "missing", "unknown", "nameless", "doubled", "empty", "filter", "500"]
)
def test_what_goes_wrong_with_a_line_is_overcome(
    address: str, tmp_path: Path, fault: str, shape: str
) -> None:
    """Only that line is sent again."""
    texts = [f"good {number}" for number in range(5)] + [f"bad [[{fault}]]"]
    replies = run_batch(texts, address, tmp_path / "a", shape)
    resent = fault not in {"doubled", "filter"}

    assert [reply.finish for reply in replies] == ["stop"] * 5 + ["refusal" if fault == "filter" else "stop"]
    assert read_ledger(address)["attempts"] == 6 + resent


@both
def test_a_batch_of_failures_alone_is_read(address: str, tmp_path: Path, shape: str) -> None:
    """Completed with only an error file: a malformed call fails, an expired one is sent again."""
    malformed, expired = run_batch(["one [[400*]]", "two [[expired]]"], address, tmp_path / "a", shape)

    assert (malformed.finish, expired.finish) == ("error", "stop")
    assert "stub says 400" in malformed.error
    assert read_ledger(address)["batch_calls"] == [2, 1]


@both
def test_lines_of_no_call_are_put_aside_and_said(address: str, tmp_path: Path, shape: str) -> None:
    """They are kept whole: somebody has paid for them."""
    told = io.StringIO()
    run_with(batch_of(shape, address), ["good", "bad [[unknown]]"], tmp_path / "a", told)
    book = Ledger(tmp_path / "a", stage="x")
    strays = book._read.execute("SELECT custom_id, line FROM strays").fetchall()
    book.close()

    assert [custom_id for custom_id, _ in strays] == ["someone-else"]
    assert b"You said: bad" in strays[0][1]
    assert "1 lines belong to no call" in told.getvalue()


@both
def test_results_that_break_off_are_read_again_and_not_paid_again(
    address: str, tmp_path: Path, shape: str
) -> None:
    """The last line ends in its middle: the file has not come whole."""
    replies = run_batch([f"cut-results {number}" for number in range(4)], address, tmp_path / "a", shape)

    assert [reply.finish for reply in replies] == ["stop"] * 4
    assert read_ledger(address)["attempts"] == 4


@both
@pytest.mark.parametrize("word, creates", [("lose-create", 1), ("refuse-create", 2)])
def test_a_create_without_an_answer_is_looked_for_before_it_is_made_again(
    address: str, tmp_path: Path, shape: str, word: str, creates: int
) -> None:
    replies = run_batch([f"{word} a", f"{word} b"], address, tmp_path / "a", shape)

    assert [reply.finish for reply in replies] == ["stop", "stop"]
    assert (read_ledger(address)["creates"], read_ledger(address)["batches"]) == (creates, 1)


KILLED = [f"kill {number}" for number in range(30)]


@both
def test_a_killed_run_finds_its_batches_again(tmp_path: Path, shape: str) -> None:
    """Killed after submission: the next run waits for the same batches; nothing is asked or billed twice."""
    ledger = tmp_path / "calls.sqlite"
    with running_stub("--latency-s", "0.8") as address:
        child = start_in_a_child(lambda: run_batch(KILLED, address, ledger, shape))
        while read_ledger(address)["batches"] < 3:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(child, signal.SIGKILL)
        assert ended_by_kill(child)
        replies = run_batch(KILLED, address, ledger, shape)
        bill = read_ledger(address)
    totals = read_totals(ledger)

    assert [reply.finish for reply in replies] == ["stop"] * 30
    assert (bill["batches"], bill["billed"]) == (3, 30)
    assert [totals.tokens_in, totals.tokens_out] == bill["tokens"]
    assert (totals.lost, totals.possibly) == (0, 0)


def test_batches_are_found_by_their_metadata_when_the_ledger_is_lost(tmp_path: Path) -> None:
    """At OpenAI's shape: the provider's list tells ours from others'."""
    with running_stub("--latency-s", "0.5") as address:
        child = start_in_a_child(lambda: run_batch(KILLED, address, tmp_path / "a"))
        while read_ledger(address)["batches"] < 3:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        assert ended_by_kill(child)
        run_batch(KILLED, address, tmp_path / "b")

        assert read_ledger(address)["billed"] == 30


def die_after(method: Any, path: str = "") -> Any:
    """Return the method with a kill behind it (of requests: behind the one for `path`)."""

    async def then_die(self: Any, *given: Any, **more: Any) -> Any:
        made = await method(self, *given, **more)
        return die() if not path or path in given else made

    return then_die


@both
@pytest.mark.parametrize(
    "arrow", ["plan", "upload", "create", "id", "read", "keep"],
)  # fmt: skip
def test_killed_at_any_arrow_nothing_is_billed_twice(
    address: str, tmp_path: Path, shape: str, arrow: str
) -> None:
    """Before it is planned, between upload and create, before create, between create and id, before results
    are read, before answers are kept: the next run goes on from each, and every call is billed once."""
    api: type[OpenAiBatches | AnthropicBatches] = SHAPES[shape][1]  # type: ignore[assignment]

    def run_until_killed() -> None:
        match arrow:
            case "plan":
                Ledger.plan_batch = die  # type: ignore[method-assign,assignment]
            case "upload":
                api.once = die_after(api.once, "/files")  # type: ignore[method-assign]
            case "create":
                api.create = die  # type: ignore[method-assign,assignment]
            case "id":
                api.create = die_after(api.create)  # type: ignore[method-assign]
            case "read":
                BatchCompleter._harvest = die  # type: ignore[method-assign,assignment]
            case "keep":
                Ledger.keep = die  # type: ignore[method-assign,assignment]
        run_batch(KILLED, address, tmp_path / "a", shape)

    killed = ended_by_kill(start_in_a_child(run_until_killed))
    replies = run_batch(KILLED, address, tmp_path / "a", shape)
    bill = read_ledger(address)

    assert killed or (arrow, shape) == ("upload", "anthropic")
    assert [reply.text for reply in replies] == [f"You said: {text}" for text in KILLED]
    assert (bill["billed"], bill["batch_calls"]) == (30, [10, 10, 10])
    assert read_totals(tmp_path / "a").tokens_in == bill["tokens"][0]


@both
def test_a_batch_that_is_gone_is_sent_anew(address: str, tmp_path: Path, shape: str) -> None:
    """Deleted at the provider, or older than it keeps results."""
    ledger = tmp_path / "a"
    book = Ledger(ledger, stage="demo")
    [completer] = [batch_of(shape, address)]
    request = Request(
        (Message("system", "Be kind."), Message("user", "old")), "answer", "r0", max_new_tokens=50
    )
    key = batch.call_key(request, completer.name)

    async def leave() -> None:
        await book.intend(key, completer.name, "{}", 0.0)
        await book.plan_batch("p", completer.name, [key])
        await book.note_batch("p", "submitted", "gone-77")

    asyncio.run(leave())
    book.close()

    assert [reply.finish for reply in run_with(completer, ["old"], ledger)] == ["stop"]
    assert read_ledger(address)["batch_calls"] == [1]


def test_harvested_batches_are_not_read_again(address: str, tmp_path: Path) -> None:
    """Once every call of a batch has an answer, nothing of it is asked for at the next start."""
    run_batch([f"done {number}" for number in range(10)], address, tmp_path / "a")
    run_batch([f"done {number}" for number in range(11)], address, tmp_path / "a")
    book = Ledger(tmp_path / "a", stage="x")
    states = [row[0] for row in book._read.execute("SELECT state FROM batches ORDER BY planned")]
    book.close()

    assert states == ["harvested", "submitted"]


@pytest.mark.parametrize("api, size, lines, batches", [
    (OpenAiBatches, 100, 120_000, [50_000, 50_000, 20_000]),
    (AnthropicBatches, 100, 120_000, [100_000, 20_000]),
    (OpenAiBatches, 30_000_000, 10, [6, 4]),
    (AnthropicBatches, 30_000_000, 10, [8, 2]),
])  # fmt: skip
def test_batches_keep_to_the_providers_limits(
    api: type[OpenAiBatches | AnthropicBatches], size: int, lines: int, batches: list[int]
) -> None:
    """50,000 calls and 200 MB at OpenAI, 100,000 and 256 MB at Anthropic."""
    shape = "openai" if api is OpenAiBatches else "anthropic"
    online, sent = online_of(shape, "http://h/v1"), []
    completer = BatchCompleter(online, api(online, poll_s=1.0), calls=1_000_000)
    line = bytes(size)

    async def fill() -> None:
        future: asyncio.Future[RawAnswer] = asyncio.get_running_loop().create_future()
        completer._start = lambda work, futures: (work.close(), sent.append(len(futures)))  # type: ignore
        call = batch._Call("k", Request((), "p", "r"), line, future)
        for _ in range(lines):
            completer._enqueue(call)
        completer._submit()

    asyncio.run(fill())

    assert sent == batches


def test_calls_that_trickle_in_do_not_put_a_batch_off_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call every 10 ms, a batch after 50 ms of silence or 200 ms in all: sent while they still come."""
    monkeypatch.setattr(batch, "MOST_GATHER_S", 0.2)
    online, sent = online_of("openai", "http://h/v1"), []
    completer = BatchCompleter(online, OpenAiBatches(online, poll_s=1.0))

    async def trickle() -> None:
        future: asyncio.Future[RawAnswer] = asyncio.get_running_loop().create_future()
        completer._start = lambda work, futures: (work.close(), sent.append(len(futures)))  # type: ignore
        for _ in range(50):
            completer._enqueue(batch._Call("k", Request((), "p", "r"), b"x", future))
            await asyncio.sleep(0.01)

    asyncio.run(trickle())

    assert 1 <= len(sent) <= 4


@both
def test_a_call_that_no_batch_can_hold_fails_alone(
    address: str, tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenAiBatches, "most_bytes", 1000)
    monkeypatch.setattr(AnthropicBatches, "most_bytes", 1000)
    short, long = run_batch(["short", "long " * 1000], address, tmp_path / "a", shape)

    assert short.finish == "stop"
    assert (long.finish, "a batch takes 1,000" in long.error) == ("error", True)


@both
def test_auto_goes_by_the_new_calls_that_stand_ready(address: str, tmp_path: Path, shape: str) -> None:
    """Calls that the ledger answers do not count; the choice is said; each is booked at its own price."""
    ledger, told = tmp_path / "a", io.StringIO()
    texts = [f"auto {number}" for number in range(20)]

    def run_auto(count: int) -> list[Reply]:
        completer = batch_of(shape, address, calls=100, batch_from=8)
        return run_with(completer, texts[:count], ledger, told)

    few, many, fewer = run_auto(4), run_auto(16), run_auto(20)

    assert read_ledger(address)["batch_calls"] == [12]
    assert read_ledger(address)["attempts"] == 20
    assert "4 new calls stand ready, fewer than batch_from = 8: online" in told.getvalue()
    assert "12 new calls stand ready: batch" in told.getvalue()
    assert many[-1].cost_usd == pytest.approx((few[-1].cost_usd or 0) / 2, rel=0.1)
    assert [reply.cached for reply in fewer] == [True] * 16 + [False] * 4


def test_auto_goes_online_where_there_is_no_batch_api(address: str, tmp_path: Path) -> None:
    completer = batch_of("openai", address, calls=100, batch_from=2)
    completer.online.root += "/nowhere"
    told = io.StringIO()
    replies = run_with(completer, ["a", "b", "c"], tmp_path / "a", told)

    assert [reply.finish for reply in replies] == ["stop"] * 3
    assert "online, for there is no batch API here" in told.getvalue()


@both
def test_an_endpoint_without_batches_stops_the_run(tmp_path: Path, address: str, shape: str) -> None:
    with pytest.raises(AccessError, match="batch API answers 404"):
        run_batch(["x"], address + "/nowhere", tmp_path / "a", shape)


@pytest.mark.parametrize("settings, price", [
    (CompleterSettings(kind="openai", model="gpt-4o-mini", mode="batch"), 0.5),
    (CompleterSettings(kind="anthropic", model="claude-3-5-haiku", mode="auto"), 0.5),
    (CompleterSettings(kind="openai", model="m", mode="batch", price_in=1.0, price_batch=0.7), 0.7),
])  # fmt: skip
def test_mode_is_one_setting(settings: CompleterSettings, price: float, tmp_path: Path) -> None:
    """The same name, so the same keys, as online; the price is the batch price."""
    from dataclasses import replace

    completer = open_completer(settings, tmp_path)
    online = open_completer(replace(settings, mode="online"), tmp_path)

    assert isinstance(completer, BatchCompleter)
    assert completer.name == online.name
    assert completer.online.price and completer.online.price.batch == price
    assert completer.batch_from == (1_000 if settings.mode == "auto" else 1)


@pytest.mark.parametrize("settings, said", [
    (CompleterSettings(kind="memory", memory=("m.tmx",), mode="batch"), "openai and anthropic"),
    (CompleterSettings(kind="openai", model="gpt-4o", mode="auto", batch_calls=10), "batch_from = 1000"),
    (CompleterSettings(kind="openai", model="gpt-4o", mode="batch", batch_calls=0), "batch_calls = 0"),
])  # fmt: skip
def test_modes_that_cannot_be_are_said(settings: CompleterSettings, said: str, tmp_path: Path) -> None:
    assert said in "\n".join(check_settings(settings, tmp_path))
