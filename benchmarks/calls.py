"""Calls to a model: durable calls a second against a stub endpoint, beside plain aiohttp and other runners.

Arms, each in a fresh process, the stub in one of its own on the same machine:

- ours: `run_talks` at 256 calls in flight: key, intent committed, sent, raw answer committed, read;
- bare_aiohttp: aiohttp alone at 256 in flight, nothing kept: what the network and JSON cost at least;
- curator, datatrove, datatrove_unkept: Bespoke Curator, and datatrove's InferenceRunner with and without
  checkpoints, each in the Python given for it, and left out by name without one;
- resumed: our run again, answered by the ledger;
- kills: the run is killed (SIGKILL) several times and started again; calls billed twice, and those in flight;
- cap: an endpoint that lets 50 calls a second through: share of the cap used, share of refusals;
- mix_f: one run against an endpoint that fails by chance as the fault mix F has it (10 % 429, 3 % 500, 2 %
  dropped sockets, 1 % cut bodies, 2 % cut answers, 2 % garbled, 1 % empty, 1 % without usage; at most three a
  call): share of records answered rightly, and calls billed over those needed (one a record, one more for
  each billed one that brought no whole answer);
- delta: calls made when every prompt stands there four times, and after a run when rows are reordered, one is
  added, the system prompt is changed;
- memory: the offline translation memory, 10,000 segments loaded, then looked up, 70 % of them changed.

The answers of all arms are equal before anything is reported; the stub counts the calls it billed to each.
The pace of ours starts at 16 calls a second and doubles every half second, so `records_per_s` holds a ramp of
about three seconds; `steady_records_per_s` is the second half of the run. A short run against a cap is mostly
that ramp, too. The clock starts after the imports.

Goals: 1,000 records a second, 0.6 CPU-ms a record, 150 MiB; no more repeats than calls in flight; 95 % of a
cap with 2 % refusals; under mix F 99.9 % answered at 1.03 times the calls needed; a quarter of the bill for
four times each, nothing for another order, one call for one row; 10,000 segments in a second, 1,000 lookups a
second.

Peers pin other versions than we do, so each gets a virtual environment of its own, with `bespokelabs-curator`
in one and `datatrove[io] xxhash<4 aiosqlite httpx pandas` in the other:

    python benchmarks/calls.py --quick --json --peer-python curator=/path/bin/python
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from _common import arguments, finish, in_fresh_process, parser, peak_rss_mib
from _peers import ARMS, PARAMETERS, chat, hash_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "completers"))

from stub import read_ledger, running_stub
from talks import ask_all

from bimedix.completers.base import Request, Talk
from bimedix.completers.ledger import Ledger
from bimedix.completers.memory import MemoryCompleter
from bimedix.completers.openai import OpenAiCompleter
from bimedix.completers.prices import Price
from bimedix.completers.runner import run_talks
from bimedix.completers.tmx import write_tmx
from bimedix.progress import Progress
from bimedix.prompts.asking import Ask, Tally
from bimedix.prompts.asking import ask_all as ask_side_by_side
from bimedix.prompts.replies import ReplyError
from bimedix.records import Message, Origin, ParallelText

IN_FLIGHT = 256
PEER_LIMIT_S = 300.0
"""Longest run of one rival arm, in seconds; longer ones are left out, and said to be."""
WORDS = "patient takes warfarin 5 mg daily and reports bleeding from both gums since last week".split()  # noqa: SIM905


def texts(count: int) -> list[str]:
    """Return prompts of about 165 tokens, all different."""
    return [f"{number}: " + " ".join(Random(number).choices(WORDS, k=130)) for number in range(count)]


def run_ours(address: str, folder: str, count: int) -> dict[str, Any]:
    completer = OpenAiCompleter(address, "m", parallel=IN_FLIGHT, price=Price(0.15, 0.6))
    prompts = texts(count)
    started, cpu = time.perf_counter(), time.process_time()
    half, answers = 0.0, []
    talks = run_talks(
        ask_all(prompts), completer, Path(folder) / "calls.sqlite", progress=Progress(), name="bench"
    )
    for number, (_, reply) in enumerate(talks):
        half = time.perf_counter() if number == count // 2 else half
        answers.append(reply.text)
    ended = time.perf_counter()
    return {
        "records_per_s": count / (ended - started),
        "steady_records_per_s": (count - count // 2) / (ended - half),
        "cpu_ms_per_record": (time.process_time() - cpu) / count * 1e3,
        "rss_mib": peak_rss_mib(),
        "hash": hash_of(answers),
    }


def run_bare(address: str, folder: str, count: int) -> dict[str, Any]:
    import aiohttp

    prompts = texts(count)

    async def work() -> list[str]:
        gate = asyncio.Semaphore(IN_FLIGHT)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def call(text: str) -> str:
                body = {"model": "m", "messages": chat(text), **PARAMETERS}
                async with gate, session.post(f"{address}/chat/completions", json=body) as answer:
                    return str((await answer.json())["choices"][0]["message"]["content"])

            return await asyncio.gather(*map(call, prompts))

    started, cpu = time.perf_counter(), time.process_time()
    answers = asyncio.run(work())
    return {
        "records_per_s": count / (time.perf_counter() - started),
        "cpu_ms_per_record": (time.process_time() - cpu) / count * 1e3,
        "rss_mib": peak_rss_mib(),
        "hash": hash_of(answers),
    }


def run_peer(arm: str, python: str, address: str, folder: Path, prompts: Path) -> dict[str, Any] | str:
    """Run a rival arm in its own Python; return its figures, or in words why there are none."""
    folder.mkdir()
    script = Path(__file__).parent / "_peers.py"
    words = [python, str(script), arm, address, str(folder), str(prompts), str(IN_FLIGHT)]
    offline = {"TELEMETRY_ENABLED": "0", "CURATOR_DISABLE_RICH_DISPLAY": "1", "HF_HUB_OFFLINE": "1"}
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | offline
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=env, timeout=PEER_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def billed(address: str) -> int:
    return int(read_ledger(address)["billed"])


def measure_peers(
    pythons: dict[str, str], address: str, folder: Path, count: int, wanted_hash: str
) -> dict[str, Any]:
    """Run every arm whose Python is given; name those left out, with the reason."""
    prompts = folder / "prompts.json"
    prompts.write_text(json.dumps(texts(count)), encoding="utf-8")
    figures: dict[str, Any] = {}
    left_out = []
    for arm, (peer, _, _) in ARMS.items():
        if peer not in pythons:
            left_out.append(f"{arm} (no --peer-python {peer}=PATH)")
            continue
        before = billed(address)
        found = run_peer(arm, pythons[peer], address, folder / arm, prompts)
        if isinstance(found, str):
            left_out.append(f"{arm} ({found})")
            continue
        if found.pop("hash") != wanted_hash:
            raise SystemExit(f"{arm} did not give the same answers as ours")
        figures |= {f"{arm}_{key}": value for key, value in found.items()}
        figures[f"{arm}_billed"] = billed(address) - before
    return {**figures, "left_out": left_out}


def measure_kills(folder: Path, count: int, kills: int) -> dict[str, Any]:
    """Kill a run at equal distances; return what was billed twice and what the ledger lists as lost."""
    with running_stub("--latency-s", "0.1") as address:
        words = [__file__, "ours", address, str(folder), str(count)]
        for number in range(kills):
            process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
            while read_ledger(address)["billed"] < count * (number + 1) // (kills + 1):
                time.sleep(0.02)
            process.kill()
            process.wait()
        in_fresh_process(*words)
        bill = read_ledger(address)
    book = Ledger(folder / "calls.sqlite", stage="bench")
    lost = len(book.lost())
    book.close()
    return {
        "kills": kills,
        "kills_records": count,
        "kills_billed_twice": bill["billed"] - bill["billed_calls"],
        "kills_listed_as_possibly_billed": lost,
        "kills_most_in_flight": bill["most_in_flight"],
    }


def measure_cap(folder: Path, count: int) -> dict[str, Any]:
    with running_stub("--latency-s", "0.1", "--cap-per-s", "50") as address:
        started = time.perf_counter()
        run_ours(address, str(folder), count)
        wall_s = time.perf_counter() - started
        faults = read_ledger(address)["faults"]
    refused = faults.get("429", 0)
    return {
        "cap_50_records": count,
        "cap_50_share_used": count / (wall_s * 50),
        "cap_50_share_refused": refused / (count + refused),
    }


def say(record_id: str, text: str, system: str = "Be kind.") -> Talk[str]:
    """Ask until the answer is the right one, as a room's reader would: a garbled one is asked for again."""

    def read(reply: str) -> str:
        if reply != f"You said: {text}":
            raise ReplyError("garbled")
        return reply

    def make(tried: int) -> Ask[str]:
        messages = (Message("system", system), Message("user", text))
        return Ask(Request(messages, "answer", record_id, tried, 500), read)

    (answer,) = yield from ask_side_by_side([make], Tally())
    return answer.value or ""


