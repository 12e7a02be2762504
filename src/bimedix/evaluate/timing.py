"""Times answers one at a time: of a local model token by token, of an endpoint by its stream."""

import asyncio
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bimedix.completers.base import Request
from bimedix.completers.endpoint import EndpointError
from bimedix.completers.openai import OpenAiCompleter
from bimedix.evaluate.asking import Asker
from bimedix.evaluate.efficiency import Loaded, Timed
from bimedix.evaluate.items import Asked
from bimedix.records import Message, content_hash

_READ_BYTES = 1 << 28
"""What the bandwidth is measured on: more than the caches of a processor hold."""


def timed_items(asked: Sequence[Asked], per_language: int) -> list[Asked]:
    """Return so many items of each language, the first ones by hash of the id, languages in turn."""
    by: dict[str, list[Asked]] = {}
    for entry in sorted(asked, key=lambda e: content_hash(e.item.id)):
        by.setdefault(entry.item.language, []).append(entry)
    chosen = {code: entries[:per_language] for code, entries in sorted(by.items())}
    return [entries[n] for n in range(per_language) for entries in chosen.values() if n < len(entries)]


def time_local(
    model: Any, asker: Asker, name: str, items: Sequence[Asked], *, warm_up: int, max_new_tokens: int,
    exact: bool, end_id: int, with_rationale: bool = False,
) -> Iterator[Timed]:  # fmt: skip
    """Yield the times of each item's answer; the first `warm_up` ones are marked, and come before all.

    Args:
        model: a causal language model.
        asker: puts items before it.
        name: of the model.
        items: what is asked.
        warm_up: answers before measuring, to the first items again.
        max_new_tokens: longest answer.
        exact: write exactly so many tokens, past the stop token.
        end_id: token that ends an answer.
        with_rationale: ask for the reason first.
    """
    from bimedix.model.generate import generate_tokens

    stops = frozenset() if exact else frozenset({end_id})
    for number, entry in enumerate([*list(items)[:warm_up], *items]):
        prompt = list(asker.prompt(entry.item, with_rationale=with_rationale))
        start = time.perf_counter()
        first, written = 0.0, []
        for token in generate_tokens(model, prompt, max_new_tokens=max_new_tokens, stop_ids=stops):
            first = first or time.perf_counter() - start
            written.append(token)
        total = time.perf_counter() - start
        text = asker.tokenizer.decode(written, skip_special_tokens=True).strip()
        yield Timed(
            name, entry.item.id, entry.item.language, number < warm_up, len(prompt), len(written), len(text),
            first or total, total,
        )  # fmt: skip


def loaded(model: Any, name: str, rows: Sequence[Timed]) -> Loaded:
    """Return how a model lies in memory, after it has answered."""
    weight = model.get_input_embeddings().weight
    stored = [*model.parameters(), *model.buffers()]
    resident, peak = _memory(weight.device)
    return Loaded(
        name, str(weight.device), str(weight.dtype).removeprefix("torch."),
        sum(tensor.numel() * tensor.element_size() for tensor in stored), resident, peak,
        rows[0].total_s if rows else 0.0, read_bandwidth(weight.device),
    )  # fmt: skip


def _memory(device: Any) -> tuple[int, int]:
    if device.type == "cuda":
        import torch

        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    status = Path("/proc/self/statm")
    now = int(status.read_text().split()[1]) * resource.getpagesize() if status.exists() else peak
    return now, max(now, peak)


def read_bandwidth(device: Any, repeats: int = 5) -> float:
    """Return bytes per second that reading 256 MiB once takes: the median of some sums."""
    import torch

    block = torch.ones(_READ_BYTES // 4, device=device)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        block.sum().item()
        seconds.append(time.perf_counter() - start)
    return _READ_BYTES / statistics.median(seconds[1:])


# --- endpoints


def time_endpoint(
    endpoint: OpenAiCompleter, asker: Asker, items: Sequence[Asked], *, warm_up: int, max_new_tokens: int,
    with_rationale: bool = False,
) -> list[Timed]:  # fmt: skip
    """Return the times of each item's streamed answer, asked one after the other.

    Raises:
        EndpointError: it refuses, breaks off, or streams no text.
    """

    async def all_of_them() -> list[Timed]:
        out = []
        try:
            for number, entry in enumerate([*list(items)[:warm_up], *items]):
                messages = asker.messages(entry.item, with_rationale=with_rationale)
                out.append(await _time_stream(endpoint, entry, messages, number < warm_up, max_new_tokens))
        finally:
            await endpoint.close()
        return out

    return asyncio.run(all_of_them())


async def _time_stream(
    endpoint: OpenAiCompleter,
    entry: Asked,
    messages: tuple[Message, ...],
    warm_up: bool,
    max_new_tokens: int,
) -> Timed:
    item = entry.item
    request = Request(messages, "answer", item.id, max_new_tokens=max_new_tokens)
    text, first, usage = "", 0.0, {}
    start = time.perf_counter()
    async for event in endpoint.stream(request):
        piece = _piece(event)
        if piece and not first:
            first = time.perf_counter() - start
        text += piece
        if isinstance(event.get("usage"), dict):
            usage = event["usage"]
    total = time.perf_counter() - start
    if not text:
        raise EndpointError(f"{endpoint.url}: streamed no text for {item.id}.\n  Does it know `stream`?")
    return Timed(
        endpoint.model, item.id, item.language, warm_up, _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"), len(text), first, total,
    )  # fmt: skip


def _piece(event: dict[str, Any]) -> str:
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    delta = choice.get("delta") if isinstance(choice, dict) else None
    return str(delta.get("content") or "") if isinstance(delta, dict) else ""


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
