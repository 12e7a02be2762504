"""The two shapes of batch API: files of lines (OpenAI's and compatible), and requests inline (Anthropic's).

Sources: OpenAI's batch guide (50,000 requests and 200 MB a batch, metadata on it, an output and an error
file); Anthropic's Message Batches reference (100,000 requests and 256 MB, no metadata, one file of results,
custom ids of 1 to 64 letters, digits, - and _); data.md, section 1.5.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from random import Random
from typing import Any

import aiohttp
import msgspec

from bimedix.completers.base import Request
from bimedix.completers.endpoint import AccessError, EndpointError, RawAnswer
from bimedix.completers.http import HttpEndpoint
from bimedix.completers.ledger import Submission
from bimedix.completers.waiting import backoff_s, retry_after_s
from bimedix.records import content_hash

POLL_S = 30.0
"""Seconds between two looks at a batch."""
GONE = 404
CLOCKS_APART_S = 86_400.0
"""So far the provider's clock and ours may differ when a batch of ours is looked for."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
Json = dict[str, Any]


class BatchApi(ABC):
    """Creates, lists and reads batches over the connections of an endpoint."""

    most_calls: int
    most_bytes: int

    def __init__(self, endpoint: HttpEndpoint, *, poll_s: float) -> None:
        self.endpoint, self.poll_s = endpoint, poll_s
        self.tag = content_hash(endpoint.name)[:16]
        self._draw = Random()

    @abstractmethod
    def line(self, key: str, request: Request) -> bytes:
        """Return one call as it stands in a batch, with the line end or comma behind it."""
        ...

    @abstractmethod
    async def create(self, part: str, lines: list[bytes]) -> tuple[int, Json]:
        """Make a batch once; returns status and answer."""
        ...

    @abstractmethod
    async def find(self, wanted: Submission, known: frozenset[str]) -> str:
        """Return the id of a batch that may have been made though we never heard so; empty: it was not.

        `known`: ids of batches that belong to other submissions.
        """
        ...

    @abstractmethod
    async def unknown(self, parts: frozenset[str], since: float) -> list[Submission]:
        """Return batches of this completer that the ledger has never heard of, newest first."""
        ...

    @abstractmethod
    async def state(self, id: str) -> Json | None:
        """Return the state of a batch once it has ended; None while it goes on."""
        ...

    async def end(self, id: str) -> Json:
        """Wait until a batch has ended, and return its state."""
        while (state := await self.state(id)) is None:
            await asyncio.sleep(self.poll_s)
        return state

    @abstractmethod
    async def answers(self, id: str, state: Json) -> list[tuple[str | None, RawAnswer, bytes]]:
        """Return (custom id, answer, line) of every line that came back, whatever file it stands in."""
        ...

    # --- plumbing

    async def create_once(
        self, lines: list[bytes], wanted: Submission, known: Callable[[], frozenset[str]]
    ) -> str:
        """Make a batch; when the answer is lost, look for it in the provider's list before trying again."""
        for failures in range(1, self.endpoint.tries + 1):
            status, answer = await self.create(wanted.part, lines)
            if status == 200:
                return str(answer["id"])
            self.raise_if_final(status, answer)
            await self._pause(failures, answer)
            if found := await self.find(wanted, known()):
                return found
        raise EndpointError(f"{self.endpoint.name}: a batch could not be created: {_told(answer)}")

    async def ask(self, method: str, path: str, *, missing_is_none: bool = False, **more: Any) -> Json | None:
        """Make a request of the batch API, several times if need be."""
        for failures in range(1, self.endpoint.tries + 1):
            status, answer = await self.once(method, path, **more)
            if status == 200:
                return answer
            if status == GONE and missing_is_none:
                return None
            self.raise_if_final(status, answer)
            await self._pause(failures, answer)
        raise EndpointError(
            f"{self.endpoint.name}: {method} {path} failed {self.endpoint.tries} times: {_told(answer)}\n"
            "  The batches at the provider go on; start the same command again."
        )

    async def once(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        form: tuple[str, bytes] | None = None,
        lines: bool = False,
    ) -> tuple[int, Json]:
        """Return status and JSON object, or {"lines": ...}; (0, why) when the transport broke."""
        data: Any = body
        if form:
            data = aiohttp.FormData({"purpose": "batch"})
            data.add_field("file", form[1], filename=form[0], content_type="application/jsonl")
        try:
            async with self.endpoint.open(
                method, self.endpoint.root + path, data, as_json=form is None
            ) as response:
                raw = await response.read()
                if lines and response.status == 200:
                    return 200, {"lines": _split(raw)}
                answer = _decode(raw) if response.status == 200 else _words(raw)
                answer = answer if isinstance(answer, dict) else {"seen": answer}
                return response.status, answer | {"retry_after": response.headers.get("Retry-After", "")}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return 0, {"error": self.endpoint.shown(error)}

    def raise_if_final(self, status: int, answer: Json) -> None:
        """Stop where asking again is no use."""
        if 400 <= status < 500 and status not in {408, 409, 425, 429}:
            raise AccessError(f"{self.endpoint.name}: the batch API answers {status}: {_told(answer)}")

    async def _pause(self, failures: int, answer: Json) -> None:
        asked_s = retry_after_s(str(answer.get("retry_after", "")))
        wait_s = asked_s or backoff_s(self.endpoint.backoff_s, failures, self._draw)
        if wait_s > self.endpoint.max_wait_s:
            raise EndpointError(
                f"{self.endpoint.name}: the batch API asks to wait {wait_s:,.0f} s; max_wait_s is "
                f"{self.endpoint.max_wait_s:,.0f}.\n  Start the same command again later."
            )
        await asyncio.sleep(wait_s)

    async def pages(self, path: str, next_page: Callable[[Json], str]) -> AsyncIterator[Json]:
        """Yield the batches of the provider's list, newest first."""
        after = ""
        while True:
            page = await self.ask("GET", f"{path}?limit=100{after}") or {}
            data = page.get("data") or []
            for batch in data:
                yield batch
            if not page.get("has_more") or not data:
                return
            after = next_page(page)


