"""The key of a call: what makes two calls the same."""

import hashlib
from functools import cache
from typing import Any

import msgspec

from bimedix.completers.base import Request

_encode = msgspec.json.Encoder(order="sorted").encode


def call_body(request: Request) -> dict[str, Any]:
    """Return everything of a request that can change its answer, as JSON values."""
    wanted = {"top_logprobs": int(request.top_logprobs)} if request.top_logprobs else {}
    return wanted | {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_new_tokens": int(request.max_new_tokens),
        "temperature": float(request.temperature),
        "schema": request.schema,
        "sample": int(request.sample),
    }


def call_key(request: Request, completer_name: str) -> str:
    """Return 32 hex digits: blake2b-128 of the canonical JSON (sorted keys, UTF-8) of completer and call.

    Record id, purpose, API key, timeouts, price and retry policy are not in it. `sample` is: asking again
    on purpose is another call, asking again by accident is none. Source: data.md, section 1.3.

    Raises:
        UnicodeEncodeError: a message holds half of a surrogate pair.
    """
    digest = hashlib.blake2b(_prefix(completer_name), digest_size=16)
    digest.update(_encode(call_body(request)))
    return digest.hexdigest()


@cache
def _prefix(completer_name: str) -> bytes:
    return _encode({"completer": completer_name}) + b"\n"
