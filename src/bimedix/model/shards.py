"""Safetensors files one tensor at a time, both ways: memory does not grow with the checkpoint.

The format (github.com/huggingface/safetensors): eight bytes with the length of a JSON header, the header with
dtype, shape and place of every tensor, then the tensors' bytes. Bytes are read into memory of their own, not
mapped, so that what a process holds is what it uses.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor

from bimedix.errors import DataError, MissingError
from bimedix.files import read_json

INDEX = "model.safetensors.index.json"
HEADER_BYTES = 100_000_000
"""Longest header that is read, as in the library."""
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Stored(NamedTuple):
    """Where a tensor lies."""

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: Path) -> dict[str, Stored]:
    """Return the tensors of a file by name, in their order in the file.

    Raises:
        DataError: it is cut off, not of this format, or its places do not fit its sizes.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER_BYTES, size - 8):
            raise DataError(f"{file}: not a safetensors file, or cut off ({size:,} bytes).")
        try:
            header = msgspec.json.decode(opened.read(length), type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise DataError(f"{file}: its header is not JSON: {error}.") from error
    header.pop("__metadata__", None)
    found = {name: _stored(file, name, told, 8 + length) for name, told in header.items()}
    ordered = dict(sorted(found.items(), key=lambda item: item[1].start))
    for name, place in ordered.items():
        if place.start + place.bytes > size:
            raise DataError(f"{file}: cut off inside {name}.\n  Fetch the file again.")
    return ordered


def _stored(file: Path, name: str, told: Any, data: int) -> Stored:
    """Return one entry of a header; `data` is where the tensors begin."""
    try:
        start, end = told["data_offsets"]
        place = Stored(file, DTYPES[told["dtype"]], tuple(int(n) for n in told["shape"]), data + int(start))
        fits = start >= 0 and min(place.shape, default=0) >= 0 and end - start == place.bytes
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: the header's entry for {name} is {str(told)[:120]}.") from error
    if not fits:
        raise DataError(f"{file}: {name} has {end - start:,} bytes and the shape {list(place.shape)}.")
    return place


def shard_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint: those of its index, or all.

    Raises:
        MissingError: the index names a file that is not there, or there is none at all.
    """
    if not (folder / INDEX).exists():
        whole = folder / "model.safetensors"
        files = [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
    else:
        names = set(read_json(folder / INDEX)["weight_map"].values())
        files = sorted(folder / Path(name).name for name in names)
    missing = [file.name for file in files if not file.exists()]
    if missing or not files:
        raise MissingError(
            f"{folder}: {', '.join(missing) or '*.safetensors'} is not there.\n  Fetch the checkpoint again."
        )
    return files


class Checkpoint(Mapping[str, Stored]):
    """The tensors of some files by name; `read` brings one into memory."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self._places: dict[str, Stored] = {}
        for file in files:
            self._places |= read_header(file)

    def __getitem__(self, name: str) -> Stored:
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def place(self, name: str) -> Stored:
        """Return where a tensor lies.

        Raises:
            MissingError: there is no such tensor.
        """
        if name not in self._places:
            where = self.files[0].parent if self.files else "the checkpoint"
            raise MissingError(
                f"{where}: holds no tensor {name}.\n"
                "  Names have to be those of the hub's checkpoints, an expert's matrices one by one."
            )
        return self._places[name]

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Return a tensor, or some rows of it, in memory of its own.

        Raises:
            MissingError: there is no such tensor.
        """
        place = self.place(name)
        shape, start = place.shape, place.start
        if rows is not None:
            first, last, _ = rows.indices(shape[0])
            start += first * (place.bytes // max(shape[0], 1))
            shape = (max(last - first, 0), *shape[1:])
        tensor = torch.empty(shape, dtype=place.dtype)
        if tensor.numel():
            with place.file.open("rb", buffering=0) as opened:
                opened.seek(start)
                _fill(opened, _bytes_of(tensor), place.file)
        return tensor

    @property
    def bytes(self) -> int:
        """Size of all tensors."""
        return sum(place.bytes for place in self._places.values())


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return a tensor's memory; writing to it writes the tensor."""
    flat: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(flat)


def _fill(opened: Any, buffer: memoryview, file: Path) -> None:
    done = 0
    while done < len(buffer):
        count = opened.readinto(buffer[done:])
        if not count:
            raise DataError(f"{file}: ended early; it was changed while being read.")
        done += count


def write_shard(
    file: Path, places: Mapping[str, tuple[torch.dtype, Sequence[int]]], tensors: Iterable[Tensor]
) -> None:
    """Write a safetensors file; tensors are taken one by one, in the order of `places`.

    Raises:
        DataError: a tensor is not what was announced.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, shape) in places.items():
        end = at + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    told = msgspec.json.encode(header)
    told += b" " * (-len(told) % 8)
    with file.open("wb") as out:
        out.write(len(told).to_bytes(8, "little") + told)
        for (name, (dtype, shape)), tensor in zip(places.items(), tensors, strict=True):
            if tensor.dtype != dtype or list(tensor.shape) != list(shape):
                raise DataError(f"{file}: {name} came as {tensor.dtype} {list(tensor.shape)}.")
            if tensor.numel():
                out.write(_bytes_of(tensor.detach().cpu().contiguous()))
        out.flush()
        os.fsync(out.fileno())
