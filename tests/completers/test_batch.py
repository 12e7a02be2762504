"""The batch API: the same answers, half the price, and nothing paid twice whatever gets lost."""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from stub import read_ledger, running_stub
from talks import ask_all, run

from bimedix.completers import Reply, batch
from bimedix.completers.batch import BatchCompleter
from bimedix.completers.endpoint import AccessError
from bimedix.completers.ledger import read_totals
from bimedix.completers.prices import Price
from bimedix.completers.runner import run_talks
from bimedix.completers.settings import CompleterSettings, check_settings, open_completer
from bimedix.progress import Progress


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "GATHER_S", 0.05)
    monkeypatch.setattr(batch, "MOST_CALLS", 10)


@pytest.fixture
def address() -> Iterator[str]:
    """A stub of its own: batches are counted."""
    with running_stub() as found:
        yield found


def run_batch(texts: Iterable[str], address: str, ledger: Path) -> list[Reply]:
    completer = BatchCompleter(address, "m", poll_s=0.02, parallel=100, price=Price(1.0, 2.0, batch=0.5))
    completer.backoff_s = 0.01
    results = run_talks(ask_all(texts), completer, ledger, progress=Progress(), name="demo")
    return [reply for _, reply in results]


def test_a_batch_gives_what_online_calls_give_at_half_the_price(address: str, tmp_path: Path) -> None:
    """In the order of the input, with separators of lines inside the texts, and under the same keys."""
    texts = [f"text {number} \u2028 \u0085 end" for number in range(25)]
    batched = run_batch(texts, address, tmp_path / "a")
    online = run(texts, address, tmp_path / "b")

    assert read_ledger(address)["batches"] == 3
    assert [(reply.text, reply.key) for reply in batched] == [(reply.text, reply.key) for reply in online]
    assert sum(r.cost_usd or 0 for r in batched) == pytest.approx(sum(r.cost_usd or 0 for r in online) / 2)


def test_an_online_run_answers_a_batch_run_from_the_ledger(address: str, tmp_path: Path) -> None:
    run(["shared"], address, tmp_path / "a")

    assert run_batch(["shared"], address, tmp_path / "a")[0].cached
    assert read_ledger(address)["batches"] == 0


@pytest.mark.parametrize("fault", ["expired", "missing", "unknown", "doubled", "empty", "filter"])
def test_what_goes_wrong_with_a_line_is_overcome(address: str, tmp_path: Path, fault: str) -> None:
    """Only that line is sent again."""
    texts = [f"good {number}" for number in range(5)] + [f"bad [[{fault}]]"]
    replies = run_batch(texts, address, tmp_path / "a")
    resent = fault in {"expired", "missing", "unknown", "empty"}

    assert [reply.finish for reply in replies] == ["stop"] * 5 + ["refusal" if fault == "filter" else "stop"]
    assert read_ledger(address)["attempts"] == 6 + resent


def test_a_create_whose_answer_is_lost_is_not_made_twice(address: str, tmp_path: Path) -> None:
    replies = run_batch(["lose-create a", "lose-create b"], address, tmp_path / "a")

    assert [reply.finish for reply in replies] == ["stop", "stop"]
    assert read_ledger(address)["batches"] == 1


RUN = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from bimedix.completers import batch
batch.GATHER_S, batch.MOST_CALLS = 0.05, 10
from test_batch import run_batch
run_batch([f"kill {{n}}" for n in range(30)], {address!r}, Path({ledger!r}))
"""


def test_a_killed_run_finds_its_batches_again(tmp_path: Path) -> None:
    """Killed after submission: the next run waits for the same batches; nothing is asked or billed twice."""
    ledger = tmp_path / "calls.sqlite"
    with running_stub("--latency-s", "1.0") as address:
        code = RUN.format(here=str(Path(__file__).parent), address=address, ledger=str(ledger))
        process = subprocess.Popen([sys.executable, "-c", code])
        while read_ledger(address)["batches"] < 3:
            time.sleep(0.01)
        process.kill()
        process.wait()
        replies = run_batch([f"kill {number}" for number in range(30)], address, ledger)
        bill = read_ledger(address)
    totals = read_totals(ledger)

    assert [reply.finish for reply in replies] == ["stop"] * 30
    assert (bill["batches"], bill["billed"]) == (3, 30)
    assert [totals.tokens_in, totals.tokens_out] == bill["tokens"]
    assert (totals.lost, totals.possibly) == (0, 0)


def test_an_endpoint_without_batches_stops_the_run(tmp_path: Path, address: str) -> None:
    with pytest.raises(AccessError, match="batch API answers 404"):
        run_batch(["x"], address + "/nowhere", tmp_path / "a")


def test_batch_is_a_setting(tmp_path: Path) -> None:
    settings = CompleterSettings(kind="openai", model="gpt-4o-mini", mode="batch")
    completer = open_completer(settings, tmp_path)

    assert isinstance(completer, BatchCompleter)
    assert completer.price == Price(0.075, 0.3, 0.0375)
    wrong = CompleterSettings(kind="anthropic", model="claude-3-haiku", mode="batch")
    assert "kind 'openai'" in check_settings(wrong, tmp_path)[0]
