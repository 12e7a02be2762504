"""The server: OpenAI-compatible chat, a page, health; default-deny, no content in any log."""

import asyncio
import base64
import binascii
import hmac
import ipaddress
import json
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bimedix.errors import BimedixError, UsageError
from bimedix.records import Message
from bimedix.serve.safety import screen
from bimedix.serve.settings import KEY_CHARACTERS, LOOPBACK, Settings

PAGE = Path(__file__).with_name("page")
ASSETS = {
    "/": ("chat.html", "text/html"),
    "/chat.js": ("chat.js", "text/javascript"),
    "/chat.css": ("chat.css", "text/css"),
}
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Engine(Protocol):
    """Writes an answer piece by piece."""

    name: str

    def count_prompt_tokens(self, messages: tuple[Message, ...]) -> int:
        """Return the tokens that the conversation costs."""
        ...

    def stream(
        self, messages: tuple[Message, ...], *, max_new_tokens: int, temperature: float, seed: int,
        stop: threading.Event,
    ) -> Iterator[str]:  # fmt: skip
        """Yield pieces of text; ends soon after `stop` is set."""
        ...


class ChatRequest(Struct, frozen=True):
    """What `/v1/chat/completions` reads; other keys of the protocol are taken and ignored."""

    messages: tuple[Message, ...]
    model: str = ""
    stream: bool = False
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    n: int = 1
    stream_options: dict[str, Any] | None = None


def read_key(settings: Settings) -> str:
    """Return the server's key, or nothing.

    Raises:
        UsageError: a public address without a key, or a key that is too short.
    """
    key = os.environ.get(settings.key_env, "")
    if settings.host not in LOOPBACK and not key:
        raise UsageError(
            f'[serve] host = "{settings.host}" is open to others and {settings.key_env} holds no key.\n'
            f"  Run `export {settings.key_env}={secrets.token_urlsafe(32)}` (a fresh key), or bind 127.0.0.1."
        )
    if key and len(key) < KEY_CHARACTERS:
        raise UsageError(
            f"{settings.key_env}: the key has {len(key)} characters; {KEY_CHARACTERS} are needed."
        )
    return key


def build_app(engine: Engine, settings: Settings, key: str = "") -> Starlette:
    """Return the application around one engine."""
    return _Server(engine, settings, key).app


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


def _error(status: int, message: str, code: str, param: str | None = None) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body, status, headers=HEADERS)


