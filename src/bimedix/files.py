"""Files: reading lines with their place, writing that appears only when whole, hashes.

Every reader names `file:line` when something is wrong; every writer works on `NAME.part` and renames
it when the last byte is on the disk, so a file that exists is complete.
"""

import hashlib
import io
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

import msgspec
from msgspec import Struct

from bimedix.errors import DataError, MissingError, did_you_mean
from bimedix.records import Dropped, Record, encode

R = TypeVar("R", bound=Struct)
_LFS_HEAD = b"version https://git-lfs.github.com/spec/"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
MAX_LINE_BYTES = 256 * 1024 * 1024


def require_file(path: Path) -> Path:
    """Return `path` when it is a readable data file.

    Raises:
        MissingError: it does not exist, or is a Git LFS pointer in place of the data.
        DataError: it is a folder.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; a file is needed here.")
    if not path.exists():
        raise MissingError(f"{path}: no such file.\n  {_neighbours(path)}")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(_LFS_HEAD):
        raise MissingError(
            f"{path}:1: a Git LFS pointer, not the data.\n"
            "  Run `git lfs pull` in its repository (or download the file), then start again."
        )
    return path


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return "Its folder does not exist either."
    names = sorted(p.name for p in path.parent.glob("*"))
    hint = did_you_mean(path.name, names)
    return f"The folder holds: {', '.join(names[:8]) or 'nothing'}.{hint}"


def open_bytes(path: Path) -> IO[bytes]:
    """Open a plain or zstd-compressed file for reading."""
    require_file(path)
    raw = path.open("rb")
    if raw.peek(4)[:4] != _ZSTD_MAGIC:
        return raw
    return cast(IO[bytes], io.BufferedReader(_ZstdFile(path, raw), 1 << 20))


class _ZstdFile(io.RawIOBase):
    """A zstd file for reading, of one frame or several; a damaged or cut one is an error, never less text."""

    def __init__(self, path: Path, raw: IO[bytes]) -> None:
        import zstandard

        self._path, self._raw, self._error = path, raw, zstandard.ZstdError
        self._frame = zstandard.ZstdDecompressor().decompressobj
        self._open = self._frame()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            packed = self._open.unused_data if self._open.eof else b""
            packed = packed or self._raw.read(1 << 17)
            if not packed:
                break
            if self._open.eof:
                self._open = self._frame()
            try:
                self._ready = self._open.decompress(packed)
            except self._error as error:
                raise DataError(f"{self._path}: damaged zstd: {error}.\n{_AGAIN}") from error
        if not self._ready and not self._open.eof:
            raise DataError(f"{self._path}: the zstd file is cut off before its end.\n{_AGAIN}")
        given, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)

    def close(self) -> None:
        self._raw.close()
        super().close()


_AGAIN = "  Copy or download the file again."
MEND_LINE = "  Mend this line or take it out, or copy the file again if it was cut off."
"""The next step after a line that is not JSON."""


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        DataError: the bytes are not text in this encoding; names the line and the byte.
    """
    with open_bytes(path) as file:
        raw = file.read()
    if encoding.replace("-", "").lower() == "utf8" and raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: byte 0x{raw[error.start]:02x} is not {encoding}.\n"
            '  Chinese files are often GB18030: give the source `encoding = "gb18030"`.'
        ) from error


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its break) for every line that is not blank.

    Lines end at \\n only: U+2028 and U+0085 inside JSON strings are text.
    """
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if len(line) == MAX_LINE_BYTES:
                raise DataError(f"{path}:{number}: line longer than {MAX_LINE_BYTES >> 20} MiB.")
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            line = line.strip(b"\r\n")
            if line.strip():
                yield number, line


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSON Lines file.

    Raises:
        DataError: a line is not JSON, or not an object.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, line in read_lines(path):
        try:
            yield number, decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}:{number}: not a JSON object: {error}.\n  Seen: {_shown(line)}\n{MEND_LINE}"
            ) from error


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of one kind, or of a union of kinds, from JSON Lines (plain or zstd).

    Raises:
        DataError: a line is not such a record; names file:line, the field and what was seen.
    """
    decode = msgspec.json.Decoder(kind).decode
    for number, line in read_lines(path):
        try:
            yield decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
            name = f"{kind.__name__} record" if isinstance(kind, type) else "record"
            what = f"{path}:{number}: not a {name}: {error}.\n  Seen: {_shown(line)}"
            raise DataError(f"{what}\n{_mend_of(line, number)}") from error


def _mend_of(line: bytes, number: int) -> str:
    """Return the next step after a line that is no record."""
    if number == 1 and line.startswith(b"PAR1"):
        return "  This is a Parquet file: read it with the source `records` of a recipe."
    if number == 1 and not line.lstrip().startswith(b"{"):
        return "  Records are JSON Lines, one object a line; `bimedix sources` makes them of other files."
    return MEND_LINE


def read_any_records(path: Path) -> Iterator[Record]:
    """Yield records of whatever kinds the file holds."""
    return read_records(path, cast(type[Any], Record))


