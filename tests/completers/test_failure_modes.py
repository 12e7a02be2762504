"""Ways in which calls fail, each against the stub and its own ledger; docs/completers.md lists all of them.

Kills, transport, answers with status 200 that are none, changes of the input, the store, sizes and texts.
Batches have a file of their own.
"""

import json
import os
import resource
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from stub import read_ledger, running_stub, teach
from talks import ask, ask_all, die, ended_by_kill, quick_completer, run, start_in_a_child

from bimedix.completers import Reply, Request, Talk, desk, http, pace
from bimedix.completers.ledger import Ledger, read_totals
from bimedix.completers.prices import Price
from bimedix.completers.runner import run_talks
from bimedix.errors import DataError
from bimedix.progress import Progress
from bimedix.prompts.asking import Ask, Tally
from bimedix.prompts.asking import ask_all as ask_side_by_side
from bimedix.prompts.judging import Judgment, ask_judge, read_judgment
from bimedix.records import Message


@pytest.fixture(autouse=True)
def _quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "FIRST_PER_S", 500.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "calls.sqlite"


# --- 1 kills ------------------------------------------------------------------------------------------------


def test_killed_between_answer_and_commit_the_call_is_listed_and_made_again(
    address: str, ledger: Path
) -> None:
    """The eleventh answer has been read from the wire when the process dies; ten are on the disk."""
    texts = [f"commit {number}" for number in range(20)]

    def run_until_killed() -> None:
        keep, kept = Ledger.keep, []

        async def keep_ten(self: Ledger, *given: object) -> None:
            kept.append(given)
            if len(kept) > 10:
                die()
            await keep(self, *given)  # type: ignore[arg-type]

        Ledger.keep = keep_ten  # type: ignore[method-assign,assignment]
        for text in texts:
            run([text], address, ledger)

    assert ended_by_kill(start_in_a_child(run_until_killed))
    assert read_ledger(address)["billed"] == 11
    replies = run(texts, address, ledger)
    book = Ledger(ledger, stage="demo")
    lost = book.lost()
    book.close()

    assert [reply.cached for reply in replies] == [True] * 10 + [False] * 10
    assert len(lost) == 1
    assert read_ledger(address)["billed"] == 21


def test_nothing_goes_on_billing_after_the_process_is_gone(tmp_path: Path) -> None:
    """Only the process itself is killed, not its group: it has left nobody behind who calls."""
    with running_stub("--latency-s", "0.05") as address:
        texts = [f"orphan {number}" for number in range(2000)]
        child = start_in_a_child(lambda: run(texts, address, tmp_path / "a"))
        while read_ledger(address)["billed"] < 50:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        assert ended_by_kill(child)
        time.sleep(0.2)
        settled = read_ledger(address)["attempts"]
        time.sleep(0.5)

        assert read_ledger(address)["attempts"] == settled < 2000


def test_killed_while_the_ledger_is_compacted_nothing_is_lost(address: str, ledger: Path) -> None:
    """`VACUUM` rewrites the whole file; the kill comes at ten different moments of it."""
    texts = [f"vacuum {number} {'word ' * 200}" for number in range(200)]
    run(texts, address, ledger)

    def compact() -> None:
        connection = sqlite3.connect(ledger, isolation_level=None)
        while True:
            connection.execute("VACUUM")

    for moment in range(10):
        child = start_in_a_child(compact)
        time.sleep(0.005 + 0.004 * moment)
        os.kill(child, signal.SIGKILL)
        assert ended_by_kill(child)

    assert all(reply.cached for reply in run(texts, address, ledger))
    assert read_ledger(address)["attempts"] == 200


# --- 2 transport --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault, billed", [
    ("drip", 1), ("gzip", 2), ("hang", 2), ("type", 1), ("lost", 2), ("cut", 2), ("drop", 1), ("html", 1),
])  # fmt: skip
def test_a_broken_transport_costs_a_call_at_most_once_more(
    address: str, ledger: Path, fault: str, billed: int
) -> None:
    """Broken gzip, a hanging or dripping answer, a drop before and after the headers.

    A whole answer of a wrong content type is taken: it is paid for.
    """
    completer = quick_completer(address)
    completer.timeout_s = 0.5
    talks = ask_all([f"transport [[{fault}]]"])
    [(_, reply)] = run_talks(talks, completer, ledger, progress=Progress(), name="demo")
    bill, book = read_ledger(address), read_totals(ledger)

    assert (reply.finish, reply.text) == ("stop", "You said: transport ")
    assert bill["billed"] == billed
    assert book.attempts == bill["attempts"]
    assert book.possibly == (fault not in {"drip", "type"})


