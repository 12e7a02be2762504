"""The path: all rooms of a recipe in order, each into its numbered folder, each redone only when it must be.

A stage's *key* is the hash of its settings, the seed, the code version, the files that its settings name and
the outputs of the stages it reads. `ledger.json` is written last: a folder whose ledger has the right key is
finished and skipped; one that was begun under the same key goes on; any other is started anew. So a changed
setting redoes exactly what depends on it.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from bimedix import __version__
from bimedix.aside import set_aside
from bimedix.errors import BimedixError, UsageError
from bimedix.files import hash_file, read_json, write_json, write_text
from bimedix.progress import Progress
from bimedix.recipe import Recipe
from bimedix.records import content_hash
from bimedix.spend import Spend
from bimedix.stage import Context, Summary

LEDGER = "ledger.json"
BEGUN = "begun.json"
CALLS = "calls.sqlite"
BIG_FILE_BYTES = 1 << 28
"""Files above this are told apart by name, size and time of change instead of their hash."""

STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "sources": (),
    "curate": (("sources",),),
    "synthesize": (("curate", "sources"),),
    "translate": (("curate", "sources"), ("synthesize",)),
    "review": (("translate",),),
    "mix": (("curate", "sources"), ("synthesize",), ("review", "translate")),
    "train": (("mix",),),
    "evaluate": (("train",), ("mix",), ("curate", "sources"), ("review", "translate")),
}
"""Which stages each one reads: of every group the first that the recipe has. Serving is no stage."""

PEOPLE = frozenset({"review"})
"""Rooms in whose folder people work: it is set aside with what they made, never deleted."""
ROOM_NUMBER = {room: number for number, room in enumerate((*STAGES, "report"), 1)}


def stage_folder(run: Path, room: str) -> Path:
    """Return the numbered folder of a room: `04_translate`."""
    return run / f"{ROOM_NUMBER[room]:02d}_{room}"


@dataclass(frozen=True)
class StageResult:
    """What became of one stage."""

    room: str
    folder: Path
    state: str
    """`done` just now, `continued` from where it was cut off, or `kept` from an earlier run."""
    summary: Summary
    seconds: float


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run's folder for one process.

    Raises:
        UsageError: another process has it.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise UsageError(
                f"{run}: process {lock.read().strip() or '?'} is working in this folder.\n"
                "  Wait for it, or give this run a folder of its own with --out."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def run_path(
    recipe: Recipe,
    run: Path,
    progress: Progress | None = None,
    until: str | None = None,
    redo: Sequence[str] = (),
) -> list[StageResult]:
    """Go through all stages of the recipe (or up to and with `until`) and write the report.

    Args:
        redo: rooms that begin anew though nothing they depend on has changed.

    Raises:
        UsageError: the recipe has no stage, or `until` or one of `redo` is not one of them.
        BimedixError: a stage failed; the message says what to do, and a re-run goes on from there.
    """
    progress = progress or Progress()
    rooms = [room for room in STAGES if room in recipe.rooms]
    for name in (until or "", *redo):
        if not rooms or (name and name not in rooms):
            listed = ", ".join(rooms) or "none"
            raise UsageError(f"{recipe.path}: no stage '{name or 'sources'}'; it has: {listed}.")
    results = []
    run = run.resolve()  # rooms read relative paths from the recipe's data folder
    with locked(run):
        write_text(run / "recipe.toml", recipe.path.read_text(encoding="utf-8-sig"))
        for room in rooms:
            if room in redo:
                (stage_folder(run, room) / LEDGER).unlink(missing_ok=True)
                (stage_folder(run, room) / BEGUN).unlink(missing_ok=True)
            results.append(run_stage(recipe, run, room, progress))
            if room == until:
                break
    return results


def stage_inputs(recipe: Recipe, run: Path, room: str) -> dict[str, Path]:
    """Return the folders that a room reads, by room name; `curate` falls back on `sources`."""
    inputs = {}
    for group in STAGES[room]:
        chosen = next((name for name in group if name in recipe.rooms), None)
        if chosen:
            inputs["curate" if chosen == "sources" and "curate" in group else chosen] = stage_folder(
                run, chosen
            )
    return inputs


@dataclass(frozen=True)
class _Facts:
    """What a stage depends on."""

    facts: dict[str, Any]
    """Room, settings, seed and code version."""
    named: dict[str, str]
    """Hash by file that the settings name."""
    read: dict[str, dict[str, str]]
    """Hash by output of the stages that it reads."""

    @property
    def key(self) -> str:
        """The stage's key."""
        files = [h for _, h in sorted(self.named.items())]
        return content_hash({**self.facts, "files": files, "inputs": self.read})


def _facts_of(recipe: Recipe, room: str, inputs: Mapping[str, Path]) -> _Facts:
    settings = recipe.rooms[room]
    facts = {"room": room, "settings": _plain(settings), "seed": recipe.seed, "code": __version__}
    read = {name: _outputs_of(path) for name, path in inputs.items()}
    return _Facts(facts, named_files(room, settings, recipe.base), read)


def process_index() -> int:
    """Return which of the processes of one run this is, as `accelerate launch` numbers them; 0 when alone."""
    return int(os.environ.get("RANK", "0"))