def answers_of(address: str, ledger: Path, prompts: list[str], system: str = "Be kind.") -> list[str]:
    completer = OpenAiCompleter(address, "m", parallel=IN_FLIGHT, price=Price(0.15, 0.6))
    talks = ((f"r{number}", say(f"r{number}", text, system)) for number, text in enumerate(prompts))
    return [
        text
        for _, text in run_talks(talks, completer, ledger, progress=Progress(), name="bench", window=2048)
    ]


def measure_mix_f(folder: Path, count: int) -> dict[str, Any]:
    prompts = texts(count)
    with running_stub("--latency-s", "0.1", "--mix-f") as address:
        started = time.perf_counter()
        answers = answers_of(address, folder / "calls.sqlite", prompts)
        wall_s = time.perf_counter() - started
        bill = read_ledger(address)
    right = sum(answer == f"You said: {text}" for answer, text in zip(answers, prompts, strict=True))
    needed = count + bill["billed_in_vain"]
    return {
        "mix_f_records": count,
        "mix_f_share_answered": right / count,
        "mix_f_wrong_answers_taken": sum(map(bool, answers)) - right,
        "mix_f_calls_billed": bill["billed"],
        "mix_f_billed_over_needed": bill["billed"] / needed,
        "mix_f_records_per_s": count / wall_s,
    }


