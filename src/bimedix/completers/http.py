"""What all endpoints over HTTP have in common: one POST per call, and what its status means."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import structs

from bimedix.completers.base import Reply, Request
from bimedix.completers.endpoint import Billed, Outcome, RawAnswer, Reading
from bimedix.completers.prices import Price, cost_usd
from bimedix.completers.usage import Usage, believe_tokens, prompt_text

Finish = Literal["stop", "length", "refusal", "error"]
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
"""Servers on this machine are never asked through the proxy that the environment names."""
MAX_BODY_BYTES = 64 * 1024 * 1024
TOO_LONG = "the answer is longer than"
"""Begins the error of an answer that was not read to its end: asking again would bring it again."""
STATUS: dict[int, tuple[Outcome, Billed]] = {
    400: ("fail", "no"), 401: ("stop", "no"), 402: ("stop", "no"), 403: ("stop", "no"), 404: ("stop", "no"),
    405: ("stop", "no"), 408: ("retry", "possibly"), 409: ("retry", "no"), 413: ("fail", "no"),
    422: ("fail", "no"), 429: ("wait", "no"), 503: ("wait", "no"), 529: ("wait", "no"),
}  # fmt: skip
"""Source: data.md, section 1.4. Other 4xx fail the record, 3xx stop the run, 5xx are tried again."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Said:
    """What an answer with status 200 says, in the same words for every provider."""

    model: str
    text: str
    refused: bool
    cut: bool
    """Ended at the token limit."""
    tokens_in: Any
    """As reported; anything, or nothing."""
    tokens_out: Any
    """As reported, without reasoning."""
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    top_logprobs: tuple[tuple[tuple[str, float], ...], ...] = ()


class _TooLongError(ValueError):
    """An answer is longer than any that a talk could read."""


