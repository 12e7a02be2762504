# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Triton kernels: unpack NF4, multiply few rows with it, and the experts' activation in one pass each way.

All are bound by memory: each reads its inputs once and writes its outputs once. They give the numbers of the
plain torch code beside them (`nf4.unpack`, `swiglu`): NF4 bit for bit, for level x scale is one float32
product, rounded once; the activation in float32 throughout, where torch rounds after each step.

Imported only where triton is there (`devices.kernels_of`).
"""

import torch
import triton  # type: ignore[import-untyped, import-not-found, unused-ignore]
import triton.language as tl  # type: ignore[import-untyped, import-not-found, unused-ignore]
from torch import Tensor

UNPACK = {"BLOCKS": 16, "STEPS": 8, "num_warps": 4}
"""Blocks of 64 weights a step, steps a program, warps: 4 bytes in and 16 bytes out per thread and access."""
FEW = {"BLOCK_OUT": 8, "num_warps": 4}
"""Outputs of a tile."""
TILE = 2048
"""Pairs of weights times rows that a program multiplies at once: 16 a thread, so that none spills."""
SWIGLU = {"BLOCK": 1024, "num_warps": 4}
"""Columns of a row that a program takes at once."""
AT_ONCE = 8
"""Rows of one member that share a reading of its weights."""


@triton.jit
def _unpack(packed, scales, levels, out, blocks, BLOCKS: tl.constexpr, STEPS: tl.constexpr):
    """Program i writes BLOCKS STEPS blocks of 64 weights: 32 bytes that share a scale."""
    start = tl.program_id(0).to(tl.int64) * (BLOCKS * STEPS)
    packed += start * 32
    scales += start
    out += start * 64
    for step in tl.static_range(STEPS):
        block = step * BLOCKS + tl.arange(0, BLOCKS)[:, None]
        inside = block < blocks - start
        byte = tl.load(packed + block * 32 + tl.arange(0, 32)[None, :], mask=inside, other=0).to(tl.int32)
        scale = tl.load(scales + block, mask=inside, other=0.0).to(tl.float32)
        high = tl.load(levels + (byte >> 4)) * scale
        low = tl.load(levels + (byte & 15)) * scale
        to = out + block * 64 + tl.arange(0, 64)[None, :]
        tl.store(to, tl.interleave(high, low).to(out.dtype.element_ty), mask=inside)


def unpack(packed: Tensor, scales: Tensor, levels: Tensor, out: Tensor, **shape: int) -> Tensor:
    """Write the weights of bytes [..., in / 2] and scales [..., in / 64] to `out` [..., in]; returns it."""
    blocks, chosen = packed.numel() // 32, UNPACK | shape
    grid = (triton.cdiv(blocks, chosen["BLOCKS"] * chosen["STEPS"]),)
    _unpack[grid](packed, scales, levels, out, blocks, **chosen)
    return out


@triton.jit
def _few_rows(
    x, packed, scales, levels, rows, starts, out, inputs, outputs,
    ROUND: tl.constexpr, ROWS: tl.constexpr, BLOCK_OUT: tl.constexpr, BLOCK_BYTES: tl.constexpr,
):  # fmt: skip
    """Program (i, e): BLOCK_OUT outputs of member e of the stack, for the rows that go to it."""
    member = tl.program_id(1).to(tl.int64)
    first, end = tl.load(starts + member), tl.load(starts + member + 1)
    if first == end:
        return
    to = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    inside = to < outputs
    line = member * outputs + to
    half, blocks = inputs // 2, inputs // 64
    for begin in range(first, end, ROWS):
        own = begin + tl.arange(0, ROWS)
        source = tl.load(rows + own, mask=own < end, other=0)
        total = tl.zeros((ROWS, BLOCK_OUT), dtype=tl.float32)
        for byte_at in range(0, half, BLOCK_BYTES):
            at = byte_at + tl.arange(0, BLOCK_BYTES)
            here = inside[:, None] & (at < half)[None, :]
            byte = tl.load(packed + line[:, None] * half + at[None, :], mask=here, other=0).to(tl.int32)
            scale_at = scales + line[:, None] * blocks + (at // 32)[None, :]
            scale = tl.load(scale_at, mask=here, other=0.0).to(tl.float32)
            high = (tl.load(levels + (byte >> 4)) * scale).to(ROUND).to(tl.float32)
            low = (tl.load(levels + (byte & 15)) * scale).to(ROUND).to(tl.float32)
            x_at = x + source[:, None] * inputs + 2 * at[None, :]
            seen = (own < end)[:, None] & (at < half)[None, :]
            even = tl.load(x_at, mask=seen, other=0.0).to(tl.float32)
            odd = tl.load(x_at + 1, mask=seen, other=0.0).to(tl.float32)
            total += tl.sum(high[None] * even[:, None] + low[None] * odd[:, None], axis=2)
        result_at = out + own[:, None] * outputs + to[None, :]
        tl.store(result_at, total.to(out.dtype.element_ty), mask=(own < end)[:, None] & inside[None, :])


def few_rows(
    x: Tensor, packed: Tensor, scales: Tensor, levels: Tensor, rows: Tensor, starts: Tensor, **shape: int
) -> Tensor:
    """Return x[rows[j]] Wₑᵀ for every j in starts[e] .. starts[e + 1]; only those members are read.

    Args:
        x: [N, in], contiguous.
        packed: [E, out, in / 2].
        scales: [E, out, in / 64].
        levels: the 16 values.
        rows: [P] rows of x, sorted by member.
        starts: [E + 1], on the device: nothing waits for it.
        shape: launch parameters in place of `FEW`.
    """
    members, outputs, half = packed.shape
    out = x.new_empty(len(rows), outputs)
    chosen, at_once = _tile(len(x), shape)
    grid = (triton.cdiv(outputs, chosen["BLOCK_OUT"]), members)
    _few_rows[grid](
        x, packed, scales, levels, rows, starts, out, 2 * half, outputs,
        ROUND=_TYPES[x.dtype], ROWS=at_once, **chosen,
    )  # fmt: skip
    return out


def _tile(rows: int, shape: dict[str, int]) -> tuple[dict[str, int], int]:
    """Return launch parameters, with the packed bytes that a tile of so many rows can take."""
    at_once = min(AT_ONCE, triton.next_power_of_2(rows))
    chosen = FEW | shape
    return {"BLOCK_BYTES": max(32, TILE // chosen["BLOCK_OUT"] // at_once)} | chosen, at_once


@triton.jit
def _few_rows_plain(
    x, weights, rows, starts, out, inputs, outputs,
    ROWS: tl.constexpr, BLOCK_OUT: tl.constexpr, BLOCK_BYTES: tl.constexpr,
):  # fmt: skip
    """As `_few_rows`, with weights as they are; BLOCK_BYTES counts weights here."""
    member = tl.program_id(1).to(tl.int64)
    first, end = tl.load(starts + member), tl.load(starts + member + 1)
    if first == end:
        return
    to = tl.program_id(0) * BLOCK_OUT + tl.arange(0, BLOCK_OUT)
    inside = to < outputs
    line = member * outputs + to
    for begin in range(first, end, ROWS):
        own = begin + tl.arange(0, ROWS)
        source = tl.load(rows + own, mask=own < end, other=0)
        total = tl.zeros((ROWS, BLOCK_OUT), dtype=tl.float32)
        for start in range(0, inputs, BLOCK_BYTES):
            at = start + tl.arange(0, BLOCK_BYTES)
            here = inside[:, None] & (at < inputs)[None, :]
            w = tl.load(weights + line[:, None] * inputs + at[None, :], mask=here, other=0.0).to(tl.float32)
            seen = (own < end)[:, None] & (at < inputs)[None, :]
            v = tl.load(x + source[:, None] * inputs + at[None, :], mask=seen, other=0.0).to(tl.float32)
            total += tl.sum(w[None] * v[:, None], axis=2)
        result_at = out + own[:, None] * outputs + to[None, :]
        tl.store(result_at, total.to(out.dtype.element_ty), mask=(own < end)[:, None] & inside[None, :])


def few_rows_plain(x: Tensor, weights: Tensor, rows: Tensor, starts: Tensor, **shape: int) -> Tensor:
    """Return x[rows[j]] Wₑᵀ for weights [E, out, in] that are not packed, such as adapters."""
    members, outputs, inputs = weights.shape
    out = x.new_empty(len(rows), outputs)
    chosen, at_once = _tile(len(x), shape)
    grid = (triton.cdiv(outputs, chosen["BLOCK_OUT"]), members)
    _few_rows_plain[grid](x, weights, rows, starts, out, inputs, outputs, ROWS=at_once, **chosen)
    return out


_TYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@triton.jit
def _forward(gate_up, shares, out, width, SHARES: tl.constexpr, BLOCK: tl.constexpr):
    """Program (n, i): columns of row n of h = silu(g) u p."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < width
    g = tl.load(gate_up + row * 2 * width + at, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(gate_up + row * 2 * width + width + at, mask=inside, other=0.0).to(tl.float32)
    h = g * tl.sigmoid(g) * u
    if SHARES:
        h *= tl.load(shares + row).to(tl.float32)
    tl.store(out + row * width + at, h.to(out.dtype.element_ty), mask=inside)


def swiglu(gate_up: Tensor, shares: Tensor | None) -> Tensor:
    """Return silu(g) u, or silu(g) u p, of [g, u] [N, 2F] and p [N]."""
    rows, width = len(gate_up), gate_up.shape[1] // 2
    out = gate_up.new_empty(rows, width)
    if rows:
        grid = (rows, triton.cdiv(width, SWIGLU["BLOCK"]))
        _forward[grid](gate_up, shares, out, width, SHARES=shares is not None, **SWIGLU)
    return out


@triton.jit
def _backward(gate_up, dh, shares, dgate_up, dshares, width, BLOCK: tl.constexpr):
    """Program n: gradients of row n; p's is the sum over the row."""
    row = tl.program_id(0).to(tl.int64)
    gate_up += row * 2 * width
    dgate_up += row * 2 * width
    dh += row * width
    p = tl.load(shares + row).to(tl.float32)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for begin in range(0, width, BLOCK):
        at = begin + tl.arange(0, BLOCK)
        inside = at < width
        g = tl.load(gate_up + at, mask=inside, other=0.0).to(tl.float32)
        u = tl.load(gate_up + width + at, mask=inside, other=0.0).to(tl.float32)
        d = tl.load(dh + at, mask=inside, other=0.0).to(tl.float32)
        s = tl.sigmoid(g)
        total += d * g * s * u
        d *= p
        dg = d * u * s * (1 + g * (1 - s))
        tl.store(dgate_up + at, dg.to(dgate_up.dtype.element_ty), mask=inside)
        tl.store(dgate_up + width + at, (d * g * s).to(dgate_up.dtype.element_ty), mask=inside)
    tl.store(dshares + row, tl.sum(total, axis=0).to(dshares.dtype.element_ty))


def swiglu_backward(gate_up: Tensor, dh: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of [g, u] [N, 2F] and of p [N], from the gradient of h before p is applied."""
    rows, width = dh.shape
    dgate_up, dshares = torch.empty_like(gate_up), shares.new_empty(rows, dtype=torch.float32)
    if rows:
        _backward[(rows,)](gate_up, dh, shares, dgate_up, dshares, width, **SWIGLU)
    return dgate_up, dshares
