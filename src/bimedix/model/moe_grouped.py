"""The second back-end of the experts: one grouped product for all experts, for many small ones.

Same contract as the loop (`moe.ExpertsFunction`): same formulas, same gradients, zeros for idle experts.
`torch.nn.functional.grouped_mm` wants float32, bfloat16 or float16, rows that begin on 16 bytes, and on
CUDA Hopper or newer; an NF4 base is unpacked a whole layer at a time. So it is chosen only where it pays,
and only after it has given the loop's numbers on this device (`experts.agrees_with_loop`).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import grouped_mm

from bimedix.model.moe import Dispatch, ExpertOptions, ExpertWeights, Factors, Nf4Weights, PlainWeights
from bimedix.model.swiglu import Activation, swiglu

ALIGNED_BYTES = 16


def _stack(weights: ExpertWeights, experts: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return gate_up [E, 2F, H] and down [E, H, F] in the dtype of the activations."""
    if isinstance(weights, PlainWeights):
        return weights.gate_up_stack.to(dtype), weights.down_stack.to(dtype)
    if isinstance(weights, Nf4Weights):
        return weights.gate_up_stack.dense(dtype), weights.down_stack.dense(dtype)
    gate_up = torch.stack([weights.gate_up(e, dtype) for e in range(experts)])
    return gate_up, torch.stack([weights.down(e, dtype) for e in range(experts)])


def _pad(stack: Tensor, dim: int) -> Tensor:
    """Fill the rank up with zeros to whole 16 bytes, which changes no product."""
    step = ALIGNED_BYTES // stack.element_size()
    missing = -stack.shape[dim] % step
    if not missing:
        return stack
    shape = list(stack.shape)
    shape[dim] = missing
    return torch.cat([stack, stack.new_zeros(shape)], dim=dim)


def _pairs(factors: Factors, dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """Return target to padded (A [E, R', in], B [E, out, R'])."""
    found = {}
    if factors.a13 is not None:
        present = [(name, b) for name, b in (("w1", factors.b1), ("w3", factors.b3)) if b is not None]
        for (name, b), a in zip(present, factors.a13.chunk(len(present), dim=1), strict=True):
            found[name] = (_pad(a.to(dtype), 1), _pad(b.to(dtype), 2))
    if factors.a2 is not None and factors.b2 is not None:
        found["w2"] = (_pad(factors.a2.to(dtype), 1), _pad(factors.b2.to(dtype), 2))
    return found


def _by(x: Tensor, stack: Tensor, ends: Tensor) -> Tensor:
    """Return x Wᵀ with the W of each row's expert; stack [E, out, in]."""
    y: Tensor = grouped_mm(x, stack.transpose(1, 2), offs=ends)
    return y


def _back(dy: Tensor, stack: Tensor, ends: Tensor) -> Tensor:
    """Return dy W with the W of each row's expert."""
    dx: Tensor = grouped_mm(dy.contiguous(), stack, offs=ends)
    return dx


def _outer(dy: Tensor, x: Tensor, ends: Tensor) -> Tensor:
    """Return dyᵀ x per expert, [E, out, in]; zeros for idle experts."""
    dw: Tensor = grouped_mm(dy.contiguous().T, x.contiguous(), offs=ends)
    return dw


class GroupedFunction(torch.autograd.Function):
    """All experts at once; no dropout and no trained base, which stay with the loop."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TH: Tensor,
        shares_TK: Tensor,
        plan: Dispatch,
        weights: ExpertWeights,
        options: ExpertOptions,
        *factors: Tensor | None,
    ) -> Tensor:
        """Return the experts' output, [T, H]."""
        experts, s = len(plan.counts), options.scale
        ends = torch.tensor(plan.counts, device=x_TH.device).cumsum(0).to(torch.int32)
        gate_up_stack, down = _stack(weights, experts, x_TH.dtype)
        pairs = _pairs(Factors(*factors), x_TH.dtype)
        x = x_TH[plan.tokens]
        gate_up = _gate_up(x, gate_up_stack, pairs, ends, s)
        h = swiglu(gate_up, shares_TK.reshape(-1)[plan.order].to(x.dtype))
        y = _by(h, down, ends)
        if "w2" in pairs:
            a, b = pairs["w2"]
            y = y + s * _by(_by(h, a, ends), b, ends)
        ctx.save_for_backward(x_TH, shares_TK, *factors, *([gate_up] if options.save_gate_up else []))
        ctx.plan, ctx.weights, ctx.options, ctx.ends = plan, weights, options, ends
        return _combine(y, plan, x_TH)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout_TH: Tensor) -> tuple[Tensor | None, ...]:
        """Return gradients of X, routing weights and factors."""
        x_TH, shares_TK, *rest = ctx.saved_tensors
        factors, kept = Factors(*rest[:5]), rest[5:]
        plan, ends, s = ctx.plan, ctx.ends, ctx.options.scale
        gate_up_stack, down = _stack(ctx.weights, len(plan.counts), x_TH.dtype)
        pairs = _pairs(factors, x_TH.dtype)
        x, dy = x_TH[plan.tokens], dout_TH[plan.tokens]
        gate_up = kept[0] if kept else _gate_up(x, gate_up_stack, pairs, ends, s)
        p = shares_TK.reshape(-1)[plan.order].to(x.dtype)
        activation = Activation(gate_up)
        found: dict[str, tuple[Tensor, Tensor]] = {}

        dh = _back(dy, down, ends)
        if "w2" in pairs:
            dh += _adapter_back("w2", activation.product * p[:, None], dy, pairs, ends, s, found)
        dshares = torch.zeros_like(shares_TK).reshape(-1)
        dgate_up, dp = activation.backward(dh, p)
        dshares[plan.order] = dp.to(dshares.dtype)
        dg, du = dgate_up.chunk(2, dim=-1)
        dx = _back(dgate_up, gate_up_stack, ends)
        for target, half in (("w1", dg), ("w3", du)):
            if target in pairs:
                dx += _adapter_back(target, x, half, pairs, ends, s, found)
        return (
            _combine(dx, plan, x_TH),
            dshares.reshape(shares_TK.shape),
            None,
            None,
            None,
            *_gather(factors, found),
        )