class HttpEndpoint(ABC):
    """Sends requests over one pooled aiohttp session, and reads what every provider does alike.

    Subclasses give `root`, `url`, `headers`, `body` and `read_answer`.
    """

    root: str
    """Address up to and with /v1."""
    url: str
    """Where calls go."""
    paced = True
    tries = 6
    backoff_s = 0.5

    def __init__(
        self,
        *,
        name: str,
        model: str,
        key: str,
        parallel: int,
        price: Price | None,
        timeout_s: float,
        max_wait_s: float,
    ) -> None:
        self.name, self.model, self.parallel, self.price = name, model, parallel, price
        self.timeout_s, self.max_wait_s = timeout_s, max_wait_s
        self._key = key
        self._draw = Random()
        self._session: aiohttp.ClientSession | None = None

    @abstractmethod
    def headers(self, key: str) -> dict[str, str]:
        """Return the headers that carry the API key."""
        ...

    @abstractmethod
    def body(self, request: Request) -> dict[str, Any]:
        """Return the JSON body of a request."""
        ...

    @abstractmethod
    def read_answer(self, request: Request, answer: dict[str, Any]) -> Reading:
        """Read the JSON object of an answer with status 200."""
        ...

    async def send(self, request: Request) -> RawAnswer:
        """Make one call; what the network does is told in the answer, never raised."""
        status, body, headers = 0, b"", cast("dict[str, str]", {})
        try:
            async with self._open().post(
                self.url, data=_encode(self.body(request)), headers=self._headers, allow_redirects=False
            ) as response:
                status, headers = response.status, cast("dict[str, str]", response.headers)
                body = await _read_bounded(response)
        except aiohttp.ClientConnectorError as error:
            return RawAnswer(0, error=self.shown(error), sent=False)
        except _TooLongError as error:
            return self._answer(status, b"", headers, str(error))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return self._answer(status, body, headers, self.shown(error))
        return self._answer(status, body, headers, "")

    def read(self, request: Request, raw: RawAnswer) -> Reading:
        """Say what an answer means for its call."""
        if raw.error.startswith(TOO_LONG):
            return self._failed("fail", "possibly", raw.error)
        if raw.error:
            return self._failed("retry", "possibly" if raw.sent else "no", raw.error)
        if raw.status != 200:
            return self._read_refusal(raw)
        try:
            answer = _decode(raw.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            seen = raw.body[:80].decode("utf-8", "replace")
            return self._failed(
                "retry",
                "possibly",
                f"status 200 with no JSON ({raw.content_type or 'no type'}): {error}: {seen!r}",
            )
        if not isinstance(answer, dict):
            return self._failed("retry", "possibly", "status 200 with JSON that is no object")
        reading = self.read_answer(request, answer)
        return self._at_batch_price(reading) if raw.batch else reading

    def book(self, request: Request, said: Said) -> Reading:
        """Make the reply: finish reason, tokens that can be believed, cost."""
        tokens_in, whose_in = believe_tokens(said.tokens_in, prompt_text(request))
        tokens_out, whose_out = believe_tokens(said.tokens_out, said.text)
        tokens_out += said.tokens_reasoning
        empty = not (said.text.strip() or said.refused or said.cut)
        finish: Finish = "refusal" if said.refused else "error" if empty else "length" if said.cut else "stop"
        price = self.price
        reply = Reply(
            said.text,
            model=said.model,
            finish=finish,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost_usd=None if price is None else cost_usd(price, tokens_in, tokens_out, said.tokens_cached),
            error="empty answer" if empty else "",
            top_logprobs=said.top_logprobs,
        )
        usage: Usage = "estimated" if "estimated" in (whose_in, whose_out) else "reported"
        outcome: Outcome = "empty" if empty else "answer"
        return Reading(outcome, reply, "yes", said.tokens_cached, said.tokens_reasoning, usage)

    def _at_batch_price(self, reading: Reading) -> Reading:
        cost = reading.reply.cost_usd
        if self.price is None or cost is None:
            return reading
        return structs.replace(
            reading, reply=structs.replace(reading.reply, cost_usd=cost * self.price.batch)
        )

    def estimate_usd(self, request: Request) -> float | None:
        """Return what one call costs at most: every 2 bytes of prompt a token, the answer at its limit."""
        if self.price is None:
            return None
        size = sum(len(message.content.encode("utf-8", "replace")) + 16 for message in request.messages)
        return cost_usd(self.price, size // 2, request.max_new_tokens)

    async def complete(self, request: Request) -> Reply:
        """Send once and read."""
        return self.read(request, await self.send(request)).reply

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._session:
            await self._session.close()
            self._session = None

    def open(
        self, method: str, url: str, data: Any, *, as_json: bool
    ) -> "aiohttp.client._RequestContextManager":
        """Begin a request that is no call, such as those of a batch API; the body may take an hour."""
        session = self._open()
        headers = dict(self._headers)
        if not as_json:
            del headers["Content-Type"]
        timeout = aiohttp.ClientTimeout(total=3600.0, sock_connect=30, sock_read=self.timeout_s)
        return session.request(
            method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._headers = {"Content-Type": "application/json", **self.headers(self._key)}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                timeout=aiohttp.ClientTimeout(total=self.timeout_s, sock_connect=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=urlsplit(self.url).hostname not in LOOPBACK,
            )
        return self._session

    def _answer(self, status: int, body: bytes, headers: dict[str, str], error: str) -> RawAnswer:
        if self._key:
            body = body.replace(self._key.encode(), b"***")
        request_id = headers.get("x-request-id") or headers.get("request-id") or ""
        kind, retry_after = headers.get("Content-Type", ""), headers.get("Retry-After", "")
        return RawAnswer(status, body, kind, retry_after, request_id, error)

    def shown(self, error: BaseException) -> str:
        """Return an error in words that hold no key."""
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        return text.replace(self._key, "***") if self._key else text

    def _read_refusal(self, raw: RawAnswer) -> Reading:
        words = _error_words(raw.body)
        usual: tuple[Outcome, Billed] = ("fail", "no")
        if raw.status >= 500:
            usual = ("retry", "no")
        elif raw.status < 400:
            usual = ("stop", "no")
        outcome, billed = STATUS.get(raw.status, usual)
        if raw.status == 429 and "insufficient_quota" in words:
            outcome = "stop"
        return self._failed(outcome, billed, f"status {raw.status}: {words}{self._advice(raw.status)}")

    def _advice(self, status: int) -> str:
        match status:
            case 401 | 403:
                return "\n  Check the key in the environment variable that `key_env` names, and its rights."
            case 404 | 405:
                return f"\n  Check base_url and model: {self.url} knows no '{self.model}'."
            case 402 | 429:
                return "\n  The account is out of credit or quota."
        return ""

    def _failed(self, outcome: Outcome, billed: Billed, error: str) -> Reading:
        return Reading(outcome, Reply("", model=self.model, finish="error", error=error), billed)


def name_of(extra: dict[str, Any] | None, leave_out: tuple[str, ...]) -> str:
    """Return what changed parameters add to the name of a completer, and so to its call keys."""
    added = f"?{msgspec.json.encode(extra, order='sorted').decode()}" if extra else ""
    return added + "".join(f"!{name}" for name in sorted(leave_out))


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, or raise when it is longer than any answer."""
    length = response.content_length
    if length is not None and length <= MAX_BODY_BYTES and "Content-Encoding" not in response.headers:
        return await response.read()
    body = bytearray()
    async for block in response.content.iter_chunked(1 << 16):
        body += block
        if len(body) > MAX_BODY_BYTES:
            raise _TooLongError(f"{TOO_LONG} {MAX_BODY_BYTES:,} bytes")
    return bytes(body)


def _error_words(body: bytes) -> str:
    """Return the endpoint's own words: `error.message` and `error.code`, else the start of the body."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = None
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    if isinstance(error, dict):
        said = [str(error[name]) for name in ("message", "code", "type") if error.get(name)]
        return " / ".join(dict.fromkeys(said))[:500] or "no words"
    return str(error)[:500] if error else " ".join(body[:500].decode("utf-8", "replace").split())
