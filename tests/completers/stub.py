"""An endpoint in a process of its own, for tests and benchmarks; it speaks OpenAI's API and Anthropic's.

It answers by rule and counts what it would bill. The faults of a call are written in its prompt,
`[[429 500 cut ok]]`: one per attempt, then it succeeds; `[[400*]]` fails for ever. `[[say:NAME]]` answers
with the text of that name that was sent to `POST /say`. With `--mix-f`, calls without faults of their own
fail by chance, at most three times each, as the fault mix F has it. Words in the prompts of a batch make the
batch itself fail. The first line it prints is its address. `GET /ledger` tells what happened.
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
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

FAULTS = re.compile(r"\[\[(.*?)\]\]")
MIX_F = {
    "429": 0.10, "500": 0.03, "drop": 0.02, "cut": 0.01,
    "length": 0.02, "garble": 0.02, "empty": 0.01, "no-usage": 0.01,
}  # fmt: skip
BILLED_IN_VAIN = ("cut", "lost", "length", "garble", "empty", "null")
"""Faults that are billed and give no whole answer, so that the call has to be made again."""


class Stub:
    """Answers chat requests and keeps the bill."""

    def __init__(self, latency_s: float, cap_per_s: float, mix_f: bool) -> None:
        self.latency_s, self.cap_per_s, self.mix_f = latency_s, cap_per_s, mix_f
        self.forget()

    def forget(self) -> None:
        """Begin with an empty ledger."""
        self.attempts: Counter[str] = Counter()
        self.billed: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.tokens = [0, 0]
        self.in_flight = self.most_in_flight = 0
        self.bucket, self.filled = max(1.0, self.cap_per_s), time.monotonic()
        self.bodies: list[dict[str, Any]] = []
        self.files: list[bytes] = []
        self.batches: list[dict[str, Any]] = []
        self.creates = 0
        self.says: dict[str, str] = {}
        self.cut_downloads = 0
        self.headers: list[dict[str, str]] = []

    async def chat(self, request: web.Request) -> web.StreamResponse:
        call = json.loads(await request.read())
        self.bodies = [*self.bodies[-20:], call]
        self.headers = [*self.headers[-20:], dict(request.headers)]
        key = self.count(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.answer(request, call, key)
        finally:
            self.in_flight -= 1

    def count(self, call: dict[str, Any]) -> str:
        """Count an attempt of a call; return what the call is known by."""
        key = hashlib.blake2b(json.dumps(call, sort_keys=True).encode(), digest_size=8).hexdigest()
        self.attempts[key] += 1
        return key

    def fault(self, call: dict[str, Any], key: str) -> str:
        """Choose what goes wrong with this attempt, and count it."""
        fault = pick_fault(read_prompt(call), self.attempts[key])
        if fault == "ok" and self.mix_f and self.attempts[key] <= 3:
            fault = draw_fault(key, self.attempts[key])
        fault = "429" if call["model"] == "busy" or self.is_over_cap() else fault
        self.faults[fault] += 1
        return fault

    async def answer(self, request: web.Request, call: dict[str, Any], key: str) -> web.StreamResponse:
        prompt, fault = read_prompt(call), self.fault(call, key)
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
        if request.path.endswith("/messages"):
            body = json.dumps(as_message(json.loads(body))).encode()
        if fault == "hang":
            await asyncio.sleep(30)
        if fault in {"lost", "hang"}:
            return self.hang_up(request)
        if fault == "cut":
            return await self.send_half(request, body)
        if fault == "drip":
            return await self.send_slowly(request, body)
        if fault == "gzip":
            return web.Response(
                body=body, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
            )
        kind = "text/plain" if fault == "type" else "application/json"
        return web.Response(body=body, content_type=kind)

    async def send_half(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return self.hang_up(request)

    async def send_slowly(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(body), len(body) // 10 + 1):
            await response.write(body[start : start + len(body) // 10 + 1])
            await asyncio.sleep(0.02)
        await response.write_eof()
        return response

    def hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport:
            request.transport.close()
        return web.Response()

    def bill(self, call: dict[str, Any], key: str, prompt: str, fault: str) -> bytes:
        """Count the call as billed and return the body of its answer."""
        text: str | None = f"You said: {FAULTS.sub('', prompt)}"
        if fault.startswith("say:"):
            text = self.says[fault.removeprefix("say:")]
        elif fault == "garble":
            text = f"Sure! {text and text[: len(text) // 2]}"
        if fault == "length" or (fault == "short" and call["max_tokens"] < 100):
            text, reason = text and text[: len(text) // 2], "length"
        else:
            reason = "content_filter" if fault == "filter" else "stop"
        if fault in {"empty", "null", "filter"}:
            text = None if fault == "null" else ""
        refusal = "I cannot help with that." if fault == "refusal" else None
        tokens = sum(len(m["content"]) for m in call["messages"]) // 4 + 1, len(text or "") // 4 + 1
        self.billed[key] += 1
        self.tokens = [self.tokens[0] + tokens[0], self.tokens[1] + tokens[1]]
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": reason,
            "message": {"role": "assistant", "content": text},
        }
        if refusal:
            choice["message"] = {"role": "assistant", "content": None, "refusal": refusal}
        body: dict[str, Any] = {"id": key, "model": f"{call['model']}-0001"}
        body["choices"] = [] if fault == "no-choices" else [choice]
        if fault == "bad-usage":
            body["usage"] = {"prompt_tokens": None, "completion_tokens": -5}
        elif fault == "wild-usage":
            body["usage"] = {"prompt_tokens": 10**9, "completion_tokens": 10**9}
        elif fault == "low-usage":
            body["usage"] = {"prompt_tokens": 1, "completion_tokens": 0}
        elif fault != "no-usage":
            names = ("prompt_tokens", "completion_tokens", "total_tokens")
            body["usage"] = dict(zip(names, (*tokens, sum(tokens)), strict=True))
        return json.dumps(body, ensure_ascii=False).encode()

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

    async def download(self, request: web.Request) -> web.StreamResponse:
        return await self.send_file(request, self.files[int(request.match_info["id"].removeprefix("file-"))])

    async def send_file(self, request: web.Request, data: bytes) -> web.StreamResponse:
        """Send results; the first download of those that say `cut-results` ends in the middle of a line."""
        if b"cut-results" in data and b'"error": null' in data and not self.cut_downloads:
            self.cut_downloads += 1
            return web.Response(body=data[: len(data) - 20])
        return web.Response(body=data)

    async def keep_say(self, request: web.Request) -> web.Response:
        self.says |= await request.json()
        return web.json_response({})

    async def create_batch(self, request: web.Request) -> web.StreamResponse:
        """Make a batch; words in its prompts lose the answer to the first create, or refuse it."""
        asked = await request.json()
        inline = request.path.endswith("/messages/batches")
        data = json.dumps(asked).encode() if inline else self.file_of(asked)
        self.creates += 1
        if b"refuse-create" in data and self.creates == 1:
            return web.json_response({"error": "try again"}, status=500)
        name = f"msgbatch_{len(self.batches)}" if inline else f"batch-{len(self.batches)}"
        self.batches.append(asked | {"id": name, "created_at": time.time()})
        if b"lose-create" in data and self.creates == 1:
            return self.hang_up(request)
        return web.json_response(self.shown(self.batches[-1]))

    def file_of(self, batch: dict[str, Any]) -> bytes:
        return self.files[int(batch["input_file_id"].removeprefix("file-"))]

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return a batch as its API shows it: Anthropic's has no metadata and none of its requests."""
        if "requests" not in batch:
            return {"status": "in_progress"} | batch
        ended, size = "results" in batch, len(batch["requests"])
        made = datetime.fromtimestamp(batch["created_at"], UTC).isoformat().replace("+00:00", "Z")
        return {
            "id": batch["id"], "type": "message_batch", "created_at": made,
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0 if ended else size, "succeeded": size if ended else 0},
            "results_url": "http://127.0.0.1:9/elsewhere" if ended else None,
        }  # fmt: skip

    async def list_batches(self, request: web.Request) -> web.Response:
        """Two a page, so that paging is used; newest first, as both providers do."""
        inline = request.path.endswith("/messages/batches")
        found = [batch for batch in reversed(self.batches) if ("requests" in batch) == inline]
        names, after = [batch["id"] for batch in found], request.query.get("after_id" if inline else "after")
        start = names.index(after) + 1 if after else 0
        page = [self.shown(batch) for batch in found[start : start + 2]]
        more = start + 2 < len(names)
        return web.json_response(
            {"data": page, "has_more": more, "last_id": page[-1]["id"] if page else None}
        )

    async def read_batch(self, request: web.Request) -> web.Response:
        """A batch ends `latency_s` after it was made, and is billed then."""
        batch = next((one for one in self.batches if one["id"] == request.match_info["id"]), None)
        if batch is None:
            return web.json_response({"error": "no such batch"}, status=404)
        if "ended" not in batch and time.time() - batch["created_at"] >= self.latency_s:
            batch["ended"] = True
            self.end_batch(batch)
        return web.json_response(self.shown(batch))

    async def read_results(self, request: web.Request) -> web.StreamResponse:
        found = [batch for batch in self.batches if batch["id"] == request.match_info["id"]]
        if not found:
            return web.json_response({"error": "no such batch"}, status=404)
        return await self.send_file(request, found[0]["results"])

    def end_batch(self, batch: dict[str, Any]) -> None:
        """Answer in reverse order; the fault of a line may expire, fail, double, rename or lose it."""
        inline = "requests" in batch
        lines = batch["requests"] if inline else map(json.loads, self.file_of(batch).split(b"\n")[:-1])
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        for line in reversed(list(lines)):
            call = line["params" if inline else "body"]
            key = self.count(call)
            fault = self.fault(call, key)
            row: dict[str, Any] = {"custom_id": line["custom_id"], "response": None, "error": None}
            if fault == "expired":
                bad.append(row | {"error": {"code": "batch_expired"}})
            elif re.fullmatch(r"\d{3}", fault):
                body = {"error": {"message": f"stub says {fault}"}}
                bad.append(row | {"response": {"status_code": int(fault), "body": body}})
            else:
                body = json.loads(self.bill(call, key, read_prompt(call), fault))
                row["response"] = {"status_code": 200, "body": body}
                other, nameless = row | {"custom_id": "someone-else"}, dict(row)
                del nameless["custom_id"]
                spoiled = {"doubled": [row, row], "unknown": [other], "missing": [], "nameless": [nameless]}
                good += spoiled.get(fault, [row])
        self.keep_results(batch, good, bad)

    def keep_results(
        self, batch: dict[str, Any], good: list[dict[str, Any]], bad: list[dict[str, Any]]
    ) -> None:
        if "requests" in batch:
            batch["results"] = as_lines([as_result(row) for row in (*good, *bad)])
            return
        files = [self.keep(as_lines(rows)) if rows else None for rows in (good, bad)]
        batch |= {"output_file_id": files[0], "error_file_id": files[1]}
        expired = any(row["error"] for row in bad)
        batch["status"] = "expired" if expired else "completed"

    async def clear(self, request: web.Request) -> web.Response:
        self.forget()
        return web.json_response({})

    async def models(self, request: web.Request) -> web.Response:
        """Some clients ask this to see whether the endpoint is up."""
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})

    async def ledger(self, request: web.Request) -> web.Response:
        return web.json_response({
            "attempts": self.attempts.total(), "calls": len(self.attempts), "billed": self.billed.total(),
            "billed_calls": len(self.billed), "most_in_flight": self.most_in_flight,
            "tokens": self.tokens, "faults": dict(self.faults), "batches": len(self.batches),
            "batch_calls": [self.size_of(batch) for batch in self.batches], "creates": self.creates,
            "billed_in_vain": sum(self.faults[fault] for fault in BILLED_IN_VAIN),
            "bodies": self.bodies, "headers": self.headers,
        })  # fmt: skip

    def size_of(self, batch: dict[str, Any]) -> int:
        return len(batch["requests"]) if "requests" in batch else self.file_of(batch).count(b"\n")


