"""Data to tensors ahead of time: records become memory-mapped shards, once, in parallel, kill -9 or not.

A folder is named by the hash of all that its content depends on: the input's bytes, the tokenizer's files,
the template and the limits. So a second run with the same data finds it, and one that was killed goes on:

    prepared/KEY/00000/tokens.npy     token ids of all samples end to end, uint16 where the ids fit
                      /marks.npy      uint8, 1 where a token is part of a reply
                      /index.json     id, length, supervised rows and type of every sample
                      /dropped.jsonl  what was left out of this part of the input
    prepared/KEY/index.json           written last: the folder is whole

A shard is the samples of `CHUNK_BYTES` of input; it is written beside its place and renamed, so that one that
exists is whole.
"""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from bimedix import __version__
from bimedix.errors import BimedixError, DataError
from bimedix.files import MEND_LINE, RecordWriter, hash_file, read_json, read_lines, require_file, write_json
from bimedix.progress import Progress
from bimedix.prompts.chat import TOKENIZER, MixtralPieces
from bimedix.records import Conversation, Dropped, Passage, content_hash
from bimedix.tokens import mixtral_tokenizer_path
from bimedix.train.data import Sample, encode_passages, encode_samples
from bimedix.train.settings import LongRecords

Lines: TypeAlias = list[tuple[int, bytes]]
"""Lines with their number in the file, from 1."""
FORMAT = 1
CHUNK_BYTES = 32 << 20
"""Input per shard; also what a process holds as text at a time."""
INDEX = "index.json"
DROPPED = "dropped.jsonl"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja",
)  # fmt: skip


@dataclass(frozen=True)
class Encoding:
    """How records become tokens."""

    tokenizer: str
    """`mixtral` for the built-in one, a folder, or a hub id."""
    template: str
    limit: int
    """Tokens per sample."""
    long_records: LongRecords = "split"
    kind: Literal["conversations", "passages"] = "conversations"
    base: Path = Path()
    """Folder that a relative `tokenizer` starts from."""

    def encoder(self) -> Any:
        """Return what encodes texts: Mixtral's by sentencepiece, the same ids in less than half the time."""
        if self.tokenizer == "mixtral" and self.template != TOKENIZER:
            return MixtralPieces()
        from bimedix.model.load import load_tokenizer

        return load_tokenizer(self.tokenizer, self.base)

    def fingerprint(self) -> str:
        """Return a hash of the settings and of the tokenizer's files."""
        if self.tokenizer == "mixtral":
            files = [mixtral_tokenizer_path()]
        else:
            from bimedix.model.load import find_model

            folder = find_model(self.tokenizer, self.base)
            files = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
        facts = asdict(self) | {"base": "", "tokenizer": [(f.name, hash_file(f)) for f in files]}
        return content_hash([FORMAT, __version__, facts])

    def samples(self, lines: Iterable[tuple[int, bytes]], path: Path, drop: Callable[[Dropped], None]) -> Any:
        """Yield the samples of numbered lines of `path`."""
        encoder = self.encoder()
        if self.kind == "passages":
            return encode_passages(_decoded(lines, path, Passage), encoder, self.limit)
        records = _decoded(lines, path, Conversation)
        return encode_samples(records, encoder, self.template, self.limit, drop, self.long_records)


def _decoded(lines: Iterable[tuple[int, bytes]], path: Path, kind: type[Any]) -> Iterator[Any]:
    decode = msgspec.json.Decoder(kind).decode
    for number, line in lines:
        try:
            yield decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            seen = line[:160].decode("utf-8", "replace")
            raise DataError(
                f"{path}:{number}: not a {kind.__name__} record: {error}.\n  Seen: {seen}\n{MEND_LINE}"
            ) from error


class ShardIndex(msgspec.Struct, frozen=True):
    """`index.json` of a shard: one entry per sample in each list."""

    ids: list[str]
    lengths: list[int]
    """In tokens."""
    supervised: list[int]
    """Rows that bear loss when replies are learned: marked tokens but the first."""
    types: list[str]