def measure_delta(folder: Path, count: int) -> dict[str, Any]:
    prompts, figures = texts(count), {"delta_records": count}
    with running_stub() as address:

        def calls(rows: list[str], system: str = "Be kind.") -> int:
            before = billed(address)
            answers_of(address, folder / "calls.sqlite", rows, system)
            return billed(address) - before

        figures["delta_calls_for_four_times_each"] = calls(prompts * 4)
        figures["delta_calls_when_reordered"] = calls(prompts[::-1])
        figures["delta_calls_for_one_row_more"] = calls([*prompts, "one row more"])
        figures["delta_calls_for_another_system_prompt"] = calls(prompts, "Be brief.")
    return figures


def measure_memory(folder: Path) -> dict[str, Any]:
    """Invented segments of 20 words; lookups have two letters changed in 70 % of cases."""
    draw = Random(3)
    stock = [
        f"{a}{b}{c}{d}" for a in "bdgklmprst" for b in "aeiou" for c in "nrstvz" for d in ("", "a", "ing")
    ]
    segments = [" ".join(draw.choices(stock, k=20)) for _ in range(10_000)]
    origin = Origin("bench")
    rows = (ParallelText(f"b:{n}", "en", origin, text, text, "ar") for n, text in enumerate(segments))
    write_tmx(folder / "m.tmx", rows)
    started = time.process_time()
    completer = MemoryCompleter((folder / "m.tmx",))
    pair = completer.pair("en", "ar")
    pair.render(segments[0].replace("a", "o", 1), False)
    load_s = time.process_time() - started
    asked = [text.replace("a", "o", 2) if draw.random() < 0.7 else text for text in segments[:2000]]
    started = time.process_time()
    found = sum(pair.render(text, False).score >= 70 for text in asked)
    lookup_s = time.process_time() - started
    return {
        "memory_load_10000_cpu_s": load_s,
        "memory_lookups_per_cpu_s": len(asked) / lookup_s,
        "memory_found_share": found / len(asked),
    }


def measure_runs(folder: Path, count: int, pythons: dict[str, str]) -> dict[str, Any]:
    """Run ours, ours again, plain aiohttp and the peers against one stub; stop unless answers are equal."""
    with running_stub("--latency-s", "0.1") as address:
        words = (address, str(folder), str(count))
        ours = in_fresh_process(__file__, "ours", *words)
        bill = {"billed": billed(address)}
        resumed = in_fresh_process(__file__, "ours", *words)
        bill["resumed_billed"] = billed(address) - bill["billed"]
        bare = in_fresh_process(__file__, "bare", *words)
        if not ours["hash"] == bare["hash"] == resumed["hash"]:
            raise SystemExit("ours, resumed and bare did not give the same answers")
        wanted_hash = ours.pop("hash")
        peers = measure_peers(pythons, address, folder, count, wanted_hash)
    size = sum(path.stat().st_size for path in folder.glob("calls.sqlite*"))
    plain = {f"bare_aiohttp_{key}": value for key, value in bare.items() if key != "hash"}
    resumed_figures = {"resumed_records_per_s": resumed["records_per_s"]}
    return {**ours, **bill, "ledger_bytes_per_record": size / count, **resumed_figures, **plain, **peers}


def measure(quick: bool, pythons: dict[str, str]) -> dict[str, Any]:
    count = 5_000 if quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = measure_runs(folder, count, pythons)
        for part in ("kills", "cap", "mix_f", "delta"):
            (folder / part).mkdir()
        figures |= measure_kills(folder / "kills", 1_000 if quick else 10_000, 2 if quick else 20)
        figures |= measure_cap(folder / "cap", 600 if quick else 3_000)
        figures |= measure_mix_f(folder / "mix_f", 1_000 if quick else 10_000)
        figures |= measure_delta(folder / "delta", 200 if quick else 1_000)
        figures |= measure_memory(folder)
    return {"in_flight": IN_FLIGHT, "records": count, **figures}


def read_peer(text: str) -> tuple[str, str]:
    """Read NAME=PATH."""
    name, _, path = text.partition("=")
    peers = sorted({peer for peer, _, _ in ARMS.values()})
    if name not in peers or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=PATH with one of {', '.join(peers)}")
    return name, path


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in {"ours", "bare"}:
        arm, address, folder, count = sys.argv[1:5]
        arms = {"ours": run_ours, "bare": run_bare}
        print(json.dumps(arms[arm](address, folder, int(count))))
        return
    reader = parser(__doc__)
    reader.add_argument(
        "--peer-python", action="append", type=read_peer, default=[], metavar="NAME=PATH",
        help="The Python of a peer's own environment, such as curator=/path/bin/python.",
    )  # fmt: skip
    options = arguments(options=reader)
    packages = ("aiohttp", "msgspec", "rapidfuzz")
    finish(measure(options.quick, dict(options.peer_python)), options.json, packages=packages)


if __name__ == "__main__":
    main()
