"""Small talks that several tests drive."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bimedix.completers import Reply, Request, Talk
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


def run(
    texts: Iterable[str], address: str, ledger: Path, *, budget_usd: float | None = None, price: bool = True
) -> list[Reply]:
    """Ask all texts and return the replies."""
    completer = quick_completer(address, price=price)
    results = run_talks(
        ask_all(texts), completer, ledger, progress=Progress(), name="demo", budget_usd=budget_usd
    )
    return [reply for _, reply in results]
