"""Is there room? Memory and disk are looked at before hours of work, not after."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from bimedix.errors import BimedixError

_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Limit and use of a container's memory, in the two forms that Linux has."""


def free_memory(device: str = "cpu") -> int | None:
    """Return bytes that a process may still take, None where the system does not say.

    On the CPU what the kernel counts as available, or what a container has left, whichever is less.
    """
    if torch.device(device).type == "cuda":
        cuda: Any = torch.cuda
        return int(cuda.mem_get_info(device)[0])
    found = [_available(), *(_left(Path(limit), Path(used)) for limit, used in _LIMITS)]
    return min((count for count in found if count is not None), default=None)


def _available() -> int | None:
    info = Path("/proc/meminfo")
    if info.exists():
        rows = dict(row.split(":", 1) for row in info.read_text().splitlines() if ":" in row)
        return int(rows["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in rows else None
    names = getattr(os, "sysconf_names", {})
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in names else None


def _left(limit: Path, used: Path) -> int | None:
    try:
        return max(int(limit.read_text()) - int(used.read_text()), 0)
    except (OSError, ValueError):
        return None


def require_memory(needed: int, what: str, mend: str, device: str = "cpu") -> None:
    """Raise when `needed` bytes are not free.

    Raises:
        BimedixError: says how much is needed and free, and what to do.
    """
    free = free_memory(device)
    if free is not None and needed > free:
        raise BimedixError(
            f"{what} needs {gib(needed)} of memory on {device}; {gib(free)} are free.\n  {mend}"
        )


def require_disk(folder: Path, needed: int, what: str) -> None:
    """Raise when the file system of a folder, which need not exist yet, has less than `needed` bytes free.

    Raises:
        BimedixError: says how much is needed and free.
    """
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise BimedixError(
            f"{what} needs {gib(needed)} on the disk of {place}; {gib(free)} are free.\n"
            "  Free some space, or name a folder on another disk."
        )


def gib(count: int) -> str:
    """Return bytes for people."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**28 else f"{count / 2**20:,.1f} MiB"
