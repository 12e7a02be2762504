"""Which items are asked: reading test sets, choosing by split and language, keeping what is left out."""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bimedix.errors import MissingError, UsageError, did_you_mean
from bimedix.evaluate.settings import Benchmark
from bimedix.files import read_any_records
from bimedix.languages import LANGUAGES
from bimedix.records import Dropped, MultipleChoice, Translation, content_hash, encode, root_id
from bimedix.text import script_shares

ROOM = "evaluate"


@dataclass(frozen=True)
class Asked:
    """An item of a test set."""

    benchmark: str
    group: str
    item: MultipleChoice
    row: int = 0
    """Place among the questions of its language in the file it comes from, from 1; 0: not known."""

    @property
    def key(self) -> str:
        """Names it within a run."""
        return f"{self.benchmark}\x1f{self.item.language}\x1f{self.item.id}"


def find_file(benchmark: Benchmark, inputs: Mapping[str, Path], base: Path) -> Path:
    """Return the file of a test set.

    Raises:
        UsageError: it names a room whose output is not at hand.
    """
    if not benchmark.room:
        return base / benchmark.path
    folder = _room_folder(benchmark.room, inputs)
    if folder is None:
        raise UsageError(
            f"[evaluate] benchmark '{benchmark.name}': room '{benchmark.room}' is not among the inputs."
            f"{did_you_mean(benchmark.room, inputs)}\n  At hand: {', '.join(sorted(inputs)) or 'none'}."
        )
    return folder / benchmark.path


def _room_folder(room: str, inputs: Mapping[str, Path]) -> Path | None:
    return next((f for name, f in inputs.items() if room == name or f.name.endswith(f"_{room}")), None)


def ids_in(benchmark: Benchmark, inputs: Mapping[str, Path], base: Path) -> frozenset[str] | None:
    """Return the ids that limit a test set (`only_in`), or None when nothing does."""
    if not benchmark.only_in:
        return None
    path = room_file(benchmark.only_in, inputs, base)
    return frozenset(record.id for record in read_any_records(path))


def room_file(name: str, inputs: Mapping[str, Path], base: Path) -> Path:
    """Return the file that `room/file` names, or that a path from the recipe's folder names."""
    room, _, file = name.partition("/")
    folder = _room_folder(room, inputs)
    return folder / file if folder and file else base / name


def read_items(
    benchmark: Benchmark, path: Path, drop: Callable[[Dropped], None], only: frozenset[str] | None = None
) -> list[Asked]:
    """Return the items of a test set in the file's order; only those with these ids, where ids are given.

    Raises:
        MissingError: no item is left, so there is nothing to score.
    """
    seen: dict[tuple[str, str], int] = {}
    kept: list[MultipleChoice] = []
    rows: Counter[tuple[str, ...]] = Counter()
    for record in read_any_records(path):
        item = record.target if isinstance(record, Translation) else record
        if isinstance(item, MultipleChoice):
            rows[file := (item.language, *published_file(item))] += 1
        reason = _why_not(item, benchmark, seen) or (
            "not in only_in" if only and record.id not in only else ""
        )
        if reason in _NOT_ASKED_FOR and (benchmark.room or benchmark.dataset):
            continue
        if reason:
            drop(Dropped(record.id, ROOM, reason, str(path.name), benchmark.name, encode(record).decode()))
        elif isinstance(item, MultipleChoice):
            seen[item.language, item.id] = rows[file]
            kept.append(item)
    kept = list(_limited(kept, benchmark.limit))
    if not kept:
        raise MissingError(
            f"{path}: holds no item for benchmark '{benchmark.name}' (language {benchmark.language}, "
            f"split '{benchmark.split or 'any'}', data set '{benchmark.dataset or 'any'}').\n"
            "  Loosen these settings, or point `path` at the right file."
        )
    return [Asked(benchmark.name, benchmark.group, item, seen[item.language, item.id]) for item in kept]


def published_file(item: MultipleChoice) -> tuple[str, str, str]:
    """Return data set, split and file of an item, by what its origin says."""
    origin = item.origin
    return origin.dataset, origin.split, origin.row.rpartition(":")[0]


_NOT_ASKED_FOR = frozenset(
    {"not a multiple-choice question", "other split", "other data set", "other subject", "other language",
     "not in only_in"}
)  # fmt: skip
"""Not drops where a test set is chosen from a room's records or by its data set: others are no part of it."""


def _why_not(item: object, benchmark: Benchmark, seen: Container[tuple[str, str]]) -> str:
    if not isinstance(item, MultipleChoice):
        return "not a multiple-choice question"
    if benchmark.split and item.origin.split != benchmark.split:
        return "other split"
    if benchmark.dataset and item.origin.dataset != benchmark.dataset:
        return "other data set"
    if benchmark.subject and item.subject != benchmark.subject:
        return "other subject"
    if benchmark.language not in ("auto", item.language):
        return "other language"
    if not item.answers:
        return "no answer key"
    if (item.language, item.id) in seen:
        return "repeats an id of its test set"
    return ""


def _limited(items: list[MultipleChoice], limit: int) -> Iterator[MultipleChoice]:
    """Yield the first `limit` items of each language by hash of their root id, in the file's order.

    By the root, so that translations of one question are taken together.
    """
    if not limit:
        yield from items
        return
    order = sorted(items, key=lambda item: content_hash(root_id(item.id)))
    taken: dict[str, set[str]] = {}
    for item in order:
        ids = taken.setdefault(item.language, set())
        if len(ids) < limit:
            ids.add(item.id)
    yield from (item for item in items if item.id in taken[item.language])


LEAST_SCRIPT_SHARE = 0.3
"""Share of letters in a language's script from which a text is taken to be in it."""


def language_by_script(text: str) -> str:
    """Return the language of a text whose file names none; Latin letters are taken for English."""
    shares = script_shares(text)
    others = {code: row.script for code, row in LANGUAGES.items() if row.script != "LATIN"}
    return next((code for code, s in others.items() if shares.get(s, 0.0) >= LEAST_SCRIPT_SHARE), "en")