def test_retry_after_as_a_date_is_kept(address: str, ledger: Path) -> None:
    """Two seconds from now, by the endpoint's clock."""
    date = formatdate(time.time() + 2, usegmt=True).replace(" ", "_")
    started = time.monotonic()
    [reply] = run([f"date [[429:{date}]]"], address, ledger)

    assert reply.finish == "stop"
    assert time.monotonic() - started > 0.9


def test_one_model_that_is_too_busy_holds_up_no_other(address: str, ledger: Path) -> None:
    """The judge is refused for ever and asks for a long wait; the translator's calls go through meanwhile."""
    busy = quick_completer(address)
    busy.model, busy.name, busy.max_wait_s = "busy", "busy", 1.0

    def translate(number: int) -> Talk[Reply]:
        (reply,) = yield (Request((Message("user", f"free {number}"),), "translate", f"r{number}"),)
        return reply

    def judge() -> Talk[Reply]:
        (reply,) = yield (Request((Message("user", "judged"),), "judge", "j"),)
        return reply

    talks = [*((f"r{n}", translate(n)) for n in range(20)), ("j", judge())]
    results = run_talks(
        talks, quick_completer(address), ledger, progress=Progress(), name="demo", by_purpose={"judge": busy}
    )
    done = [next(results)[0] for _ in range(20)]
    with pytest.raises(desk.EndpointError, match="max_wait_s"):
        next(results)

    assert done == [f"r{n}" for n in range(20)]
    assert read_ledger(address)["billed"] == 20


# --- 3 answers with status 200 that are none ----------------------------------------------------------------

SOURCE, TARGET = {"text": "Give 5 mg. [[say:first say:good]]"}, {"text": "أعط 5 ملغ."}
QUESTION = ask_judge(SOURCE, TARGET, "en", "ar", salt="1")


def judged(**changes: object) -> str:
    """A judgment as JSON, with changes."""
    whole = {"id": QUESTION.id, "nonce": QUESTION.nonce, "spans": [], "score": 95}
    return json.dumps(whole | changes, ensure_ascii=False)


def ask_for_judgment() -> Talk[Judgment | None]:
    """Ask again, at most twice, while the judgment cannot be read."""

    def make(tried: int) -> Ask[Judgment]:
        request = Request(QUESTION.messages, "judge", "r", tried, 100)
        return Ask(request, lambda text: read_judgment(text, QUESTION, SOURCE, TARGET))

    (answer,) = yield from ask_side_by_side([make], Tally())
    return answer.value


@pytest.mark.parametrize("first", [
    judged()[:-4],
    judged(score="٩٥"), judged(score=101), judged(score=-5), judged(score="95/100"), judged(score=True),
    judged(score=None), judged().replace("95", "NaN"), judged().replace("95", "Infinity"),
    judged().replace('"score"', '"score": 12, "score"'), judged().replace('"', "'"),
    judged() + judged(), f"First {judged()}, or rather {judged(score=7)}", "", "95", "[]",
    judged(id="0" * 16), judged(nonce="0" * 12), judged(spans="none"), "<html>busy</html>",
    judged().replace("95", "1" + "0" * 400), "{" * 5000, "\ud800".encode("utf-8", "replace").decode(),
], ids=[
    "cut", "arabic digits", "101", "-5", "95/100", "true", "null", "NaN", "Infinity", "doubled key",
    "single quotes", "two objects", "two in prose", "empty", "bare number", "list", "another id",
    "another nonce", "no spans", "html", "huge number", "braces", "replaced surrogate",
])  # fmt: skip
def test_what_is_no_judgment_is_asked_for_again_and_never_mended(
    address: str, ledger: Path, first: str
) -> None:
    """Two calls on the endpoint's bill, and the second one's score; nothing is guessed or repaired."""
    teach(address, {"first": first, "good": judged(score=64)})
    [(_, judgment)] = run_talks(
        [("r", ask_for_judgment())], quick_completer(address), ledger, progress=Progress(), name="demo"
    )
    bill = read_ledger(address)

    assert judgment is not None and judgment.score == 64.0
    assert (bill["attempts"], bill["billed"]) == (2, 2)


