"""A kernel in C for decoding on the CPU, made once by the compiler that is there; without one torch does it.

A token reads every weight of its experts once, so that decoding takes as long as reading does. NF4 is an
eighth of float32, but unpacking it by torch's table look-ups costs more than that saves; `nf4_vector.c` looks
up sixteen weights an instruction while it multiplies (docs/decisions/0028-nf4-vector.md).

`BIMEDIX_NATIVE=0` in the environment leaves it out.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bimedix.model.nf4 import LEVELS, pack, unpack

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC", "-std=c99")
COMPILE_S = 60.0
"""Seconds after which the compiler is given up."""
LEAST_ROWS = 256
"""Rows that a thread has to have, or it costs more than it brings."""
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def nf4_kernel() -> Kernel | None:
    """Return y = kernel(packed [O, I / 2], scales [O, I / 64], x [I]), float32; None where torch has to."""
    return None if os.environ.get("BIMEDIX_NATIVE") == "0" else _kernel()


@cache
def _kernel() -> Kernel | None:
    """Make the library or take it from the cache; it is used only when it gives torch's numbers."""
    source = files("bimedix.model") / "nf4_vector.c"
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    folder = _folder()
    if compiler is None or folder is None:
        return None
    code = source.read_bytes()
    mark = hashlib.blake2b(code + _processor() + compiler.encode(), digest_size=8).hexdigest()
    library = folder / f"nf4_vector-{mark}.so"
    try:
        if not library.exists():
            _compile(compiler, code, library)
        loaded = ctypes.CDLL(str(library))
    except (OSError, subprocess.SubprocessError):
        return None
    kernel = _bind(loaded)
    return kernel if loaded.nf4_vector_width() and _agrees(kernel) else None


def _folder() -> Path | None:
    """Return our folder in the user's cache, or None when others could write there."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "bimedix"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return None
    mine = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
    return folder if mine else None


def _processor() -> bytes:
    """Return what tells processors apart: a home folder may serve several machines."""
    info = Path("/proc/cpuinfo")
    rows = info.read_bytes().splitlines() if info.exists() else []
    wanted = (b"model name", b"flags", b"Features")
    return b"\n".join(dict.fromkeys(row for row in rows if row.startswith(wanted)))


def _compile(compiler: str, code: bytes, library: Path) -> None:
    """Compile into a file of another name, which takes its own when it is whole."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        source, made = Path(folder) / "nf4_vector.c", Path(folder) / "made.so"
        source.write_bytes(code)
        words = [compiler, *FLAGS, "-o", str(made), str(source)]
        subprocess.run(words, check=True, capture_output=True, timeout=COMPILE_S)
        made.replace(library)


def _bind(library: Any) -> Kernel:
    """Wrap the library's function; rows are shared out among as many threads as torch uses."""
    run = library.nf4_vector
    run.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int] + [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2
    levels = torch.tensor(LEVELS)
    pool = ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1), thread_name_prefix="nf4")

    def kernel(packed: Tensor, scales: Tensor, x: Tensor) -> Tensor:
        rows, inputs = len(packed), 2 * packed.shape[1]
        y = torch.empty(rows)
        if scales.dtype not in (torch.float32, torch.bfloat16):
            scales = scales.float()
        packed, scales, x = packed.contiguous(), scales.contiguous(), x.contiguous()
        half = scales.dtype == torch.bfloat16

        def part(start: int, stop: int) -> None:
            failed = run(
                packed.data_ptr() + start * inputs // 2,
                scales.data_ptr() + start * (inputs // 64) * scales.itemsize,
                half, levels.data_ptr(), x.data_ptr(), y.data_ptr() + 4 * start, stop - start, inputs,
            )  # fmt: skip
            if failed:
                raise MemoryError

        threads = min(torch.get_num_threads(), rows // LEAST_ROWS)
        if threads <= 1:
            part(0, rows)
            return y
        cuts = [rows * at // threads for at in range(threads + 1)]
        others = [pool.submit(part, *cuts[at : at + 2]) for at in range(1, threads)]
        part(*cuts[:2])
        for other in others:
            other.result()
        return y

    return kernel


def _agrees(kernel: Kernel) -> bool:
    """Compare with torch's own unpacking on a small case, in both formats of scales."""
    source = torch.Generator().manual_seed(3)
    packed, scales = pack(torch.randn(40, 192, generator=source))
    x = torch.randn(192, generator=source)
    for own in (scales, scales.to(torch.bfloat16)):
        wanted = unpack(packed, own, torch.float32) @ x
        if not float((kernel(packed, own, x) - wanted).norm()) <= 1e-5 * float(wanted.norm()):
            return False
    return True