def _shown(line: bytes) -> str:
    text = line[:160].decode("utf-8", "replace")
    return text + ("…" if len(line) > 160 else "")


@dataclass
class Tally:
    """What a writer wrote."""

    path: Path
    written: int = 0


class RecordWriter:
    """Writes records as JSON Lines (zstd when the name ends in .zst); the file appears when whole.

    Use as a context manager; on an exception the part file is removed.
    """

    def __init__(self, path: Path) -> None:
        self.tally = Tally(path)
        self._part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._raw = self._part.open("wb")
        self._out: Any = self._raw
        if path.suffix == ".zst":
            import zstandard

            self._out = zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(
                self._raw, closefd=False
            )
        self._buffer: list[bytes] = []

    def write(self, record: Struct) -> None:
        """Add one record."""
        self._buffer.append(encode(record))
        self.tally.written += 1
        if len(self._buffer) >= 512:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._out.write(b"\n".join(self._buffer) + b"\n")
            self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._raw.close()
            self._part.unlink(missing_ok=True)
            return
        self._flush()
        if self._out is not self._raw:
            self._out.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        self._part.replace(self.tally.path)


def write_records(path: Path, records: Iterable[Struct]) -> Tally:
    """Write all records to `path`; the file appears when the last one is on the disk."""
    with RecordWriter(path) as out:
        for record in records:
            out.write(record)
    return out.tally


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a part path to write to, and rename it to `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file with LF line ends; it appears when whole."""
    with written_whole(path) as part:
        part.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON with sorted keys."""
    write_text(
        path, msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode() + "\n"
    )


def read_json(path: Path) -> Any:
    """Return the value of a JSON file."""
    try:
        return msgspec.json.decode(read_text(path).encode())
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: not JSON: {error}.") from error


def hash_file(path: Path) -> str:
    """Return 32 hex digits: blake2b-128 of the bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_parquet(path: Path, records: Iterable[Struct], batch_rows: int = 10_000) -> Tally:
    """Write records of one kind as a Parquet file that `datasets` reads; nested fields keep their names.

    The schema comes from the type of the first record, so every batch fits; tables by name become lists of
    key and value.

    Raises:
        DataError: there is no record, or records of several kinds.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind: type[Struct] | None = None
    writer: Any = None
    tally = Tally(path)
    with written_whole(path) as part:
        for batch in _batches(records, batch_rows):
            if kind is None:
                kind = type(batch[0])
                schema = pa.schema(list(_arrow_type(kind, pa)))
                writer = pq.ParquetWriter(part, schema, compression="zstd")
            if other := next((r for r in batch if type(r) is not kind), None):
                raise DataError(
                    f"{path}: a Parquet file holds records of one kind; after {kind.__name__} comes "
                    f"{type(other).__name__} ({getattr(other, 'id', '')}).\n"
                    "  Export one kind, or write JSON Lines."
                )
            writer.write_table(pa.Table.from_pylist([_arrow_row(record) for record in batch], schema=schema))
            tally.written += len(batch)
        if writer is None:
            raise DataError(f"{path}: there is no record to write, so no schema either.")
        writer.close()
    return tally


def _batches(records: Iterable[R], size: int) -> Iterator[list[R]]:
    rest = iter(records)
    while batch := list(islice(rest, size)):
        yield batch


def _arrow_type(kind: Any, pa: Any) -> Any:
    """Return the Arrow type of a field's type; a union of structs has the fields of all of them."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        kinds = [a for a in arguments if a is not type(None)]
        merged = {f.name: f for k in kinds for f in _arrow_type(k, pa)} if len(kinds) > 1 else {}
        return pa.struct(list(merged.values())) if merged else _arrow_type(kinds[0], pa)
    if origin is tuple:
        return pa.list_(_arrow_type(arguments[0], pa)) if arguments[-1] is ... else pa.list_(pa.int64())
    if origin is dict:
        return pa.list_(pa.struct([("key", pa.string()), ("value", _arrow_type(arguments[1], pa))]))
    if isinstance(kind, type) and issubclass(kind, Struct):
        tag = kind.__struct_config__.tag_field
        hints = typing.get_type_hints(kind)
        fields = [(name, _arrow_type(hints[name], pa)) for name in kind.__struct_fields__]
        return pa.struct([*([(tag, pa.string())] if tag else []), *fields])
    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}.get(kind, pa.string())


def _arrow_row(value: Any) -> Any:
    if isinstance(value, Struct):
        config = value.__struct_config__
        row = {name: _arrow_row(getattr(value, name)) for name in value.__struct_fields__}
        return ({config.tag_field: config.tag} if config.tag_field else {}) | row
    if isinstance(value, dict):
        return [{"key": key, "value": _arrow_row(inner)} for key, inner in value.items()]
    if isinstance(value, (tuple, list)):
        return [_arrow_row(inner) for inner in value]
    return value


Dropper = Callable[[Dropped], None]
"""Takes what a room leaves out."""
