"""What a completer is asked, what it answers, and what a talk is."""

from collections.abc import Generator
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from bimedix.records import Message

T = TypeVar("T")


class Job(Struct, frozen=True):
    """The same request in fields, for completers that are no language models.

    The embedded translation memory answers from this; endpoints and local models never see it, and it is
    no part of the call key.
    """

    task: Literal["translate", "judge", "revise", "chat", "rationale", "answer"]
    source_language: str
    target_language: str
    fields: dict[str, str] = {}
    """Texts to translate, or the source texts of a judgment, by field name."""
    current: dict[str, str] = {}
    """The translation that is judged or revised."""
    feedback: tuple[str, ...] = ()
    """What was wrong with it."""
    echo: dict[str, str] = {}
    """What the JSON answer has to repeat, such as `id` and `nonce` of a judgment."""


class Request(Struct, frozen=True):
    """One call. What makes it *this* call (see `call_key`): messages, parameters, schema, sample."""

    messages: tuple[Message, ...]
    purpose: str
    """What for: `translate`, `judge`, `revise`, `dialogue`, `answer-check`, `rationale`, ..."""
    record_id: str
    sample: int = 0
    """0; the k-th judgment or k-th try on purpose takes k, so asking again by accident is no new call."""
    max_new_tokens: int = 1024
    temperature: float = 0.0
    schema: dict[str, Any] | None = None
    """JSON Schema that the answer has to fill, where the endpoint can enforce one."""
    job: Job | None = None
    top_logprobs: int = 0
    """How many of the likeliest tokens are wanted at every place of the answer, with their log-probability,
    where the endpoint offers them; 0: none."""


class Reply(Struct, frozen=True):
    """What came back."""

    text: str
    model: str = ""
    """As the completer reports it."""
    finish: Literal["stop", "length", "refusal", "error"] = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = 0.0
    """None: the price is not known."""
    key: str = ""
    """Key of the call in the ledger."""
    cached: bool = False
    """Answered from the ledger, at no cost."""
    top_logprobs: tuple[tuple[tuple[str, float], ...], ...] = ()
    """For every token of the answer, the likeliest ones and their natural log-probability; empty: not offered
    or not asked for."""
    error: str = ""
    """The endpoint's words when `finish` is `error`; the talk decides what that means for its record."""


Talk: TypeAlias = Generator[tuple[Request, ...], tuple[Reply, ...], T]
"""Yields requests that may run side by side, is sent their replies in the same order, returns a result."""


class Completer(Protocol):
    """Answers one request. Raises `BimedixError` only when the whole run has to stop."""

    name: str
    """What goes into the call key and into records: kind, address and model, never a key or a price."""
    parallel: int
    """How many requests it takes at once."""

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        ...

    async def close(self) -> None:
        """Let go of connections and models."""
        ...
