"""Decoding: tokens of an answer one by one, with a key-value cache; greedy or sampled with a seed."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def generate_tokens(
    model: Any,
    ids: list[int],
    *,
    max_new_tokens: int,
    stop_ids: frozenset[int],
    temperature: float = 0.0,
    seed: int = 0,
    stop: threading.Event | None = None,
) -> Iterator[int]:
    """Yield new token ids until a stop token, the limit, or `stop` is set.

    Args:
        model: a transformers causal language model.
        ids: prompt.
        temperature: 0 takes the likeliest token; above, softmax(logits / temperature) is drawn from.
        seed: of the draws; the same seed gives the same answer.
    """
    import torch

    from bimedix.model.decode import Decoder

    chance = torch.Generator().manual_seed(seed)
    device = model.get_input_embeddings().weight.device
    decoder = Decoder(model, len(ids) + max_new_tokens)
    new = ids
    for _ in range(max_new_tokens):
        if stop is not None and stop.is_set():
            return
        logits_BV = decoder.step(torch.tensor([new], device=device))
        token = _choose(logits_BV[0].float().cpu(), temperature, chance)
        if token in stop_ids:
            return
        yield token
        new = [token]


def _choose(logits_V: "Tensor", temperature: float, chance: Any) -> int:
    if temperature <= 0:
        return int(logits_V.argmax())
    import torch

    return int(torch.multinomial((logits_V / temperature).softmax(-1), 1, generator=chance))


def decode_stream(tokens: Iterator[int], tokenizer: Any) -> Iterator[str]:
    """Yield text as it becomes certain: bytes of a character that is not whole yet are held back."""
    seen: list[int] = []
    told = ""
    for token in tokens:
        seen.append(token)
        text = tokenizer.decode(seen, skip_special_tokens=True)
        if not text.endswith("\ufffd") and len(text) > len(told):
            yield text[len(told) :]
            told = text
    text = tokenizer.decode(seen, skip_special_tokens=True)
    if len(text) > len(told):
        yield text[len(told) :]