def join_training(recipe: Recipe, run: Path) -> None:
    """Take part in the training of a run whose first process goes through all stages; then return.

    Raises:
        BimedixError: a stage that training reads has not finished.
    """
    run, room = run.resolve(), "train"
    if room not in recipe.rooms:
        return
    folder, inputs = stage_folder(run, room), stage_inputs(recipe, run, room)
    if finished(folder, _facts_of(recipe, room, inputs).key) is None:
        context = Context(run / CALLS, recipe.seed, Progress(), recipe.base)
        import_module(f"bimedix.{room}.room").run(recipe.rooms[room], inputs, folder, context)


def run_stage(recipe: Recipe, run: Path, room: str, progress: Progress) -> StageResult:
    """Run one stage, or keep what an earlier run made under the same key."""
    folder, inputs = stage_folder(run, room), stage_inputs(recipe, run, room)
    settings = recipe.rooms[room]
    found = _facts_of(recipe, room, inputs)
    key = found.key
    if done := finished(folder, key):
        progress.say(f"{folder.name}: kept, nothing it depends on has changed")
        return StageResult(room, folder, "kept", done, 0.0)
    if room in PEOPLE and (kept := set_aside(folder)):
        progress.say(f"{folder.name}: somebody has worked in it; it is now {kept.name}")
    state = _begin(folder, key)
    progress.say(f"{folder.name}: {'goes on where it was cut off' if state == 'continued' else 'begins'}")
    context = Context(run / CALLS, recipe.seed, progress, recipe.base)
    started, spend = time.time(), Spend(context.calls, room)
    summary: Summary = import_module(f"bimedix.{room}.room").run(settings, inputs, folder, context)
    summary.figures |= spend.figures()
    outputs = {
        path.relative_to(folder).as_posix(): {"hash": hash_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (BEGUN, LEDGER)
    }
    ledger = {
        **found.facts,
        "key": key,
        "recipe": {"name": recipe.name, "hash": content_hash(_plain(dict(recipe.rooms)))},
        "revision": code_revision(),
        "files": found.named,
        "inputs": {name: path.name for name, path in inputs.items()},
        "inputs_hash": content_hash(found.read),
        "outputs": outputs,
        "summary": msgspec.to_builtins(asdict(summary), str_keys=True, enc_hook=str),
        "started": started,
        "seconds": round(time.time() - started, 3),
    }
    write_json(folder / LEDGER, ledger)
    (folder / BEGUN).unlink(missing_ok=True)
    return StageResult(room, folder, state, summary, ledger["seconds"])


def finished(folder: Path, key: str) -> Summary | None:
    """Return the summary of a stage that is complete under this key."""
    if not (folder / LEDGER).exists():
        return None
    ledger = read_json(folder / LEDGER)
    whole = all(
        (folder / name).is_file() and (folder / name).stat().st_size == told["bytes"]
        for name, told in ledger["outputs"].items()
    )
    return Summary(**ledger["summary"]) if ledger["key"] == key and whole else None


def _begin(folder: Path, key: str) -> str:
    begun = read_json(folder / BEGUN) if (folder / BEGUN).exists() else None
    if begun and begun["key"] == key and not (folder / LEDGER).exists():
        return "continued"
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_json(folder / BEGUN, {"key": key})
    return "done"


def _outputs_of(folder: Path) -> dict[str, str]:
    ledger = folder / LEDGER
    if not ledger.exists():
        raise BimedixError(f"{folder}: this stage has not finished.\n  Run the recipe from its beginning.")
    outputs = read_json(ledger)["outputs"]
    return {name: told["hash"] for name, told in outputs.items() if not is_timed(name)}


def is_timed(name: str) -> bool:
    """Tell whether an output holds wall-clock times, and so never counts as a change."""
    return any(PurePosixPath(name).match(pattern) for pattern in _TIMED)


_TIMED = ("timing.json", "metrics.jsonl", "phases/*.json")


def named_files(room: str, settings: Any, base: Path) -> dict[str, str]:
    """Return the files that a room's settings name, with a hash of each.

    A settings module may list them itself with `input_files(settings, base)`; else every text or path in the
    settings counts that is a file or a pattern of files below the data folder.
    """
    module = import_module(f"bimedix.{room}.settings")
    if hasattr(module, "input_files"):
        files = {Path(p) for p in module.input_files(settings, base)}
    else:
        files = {f for text in _texts(settings) for f in _files_named(text, base)}
    return {os.path.relpath(f, base): _fingerprint(f) for f in sorted(files)}


def _files_named(text: str, base: Path) -> Iterator[Path]:
    if len(text) > 1000 or "\0" in text or "\n" in text:
        return
    if (base / text).is_file():
        yield base / text
    elif any(sign in text for sign in "*?[") and not Path(text).is_absolute():
        yield from (path for path in base.glob(text) if path.is_file())
    elif (base / text / "config.json").is_file():
        yield from (path for path in (base / text).iterdir() if path.is_file())


def _fingerprint(path: Path) -> str:
    facts = path.stat()
    if facts.st_size > BIG_FILE_BYTES:
        return content_hash([path.name, facts.st_size, facts.st_mtime_ns])
    return hash_file(path)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text and path inside settings."""
    if isinstance(value, (str, Path)):
        yield str(value)
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _texts(getattr(value, f.name))
    elif isinstance(value, (tuple, list)):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _texts(entry)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str)


def code_revision() -> str:
    """Return the git commit of the code when it runs from a checkout, else the version."""
    head = Path(__file__).resolve().parents[2] / ".git" / "HEAD"
    if not head.is_file():
        return __version__
    text = head.read_text().strip()
    ref = head.parent / text.removeprefix("ref: ")
    return (ref.read_text().strip() if ref.is_file() else text)[:40]
