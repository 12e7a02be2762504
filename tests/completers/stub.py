"""An OpenAI-compatible endpoint in a process of its own, for tests and benchmarks.

It answers by rule and counts what it would bill. The faults of a call are written in its prompt,
`[[429 500 cut ok]]`: one per attempt, then it succeeds; `[[400*]]` fails for ever. The first line it
prints is its address. `GET /ledger` tells what happened.
"""

import argparse
import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

FAULTS = re.compile(r"\[\[(.*?)\]\]")


class Stub:
    """Answers chat requests and keeps the bill."""

    def __init__(self, latency_s: float, cap_per_s: float) -> None:
        self.latency_s, self.cap_per_s = latency_s, cap_per_s
        self.attempts: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.tokens = [0, 0]
        self.in_flight = self.most_in_flight = 0
        self.bucket, self.filled = max(1.0, cap_per_s), time.monotonic()
        self.bodies: list[dict[str, Any]] = []
        self.files: list[bytes] = []
        self.batches: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        call = json.loads(await request.read())
        self.bodies = [*self.bodies[-20:], call]
        self.headers = [*self.headers[-20:], dict(request.headers)]
        key = hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), digest_size=8).hexdigest()
        self.attempts[key] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.answer(request, call, key)
        finally:
            self.in_flight -= 1

    async def answer(self, request: web.Request, call: dict[str, Any], key: str) -> web.StreamResponse:
        prompt = call["messages"][-1]["content"] if call["messages"] else ""
        fault = "429" if self.is_over_cap() else pick_fault(prompt, self.attempts[key])
        self.faults[fault] += 1
        if re.fullmatch(r"\d{3}(:\S+)?", fault):
            status, _, wait = fault.partition(":")
            headers = {"Retry-After": wait.replace("_", " ")} if wait else {}
            error = {"message": f"stub says {status}", "code": "stub"}
            return web.json_response({"error": error}, status=int(status), headers=headers)
        await asyncio.sleep(self.latency_s)
        if fault == "drop":
            return self.hang_up(request)
        if fault == "html":
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        body = self.bill(call, key, prompt, fault)
        if fault == "lost":
            return self.hang_up(request)
        if fault == "cut":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            response.content_length = len(body)
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            return self.hang_up(request)
        return web.Response(body=body, content_type="application/json")

    def hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport:
            request.transport.close()
        return web.Response()

    def bill(self, call: dict[str, Any], key: str, prompt: str, fault: str) -> bytes:
        """Count the call as billed and return the body of its answer."""
        text: str | None = f"You said: {FAULTS.sub('', prompt)}"
        if fault == "length" or (fault == "short" and call["max_tokens"] < 100):
            text, reason = text and text[: len(text) // 2], "length"
        else:
            reason = "content_filter" if fault == "filter" else "stop"
        if fault in {"empty", "null", "filter"}:
            text = None if fault == "null" else ""
        tokens = sum(len(m["content"]) for m in call["messages"]) // 4 + 1, len(text or "") // 4 + 1
        self.billed[key] += 1
        self.tokens = [self.tokens[0] + tokens[0], self.tokens[1] + tokens[1]]
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
        body: dict[str, Any] = {"id": key, "model": f"{call['model']}-0001"}
        body["choices"] = [] if fault == "no-choices" else [choice]
        if fault == "bad-usage":
            body["usage"] = {"prompt_tokens": None, "completion_tokens": -5}
        elif fault == "wild-usage":
            body["usage"] = {"prompt_tokens": 10**9, "completion_tokens": 10**9}
        elif fault != "no-usage":
            names = ("prompt_tokens", "completion_tokens", "total_tokens")
            body["usage"] = dict(zip(names, (*tokens, sum(tokens)), strict=True))
        return json.dumps(body).encode()

    def is_over_cap(self) -> bool:
        if not self.cap_per_s:
            return False
        now = time.monotonic()
        self.bucket += (now - self.filled) * self.cap_per_s
        self.bucket, self.filled = min(max(1.0, self.cap_per_s), self.bucket), now
        if self.bucket < 1:
            return True
        self.bucket -= 1
        return False

    async def upload(self, request: web.Request) -> web.Response:
        field = (await request.post())["file"]
        assert isinstance(field, web.FileField)
        return web.json_response({"id": self.keep(field.file.read())})

    def keep(self, data: bytes) -> str:
        self.files.append(data)
        return f"file-{len(self.files) - 1}"

    async def download(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[int(request.match_info["id"].removeprefix("file-"))])

    async def create_batch(self, request: web.Request) -> web.StreamResponse:
        """Make a batch; the first one's answer is lost when its prompts say `lose-create`."""
        batch = await request.json() | {"id": f"batch-{len(self.batches)}", "created_at": time.time()}
        self.batches.append(batch)
        data = self.files[int(batch["input_file_id"].removeprefix("file-"))]
        if b"lose-create" in data and len(self.batches) == 1:
            return self.hang_up(request)
        return web.json_response(batch)

    async def list_batches(self, request: web.Request) -> web.Response:
        """Two a page, so that paging is used."""
        names = [batch["id"] for batch in self.batches]
        start = names.index(request.query["after"]) + 1 if "after" in request.query else 0
        more = start + 2 < len(names)
        return web.json_response({"data": self.batches[start : start + 2], "has_more": more})

    async def read_batch(self, request: web.Request) -> web.Response:
        """A batch ends `latency_s` after it was made, and is billed then."""
        batch = self.batches[int(request.match_info["id"].removeprefix("batch-"))]
        if "output_file_id" not in batch and time.time() - batch["created_at"] >= self.latency_s:
            self.end_batch(batch)
        return web.json_response({"status": "in_progress"} | batch)

    def end_batch(self, batch: dict[str, Any]) -> None:
        """Answer in reverse order; the fault of a line may expire, double, rename or lose it."""
        good, bad = [], []
        data = self.files[int(batch["input_file_id"].removeprefix("file-"))]
        for line in map(json.loads, reversed(data.split(b"\n")[:-1])):
            call = line["body"]
            key = hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), digest_size=8).hexdigest()
            self.attempts[key] += 1
            prompt = call["messages"][-1]["content"]
            fault = pick_fault(prompt, self.attempts[key])
            row: dict[str, Any] = {"custom_id": line["custom_id"], "response": None, "error": None}
            if fault == "expired":
                bad.append(row | {"error": {"code": "batch_expired"}})
                continue
            row["response"] = {"status_code": 200, "body": json.loads(self.bill(call, key, prompt, fault))}
            other = row | {"custom_id": "someone-else"}
            good += {"doubled": [row, row], "unknown": [other], "missing": []}.get(fault, [row])
        rows = ("\n".join(json.dumps(row, ensure_ascii=False) for row in part) for part in (good, bad))
        files = [self.keep(text.encode() + b"\n") if text else None for text in rows]
        batch |= {"output_file_id": files[0], "error_file_id": files[1]}
        batch["status"] = "expired" if bad else "completed"

    async def models(self, request: web.Request) -> web.Response:
        """Some clients ask this to see whether the endpoint is up."""
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def ledger(self, request: web.Request) -> web.Response:
        return web.json_response({
            "attempts": self.attempts.total(), "calls": len(self.attempts), "billed": self.billed.total(),
            "billed_calls": len(self.billed), "most_in_flight": self.most_in_flight,
            "tokens": self.tokens, "faults": dict(self.faults), "batches": len(self.batches),
            "bodies": self.bodies, "headers": self.headers,
        })  # fmt: skip