class OpenAiBatches(BatchApi):
    """`/files` and `/batches`; our name for a batch travels in its metadata."""

    most_calls = 50_000
    most_bytes = 200_000_000
    ended = frozenset({"completed", "expired", "cancelled", "failed"})

    def line(self, key: str, request: Request) -> bytes:
        """Return a line of the file that is uploaded."""
        call = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions"}
        return _encode(call | {"body": self.endpoint.body(request)}) + b"\n"

    async def create(self, part: str, lines: list[bytes]) -> tuple[int, Json]:
        """Upload the lines and make a batch of them."""
        uploaded = await self.ask("POST", "/files", form=("batch.jsonl", b"".join(lines)))
        assert uploaded is not None
        wanted = {
            "input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "metadata": {"bimedix": self.tag, "part": part},
        }  # fmt: skip
        return await self.once("POST", "/batches", body=_encode(wanted))

    async def find(self, wanted: Submission, known: frozenset[str]) -> str:
        """Look for our name in the metadata of the provider's batches."""
        async for batch in self._listed(wanted.planned - CLOCKS_APART_S):
            if (batch.get("metadata") or {}).get("part") == wanted.part:
                return str(batch["id"])
        return ""

    async def unknown(self, parts: frozenset[str], since: float) -> list[Submission]:
        """Read the input files of batches with this completer's mark that are not in the ledger."""
        found = []
        async for batch in self._listed(since):
            told = batch.get("metadata") or {}
            if told.get("bimedix") != self.tag or told.get("part") in parts:
                continue
            lines = await self._lines(str(batch["input_file_id"]))
            keys = frozenset(str(line.get("custom_id")) for line, _ in lines)
            found.append(Submission(str(told.get("part")), str(batch["id"]), keys, _created(batch)))
        return found

    async def state(self, id: str) -> Json | None:
        """Return the batch once its status is final; one that is gone has ended without answers."""
        batch = await self.ask("GET", f"/batches/{id}", missing_is_none=True)
        if batch is None:
            return {"status": "gone"}
        return batch if batch.get("status") in self.ended else None

    async def answers(self, id: str, state: Json) -> list[tuple[str | None, RawAnswer, bytes]]:
        """Read the output and the error file; either may be missing."""
        found = []
        for name in ("output_file_id", "error_file_id"):
            if state.get(name):
                for line, raw in await self._lines(str(state[name])):
                    found.append((_custom_id(line), self._read(line), raw))
        return found

    @staticmethod
    def _read(line: Json) -> RawAnswer:
        response = line.get("response")
        if isinstance(response, dict) and isinstance(response.get("body"), dict):
            status = response.get("status_code")
            request_id = str(response.get("request_id") or "")
            return RawAnswer(
                status if isinstance(status, int) else 200, _encode(response["body"]), request_id=request_id
            )
        return RawAnswer(0, error=f"batch line failed: {str(line.get('error'))[:200]}", sent=False)

    async def _lines(self, file_id: str) -> list[tuple[Json, bytes]]:
        told = await self.ask("GET", f"/files/{file_id}/content", lines=True, missing_is_none=True)
        return [] if told is None else told["lines"]

    async def _listed(self, since: float) -> AsyncIterator[Json]:
        async for batch in self.pages("/batches", lambda page: f"&after={page['data'][-1]['id']}"):
            if _created(batch) >= since:
                yield batch