class _Server:
    def __init__(self, engine: Engine, settings: Settings, key: str) -> None:
        self.engine, self.settings, self.key = engine, settings, key
        self.turn = asyncio.Lock()
        self.waiting = 0
        routes = [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            *(Route(path, self.asset) for path in ASSETS),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: self._on_http,
            _RefusedError: self._on_refused,
            Exception: self._on_bug,
        }
        self.app = Starlette(routes=routes, exception_handlers=handlers)

    # --- who may ask ---

    def admit(self, request: Request) -> None:
        """Refuse whoever has no key, and pages of other sites that reach for a loopback server."""
        if self.key:
            if not hmac.compare_digest(_given_key(request).encode(), self.key.encode()):
                raise _RefusedError(
                    401, "a valid key is needed: Authorization: Bearer KEY", "invalid_api_key"
                )
        elif not _is_loopback_name(request.url.hostname or ""):
            raise _RefusedError(403, "this server answers to loopback names only", "bad_host")
        origin = request.headers.get("origin")
        if origin and origin != f"{request.url.scheme}://{request.headers.get('host', '')}":
            raise _RefusedError(403, "requests of other sites are not answered", "bad_origin")

    async def _on_http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code in (404, 405):
            try:
                self.admit(request)
            except _RefusedError as refused:
                return await self._on_refused(request, refused)
        return _error(error.status_code, str(error.detail), "http_error")

    async def _on_refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, _RefusedError)
        response = _error(error.status, str(error), error.code, error.param)
        if error.status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="bimedix", charset="UTF-8"'
        return response

    async def _on_bug(self, request: Request, error: Exception) -> Response:
        return _error(500, "the server failed; nothing of the request was kept", "internal_error")

    # --- routes ---

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=HEADERS)

    async def models(self, request: Request) -> Response:
        self.admit(request)
        row = {"id": self.engine.name, "object": "model", "created": 0, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [row]}, headers=HEADERS)

    async def asset(self, request: Request) -> Response:
        self.admit(request)
        name, kind = ASSETS[request.url.path]
        return Response((PAGE / name).read_bytes(), media_type=kind, headers=HEADERS)

    async def chat(self, request: Request) -> Response:
        self.admit(request)
        asked = await self._read(request)
        if self.waiting >= self.settings.max_waiting:
            raise _RefusedError(429, "too many requests are waiting; try again shortly", "busy")
        messages, prompt_tokens = self._fit(asked.messages)
        seen = screen(messages[-1].content, self.settings.region)
        answer = self._pieces(request, asked, messages, seen.advice)
        if asked.stream:
            return StreamingResponse(
                self._events(asked, answer, prompt_tokens), media_type="text/event-stream", headers=HEADERS
            )
        text = "".join([piece async for piece in answer])
        return JSONResponse(self._whole(asked, text, prompt_tokens), headers=HEADERS)

    async def _read(self, request: Request) -> ChatRequest:
        kind = request.headers.get("content-type", "").split(";")[0].strip()
        if kind != "application/json":
            raise _RefusedError(415, "send application/json", "unsupported_media_type")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.settings.max_body_bytes:
                raise _RefusedError(
                    413, f"the body is larger than {self.settings.max_body_bytes:,} bytes", "too_large"
                )
        try:
            asked = msgspec.json.decode(bytes(body), type=ChatRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _RefusedError(400, f"the body does not fit: {error}", "invalid_body") from error
        if not asked.messages or asked.messages[-1].role != "user":
            raise _RefusedError(400, "the last message has to be the user's", "invalid_messages", "messages")
        if any(m.role == "system" for m in asked.messages[1:]):
            raise _RefusedError(400, "a system message can only stand first", "invalid_messages", "messages")
        if asked.n != 1:
            raise _RefusedError(400, "n has to be 1", "unsupported", "n")
        if asked.temperature is not None and not 0 <= asked.temperature <= 2:
            raise _RefusedError(400, "temperature has to lie between 0 and 2", "invalid_value", "temperature")
        return asked

    def _fit(self, messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], int]:
        """Leave out the oldest turns until the conversation fits; the last one always stays."""
        while (count := self.engine.count_prompt_tokens(messages)) > self.settings.max_prompt_tokens:
            if len(messages) < 3:
                raise _RefusedError(
                    413, f"{count:,} tokens; {self.settings.max_prompt_tokens:,} fit", "too_long", "messages"
                )
            system = messages[:1] if messages[0].role == "system" else ()
            rest = messages[len(system) + 2 :]
            messages = (*system, *rest) if rest else messages[-1:]
        return messages, count

    async def _pieces(
        self, request: Request, asked: ChatRequest, messages: tuple[Message, ...], advice: str
    ) -> AsyncIterator[str]:
        """Yield the advice, if any, then the model's pieces; stop the model when the client has gone."""
        if advice:
            yield advice + "\n\n"
        wanted = asked.max_completion_tokens or asked.max_tokens or self.settings.max_new_tokens
        stop, loop = threading.Event(), asyncio.get_running_loop()
        queue: asyncio.Queue[str | BaseException | None] = asyncio.Queue()

        def work() -> None:
            try:
                temperature = self.settings.temperature if asked.temperature is None else asked.temperature
                for piece in self.engine.stream(
                    messages, max_new_tokens=min(wanted, self.settings.max_new_tokens),
                    temperature=temperature, seed=asked.seed or 0, stop=stop,
                ):  # fmt: skip
                    loop.call_soon_threadsafe(queue.put_nowait, piece)
                loop.call_soon_threadsafe(queue.put_nowait, None)
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine that waits
                loop.call_soon_threadsafe(queue.put_nowait, error)

        self.waiting += 1
        try:
            async with self.turn:
                worker = threading.Thread(target=work, daemon=True)
                worker.start()
                try:
                    while (piece := await queue.get()) is not None:
                        if isinstance(piece, BaseException):
                            raise piece
                        yield piece
                        if await request.is_disconnected():
                            break
                finally:
                    stop.set()
                    await asyncio.to_thread(worker.join)
        finally:
            self.waiting -= 1

    def _head(self, asked: ChatRequest, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": self.engine.name,
        }

    def _usage(self, prompt_tokens: int, text: str) -> dict[str, int]:
        wrote = self.engine.count_prompt_tokens((Message("assistant", text),)) if text else 0
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": wrote,
            "total_tokens": prompt_tokens + wrote,
        }

    def _whole(self, asked: ChatRequest, text: str, prompt_tokens: int) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return self._head(asked, "chat.completion") | {
            "choices": [choice],
            "usage": self._usage(prompt_tokens, text),
        }

    async def _events(
        self, asked: ChatRequest, answer: AsyncIterator[str], prompt_tokens: int
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events: role first, finish_reason last, usage if asked, then [DONE]."""
        head, wrote = self._head(asked, "chat.completion.chunk"), ""

        def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
            return _event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        yield chunk({"role": "assistant", "content": ""})
        try:
            async for piece in answer:
                wrote += piece
                yield chunk({"content": piece})
        except Exception as error:  # noqa: BLE001 - the stream has begun: the error becomes an event
            told = str(error) if isinstance(error, BimedixError) else "the model failed"
            yield _event(
                {"error": {"message": told, "type": "server_error", "param": None, "code": "failed"}}
            )
            return
        yield chunk({}, "stop")
        if (asked.stream_options or {}).get("include_usage"):
            yield _event(head | {"choices": [], "usage": self._usage(prompt_tokens, wrote)})
        yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def _given_key(request: Request) -> str:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _is_loopback_name(host: str) -> bool:
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
