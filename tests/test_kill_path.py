"""`kill -9` at ten random moments of a run: what is made afterwards equals an undisturbed run, byte for byte.

Left out of the comparison is only what a clock wrote (`path.is_timed`, times in the ledgers and on the page)
and how many answers came from before the kill. Caches of answers are compared by their answers.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bimedix.files import read_json
from bimedix.path import BEGUN, LEDGER, STAGES, is_timed, stage_folder
from bimedix.recipe import read_recipe, shipped_recipes

KILLS = 10
TINY = read_recipe(shipped_recipes()["tiny"]).rooms
PHASES, SETS = len(TINY["train"].phases), len(TINY["evaluate"].benchmarks)
SMALL = (
    "train.tiny.hidden=32", "train.tiny.ffn=64", "train.tiny.layers=1", "train.checkpoint_every_steps=3",
    *(f"train.phases.{at}.{key}" for at in range(PHASES) for key in ("epochs=0.5", "batch_size=16")),
    *(f"evaluate.benchmarks.{at}.limit=3" for at in range(SETS)), "evaluate.bootstrap_draws=200",
)  # fmt: skip
OF_THIS_START = ("started", "seconds", "timing", "calls_from_ledger", "this_start")
CALLS = (
    "SELECT calls.key, request, state, raw FROM calls JOIN attempts USING (key) JOIN answers ON attempt = id"
)
USES = "SELECT stage, record_id, purpose, sample, key FROM uses"
PREDICTIONS = "SELECT key, value FROM predictions"

pytestmark = pytest.mark.slow


def start(run: Path) -> "subprocess.Popen[bytes]":
    """Start a run in a session of its own, so that the whole group can be killed."""
    sets = [word for text in SMALL for word in ("--set", text)]
    recipe = str(shipped_recipes()["tiny"])
    return subprocess.Popen(
        [sys.executable, "-m", "bimedix", "run", recipe, "--out", str(run), "--quiet", *sets],
        cwd=run.parent, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(run: Path) -> float:
    """Run to the end; return the seconds that it took."""
    began = time.monotonic()
    _, told = (process := start(run)).communicate(timeout=600)

    assert process.returncode == 0, told.decode()
    return time.monotonic() - began


def kill(run: Path, room: str, delay_s: float) -> str:
    """Start a run and kill it so long after a room began; return the stage it was in, or `` when through."""
    begun = run if room == "run" else stage_folder(run, room) / BEGUN
    process = start(run)
    while process.poll() is None and not begun.exists():
        time.sleep(0.002)
    try:
        process.communicate(timeout=delay_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode != -signal.SIGKILL:
        return ""
    return next((path.parent.name for path in run.glob(f"*/{BEGUN}")), "between stages")


def contents(run: Path) -> dict[str, Any]:
    """Return what a run left on disk by file, without what a clock wrote."""
    return {
        path.relative_to(run).as_posix(): content(path)
        for path in sorted(run.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm"))
    }


def content(path: Path) -> Any:
    if path.suffix == ".sqlite":
        return list(answers(path))
    if is_timed(path.parent.name + "/" + path.name) or path.name == LEDGER:
        return [without_times(msgspec.json.decode(row)) for row in rows(path)]
    if path.name == "report.html":
        return re.sub(r"\d[\d.,]* (s\b|GiB)|per second by phase: [\d, ]+", "TIME", path.read_text("utf-8"))
    return path.read_bytes()


def rows(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]


def without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [without_times(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    outputs = {name: "timed" for name in value if is_timed(name)}
    kept = {n: without_times(v) for n, v in value.items() if n not in OF_THIS_START}
    return kept | outputs


def answers(path: Path) -> Iterator[Any]:
    with sqlite3.connect(path) as db:
        for question in (CALLS, USES) if path.name == "calls.sqlite" else (PREDICTIONS,):
            yield sorted(set(db.execute(question)))


def differing(run: Path, whole: dict[str, Any]) -> list[str]:
    """Return the names of files that differ, are missing or are too many."""
    found = contents(run)
    return sorted(n for n in {*found, *whole} if found.get(n, "absent") != whole.get(n, "absent"))


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """One moment in each stage, two in the whole run; every third run is killed a second time."""
    durations = {"run": finish(tmp_path / "whole")}
    whole = contents(tmp_path / "whole")
    for room in STAGES:
        durations[room] = read_json(stage_folder(tmp_path / "whole", room) / LEDGER)["seconds"]
    draw = Random(17)
    hits: Counter[str] = Counter()
    differences: dict[str, list[str]] = {}
    for at, room in enumerate((*STAGES, "run", "run")):
        run = tmp_path / f"killed-{at}"
        hits[kill(run, room, durations[room] * draw.random())] += 1
        if at % 3 == 2:
            hits[kill(run, "run", durations["run"] * draw.random() / 2)] += 1
        finish(run)
        if found := differing(run, whole):
            differences[f"{at}: {room}"] = found
        else:
            shutil.rmtree(run)
    print(f"undisturbed {durations['run']:.1f} s; killed in: {dict(hits)}")

    assert sum(hits.values()) - hits[""] >= KILLS
    assert differences == {}
