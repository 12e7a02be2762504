"""NF4: weights in four bits, 64 to a scale, with the bytes of bitsandbytes (QLoRA, arXiv 2305.14314).

Blocks run along the inputs, the first weight of a pair in the high half of its byte. The value of a
weight is level x scale in float32, rounded once to the wanted dtype, on every device alike. Scales are
kept as float32, as bfloat16 (lossless when the weights were bfloat16, for a scale is one of them), or
nested: eight bits around their mean, 256 to a second scale.
"""

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bimedix.errors import ShapeError
from bimedix.model.devices import kernels_of
from bimedix.model.settings import ScaleFormat

BLOCK = 64
NESTED_BLOCK = 256
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""Quantiles of the normal distribution, scaled to [-1, 1], with an exact zero (arXiv 2305.14314, app. E)."""


@cache
def _levels(device: torch.device) -> Tensor:
    return torch.tensor(LEVELS, dtype=torch.float32, device=device)


@cache
def _pairs(device: torch.device) -> Tensor:
    """Return the two float32 values of every byte, as one 8-byte element each, [256]."""
    byte = torch.arange(256, device=device)
    levels = _levels(device)
    return torch.stack([levels[byte >> 4], levels[byte & 15]], dim=1).contiguous().view(torch.float64)[:, 0]


@cache
def dynamic_levels() -> Tensor:
    """Return the 256 levels of the signed dynamic 8-bit type, ascending (arXiv 1511.04561).

    A sign, then zeros that give the power of ten, then a linear fraction: for power 10^-i, the middles of
    2^(6-i) equal parts of [0.1, 1]; zero and one besides.
    """
    found = [0.0, 1.0]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2**power + 1, dtype=torch.float32)
        middles = (edges[:-1] + edges[1:]) / 2.0
        scaled = 10 ** (power - 6) * middles
        found += scaled.tolist() + (-scaled).tolist()
    return torch.tensor(sorted(found), dtype=torch.float32)


class Nested(NamedTuple):
    """Scales in eight bits."""

    codes: Tensor
    """uint8, one per block."""
    scales: Tensor
    """float32, one per 256 blocks."""
    mean: Tensor
    """float32, of all scales."""

    def unpack(self) -> Tensor:
        """Return float32 scales, flat."""
        values = dynamic_levels().to(self.codes.device)[self.codes.reshape(-1).int()]
        return values * self.scales.repeat_interleave(NESTED_BLOCK)[: len(values)] + self.mean


def _nearest(scaled: Tensor, levels: Tensor) -> Tensor:
    """Return the index of the nearest level; a value in the middle goes down."""
    return torch.bucketize(scaled, (levels[:-1] + levels[1:]) / 2, out_int32=True).to(torch.uint8)


def pack(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return (bytes [..., in / 2], float32 scales [..., in / 64]) of a weight [..., in].

    Raises:
        ShapeError: the inputs are not a multiple of 64.
    """
    if weight.shape[-1] % BLOCK:
        raise ShapeError(f"NF4 needs inputs in blocks of {BLOCK}; the weight is {tuple(weight.shape)}.")
    blocks = weight.detach().float().reshape(-1, BLOCK)
    scales = blocks.abs().amax(dim=-1)
    scaled = (blocks * (1.0 / scales.clamp(min=1e-38))[:, None]).clamp(-1, 1)
    codes = _nearest(scaled, _levels(weight.device)).reshape(-1)
    packed = (codes[::2] << 4) | codes[1::2]
    head = weight.shape[:-1]
    return packed.reshape(*head, -1), scales.reshape(*head, -1)


def unpack(packed: Tensor, scales: Tensor, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
    """Return the weight [..., in] of bytes [..., in / 2] and scales [..., in / 64], in `out` when given."""
    if fused := kernels_of(packed):
        head = packed.shape[:-1]
        into = packed.new_empty(*head, 2 * packed.shape[-1], dtype=dtype) if out is None else out
        dense: Tensor = fused.unpack(packed.contiguous(), scales.contiguous(), _levels(packed.device), into)
        return dense
    values = _pairs(packed.device).index_select(0, packed.reshape(-1).int()).view(torch.float32)
    values.view(-1, BLOCK).mul_(scales.reshape(-1, 1).float())
    dense = values.view(*packed.shape[:-1], -1)
    return dense.to(dtype) if out is None else out.copy_(dense)


def nest(scales: Tensor) -> Nested:
    """Return scales in eight bits (double quantisation, arXiv 2305.14314, section 3)."""
    mean = scales.mean()
    flat = (scales - mean).reshape(-1)
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % NESTED_BLOCK)).reshape(-1, NESTED_BLOCK)
    second = padded.abs().amax(dim=-1)
    scaled = (padded * (1.0 / second.clamp(min=1e-38))[:, None]).clamp(-1, 1)
    codes = _nearest(scaled, dynamic_levels().to(scales.device)).reshape(-1)[: len(flat)]
    return Nested(codes.reshape(scales.shape), second, mean)


