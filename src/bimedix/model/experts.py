"""Which back-end the experts of a layer run on, and the proof that both give the same."""

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from bimedix.model.devices import kernels_of
from bimedix.model.moe import (
    Dispatch,
    ExpertOptions,
    ExpertsFunction,
    ExpertWeights,
    Factors,
    Nf4Weights,
    PlainWeights,
    dispatch,
)
from bimedix.model.moe_grouped import GroupedFunction
from bimedix.model.nf4 import MOST_ROWS, few_rows
from bimedix.model.swiglu import swiglu

LEAST_EXPERTS = 32
"""Below it the loop's dense products are at least as fast (Mixtral's 8 large experts: moe.md, finding 5)."""


@cache
def agrees_with_loop(device: str, dtype: torch.dtype) -> bool:
    """Run both back-ends once on a small case, an idle expert included, and compare all they give."""
    source = torch.Generator().manual_seed(11)

    def draw(*shape: int) -> Tensor:
        return (0.3 * torch.randn(*shape, generator=source)).to(device, dtype).requires_grad_()

    x, shares = draw(24, 32), draw(24, 2)
    weights = PlainWeights(draw(4, 64, 32).detach(), draw(4, 32, 32).detach())
    factors = (draw(4, 16, 32), draw(4, 32, 8), draw(4, 32, 8), draw(4, 8, 32), draw(4, 32, 8))
    plan = dispatch(torch.tensor([[0, 2], [2, 3]] * 12, device=device), 4)
    results = []
    try:
        for run in (run_loop, run_grouped):
            out = run(x, shares, plan, weights, ExpertOptions(scale=0.5), factors)
            results.append([out, *torch.autograd.grad(out.square().sum(), (x, shares, *factors))])
    except RuntimeError:
        return False
    bound = 1e-4 if dtype == torch.float32 else 3e-2
    return all(
        float((a - b).detach().float().norm()) <= bound * float(b.detach().float().norm()) + 1e-30
        for a, b in zip(results[1], results[0], strict=True)
    )


def run_loop(
    x: Tensor, shares: Tensor, plan: Dispatch, weights: ExpertWeights, options: ExpertOptions, factors: Any
) -> Tensor:
    """Run the loop with a frozen base."""
    out: Tensor = ExpertsFunction.apply(  # type: ignore[no-untyped-call]
        x, shares, plan, weights, options, None, None, *factors
    )
    return out


def run_grouped(
    x: Tensor, shares: Tensor, plan: Dispatch, weights: ExpertWeights, options: ExpertOptions, factors: Any
) -> Tensor:
    """Run the grouped products."""
    out: Tensor = GroupedFunction.apply(  # type: ignore[no-untyped-call]
        x, shares, plan, weights, options, *factors
    )
    return out


def use_grouped(x: Tensor, experts: int, options: ExpertOptions, trains_base: bool, asked: str) -> bool:
    """Decide the back-end: `asked` is `auto`, `loop` or `grouped`.

    `auto` takes grouped products on CUDA from Hopper on, for at least 32 experts. Dropout, a trained base
    and float64 stay with the loop whatever is asked.
    """
    if asked == "loop" or options.dropout or trains_base or x.dtype == torch.float64:
        return False
    if asked == "auto":
        hopper = x.is_cuda and torch.cuda.get_device_capability(x.device) >= (9, 0)
        if not hopper or experts < LEAST_EXPERTS:
            return False
    return agrees_with_loop(str(x.device), x.dtype)


def use_few_rows(x: Tensor, weights: ExpertWeights) -> bool:
    """Tell whether a decoding step on a device with kernels can read the chosen experts in four bits."""
    packed = isinstance(weights, Nf4Weights) and not weights.gate_up_stack.kept
    return packed and len(x) <= MOST_ROWS and not torch.is_grad_enabled() and kernels_of(x) is not None


def run_few_rows(
    x_TH: Tensor, shares_TK: Tensor, experts_TK: Tensor, weights: Nf4Weights, scale: float, factors: Factors
) -> Tensor:
    """Run a few tokens without unpacking a weight; nothing waits for the device. No gradients, no dropout.

    The same formulas as `moe.ExpertsFunction`; only the chosen experts and their adapters are read.
    """
    fused: Any = kernels_of(x_TH)
    chosen = experts_TK.reshape(-1)
    order = chosen.argsort(stable=True)
    tokens_P, rows_P = order // experts_TK.shape[-1], torch.arange(len(order), device=x_TH.device)
    members = torch.arange(weights.down_stack.shape[0] + 1, device=x_TH.device)
    starts = torch.searchsorted(chosen[order], members)

    def adapter(x: Tensor, stack: Tensor, rows: Tensor) -> Tensor:
        y: Tensor = fused.few_rows_plain(x.contiguous(), stack, rows, starts)
        return y

    gate_up = few_rows(x_TH, weights.gate_up_stack, tokens_P, starts)
    if factors.a13 is not None:
        present = [(half, b) for half, b in enumerate((factors.b1, factors.b3)) if b is not None]
        low = adapter(x_TH, factors.a13, tokens_P).chunk(len(present), dim=-1)
        for part, (half, b) in zip(low, present, strict=True):
            gate_up.chunk(2, dim=-1)[half].add_(adapter(part, b, rows_P), alpha=scale)
    h = swiglu(gate_up, shares_TK.reshape(-1)[order].to(x_TH.dtype))
    y = few_rows(h, weights.down_stack, rows_P, starts)
    if factors.a2 is not None and factors.b2 is not None:
        y.add_(adapter(adapter(h, factors.a2, rows_P), factors.b2, rows_P), alpha=scale)
    inverse = torch.empty_like(order).scatter_(0, order, rows_P)
    per_token = y[inverse].view(len(x_TH), -1, y.shape[-1])
    return per_token.sum(dim=1, dtype=torch.promote_types(y.dtype, torch.float32)).to(x_TH.dtype)


def run_experts(
    x_TH: Tensor,
    shares_TK: Tensor,
    experts_TK: Tensor,
    weights: ExpertWeights,
    experts: int,
    *,
    options: ExpertOptions | None = None,
    trained_base: PlainWeights | None = None,
    factors: Factors | None = None,
    backend: str = "auto",
) -> Tensor:
    """Send every token through its experts and add up what they say, weighted; [T, H].

    Args:
        x_TH: tokens after the norm.
        shares_TK: routing weights, float32 or float64.
        experts_TK: expert ids.
        weights: where base weights come from.
        experts: how many experts there are.
        options: scale, dropout, what is saved.
        trained_base: the same weights as tensors, when they are trained themselves.
        factors: adapters.
        backend: `auto`, `loop` or `grouped`.
    """
    own = options or ExpertOptions()
    if use_few_rows(x_TH, weights) and not own.dropout:
        packed = cast(Nf4Weights, weights)
        return run_few_rows(x_TH, shares_TK, experts_TK, packed, own.scale, factors or Factors())
    plan = dispatch(experts_TK, experts)
    if use_grouped(x_TH, experts, own, trained_base is not None, backend):
        return run_grouped(x_TH, shares_TK, plan, weights, own, factors or Factors())
    out: Tensor = ExpertsFunction.apply(  # type: ignore[no-untyped-call]
        x_TH, shares_TK, plan, weights, own, *(trained_base or (None, None)), *(factors or Factors())
    )
    return out
