"""One writer per ledger: a lock file that names its holder."""

import fcntl
import os
import socket
import threading
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from bimedix.errors import BimedixError

BEAT_S = 10.0
"""A holder touches its lock file this often."""
SILENT_S = 60.0
"""A holder on another machine that has not touched it for so long is taken for dead."""


class LedgerBusyError(BimedixError):
    """Another process writes to this ledger. Exit code 1."""


class Holder(Struct, frozen=True):
    """Who holds a lock."""

    pid: int
    host: str
    what: str
    since: str


class LedgerLock:
    """Holds `PATH.lock` until released; the system lets go of it when the process dies.

    `flock` settles it on one machine. A holder on another machine (a shared disk) is told by name and
    heartbeat, because not every network file system passes `flock` on.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path.with_name(path.name + ".lock")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(what)
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, what: str) -> None:
        silent_s = time.time() - os.fstat(self._file).st_mtime
        holder = _read_holder(os.read(self._file, 4096))
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _busy(self.path, holder) from error
        if holder and holder.host != socket.gethostname() and silent_s < SILENT_S:
            raise _busy(self.path, holder)
        own = Holder(os.getpid(), socket.gethostname(), what, time.strftime("%Y-%m-%d %H:%M:%S"))
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(own), 0)
        self._released = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="ledger-lock", daemon=True)
        self._pulse.start()

    def _beat(self) -> None:
        while not self._released.wait(BEAT_S):
            os.utime(self._file)

    def release(self) -> None:
        """Let go."""
        self._released.set()
        self._pulse.join()
        os.ftruncate(self._file, 0)
        os.close(self._file)


def _read_holder(text: bytes) -> Holder | None:
    try:
        return msgspec.json.decode(text, type=Holder)
    except msgspec.DecodeError:
        return None


def _busy(path: Path, holder: Holder | None) -> LedgerBusyError:
    who = (
        f"process {holder.pid} on {holder.host} ({holder.what}, since {holder.since})"
        if holder
        else "another process"
    )
    return LedgerBusyError(
        f"{path.with_suffix('')}: {who} is writing to this call ledger.\n"
        "  Two runs at once would pay twice. Wait for it, stop it, or give this run another folder."
        + (
            f"\n  A run on another machine counts as dead after {SILENT_S:.0f} s of silence."
            if holder and holder.host != socket.gethostname()
            else ""
        )
    )