def _gate_up(
    x: Tensor, stack: Tensor, pairs: dict[str, tuple[Tensor, Tensor]], ends: Tensor, s: float
) -> Tensor:
    gate_up = _by(x, stack, ends)
    for target, part in zip(("w1", "w3"), gate_up.chunk(2, dim=-1), strict=True):
        if target in pairs:
            a, b = pairs[target]
            part.add_(_by(_by(x, a, ends), b, ends), alpha=s)
    return gate_up


def _adapter_back(
    target: str, x: Tensor, dy: Tensor, pairs: dict[str, tuple[Tensor, Tensor]], ends: Tensor, s: float,
    found: dict[str, tuple[Tensor, Tensor]],
) -> Tensor:  # fmt: skip
    """Put dA and dB into `found`, and return what the adapter adds to dx."""
    a, b = pairs[target]
    dt = s * _back(dy, b, ends)
    found[target] = (_outer(dt, x, ends), s * _outer(dy, _by(x, a, ends), ends))
    return _back(dt, a, ends)


def _gather(factors: Factors, found: dict[str, tuple[Tensor, Tensor]]) -> list[Tensor | None]:
    """Return gradients in the order and shapes of the factors, padding cut off."""
    grads: list[Tensor | None] = []
    inner = [found[t] for t in ("w1", "w3") if t in found]
    for name, stack in zip(Factors._fields, factors, strict=True):
        if stack is None:
            grads.append(None)
            continue
        if name == "a13":
            rank = stack.shape[1] // len(inner)
            value = torch.cat([a[:, :rank] for a, _ in inner], dim=1)
        elif name == "a2":
            value = found["w2"][0][:, : stack.shape[1]]
        else:
            value = found[f"w{name[1]}"][1][..., : stack.shape[2]]
        grads.append(value.to(stack.dtype).contiguous())
    return grads


def _combine(rows: Tensor, plan: Dispatch, x_TH: Tensor) -> Tensor:
    """Sum the K rows of every token, in at least float32, without atomics."""
    inverse = torch.empty_like(plan.order)
    inverse[plan.order] = torch.arange(len(inverse), device=inverse.device)
    per_token = rows[inverse].view(len(x_TH), -1, rows.shape[-1])
    return per_token.sum(dim=1, dtype=torch.promote_types(rows.dtype, torch.float32)).to(x_TH.dtype)
