"""Greedy replies of a local model: the same text for any batch size and order.

Batches are cut from the sorted set. A reply on the way to which the best two tokens were ever closer than
the tie guard is written again alone, because there the padding of a batch could decide.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from bimedix.evaluate.scoring import TIE_GUARD
from bimedix.evaluate.trie import Ids
from bimedix.model.decode import Decoder


def generate(
    model: Any,
    prompts: Mapping[str, Ids],
    *,
    end_id: int,
    max_new_tokens: int,
    budget: int = 2048,
    known: Callable[[str], Ids | None] = lambda _: None,
    keep: Callable[[dict[str, Ids]], None] = lambda replies: None,
) -> dict[str, Ids]:
    """Return the reply to every prompt, without the stop token.

    Args:
        model: a causal language model of transformers.
        prompts: token ids by id.
        end_id: token that ends a reply.
        max_new_tokens: longest reply.
        budget: prompt tokens of a batch, padding included.
        known: replies of an earlier run.
        keep: takes the replies of every batch as it is done.
    """
    guard = TIE_GUARD.get(model.get_input_embeddings().weight.dtype, 0.125)
    replies: dict[str, Ids] = {}
    for batch in _batches(prompts, budget):
        found = {name: known(name) for name in batch}
        done = {name: reply for name, reply in found.items() if reply is not None}
        if len(done) < len(batch):
            texts, margins = _greedy(model, [prompts[name] for name in batch], end_id, max_new_tokens)
            done = dict(zip(batch, texts, strict=True))
            if len(batch) > 1:
                close = [name for name, margin in zip(batch, margins, strict=True) if margin < guard]
                for name in close:
                    done[name] = _greedy(model, [prompts[name]], end_id, max_new_tokens)[0][0]
            keep(done)
        replies |= done
    return replies


def _batches(prompts: Mapping[str, Ids], budget: int) -> list[list[str]]:
    out: list[list[str]] = []
    for name in sorted(prompts, key=lambda name: (len(prompts[name]), prompts[name], name)):
        if out and (len(out[-1]) + 1) * len(prompts[name]) <= budget:
            out[-1].append(name)
        else:
            out.append([name])
    return out


@torch.inference_mode()
def _greedy(
    model: Any, prompts: Sequence[Ids], end_id: int, max_new_tokens: int
) -> tuple[list[Ids], list[float]]:
    """Return replies and, for each, the smallest margin of the best token over the second."""
    device = model.get_input_embeddings().weight.device
    width = max(map(len, prompts))
    ids = torch.tensor([[end_id] * (width - len(p)) + list(p) for p in prompts], device=device)
    pads = [width - len(p) for p in prompts]
    replies: list[list[int]] = [[] for _ in prompts]
    margins = [float("inf")] * len(prompts)
    open_rows = set(range(len(prompts)))
    decoder = Decoder(model, width + max_new_tokens, len(prompts))
    for _ in range(max_new_tokens):
        best = decoder.step(ids, pads).float().topk(2, dim=-1)
        gaps = (best.values[:, 0] - best.values[:, 1]).tolist()
        chosen = best.indices[:, 0].tolist()
        for row in sorted(open_rows):
            margins[row] = min(margins[row], gaps[row])
            if chosen[row] == end_id:
                open_rows.remove(row)
            else:
                replies[row].append(chosen[row])
        if not open_rows:
            break
        ids = best.indices[:, :1]
    return [tuple(reply) for reply in replies], margins