@pytest.mark.parametrize("first, rung", [
    (judged(score=92.5), "whole"),
    (f"```json\n{judged(score=92.5)}\n```", "fence"),
    (f"Sure! Here is what I think:\n{judged(score=92.5)}\nHope this helps.", "prose"),
    (f"<think>{{maybe}}</think>{judged(score=92.5)}", "whole"),
    (judged(score=92.5, note="أ\u2028ب\u0085ج"), "whole"),
])  # fmt: skip
def test_a_judgment_in_wrapping_is_read_at_the_first_time(
    address: str, ledger: Path, first: str, rung: str
) -> None:
    teach(address, {"first": first, "good": judged(score=64)})
    [(_, judgment)] = run_talks(
        [("r", ask_for_judgment())], quick_completer(address), ledger, progress=Progress(), name="demo"
    )

    assert judgment is not None and (judgment.score, judgment.rung) == (92.5, rung)
    assert read_ledger(address)["attempts"] == 1


@pytest.mark.parametrize("fault, finish, attempts", [
    ("refusal", "refusal", 1), ("filter", "refusal", 1), ("length*", "length", 2), ("empty*", "error", 3),
    ("null*", "error", 3), ("no-choices", "stop", 2), ("html", "stop", 2), ("cut", "stop", 2),
])  # fmt: skip
def test_how_often_an_answer_that_is_none_is_asked_for(
    address: str, ledger: Path, fault: str, finish: str, attempts: int
) -> None:
    """A refusal is final; a cut text gets twice the limit once; an empty one is paid three times at most."""
    [reply] = run([f"often [[{fault}]]"], address, ledger)

    assert reply.finish == finish
    assert read_ledger(address)["attempts"] == attempts


@pytest.mark.parametrize("fault", ["no-usage", "bad-usage", "wild-usage", "low-usage"])
def test_an_endpoint_that_lies_about_usage_does_not_fool_the_budget(
    address: str, ledger: Path, fault: str
) -> None:
    """Missing, null, negative, a thousand times too much, or nearly nothing: our own count is booked."""
    [reply] = run([f"usage {'word ' * 400} [[{fault}]]"], address, ledger)
    book, bill = read_totals(ledger), read_ledger(address)

    assert book.estimated == 1
    assert reply.tokens_in == pytest.approx(bill["tokens"][0], rel=0.35)
    assert reply.cost_usd and reply.cost_usd > 0.0005


# --- 4 the delta --------------------------------------------------------------------------------------------


def asked(
    address: str,
    ledger: Path,
    system: str = "Be kind.",
    *,
    limit: int = 50,
    price: float = 1.0,
    path: str = "",
) -> int:
    """Ask ten records under these conditions; return the calls that the endpoint saw."""

    def talk(number: int) -> Talk[Reply]:
        messages = Message("system", system), Message("user", f"record {number}")
        (reply,) = yield (Request(messages, "answer", f"r{number}", max_new_tokens=limit),)
        return reply

    before = read_ledger(address)["attempts"]
    completer = quick_completer(address + path)
    completer.price = Price(price, price)
    talks = ((f"r{number}", talk(number)) for number in range(10))
    list(run_talks(talks, completer, ledger, progress=Progress(), name="demo"))
    return int(read_ledger(address)["attempts"] - before)


@pytest.mark.parametrize("change, calls", [
    ({}, 0), ({"price": 9.0}, 0), ({"system": "Be brief."}, 10), ({"limit": 51}, 10), ({"path": "/"}, 0),
])  # fmt: skip
def test_what_changes_the_answer_is_asked_anew_and_nothing_else(
    address: str, ledger: Path, change: dict[str, object], calls: int
) -> None:
    """System prompt and parameters are in the key; price and the slash behind an address are not."""
    asked(address, ledger)

    assert asked(address, ledger, **change) == calls  # type: ignore[arg-type]


