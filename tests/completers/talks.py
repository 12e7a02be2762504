"""Small talks that several tests drive."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bimedix.completers import Reply, Request, Talk
from bimedix.completers.anthropic import AnthropicCompleter
from bimedix.completers.batch import BatchCompleter
from bimedix.completers.batch_api import AnthropicBatches, BatchApi, OpenAiBatches
from bimedix.completers.http import HttpEndpoint
from bimedix.completers.openai import OpenAiCompleter
from bimedix.completers.prices import Price
from bimedix.completers.runner import run_talks
from bimedix.progress import Progress
from bimedix.records import Message


def ask(record_id: str, text: str, *, sample: int = 0, max_new_tokens: int = 50) -> Talk[Reply]:
    """One request, and its reply is the result."""
    messages = (Message("system", "Be kind."), Message("user", text))
    request = Request(messages, "answer", record_id, sample=sample, max_new_tokens=max_new_tokens)
    (reply,) = yield (request,)
    return reply


def ask_all(texts: Iterable[str]) -> Iterator[tuple[str, Talk[Reply]]]:
    """One talk per text."""
    for number, text in enumerate(texts):
        yield f"r{number}", ask(f"r{number}", text)


def quick_completer(
    address: str, *, parallel: int = 32, key: str = "", price: bool = True
) -> OpenAiCompleter:
    """A completer for the stub that waits little between tries."""
    completer = OpenAiCompleter(
        address, "m", parallel=parallel, key=key, price=Price(1.0, 2.0) if price else None, timeout_s=5.0
    )
    completer.backoff_s = 0.01
    return completer


SHAPES: dict[str, tuple[type[OpenAiCompleter | AnthropicCompleter], type[BatchApi]]] = {
    "openai": (OpenAiCompleter, OpenAiBatches),
    "anthropic": (AnthropicCompleter, AnthropicBatches),
}
"""Endpoint and batch API of each provider's shape."""


def online_of(shape: str, address: str) -> HttpEndpoint:
    """The endpoint of a shape, with a batch price of half the online one."""
    online = SHAPES[shape][0](address, "m", parallel=32, price=Price(1.0, 2.0, batch=0.5), timeout_s=5.0)
    online.backoff_s = 0.01
    return online


def batch_of(shape: str, address: str, *, calls: int = 10, batch_from: int = 1) -> BatchCompleter:
    """A completer that sends batches of ten calls and looks often."""
    online = online_of(shape, address)
    completer = BatchCompleter(
        online, SHAPES[shape][1](online, poll_s=0.02), calls=calls, batch_from=batch_from
    )
    completer.parallel = 100
    return completer


def run(
    texts: Iterable[str], address: str, ledger: Path, *, budget_usd: float | None = None, price: bool = True
) -> list[Reply]:
    """Ask all texts and return the replies."""
    completer = quick_completer(address, price=price)
    results = run_talks(
        ask_all(texts), completer, ledger, progress=Progress(), name="demo", budget_usd=budget_usd
    )
    return [reply for _, reply in results]


def die(*_: object, **__: object) -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def start_in_a_child(work: Callable[[], object]) -> int:
    """Run in a forked process, which has what is imported here already; returns its number."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(1)


def ended_by_kill(child: int) -> bool:
    """Wait for a child, and tell whether a signal ended it."""
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
