"""Documents end to end in one row: positions that restart, attention within each, loss on chosen rows.

No padding and no T x T mask: packed and unpacked give the same numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from bimedix.errors import ShapeError
from bimedix.model.products import product

ATTENTION = "bimedix_documents"
"""Name under which transformers finds `document_attention`."""


@dataclass(frozen=True)
class Packed:
    """Documents of one micro-batch, concatenated; T tokens, S supervised rows."""

    ids: Tensor
    """[1, T]"""
    positions: Tensor
    """[1, T], from 0 in every document."""
    lengths: tuple[int, ...]
    """Tokens of each document."""
    rows: Tensor
    """[S] rows whose next token bears loss."""
    targets: Tensor
    """[S] those next tokens."""

    @property
    def documents(self) -> Tensor:
        """Index of the document of every token, [T]."""
        return torch.arange(len(self.lengths)).repeat_interleave(torch.tensor(self.lengths))

    def to(self, device: torch.device) -> "Packed":
        """Return the same on another device."""
        moved = (t.to(device) for t in (self.ids, self.positions))
        ids, positions = moved
        return Packed(ids, positions, self.lengths, self.rows.to(device), self.targets.to(device))


def pack(documents: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Packed:
    """Concatenate (ids, supervised) documents; arrays of numbers are read without a loop over tokens.

    Row t bears loss when token t + 1 belongs to the same document and is supervised.
    """
    for tokens, supervised in documents:
        if not len(tokens) or len(tokens) != len(supervised):
            raise ShapeError(
                f"a document of {len(tokens)} tokens with {len(supervised)} marks of supervision"
            )
    lengths = tuple(len(tokens) for tokens, _ in documents)
    starts = np.cumsum((0, *lengths[:-1]))
    marks = np.concatenate([np.array(_numbers(supervised), dtype=bool) for _, supervised in documents])
    marks[starts] = False  # A document's first token is predicted from nothing.
    ids = torch.from_numpy(np.concatenate([np.asarray(tokens, dtype=np.int64) for tokens, _ in documents]))
    positions = torch.from_numpy(np.arange(len(marks)) - np.repeat(starts, lengths))
    at = torch.from_numpy(np.flatnonzero(marks)) - 1
    return Packed(ids[None], positions[None], lengths, at, ids[at + 1])


def _numbers(marks: Sequence[int]) -> Any:
    """Return marks in a form that numpy takes as numbers; it would take bytes as one text."""
    return np.frombuffer(marks, dtype=np.uint8) if isinstance(marks, bytes) else marks


def document_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    document_lengths: Sequence[int] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each document; [1, heads, T, D] in, [1, T, heads, D] out.

    Called by transformers for every layer. `document_lengths` comes from the call of the model; without it
    all tokens are one document. On CUDA in half precision all documents go through one kernel; elsewhere
    each has a call of its own. Either way nothing of size T x T is kept.
    """
    lengths = list(document_lengths or (query.shape[2],))
    if query.shape[0] != 1 or sum(lengths) != query.shape[2]:
        raise ShapeError(f"documents of {sum(lengths)} tokens in a batch of {tuple(query.shape)}")
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))
        out = attend_packed(varlen_attn, q, k, v, tuple(lengths), scaling, sliding_window)
        return out[None], None
    parts = [
        _attend(q, k, v, scaling, dropout, sliding_window)
        for q, k, v in zip(*(torch.split(t, lengths, dim=2) for t in (query, key, value)), strict=True)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def attend_packed(
    attend: Callable[..., Any], q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...],
    scale: float | None, window: int | None,
) -> Tensor:  # fmt: skip
    """Attend within all documents in one call of torch's varlen attention; [T, heads, D] in and out.

    What torch 2.10 to 2.13 differ in is read off the signature: causal by a flag or by a window, a scale
    or none, and shared key heads as they are or repeated.
    """
    known = signature(attend).parameters
    options: dict[str, Any] = {}
    if "window_size" in known:
        options["window_size"] = (-1 if window is None else window - 1, 0)
    elif window is not None and max(lengths) > window:
        raise ShapeError(f"{max(lengths)} tokens, a sliding window of {window}: torch 2.11 is needed.")
    else:
        options["is_causal"] = True
    if "scale" in known:
        options["scale"] = scale
    elif scale is not None:
        q = q * (scale * q.shape[-1] ** 0.5)
    if k.shape[1] != q.shape[1]:
        if "enable_gqa" in known:
            options["enable_gqa"] = True
        else:
            k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for t in (k, v))
    ends = _ends(lengths, q.device)
    out: Tensor = attend(q, k, v, ends, ends, max(lengths), max(lengths), **options)
    return out


@lru_cache(maxsize=16)
def _ends(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Return where documents begin and the last one ends, [documents + 1], once for all layers."""
    return torch.tensor((0, *lengths)).cumsum(0).to(device, torch.int32)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, dropout: float, window: int | None
) -> Tensor:
    """One document; a mask is built only when it is longer than the sliding window."""
    mask = None
    if window is not None and q.shape[2] > window:
        at = torch.arange(q.shape[2], device=q.device)
        distance = at[:, None] - at[None]
        mask = (distance >= 0) & (distance < window)
    return scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip


def register_attention() -> None:
    """Make `document_attention` known to transformers, by its public registers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(ATTENTION, document_attention)
    AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


class _HeadLoss(torch.autograd.Function):
    """Sum of -log p(target) over rows, the vocabulary's logits held for one chunk of rows at a time."""

    @staticmethod
    def forward(ctx: Any, hidden_SH: Tensor, head_VH: Tensor, targets_S: Tensor, chunk: int) -> Tensor:
        dhidden_SH = torch.empty_like(hidden_SH)
        dhead_VH = torch.zeros_like(head_VH) if ctx.needs_input_grad[1] else None
        dtype = torch.promote_types(hidden_SH.dtype, torch.float32)
        total = torch.zeros((), dtype=dtype, device=hidden_SH.device)
        for start in range(0, len(hidden_SH), chunk):
            rows = slice(start, start + chunk)
            # One buffer: logits, then their exponentials, then probabilities minus one at the target.
            p = product(hidden_SH[rows], head_VH).to(dtype)
            picked = p.gather(1, targets_S[rows, None])
            top = p.amax(dim=-1, keepdim=True)
            norm = p.sub_(top).exp_().sum(dim=-1, keepdim=True)
            total += (norm.log() + top - picked).sum()
            p.div_(norm).scatter_add_(1, targets_S[rows, None], torch.full_like(picked, -1.0))
            p = p.to(hidden_SH.dtype)
            dhidden_SH[rows] = product(p, head_VH.T)
            if dhead_VH is not None:
                dhead_VH.addmm_(p.T, hidden_SH[rows])
        ctx.save_for_backward(dhidden_SH, dhead_VH)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        dhidden_SH, dhead_VH = ctx.saved_tensors
        scaled = dhidden_SH * grad.to(dhidden_SH.dtype)
        return scaled, None if dhead_VH is None else dhead_VH * grad.to(dhead_VH.dtype), None, None


def head_loss(hidden_SH: Tensor, head_VH: Tensor, targets_S: Tensor, chunk: int = 1024) -> Tensor:
    """Return the sum of negative log-likelihoods (nats) of the targets; logits live a chunk at a time.

    Args:
        hidden_SH: hidden states of supervised rows only, after the last norm.
        head_VH: weight of the LM head.
        targets_S: ids.
        chunk: rows whose logits exist at once.
    """
    loss: Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden_SH, head_VH, targets_S, chunk
    )
    return loss