def test_another_endpoint_is_asked_anew(address: str, ledger: Path) -> None:
    asked(address, ledger)

    assert asked(address.replace("127.0.0.1", "localhost"), ledger) == 10


def test_the_id_of_a_record_is_no_part_of_its_call(address: str, ledger: Path) -> None:
    """The same text under another id costs nothing; another text under the same id is a new call."""
    run_ids = [("a", "one"), ("b", "two")], [("c", "one"), ("a", "other"), ("b", "two")]
    for pairs in run_ids:
        talks = [(name, ask(name, text)) for name, text in pairs]
        replies = list(run_talks(talks, quick_completer(address), ledger, progress=Progress(), name="demo"))

    assert [reply.cached for _, reply in replies] == [True, False, True]
    assert read_ledger(address)["attempts"] == 3


# --- 6 the store --------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_stops_the_run_and_keeps_what_was_committed(address: str, ledger: Path) -> None:
    """A limit on the size of files, as the system enforces it; with room again only the rest is asked."""
    texts = [f"disk {number} {'word ' * 100}" for number in range(400)]
    told = ledger.with_name("told.txt")

    def run_on_a_small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            run(texts, address, ledger)
        except DataError as error:
            told.write_text(str(error))

    ended_by_kill(start_in_a_child(run_on_a_small_disk))
    billed = read_ledger(address)["billed"]
    replies = run(texts, address, ledger)

    assert "calls.sqlite: the call ledger cannot be written" in told.read_text()
    assert billed - 64 <= sum(reply.cached for reply in replies) <= billed
    assert read_ledger(address)["billed_calls"] == 400


def test_a_folder_that_may_not_be_written_is_named_before_anything_is_sent(address: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bimedix-"))
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(DataError, match=r"calls\.sqlite: the call ledger cannot be written"):
            run(["x"], address, folder / "calls.sqlite")
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)

    assert read_ledger(address)["attempts"] == 0


