"""Any OpenAI-compatible chat endpoint: the provider's own, a gateway, or vLLM's server.

aiohttp and these lines, because at 256 calls in flight a client library costs fifty times the CPU
(data.md, section 1.2).
"""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from bimedix.completers.base import Request
from bimedix.completers.endpoint import EndpointError, Reading
from bimedix.completers.http import HttpEndpoint, Said, name_of
from bimedix.completers.prices import Price


class OpenAiCompleter(HttpEndpoint):
    """Chat completions over HTTP."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str = "",
        parallel: int = 16,
        price: Price | None = None,
        timeout_s: float = 300.0,
        max_wait_s: float = 900.0,
        limit_field: str = "max_tokens",
        extra: dict[str, Any] | None = None,
        leave_out: tuple[str, ...] = (),
    ) -> None:
        base_url = base_url.rstrip("/")
        super().__init__(
            name=f"openai:{base_url}#{model}{name_of(extra, leave_out)}", model=model, key=key,
            parallel=parallel, price=price, timeout_s=timeout_s, max_wait_s=max_wait_s,
        )  # fmt: skip
        self.root = base_url
        self.url = f"{base_url}/chat/completions"
        self.limit_field, self.extra, self.leave_out = limit_field, extra or {}, leave_out

    def headers(self, key: str) -> dict[str, str]:
        """Return the bearer token, where there is one."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def body(self, request: Request) -> dict[str, Any]:
        """Return the JSON body: messages, limits, and the schema of the answer where there is one."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            self.limit_field: request.max_new_tokens,
            "temperature": request.temperature,
        }
        if request.schema is not None:
            schema = {"name": request.purpose.replace("-", "_") or "answer", "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": {**schema, "strict": True}}
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return {name: value for name, value in (body | self.extra).items() if name not in self.leave_out}

    async def stream(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a streamed answer as they come; sent once, kept in no ledger.

        Raises:
            EndpointError: the endpoint refuses, breaks off, or sends what is no event.
        """
        body = self.body(request) | {"stream": True, "stream_options": {"include_usage": True}}
        data = msgspec.json.encode(body)
        session = self._open()
        try:
            async with session.post(
                self.url, data=data, headers=self._headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    told = (await response.content.read(400)).decode("utf-8", "replace")
                    told = told.replace(self._key, "***") if self._key else told
                    raise EndpointError(f"{self.url}: status {response.status}: {told}")
                async for line in response.content:
                    event = _event(line)
                    if event is None:
                        continue
                    if "error" in event:
                        raise EndpointError(f"{self.url}: broke off the stream: {event['error']}")
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise EndpointError(f"{self.url}: {self.shown(error)}") from error

    def read_answer(self, request: Request, answer: dict[str, Any]) -> Reading:
        """Read the first choice, its finish reason and the usage."""
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            return self._failed("retry", "possibly", "status 200 with no choices")
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
        told_out = usage.get("completion_tokens")
        reason, refusal = choice.get("finish_reason"), message.get("refusal")
        said = Said(
            model=str(answer.get("model") or self.model),
            text=_plain(message.get("content")) or str(refusal or ""),
            refused=bool(refusal) or reason in {"content_filter", "refusal"},
            cut=reason == "length",
            tokens_in=usage.get("prompt_tokens"),
            tokens_out=told_out - reasoning if isinstance(told_out, int) else None,
            tokens_cached=_detail(usage, "prompt_tokens_details", "cached_tokens"),
            tokens_reasoning=reasoning,
            top_logprobs=_top_logprobs(choice.get("logprobs")) if request.top_logprobs else (),
        )
        return self.book(request, said)


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line of server-sent events; None for all other lines."""
    data = line[5:].strip() if line.startswith(b"data:") else b""
    if not data or data == b"[DONE]":
        return None
    value = msgspec.json.decode(data)
    return value if isinstance(value, dict) else None


def _plain(content: Any) -> str:
    """Return the text of a message: a string, or a list of parts of which some are text."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or "")


def _top_logprobs(block: Any) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return token texts and log-probabilities, place by place; empty when they are not as they should be."""
    places = block.get("content") if isinstance(block, dict) else None
    try:
        return tuple(
            tuple((str(top["token"]), float(top["logprob"])) for top in place["top_logprobs"])
            for place in places or ()
        )
    except (TypeError, KeyError, ValueError):
        return ()


def _detail(usage: dict[str, Any], group: str, name: str) -> int:
    """Return a count from a nested group of the usage block; 0 when it is not a plain number."""
    details = usage.get(group)
    count = details.get(name) if isinstance(details, dict) else None
    return count if isinstance(count, int) and count > 0 else 0
