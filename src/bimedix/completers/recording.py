"""Recorded answers: a completer that reads them from JSON Lines, and one that writes them.

A line is {"purpose", "record_id", "sample", "prompt", "reply"}. `prompt` is the hash of what was asked; with
it, several calls of one purpose and record stay apart, and a changed prompt is no match. Lines written by
hand may leave `prompt` and `sample` out.
"""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from bimedix.completers.base import Completer, Reply, Request
from bimedix.completers.key import call_key
from bimedix.errors import DataError
from bimedix.files import hash_file, read_records, written_whole


class Recorded(Struct, frozen=True, omit_defaults=True):
    """One line of a recording."""

    purpose: str
    record_id: str
    reply: Reply | str
    """A whole reply, or its text."""
    sample: int = 0
    prompt: str = ""
    """`prompt_hash` of the request; empty: whatever was asked."""

    @property
    def key(self) -> tuple[str, str, int, str]:
        """What tells this line from others."""
        return self.purpose, self.record_id, self.sample, self.prompt


def prompt_hash(request: Request) -> str:
    """Return 16 hex digits of what is asked, whoever is asked."""
    return hashlib.blake2b(call_key(request, "").encode(), digest_size=8).hexdigest()


class RecordingCompleter:
    """Answers from a recording; what is not in it is an error that names the key."""

    parallel = 64

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"recording:{path.name}@{hash_file(path)[:16]}"
        self._lines = read_recording(path)

    async def complete(self, request: Request) -> Reply:
        """Return the recorded reply."""
        key = (request.purpose, request.record_id, request.sample)
        found = self._lines.get((*key, prompt_hash(request))) or self._lines.get((*key, ""))
        if found is None:
            shown = f"purpose {key[0]!r}, record {key[1]!r}, sample {key[2]}, prompt {prompt_hash(request)}"
            return Reply(
                "", model=self.name, finish="error", error=f"{self.path.name} holds no answer to {shown}"
            )
        reply = found.reply if isinstance(found.reply, Reply) else Reply(found.reply)
        return structs.replace(reply, model=reply.model or self.name, key="", cached=False, cost_usd=0.0)

    async def close(self) -> None:
        """Nothing to let go of."""


def read_recording(path: Path) -> dict[tuple[str, str, int, str], Recorded]:
    """Return the lines of a recording by key.

    Raises:
        DataError: two lines answer the same call with different words.
    """
    lines: dict[tuple[str, str, int, str], Recorded] = {}
    for line in read_records(path, Recorded):
        if lines.setdefault(line.key, line) != line:
            raise DataError(
                f"{path}: two answers for purpose {line.purpose!r}, record {line.record_id!r}, "
                f"sample {line.sample}, prompt {line.prompt or 'any'}.\n"
                "  Give them different samples, or the hash of their prompts."
            )
    return lines


class Recorder:
    """Wraps a completer; `run_talks` hands it every reply, and `close` writes them, sorted by key.

    It is no endpoint of its own: name, keys and ledger are those of the completer inside. Lines that
    the file held before are kept.
    """

    def __init__(self, inner: Completer, path: Path) -> None:
        self.inner, self.path = inner, path
        self.name, self.parallel = inner.name, inner.parallel
        self._lines = read_recording(path) if path.exists() else {}
        self._changed = False

    def note(self, request: Request, reply: Reply) -> None:
        """Take a reply into the recording; failures are left out."""
        if reply.finish == "error":
            return
        plain = structs.replace(reply, key="", cached=False, cost_usd=0.0)
        line = Recorded(request.purpose, request.record_id, plain, request.sample, prompt_hash(request))
        self._changed |= self._lines.get(line.key) != line
        self._lines[line.key] = line

    async def complete(self, request: Request) -> Reply:
        """Ask the completer inside and take its reply into the recording."""
        reply = await self.inner.complete(request)
        self.note(request, reply)
        return reply

    async def close(self) -> None:
        """Write the recording and close the completer inside."""
        await self.inner.close()
        if not self._changed:
            return
        if self.path.exists():  # another recorder of the same run may have written
            self._lines = read_recording(self.path) | self._lines
        with written_whole(self.path) as part, part.open("wb") as out:
            for _, line in sorted(self._lines.items()):
                out.write(msgspec.json.encode(line) + b"\n")
        self._changed = False
