"""Endpoints that speak Anthropic's messages API."""

from typing import Any

from bimedix.completers.base import Request
from bimedix.completers.endpoint import Reading
from bimedix.completers.http import HttpEndpoint, Said, name_of
from bimedix.completers.prices import Price

VERSION = "2023-06-01"


class AnthropicCompleter(HttpEndpoint):
    """Messages over HTTP; system messages travel in a field of their own."""

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
        extra: dict[str, Any] | None = None,
        leave_out: tuple[str, ...] = (),
    ) -> None:
        base_url = base_url.rstrip("/")
        super().__init__(
            name=f"anthropic:{base_url}#{model}{name_of(extra, leave_out)}", model=model, key=key,
            parallel=parallel, price=price, timeout_s=timeout_s, max_wait_s=max_wait_s,
        )  # fmt: skip
        self.root = base_url
        self.url = f"{base_url}/messages"
        self.extra, self.leave_out = extra or {}, leave_out

    def headers(self, key: str) -> dict[str, str]:
        """Return version and key."""
        return {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})

    def body(self, request: Request) -> dict[str, Any]:
        """Return the JSON body. A schema is not enforced here: the prompt asks for it, the reader checks."""
        system = "\n\n".join(m.content for m in request.messages if m.role == "system")
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [
                {"role": m.role, "content": m.content} for m in request.messages if m.role != "system"
            ],
            "max_tokens": request.max_new_tokens,
            "temperature": request.temperature,
        }
        body |= ({"system": system} if system else {}) | self.extra
        return {name: value for name, value in body.items() if name not in self.leave_out}

    def read_answer(self, request: Request, answer: dict[str, Any]) -> Reading:
        """Read the text blocks, the stop reason and the usage."""
        blocks = answer.get("content")
        if not isinstance(blocks, list):
            return self._failed("retry", "possibly", "status 200 with no content")
        texts = [block.get("text") for block in blocks if isinstance(block, dict)]
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        cached, fresh = usage.get("cache_read_input_tokens"), usage.get("input_tokens")
        cached = cached if isinstance(cached, int) and cached > 0 else 0
        said = Said(
            model=str(answer.get("model") or self.model),
            text="".join(text for text in texts if isinstance(text, str)),
            refused=answer.get("stop_reason") == "refusal",
            cut=answer.get("stop_reason") == "max_tokens",
            tokens_in=fresh + cached if isinstance(fresh, int) else None,
            tokens_out=usage.get("output_tokens"),
            tokens_cached=cached,
        )
        return self.book(request, said)
