"""The batch API of OpenAI-compatible providers behind the same call: half the price, answers within a day.

Calls are gathered into files, uploaded and waited for; keys, ledger and readers are those of online calls.
There is no way to create a batch only once, so the provider's own list is the truth: before anything is
submitted, its batches are read, and calls that are already in one wait for it. That is how a killed run
finds its batches again, and how a create whose answer was lost is not made twice (data.md, section 1.5).
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from msgspec import structs

from bimedix.completers.base import Request
from bimedix.completers.endpoint import AccessError, EndpointError, RawAnswer
from bimedix.completers.key import call_key
from bimedix.completers.openai import OpenAiCompleter
from bimedix.completers.prices import Price
from bimedix.completers.waiting import backoff_s
from bimedix.errors import BimedixError
from bimedix.records import content_hash

MOST_CALLS = 10_000
"""Of one batch; OpenAI takes 50,000, and smaller ones come back sooner."""
MOST_BYTES = 190_000_000
"""Of one file; OpenAI takes 200 MB."""
GATHER_S = 1.0
"""A file is closed when no call has come for so long."""
LOOK_BACK_S = 8 * 86_400
"""Older batches are not looked at: what they answered is in the ledger."""
ENDED = frozenset({"completed", "expired", "cancelled", "failed"})
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass
class _Batch:
    """One batch of the provider, and the calls of this run that wait for it."""

    id: str
    keys: frozenset[str]
    adopted: bool = False
    """Found in the provider's list, not submitted by this process."""
    waiting: dict[str, list[asyncio.Future[RawAnswer]]] = field(default_factory=dict)
    watcher: "asyncio.Task[None] | None" = None


