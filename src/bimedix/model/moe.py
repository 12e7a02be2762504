"""The experts of a mixture-of-experts layer as one autograd function with split low-rank adapters.

For every expert, over the tokens X that were sent to it, with routing weight p and adapter scale s:

    [g, u] = X W_13ᵀ + s (X A_13ᵀ) B_13ᵀ          h = silu(g) · u · p
    y      = h W_2ᵀ  + s (h A_2ᵀ) B_2ᵀ            out[token] += y

No folded weight W + BA is ever built, and no dense dW for frozen weights. The routing weight goes in
before the down projection (exact, for that is linear), so that its gradient is a row sum of dh and
silu(g) u and the down output need not be kept. Saved for backward: X, the order of tokens, and [g, u]
when the policy says so. An expert without tokens gets gradients of zero, never None.

Shapes: T tokens, K experts per token, E experts, H hidden, F expert width, R rank, N rows of one expert.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bimedix.model.nf4 import Nf4Weight
from bimedix.model.prefetch import Slot, through_slots
from bimedix.model.products import product
from bimedix.model.swiglu import Activation, swiglu


class ExpertWeights(Protocol):
    """Gives the base weights of one expert in the dtype of the activations."""

    def gate_up(self, expert: int, dtype: torch.dtype) -> Tensor:
        """Return w1 over w3, shape [2F, H]."""
        ...

    def down(self, expert: int, dtype: torch.dtype) -> Tensor:
        """Return w2, shape [H, F]."""
        ...


class PlainWeights(NamedTuple):
    """Expert weights as dense stacks: gate_up [E, 2F, H], down [E, H, F]."""

    gate_up_stack: Tensor
    down_stack: Tensor

    def gate_up(self, expert: int, dtype: torch.dtype) -> Tensor:
        """Return w1 over w3, shape [2F, H]."""
        return self.gate_up_stack[expert].to(dtype)

    def down(self, expert: int, dtype: torch.dtype) -> Tensor:
        """Return w2, shape [H, F]."""
        return self.down_stack[expert].to(dtype)


class Nf4Weights(NamedTuple):
    """Expert weights in NF4, unpacked one expert at a time."""

    gate_up_stack: Nf4Weight
    down_stack: Nf4Weight

    def gate_up(self, expert: int, dtype: torch.dtype) -> Tensor:
        """Return w1 over w3, shape [2F, H]."""
        return self.gate_up_stack.dense(dtype, expert)

    def down(self, expert: int, dtype: torch.dtype) -> Tensor:
        """Return w2, shape [H, F]."""
        return self.down_stack.dense(dtype, expert)


class Factors(NamedTuple):
    """Adapter stacks of all experts; None where a matrix has no adapter.

    w1 and w3 read the same tokens, so that their A stand in one stack: first w1's R rows, then w3's.
    """

    a13: Tensor | None = None
    """[E, R or 2R, H]"""
    b1: Tensor | None = None
    """[E, F, R]"""
    b3: Tensor | None = None
    """[E, F, R]"""
    a2: Tensor | None = None
    """[E, R, F]"""
    b2: Tensor | None = None
    """[E, H, R]"""


@dataclass(frozen=True)
class ExpertOptions:
    """How the function works, apart from its tensors."""

    scale: float = 1.0
    """alpha / rank."""
    dropout: float = 0.0
    """Share of A's inputs that is zeroed; 0 outside training."""
    dropout_seed: int = 0
    """Fixes the masks, so that forward and backward draw the same."""
    save_gate_up: bool = True
    """Keep [g, u] (4F bytes per token and expert in bf16) instead of computing it again in backward."""
    prefetch: bool = True
    """On CUDA, unpack the next expert's NF4 on a stream of its own while this one's products run."""


class Dispatch(NamedTuple):
    """Tokens sorted by expert, stable, so that ties keep their order and sums their rounding."""

    tokens: Tensor
    """Row of X for every (token, expert) pair, sorted by expert; [T K]."""
    order: Tensor
    """Position of the pair in the flattened [T, K]; [T K]."""
    counts: list[int]
    """Rows per expert."""

    def groups(self) -> Iterator[tuple[int, slice]]:
        """Yield (expert, its rows) for experts that have tokens."""
        start = 0
        for expert, count in enumerate(self.counts):
            if count:
                yield expert, slice(start, start + count)
            start += count


