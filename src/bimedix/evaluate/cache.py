"""Predictions by content: what was computed for these weights and these tokens is not computed again.

One SQLite file beside the output; a batch is one transaction, so a run that was killed finds whole batches.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from bimedix.files import hash_file

WHOLE_FILE_BYTES = 64 * 1024 * 1024
_encode = msgspec.json.Encoder(order="sorted").encode


class Cache:
    """Values by key; keys are hashes of all that a value depends on."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS predictions (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
        self._db.commit()

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        row = self._db.execute("SELECT value FROM predictions WHERE key = ?", (key,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def put(self, values: Mapping[str, Any]) -> None:
        """Keep values, all of them or none."""
        rows = [(key, _encode(value)) for key, value in values.items()]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO predictions VALUES (?, ?)", rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()


def key_of(*parts: Any) -> str:
    """Return 32 hex digits over the canonical JSON of all parts."""
    return hashlib.blake2b(_encode(parts), digest_size=16).hexdigest()


def fingerprint(folders: Iterable[Path]) -> str:
    """Return a hash of the model's files: names, sizes and bytes of config, tokenizer, weights and adapter.

    Of weight files above 64 MiB the first MiB (with the table of tensors), the last MiB and the size are
    hashed, so that 93 GB do not have to be read twice.
    """
    seen = []
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in _KINDS):
            size = path.stat().st_size
            digest = hash_file(path) if size <= WHOLE_FILE_BYTES else _hash_ends(path, size)
            seen.append([str(path.relative_to(folder)), size, digest])
    return key_of(seen)


_KINDS = {".json", ".safetensors", ".model", ".txt", ".jinja"}


def _hash_ends(path: Path, size: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.blake2b(file.read(1 << 20), digest_size=16)
        file.seek(size - (1 << 20))
        digest.update(file.read())
    return digest.hexdigest()