class Nf4Weight(nn.Module):
    """A frozen weight, or a stack of them, in NF4; unpacked at every use, unless it is told to keep that."""

    packed: Tensor
    scales: Tensor

    def __init__(self, weight: Tensor, scales: ScaleFormat = "auto") -> None:
        super().__init__()
        self._register(*pack(weight), weight.dtype, scales)

    @classmethod
    def of(
        cls, packed: Tensor, scales: Tensor, dtype: torch.dtype, form: ScaleFormat = "auto"
    ) -> "Nf4Weight":
        """Return the weight of bytes and float32 scales that `pack` gave, for weights that were `dtype`."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made._register(packed, scales, dtype, form)
        return made

    def _register(self, packed: Tensor, found: Tensor, dtype: torch.dtype, scales: ScaleFormat) -> None:
        """Register the buffers; `auto` scales are bfloat16 where they lose nothing."""
        if scales == "auto":
            scales = "bfloat16" if dtype == torch.bfloat16 else "float32"
        self.format, self.dtype = scales, dtype
        self.shape = (*packed.shape[:-1], 2 * packed.shape[-1])
        self._kept: Tensor | None = None
        self.register_buffer("packed", packed)
        if scales == "nested":
            nested = nest(found)
            self.register_buffer("scales", nested.codes)
            self.register_buffer("second_scales", nested.scales)
            self.register_buffer("mean", nested.mean)
        else:
            self.register_buffer("scales", found.to(getattr(torch, scales)))

    def plain_scales(self) -> Tensor:
        """Return scales as floats, [..., in / 64]."""
        if self.format != "nested":
            return self.scales
        nested: Any = self
        return Nested(self.scales, nested.second_scales, nested.mean).unpack().reshape(self.scales.shape)

    def dense(self, dtype: torch.dtype, index: int | None = None, out: Tensor | None = None) -> Tensor:
        """Return the weight, or one member of the stack; in `out` when it is given and nothing is kept."""
        if self._kept is not None and self._kept.dtype == dtype:
            return self._kept if index is None else self._kept[index]
        scales = self.plain_scales()
        if index is None:
            return unpack(self.packed, scales, dtype, out)
        return unpack(self.packed[index], scales[index], dtype, out)

    def keep_unpacked(self, dtype: torch.dtype | None) -> int:
        """Hold the unpacked weight as well, bit for bit what unpacking gives; None lets go of it.

        Returns:
            Bytes held. They are no part of the state that is saved, and are let go of when the weight moves.
        """
        self._kept = None
        if dtype is not None:
            self._kept = self.dense(dtype)
        return 0 if self._kept is None else self._kept.numel() * self._kept.element_size()

    @property
    def kept(self) -> bool:
        """Whether the unpacked weight is held."""
        return self._kept is not None

    def _apply(self, fn: Any, recurse: bool = True) -> "Nf4Weight":
        self._kept = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def bits_per_weight(self) -> float:
        """Return bits on the device per weight, scales included."""
        size = sum(b.numel() * b.element_size() for b in self.buffers())
        return 8 * size / (2 * self.packed.numel())


def put_weight(module: nn.Module, name: str, weight: nn.Parameter | Nf4Weight) -> None:
    """Give a module another weight under the same name, be it a parameter or in NF4."""
    delattr(module, name)
    setattr(module, name, weight)


class _Nf4Linear(torch.autograd.Function):
    """y = x Wᵀ with W in NF4: unpacked for forward and again for dX, never kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Nf4Weight) -> Tensor:
        ctx.weight = weight
        return x @ weight.dense(x.dtype).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return dy @ ctx.weight.dense(dy.dtype), None


MOST_ROWS = 16
"""Rows up to which a product without gradients reads NF4 itself: such a product costs its bytes."""


def few_rows(
    x_NI: Tensor, weight: Nf4Weight, rows_P: Tensor | None = None, starts: Tensor | None = None
) -> Tensor:
    """Return x[rows[j]] Wₑᵀ, [P, out], for j in starts[e] .. starts[e + 1], of a stack [E, out, in].

    For few rows and without gradients; without `rows_P` all rows go to a weight that is no stack. Members
    without rows are not read. On CUDA nothing is unpacked and nothing waits for the device, so that a graph
    can record it; elsewhere one member at a time is unpacked.
    """
    whole = len(weight.shape) == 2
    if rows_P is None or starts is None:
        rows_P = torch.arange(len(x_NI), device=x_NI.device)
        starts = torch.arange(2, device=x_NI.device) * len(x_NI)
    if fused := kernels_of(x_NI):
        packed, scales = weight.packed, weight.plain_scales()
        if whole:
            packed, scales = packed[None], scales[None]
        y: Tensor = fused.few_rows(x_NI.contiguous(), packed, scales, _levels(x_NI.device), rows_P, starts)
        return y
    y = x_NI.new_empty(len(rows_P), weight.shape[-2])
    ends = starts.tolist()
    for member, (start, end) in enumerate(pairwise(ends)):
        if start < end:
            dense = weight.dense(x_NI.dtype, None if whole else member)
            y[start:end] = x_NI[rows_P[start:end]] @ dense.T
    return y


def nf4_linear(x: Tensor, weight: Nf4Weight) -> Tensor:
    """Multiply x [..., in] with a frozen weight [out, in] in NF4."""
    few = x.numel() // x.shape[-1] <= MOST_ROWS and not weight.kept
    if few and kernels_of(x) and not (torch.is_grad_enabled() and x.requires_grad):
        return few_rows(x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], -1)
    y: Tensor = _Nf4Linear.apply(x, weight)  # type: ignore[no-untyped-call]
    return y