def prepare(source: Path, encoding: Encoding, root: Path, processes: int, progress: Progress) -> Path:
    """Return the folder of the shards of a records file, made now unless it is there.

    Args:
        source: JSON Lines, plain or zstd.
        encoding: how records become tokens.
        root: folder of all prepared data.
        processes: how many encode at a time; 0: one per core.
        progress: where the work shows itself.

    Raises:
        MissingError: there is no such file.
        DataError: a line is no such record.
    """
    folder = root / content_hash([hash_file(require_file(source)), encoding.fingerprint()])
    if (folder / INDEX).exists():
        progress.say(f"{source.name}: prepared before, in {folder}")
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    size = source.stat().st_size
    workers = min(processes or os.cpu_count() or 1, -(-size // CHUNK_BYTES))
    chunks = enumerate(_chunks(source))
    todo = ((number, lines) for number, lines in chunks if not (folder / f"{number:05d}").is_dir())
    with progress.task(f"prepare {source.name}", size >> 20, "MiB") as task:
        if workers <= 1:
            for number, lines in todo:
                task.advance(_write_shard(folder, number, encoding, source, lines))
        else:
            for done in _in_parallel(todo, workers, folder, encoding, source):
                task.advance(done)
    shards = sorted(path for path in folder.iterdir() if path.name.isdigit())
    for left in folder.glob("*.part-*"):  # of processes that were killed
        shutil.rmtree(left)
    write_json(folder / INDEX, {"format": FORMAT, "shards": len(shards), **_totals(shards)})
    return folder


def _chunks(source: Path) -> Iterator[Lines]:
    """Yield consecutive parts of the input."""
    held: Lines = []
    size = 0
    for number, line in read_lines(source):
        held.append((number, line))
        size += len(line) + 1
        if size >= CHUNK_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _in_parallel(
    chunks: Iterator[tuple[int, Lines]], workers: int, folder: Path, encoding: Encoding, source: Path
) -> Iterator[int]:
    """Yield the MiB of each shard that a process has written; at most two chunks a process are held."""
    running: set[Future[int]] = set()
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            for number, lines in chunks:
                running.add(pool.submit(_write_shard, folder, number, encoding, source, lines))
                if len(running) > 2 * workers:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            yield from (future.result() for future in wait(running).done)
        except BrokenProcessPool as error:
            raise BimedixError(
                f"{source}: a process that prepared it was ended from outside, for want of memory perhaps.\n"
                "  Start again, with a smaller [train] prepare_processes: what is done is kept."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let this process end when the one that started it is gone, be it by kill -9."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def watch(parent: Any) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, args=(parent_process(),), daemon=True).start()


def _write_shard(folder: Path, number: int, encoding: Encoding, source: Path, lines: Lines) -> int:
    """Encode lines into the shard `number`; returns the MiB of input."""
    part = folder / f"{number:05d}.part-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    with RecordWriter(part / DROPPED) as dropped:
        samples: list[Sample] = list(encoding.samples(lines, source, dropped.write))
    save_samples(part, samples)
    whole = folder / f"{number:05d}"
    try:
        part.rename(whole)
    except OSError:  # another run has made the same one meanwhile
        if not whole.is_dir():
            raise
        shutil.rmtree(part)
    return sum(len(line) + 1 for _, line in lines) >> 20


def save_samples(folder: Path, samples: list[Sample]) -> None:
    """Write tokens, marks and index of samples into a folder."""
    ids = np.concatenate([np.asarray(s.ids, dtype=np.int32) for s in samples] or [np.zeros(0, np.int32)])
    fits = not len(ids) or int(ids.max()) < 1 << 16
    _save(folder / "tokens.npy", ids.astype(np.uint16) if fits else ids)
    _save(folder / "marks.npy", np.frombuffer(b"".join(s.supervised for s in samples), dtype=np.uint8))
    index = ShardIndex(
        [s.id for s in samples],
        [len(s) for s in samples],
        [s.supervised.count(1, 1) for s in samples],
        [s.type for s in samples],
    )
    (folder / INDEX).write_bytes(msgspec.json.encode(index))


def _save(path: Path, array: Any) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _totals(shards: list[Path]) -> dict[str, Any]:
    found = [read_index(shard) for shard in shards]
    return {
        "samples": sum(len(index.ids) for index in found),
        "tokens": sum(sum(index.lengths) for index in found),
        "dropped": dict(sorted(Counter(d.reason for d in dropped_of(shards)).items())),
    }


def read_index(shard: Path) -> ShardIndex:
    """Return the index of a shard."""
    return msgspec.json.decode((shard / INDEX).read_bytes(), type=ShardIndex)


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of a prepared folder, in the order of the input."""
    return [folder / f"{number:05d}" for number in range(read_json(folder / INDEX)["shards"])]


def dropped_of(shards: Iterable[Path]) -> Iterator[Dropped]:
    """Yield what the shards left out, in the order of the input."""
    decode = msgspec.json.Decoder(Dropped).decode
    for shard in shards:
        for _, line in read_lines(shard / DROPPED):
            yield decode(line)