def dispatch(experts_TK: Tensor, experts: int) -> Dispatch:
    """Sort (token, expert) pairs by expert."""
    flat = experts_TK.reshape(-1)
    order = flat.argsort(stable=True)
    counts = torch.bincount(flat, minlength=experts).tolist()
    return Dispatch(order // experts_TK.shape[-1], order, counts)


def each_expert(
    weights: ExpertWeights, plan: Dispatch, dtype: torch.dtype, prefetch: bool
) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
    """Yield (expert, its rows, w1 over w3, w2) of experts with tokens.

    On CUDA, unpacked weights lie in one of two buffers that all layers share: they hold until the next but
    one expert is asked for, and are to be used on the current stream alone.
    """
    groups = list(plan.groups())
    packed = isinstance(weights, Nf4Weights) and not weights.gate_up_stack.kept
    if not (packed and prefetch and groups and plan.tokens.is_cuda):
        for expert, rows in groups:
            yield expert, rows, weights.gate_up(expert, dtype), weights.down(expert, dtype)
        return
    assert isinstance(weights, Nf4Weights)
    stacks = weights

    def fill(at: int, slot: Slot) -> None:
        stacks.gate_up_stack.dense(dtype, groups[at][0], slot.gate_up)
        stacks.down_stack.dense(dtype, groups[at][0], slot.down)

    shapes = (stacks.gate_up_stack.shape[1:], stacks.down_stack.shape[1:])
    for at, slot in through_slots(len(groups), fill, shapes, dtype, plan.tokens.device):
        yield *groups[at], slot.gate_up, slot.down


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Sums over experts run in at least float32."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


class _Expert:
    """The adapters of one expert, in the dtype of the activations, and what they add."""

    def __init__(self, factors: Factors, expert: int, options: ExpertOptions, dtype: torch.dtype) -> None:
        self.a13, self.b1, self.b3, self.a2, self.b2 = (
            None if stack is None else stack[expert].to(dtype) for stack in factors
        )
        self.scale = options.scale
        self.dropout = options.dropout
        self.seed = options.dropout_seed * 1_000_003 + expert

    def masks(self, x_NH: Tensor, width: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the dropout masks of X and of h, or None when there is no dropout."""
        if self.dropout == 0:
            return None, None
        source = torch.Generator(x_NH.device).manual_seed(self.seed)
        keep = 1 - self.dropout

        def draw(columns: int) -> Tensor:
            mask = torch.empty(len(x_NH), columns, dtype=x_NH.dtype, device=x_NH.device)
            return mask.bernoulli_(keep, generator=source).div_(keep)

        return draw(x_NH.shape[1]), draw(width)

    def parts(self, columns: Tensor) -> list[tuple[Tensor, Tensor, int]]:
        """Return (columns of X A_13ᵀ, B, 0 for the gate half and 1 for the up half)."""
        present = [(b, half) for half, b in enumerate((self.b1, self.b3)) if b is not None]
        pieces = columns.chunk(len(present), dim=-1)
        return [(piece, b, half) for piece, (b, half) in zip(pieces, present, strict=True)]


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _gate_up(x_NH: Tensor, weight_GH: Tensor, own: _Expert, mask: Tensor | None) -> Tensor:
    """Return [g, u], shape [N, 2F]."""
    gate_up = product(x_NH, weight_GH)
    if own.a13 is not None:
        width = gate_up.shape[1] // 2
        for columns, b, half in own.parts(product(_masked(x_NH, mask), own.a13)):
            gate_up[:, half * width : (half + 1) * width].addmm_(columns, b.T, alpha=own.scale)
    return gate_up


def _product(out: Tensor, a: Tensor, b: Tensor, scale: float = 1.0) -> None:
    """Write scale · a b into a gradient's slice, without a copy where the dtypes agree."""
    if out.dtype == a.dtype:
        torch.addmm(out, a, b, beta=0, alpha=scale, out=out)
    else:
        out.copy_(torch.mm(a, b).mul_(scale))


class ExpertsFunction(torch.autograd.Function):
    """Loop over experts: one dense product at a time, for few large experts, CPU and float64."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TH: Tensor,
        shares_TK: Tensor,
        plan: Dispatch,
        weights: ExpertWeights,
        options: ExpertOptions,
        gate_up_base: Tensor | None,
        down_base: Tensor | None,
        *factors: Tensor | None,
    ) -> Tensor:
        """Return the experts' output, [T, H]. `*_base` are given only when the base itself is trained."""
        out_TH = torch.zeros_like(x_TH, dtype=_sum_dtype(x_TH.dtype))
        shares = shares_TK.reshape(-1)[plan.order].to(x_TH.dtype)
        kept = []
        for expert, rows, weight_13, down in each_expert(weights, plan, x_TH.dtype, options.prefetch):
            own = _Expert(Factors(*factors), expert, options, x_TH.dtype)
            tokens = plan.tokens[rows]
            x = x_TH[tokens]
            mask_x, mask_h = own.masks(x, down.shape[1])
            gate_up = _gate_up(x, weight_13, own, mask_x)
            h = swiglu(gate_up, shares[rows])
            y = product(h, down)
            if own.a2 is not None and own.b2 is not None:
                y.addmm_(product(_masked(h, mask_h), own.a2), own.b2.T, alpha=own.scale)
            out_TH.index_add_(0, tokens, y.to(out_TH.dtype))
            if options.save_gate_up:
                kept.append(gate_up)
        ctx.save_for_backward(x_TH, shares_TK, gate_up_base, down_base, *factors, *kept)
        ctx.plan, ctx.weights, ctx.options = plan, weights, options
        return out_TH.to(x_TH.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout_TH: Tensor) -> tuple[Tensor | None, ...]:
        """Return gradients of X, routing weights, trained base weights and factors."""
        x_TH, shares_TK, gate_up_base, down_base, *rest = ctx.saved_tensors
        factors, kept = Factors(*rest[:5]), rest[5:]
        plan, weights, options = ctx.plan, ctx.weights, ctx.options
        wanted = (gate_up_base, down_base, *factors)
        grads = [None if t is None else torch.zeros_like(t) for t in wanted]
        dgate_up_base, ddown_base, da13, db1, db3, da2, db2 = grads
        dx_TH = torch.zeros_like(x_TH, dtype=_sum_dtype(x_TH.dtype))
        dshares = torch.zeros_like(shares_TK).reshape(-1)
        shares = shares_TK.reshape(-1)[plan.order].to(x_TH.dtype)

        each = each_expert(weights, plan, x_TH.dtype, options.prefetch)
        for index, (expert, rows, weight_13, down) in enumerate(each):
            own = _Expert(factors, expert, options, x_TH.dtype)
            tokens = plan.tokens[rows]
            x, dy = x_TH[tokens], dout_TH[tokens]
            mask_x, mask_h = own.masks(x, down.shape[1])
            gate_up = kept[index] if kept else _gate_up(x, weight_13, own, mask_x)
            activation = Activation(gate_up)
            act, p = activation.product, shares[rows, None]

            dh = product(dy, down.T)
            if own.a2 is not None and own.b2 is not None and da2 is not None and db2 is not None:
                # h = p act: p scales the R columns of a product, not the F columns of act.
                dt = product(dy, own.b2.T).mul_(own.scale)
                seen = _masked(act, mask_h)
                _product(db2[expert], dy.T, product(seen, own.a2).mul_(p), own.scale)
                _product(da2[expert], (dt * p).T, seen)
                if mask_h is None:
                    dh.addmm_(dt, own.a2)
                else:
                    dh += (dt @ own.a2).mul_(mask_h)
            dgate_up, dp = activation.backward(dh, shares[rows])
            dshares[plan.order[rows]] = dp.to(dshares.dtype)
            if ddown_base is not None:
                _product(ddown_base[expert], dy.T, act.mul_(p))
            dg, du = dgate_up.chunk(2, dim=-1)
            dx = product(dgate_up, weight_13.T)
            if own.a13 is not None and da13 is not None:
                x_seen = _masked(x, mask_x)
                halves, db = (dg, du), (db1, db3)
                dt_parts = []
                for columns, b, half in own.parts(product(x_seen, own.a13)):
                    grad = db[half]
                    assert grad is not None
                    _product(grad[expert], halves[half].T, columns, own.scale)
                    dt_parts.append(product(halves[half], b.T))
                dt = torch.cat(dt_parts, dim=-1).mul_(own.scale)
                _product(da13[expert], dt.T, x_seen)
                if mask_x is None:
                    dx.addmm_(dt, own.a13)
                else:
                    dx += (dt @ own.a13).mul_(mask_x)
            if dgate_up_base is not None:
                _product(dgate_up_base[expert], dgate_up.T, x)
            dx_TH.index_add_(0, tokens, dx.to(dx_TH.dtype))

        return (
            dx_TH.to(x_TH.dtype), dshares.reshape(shares_TK.shape), None, None, None, *grads
        )  # fmt: skip