def test_a_clock_that_jumps_changes_nothing(
    address: str, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back by a day between two runs and on by a year within one: order, answers and waits hold."""
    real = time.time
    texts = [f"clock {number} {'[[429:0.2 empty]]' if number % 4 == 0 else ''}" for number in range(12)]
    run(texts[:6], address, ledger)
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    calls = iter(range(1_000_000))
    run(texts[:9], address, ledger)
    monkeypatch.setattr(time, "time", lambda: real() + (3.2e7 if next(calls) > 20 else 0.0))
    replies = run(texts, address, ledger)
    monkeypatch.setattr(time, "time", real)

    assert [reply.finish for reply in replies] == ["stop"] * 12
    assert read_ledger(address)["billed"] == 12 + 3
    assert all(reply.cached for reply in run(texts, address, ledger))


def test_a_log_left_behind_by_a_kill_is_read(address: str, ledger: Path) -> None:
    """The answers stand in `calls.sqlite-wal` alone when the process dies."""

    def run_and_die() -> None:
        Ledger.close = die  # type: ignore[method-assign,assignment]
        run(["wal a", "wal b"], address, ledger)

    assert ended_by_kill(start_in_a_child(run_and_die))
    assert ledger.with_name("calls.sqlite-wal").stat().st_size > 0

    assert [reply.cached for reply in run(["wal a", "wal b"], address, ledger)] == [True, True]


def test_an_older_ledger_is_copied_and_brought_up_to_date(address: str, ledger: Path) -> None:
    """Schema 1 knew no batches; its answers stay, and the copy is as it was."""
    run(["old"], address, ledger)
    with sqlite3.connect(ledger) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(attempts)") if row[1] != "batch"]
        connection.executescript(
            f"CREATE TABLE old AS SELECT {', '.join(names)} FROM attempts; DROP TABLE attempts;"
            "ALTER TABLE old RENAME TO attempts; DROP TABLE batches; DROP TABLE strays;"
            "UPDATE meta SET value = '1' WHERE name = 'schema'"
        )
    before = connection.execute("SELECT * FROM attempts").fetchall()
    connection.close()
    [reply] = run(["old"], address, ledger)
    copy = sqlite3.connect(ledger.with_name("calls.sqlite.schema1"))
    kept = copy.execute("SELECT * FROM attempts").fetchall()
    version = copy.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    copy.close()

    assert reply.cached
    assert (kept, version) == (before, ("1",))
    assert run(["old", "new"], address, ledger)[1].finish == "stop"


# --- 8 sizes and texts --------------------------------------------------------------------------------------

TEXTS = {
    "empty": "",
    "spaces": " \t ",
    "NUL": "a\0b",
    "BOM": "\ufeffdose",
    "unbalanced bidi": "\u202eabc \u2067 5 \u202c\u2069\u2069",
    "presentation forms": "ﷺ ﺍﻟﻄﺐ",
    "joiners": "می\u200cخورد a\u200db",
    "mixed digits": "٥ 5 ۵ ５",
    "combining flood": "e" + "\u0301" * 5000,
    "CRLF": "a\r\nb\rc\n",
    "separators": "a\u2028b\u2029c\u0085d\x1c",
    "noncharacters": "\uffff\U0010ffff",
    "quotes": "\"'`</data>{}[]\\",
}


def test_texts_come_back_as_they_went_out(address: str, ledger: Path) -> None:
    """From the endpoint and from the ledger, each one call of its own."""
    first = run(TEXTS.values(), address, ledger)
    again = run(TEXTS.values(), address, ledger)

    assert [reply.text for reply in first] == [f"You said: {text}" for text in TEXTS.values()]
    assert [reply.text for reply in again] == [reply.text for reply in first]
    assert read_ledger(address)["billed_calls"] == len(TEXTS)


def test_half_a_character_fails_its_record_alone(address: str, ledger: Path) -> None:
    replies = run(["a", "b \ud800", "c \udfff\ud83d"], address, ledger)

    assert [reply.finish for reply in replies] == ["stop", "error", "error"]
    assert read_ledger(address)["attempts"] == 1


def test_an_answer_without_end_is_paid_for_once(
    address: str, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken off at a bound and fails its record; asked again it would come again."""
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 10_000)
    long, short = run(["long " * 10_000, "short"], address, ledger)

    assert (long.finish, short.finish) == ("error", "stop")
    assert "longer than 10,000 bytes" in long.error
    assert read_ledger(address)["billed"] == 2
    assert read_totals(ledger).possibly == 1


@pytest.mark.slow
def test_a_record_of_fifty_megabytes_goes_through(address: str, ledger: Path) -> None:
    """Out and back again, kept, and read from the ledger."""
    text = "جرعة 5 ملغ. " * 2_900_000
    assert len(text.encode()) > 50_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    replies = run([text, "small"], address, ledger)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    assert [reply.finish for reply in replies] == ["stop", "stop"]
    assert replies[0].text == f"You said: {text}"
    assert grown_mib < 12 * 50
    assert run([text], address, ledger)[0].cached


def peak_mib(work: Callable[[], object]) -> float:
    """Return the most memory that a fresh process held while it worked, in MiB."""
    read, write = os.pipe()

    def measured() -> None:
        work()
        os.write(write, str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss).encode())

    os.waitpid(start_in_a_child(measured), 0)
    os.close(write)
    with os.fdopen(read) as told:
        return int(told.read()) / 1024


@pytest.mark.slow
def test_memory_stays_flat_over_many_small_records(tmp_path: Path) -> None:
    """Eight thousand records hold no more than one thousand do; asked, and answered by the ledger."""

    def work(count: int) -> None:
        talks = ask_all(f"tiny {number}" for number in range(count))
        for _ in run_talks(
            talks, quick_completer(address, parallel=64), tmp_path / "a", progress=Progress(), name="demo"
        ):
            pass

    with running_stub() as address:
        few = peak_mib(lambda: work(1_000))
        many = peak_mib(lambda: work(8_000))
        again = peak_mib(lambda: work(8_000))

        assert read_ledger(address)["billed"] == 8_000
    assert max(many, again) - few < 16