def read_prompt(call: dict[str, Any]) -> str:
    """Return the last message."""
    return str(call["messages"][-1]["content"]) if call["messages"] else ""


def draw_fault(key: str, attempt: int) -> str:
    """Draw from the fault mix F: the same for the same call and attempt."""
    left = Random(f"{key}:{attempt}").random()
    for name, share in MIX_F.items():
        left -= share
        if left < 0:
            return name
    return "ok"


def as_message(body: dict[str, Any]) -> dict[str, Any]:
    """Turn an OpenAI answer into one of Anthropic's messages API."""
    told, usage = (body["choices"] or [None])[0], body.get("usage")
    message: dict[str, Any] = {"id": body["id"], "type": "message", "model": body["model"]}
    if told:
        reasons = {"length": "max_tokens", "content_filter": "refusal"}
        text = told["message"]["content"] or told["message"].get("refusal") or ""
        message["content"] = [{"type": "text", "text": text}] if text else []
        message["stop_reason"] = reasons.get(told["finish_reason"], "end_turn")
    if usage:
        names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
        message["usage"] = {name: usage[of] for name, of in names.items()}
    return message


def as_result(row: dict[str, Any]) -> dict[str, Any]:
    """Turn a line of an OpenAI batch into a result of Anthropic's."""
    result: dict[str, Any] = {"type": "expired"}
    if row["response"] and row["response"]["status_code"] == 200:
        result = {"type": "succeeded", "message": as_message(row["response"]["body"])}
    elif row["response"]:
        kind = "invalid_request_error" if row["response"]["status_code"] == 400 else "api_error"
        error = {"type": kind, "message": row["response"]["body"]["error"]["message"]}
        result = {"type": "errored", "error": {"type": "error", "error": error}}
    named = {"custom_id": row["custom_id"]} if "custom_id" in row else {}
    return named | {"result": result, "error": None}


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    """Write JSON Lines with U+2028 and U+0085 as they are: they end no line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def pick_fault(prompt: str, attempt: int) -> str:
    found = FAULTS.search(prompt)
    faults = found[1].split() if found else []
    if len(faults) == 1 and faults[0].endswith("*"):
        return faults[0][:-1]
    return faults[attempt - 1] if attempt <= len(faults) else "ok"


def build_app(latency_s: float = 0.0, cap_per_s: float = 0.0, mix_f: bool = False) -> web.Application:
    stub = Stub(latency_s, cap_per_s, mix_f)
    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/v1/chat/completions", stub.chat)
    app.router.add_post("/v1/messages", stub.chat)
    app.router.add_post("/say", stub.keep_say)
    app.router.add_post("/clear", stub.clear)
    app.router.add_get("/v1/models", stub.models)
    app.router.add_get("/ledger", stub.ledger)
    app.router.add_post("/v1/files", stub.upload)
    app.router.add_get("/v1/files/{id}/content", stub.download)
    for root in ("/v1/batches", "/v1/messages/batches"):
        app.router.add_post(root, stub.create_batch)
        app.router.add_get(root, stub.list_batches)
        app.router.add_get(root + "/{id}", stub.read_batch)
    app.router.add_get("/v1/messages/batches/{id}/results", stub.read_results)
    return app


async def serve(port: int, latency_s: float, cap_per_s: float, mix_f: bool) -> None:
    runner = web.AppRunner(build_app(latency_s, cap_per_s, mix_f), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


@contextmanager
def running_stub(*options: str, script: str = __file__) -> Iterator[str]:
    """Start the stub, or a script that builds on it, in a process and give its address."""
    process = subprocess.Popen([sys.executable, script, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def teach(address: str, says: dict[str, str]) -> None:
    """Give texts that `[[say:NAME]]` answers with."""
    _post(address, "/say", json.dumps(says).encode())


def clear(address: str) -> None:
    """Empty the stub's ledger."""
    _post(address, "/clear", b"")


def _post(address: str, path: str, data: bytes) -> None:
    asked = urllib.request.Request(address.removesuffix("/v1") + path, data, method="POST")
    urllib.request.urlopen(asked).close()


def read_ledger(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(address.removesuffix("/v1") + "/ledger") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--cap-per-s", type=float, default=0.0)
    parser.add_argument("--mix-f", action="store_true")
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.port, chosen.latency_s, chosen.cap_per_s, chosen.mix_f))