class BatchCompleter(OpenAiCompleter):
    """Sends calls in batches; `parallel` calls are out at once, in as many batches as that takes."""

    paced = False

    def __init__(self, base_url: str, model: str, *, poll_s: float = 30.0, **options: Any) -> None:
        price: Price | None = options.pop("price", None)
        super().__init__(base_url, model, price=price and _at_batch_price(price), **options)
        self.root, self.poll_s = base_url.rstrip("/"), poll_s
        self.tag = content_hash(self.name)[:16]
        self._queue: list[tuple[str, bytes, asyncio.Future[RawAnswer]]] = []
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: list[_Batch] = []
        self._listed: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()

    async def send(self, request: Request) -> RawAnswer:
        """Put a call into the next batch, or wait for the one that it is already in."""
        if self._listed is None:
            self._listed = asyncio.create_task(self._adopt())
        await asyncio.shield(self._listed)
        key = call_key(request, self.name)
        future: asyncio.Future[RawAnswer] = asyncio.get_running_loop().create_future()
        for batch in self._batches:
            if batch.adopted and key in batch.keys:
                self._join(batch, key, future)
                return structs.replace(await future, adopted=True)
        line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": self.body(request)}
        self._enqueue(key, _encode(line) + b"\n", future)
        return await future

    async def close(self) -> None:
        """Stop watching; batches at the provider go on and are found again."""
        jobs = [*self._jobs, *([self._listed] if self._listed else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        self._listed, self._batches, self._queue, self._queued_bytes = None, [], [], 0
        self._jobs.clear()
        await super().close()

    # --- submitting

    def _enqueue(self, key: str, line: bytes, future: "asyncio.Future[RawAnswer]") -> None:
        if self._queue and self._queued_bytes + len(line) > MOST_BYTES:
            self._submit()
        self._queue.append((key, line, future))
        self._queued_bytes += len(line)
        if self._timer:
            self._timer.cancel()
        if len(self._queue) >= min(self.parallel, MOST_CALLS):
            self._submit()
        else:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._submit)

    def _submit(self) -> None:
        """Send what is queued as one batch, in the background."""
        calls, self._queue, self._queued_bytes = self._queue, [], 0
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if calls:
            self._start(self._submit_calls(calls), [future for _, _, future in calls])

    async def _submit_calls(self, calls: list[tuple[str, bytes, "asyncio.Future[RawAnswer]"]]) -> None:
        data = b"".join(line for _, line, _ in calls)
        part = content_hash([data.decode(), time.time_ns()])[:16]
        uploaded = await self._ask("POST", "/files", form=("batch.jsonl", data))
        wanted = {
            "input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "metadata": {"bimedix": self.tag, "part": part},
        }  # fmt: skip
        batch = _Batch(await self._create(wanted, part), frozenset(key for key, _, _ in calls))
        for key, _, future in calls:
            self._join(batch, key, future)

    async def _create(self, wanted: dict[str, Any], part: str) -> str:
        """Create a batch; when the answer is lost, look for it in the list before trying again."""
        for failures in range(1, self.tries + 1):
            status, answer = await self._once("POST", "/batches", json=wanted)
            if status == 200:
                return str(answer["id"])
            self._raise_if_final(status, answer)
            for listed in await self._list():
                if (listed.get("metadata") or {}).get("part") == part:
                    return str(listed["id"])
            await asyncio.sleep(backoff_s(self.backoff_s, failures, self._draw))
        raise EndpointError(f"{self.name}: a batch could not be created: {answer}")

    # --- finding and waiting

    async def _adopt(self) -> None:
        """Read the provider's batches of this completer and the calls in them."""
        for listed in await self._list():
            recent = time.time() - float(listed.get("created_at") or 0) < LOOK_BACK_S
            if (listed.get("metadata") or {}).get("bimedix") != self.tag or not recent:
                continue
            lines = await self._download(str(listed["input_file_id"]))
            keys = frozenset(str(line.get("custom_id")) for line in lines)
            self._batches.append(_Batch(str(listed["id"]), keys, adopted=True))

    async def _list(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self._ask("GET", f"/batches?limit=100{after}")
            found += page.get("data") or []
            if not page.get("has_more") or not page.get("data"):
                return found
            after = f"&after={page['data'][-1]['id']}"

    def _join(self, batch: _Batch, key: str, future: "asyncio.Future[RawAnswer]") -> None:
        """Let a call wait for a batch, and watch the batch."""
        batch.waiting.setdefault(key, []).append(future)
        if batch.watcher is None or batch.watcher.done():
            batch.watcher = self._start(self._watch(batch), [])

    async def _watch(self, batch: _Batch) -> None:
        """Wait until a batch has ended, and give every call what came for it."""
        try:
            while (state := await self._ask("GET", f"/batches/{batch.id}"))["status"] not in ENDED:
                await asyncio.sleep(self.poll_s)
            lines: list[dict[str, Any]] = []
            for name in ("output_file_id", "error_file_id"):
                if state.get(name):
                    lines += await self._download(str(state[name]))
        except BimedixError as error:
            _fail([future for futures in batch.waiting.values() for future in futures], error)
            return
        answers: dict[str, RawAnswer] = {}
        for line in lines:
            answers.setdefault(str(line.get("custom_id")), _read_line(line))
        missing = RawAnswer(
            0, error=f"batch {batch.id} ended as {state['status']} without this call", sent=False
        )
        batch.adopted = False
        for key, futures in batch.waiting.items():
            for future in futures:
                if not future.done():
                    future.set_result(answers.get(key, missing))
        batch.waiting.clear()

    async def _download(self, file_id: str) -> list[dict[str, Any]]:
        """Return the lines of a file; they end at \\n alone, and one that is no JSON is left out."""
        raw = await self._ask("GET", f"/files/{file_id}/content", raw=True)
        lines = []
        for line in raw["raw"].split(b"\n"):
            try:
                value = _decode(line) if line.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(value, dict):
                lines.append(value)
        return lines

    # --- plumbing

    def _start(self, work: Any, futures: list["asyncio.Future[RawAnswer]"]) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._jobs.add(task)

        def end(done: "asyncio.Task[None]") -> None:
            self._jobs.discard(done)
            if not done.cancelled() and (error := done.exception()):
                _fail(futures, error)

        task.add_done_callback(end)
        return task

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Make a request of the batch API, several times if need be."""
        for failures in range(1, self.tries + 1):
            status, answer = await self._once(method, path, **more)
            if status == 200:
                return answer
            self._raise_if_final(status, answer)
            await asyncio.sleep(backoff_s(self.backoff_s, failures, self._draw))
        raise EndpointError(
            f"{self.name}: {method} {path} failed {self.tries} times: {answer}\n"
            "  The batches at the provider go on; start the same command again."
        )

    async def _once(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: tuple[str, bytes] | None = None,
        raw: bool = False,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON object; (0, why) when the transport broke."""
        session = self._open()
        headers = {name: value for name, value in self._headers.items() if name != "Content-Type"}
        data: Any = None
        if form:
            data = aiohttp.FormData({"purpose": "batch"})
            data.add_field("file", form[1], filename=form[0], content_type="application/jsonl")
        elif json is not None:
            data, headers["Content-Type"] = _encode(json), "application/json"
        try:
            async with session.request(method, self.root + path, data=data, headers=headers) as response:
                body = await response.read()
                if raw and response.status == 200:
                    return 200, {"raw": body}
                answer = _decode(body) if response.status == 200 else _words(body)
                return response.status, answer if isinstance(answer, dict) else {"seen": answer}
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            return 0, {"error": self._shown(error)}

    def _raise_if_final(self, status: int, answer: dict[str, Any]) -> None:
        if 400 <= status < 500 and status not in {408, 409, 425, 429}:
            raise AccessError(f"{self.name}: the batch API answers {status}: {str(answer)[:300]}")


def _read_line(line: dict[str, Any]) -> RawAnswer:
    """Turn a line of an output or error file into what an online call would have brought."""
    response = line.get("response")
    if isinstance(response, dict) and isinstance(response.get("body"), dict):
        status = response.get("status_code")
        request_id = str(response.get("request_id") or "")
        return RawAnswer(
            status if isinstance(status, int) else 200, _encode(response["body"]), request_id=request_id
        )
    return RawAnswer(0, error=f"batch line failed: {str(line.get('error'))[:200]}", sent=False)


def _words(body: bytes) -> Any:
    """Return the JSON of a refusal, or its text."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:300].decode("utf-8", "replace")


def _fail(futures: list["asyncio.Future[RawAnswer]"], error: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _at_batch_price(price: Price) -> Price:
    cached = None if price.cached is None else price.cached * price.batch
    return Price(price.input * price.batch, price.output * price.batch, cached)