def pick_fault(prompt: str, attempt: int) -> str:
    found = FAULTS.search(prompt)
    faults = found[1].split() if found else []
    if len(faults) == 1 and faults[0].endswith("*"):
        return faults[0][:-1]
    return faults[attempt - 1] if attempt <= len(faults) else "ok"


def build_app(latency_s: float = 0.0, cap_per_s: float = 0.0) -> web.Application:
    stub = Stub(latency_s, cap_per_s)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/v1/chat/completions", stub.chat)
    app.router.add_get("/v1/models", stub.models)
    app.router.add_get("/ledger", stub.ledger)
    app.router.add_post("/v1/files", stub.upload)
    app.router.add_get("/v1/files/{id}/content", stub.download)
    app.router.add_post("/v1/batches", stub.create_batch)
    app.router.add_get("/v1/batches", stub.list_batches)
    app.router.add_get("/v1/batches/{id}", stub.read_batch)
    return app


async def serve(port: int, latency_s: float, cap_per_s: float) -> None:
    runner = web.AppRunner(build_app(latency_s, cap_per_s), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


@contextmanager
def running_stub(*options: str) -> Iterator[str]:
    """Start the stub in a process and give its address."""
    process = subprocess.Popen([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def read_ledger(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/ledger") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--cap-per-s", type=float, default=0.0)
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.port, chosen.latency_s, chosen.cap_per_s))