class AnthropicBatches(BatchApi):
    """`/messages/batches`: the calls travel inside the create, and nothing of ours stands on the batch.

    So a batch whose create was never answered is known by what is in it: one of as many calls, made since,
    and no other submission's, is waited for, and is ours when its results carry our custom ids.
    """

    most_calls = 100_000
    most_bytes = 256_000_000

    def line(self, key: str, request: Request) -> bytes:
        """Return an entry of `requests`."""
        return _encode({"custom_id": key, "params": self.endpoint.body(request)}) + b","

    async def create(self, part: str, lines: list[bytes]) -> tuple[int, Json]:
        """Make a batch of the lines."""
        body = b'{"requests":[' + b"".join(lines).rstrip(b",") + b"]}"
        return await self.once("POST", "/messages/batches", body=body)

    async def find(self, wanted: Submission, known: frozenset[str]) -> str:
        """Compare the custom ids of batches of the same size; waits for those that have not ended."""
        async for batch in self._listed(wanted.planned - CLOCKS_APART_S):
            counts = batch.get("request_counts") or {}
            size = sum(count for count in counts.values() if isinstance(count, int))
            if batch["id"] in known or size != len(wanted.keys):
                continue
            found = await self.answers(str(batch["id"]), await self.end(str(batch["id"])))
            if any(key in wanted.keys for key, _, _ in found):
                return str(batch["id"])
        return ""

    async def unknown(self, parts: frozenset[str], since: float) -> list[Submission]:
        """Return nothing: without the ledger, no batch can be told from those of others."""
        await self.ask("GET", "/messages/batches?limit=1")
        return []

    async def state(self, id: str) -> Json | None:
        """Return the batch once processing has ended; one that is gone has ended without answers."""
        batch = await self.ask("GET", f"/messages/batches/{id}", missing_is_none=True)
        if batch is None:
            return {"status": "gone"}
        return {**batch, "status": "ended"} if batch.get("processing_status") == "ended" else None

    async def answers(self, id: str, state: Json) -> list[tuple[str | None, RawAnswer, bytes]]:
        """Read the results: succeeded, errored, canceled and expired alike."""
        path = f"/messages/batches/{id}/results"
        told = await self.ask("GET", path, lines=True, missing_is_none=True)
        lines = [] if told is None else told["lines"]
        return [(_custom_id(line), self._read(line.get("result")), raw) for line, raw in lines]

    @staticmethod
    def _read(result: Any) -> RawAnswer:
        kind = result.get("type") if isinstance(result, dict) else None
        if kind == "succeeded" and isinstance(result.get("message"), dict):
            return RawAnswer(200, _encode(result["message"]))
        if kind == "errored" and isinstance(result.get("error"), dict):
            inner = result["error"].get("error") or result["error"]
            mine = isinstance(inner, dict) and inner.get("type") == "invalid_request_error"
            return RawAnswer(400 if mine else 500, _encode({"error": inner}))
        return RawAnswer(0, error=f"batch line failed: {str(result)[:200]}", sent=False)

    async def _listed(self, since: float) -> AsyncIterator[Json]:
        def after(page: Json) -> str:
            return f"&after_id={page.get('last_id') or page['data'][-1]['id']}"

        async for batch in self.pages("/messages/batches", after):
            if _created(batch) < since:
                return
            yield batch


def _split(raw: bytes) -> list[tuple[Json, bytes]]:
    """Return the objects of JSON Lines, which end at \\n alone; a broken line in between is left out.

    Raises:
        ValueError: the last line is cut, so the file has not come whole.
    """
    lines = raw.split(b"\n")
    found = []
    for at, line in enumerate(lines):
        try:
            value = _decode(line) if line.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if at == len(lines) - 1:
                raise ValueError(f"the last line is cut: {line[-80:]!r}") from error
            continue
        if isinstance(value, dict):
            found.append((value, line))
    return found


def _custom_id(line: Json) -> str | None:
    value = line.get("custom_id")
    return value if isinstance(value, str) else None


def _created(batch: Json) -> float:
    """Return when a batch was made, in seconds since 1970, from a number or RFC 3339; not told: just now."""
    value = batch.get("created_at")
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value or "")
    except (ValueError, TypeError):
        return math.inf


def _words(body: bytes) -> Any:
    """Return the JSON of a refusal, or its text."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:300].decode("utf-8", "replace")


def _told(answer: Json) -> str:
    return str({name: value for name, value in answer.items() if name != "retry_after"})[:300]
