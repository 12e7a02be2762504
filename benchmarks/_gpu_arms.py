"""One layer's experts, forward and backward, by every arm that `gpu.py` times, from the same inputs.

Every arm returns the output and the gradients of tokens, routing weights and adapters, in one order, so that
they can be compared before a clock starts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import grouped_mm, silu
from torch.utils.checkpoint import checkpoint

from _gpu_model import random_nf4
from bimedix.model.arithmetic import Shape
from bimedix.model.experts import agrees_with_loop, run_experts
from bimedix.model.moe import ExpertOptions, ExpertWeights, Factors, Nf4Weights, PlainWeights, dispatch

SCALE = 0.5


@dataclass(frozen=True)
class Case:
    """The inputs of one layer's experts; T tokens."""

    x: Tensor
    """[T, H]"""
    shares: Tensor
    """[T, K]"""
    chosen: Tensor
    """[T, K] ids of experts"""
    weights: Nf4Weights
    factors: Factors
    dy: Tensor
    """[T, H] gradient of the output"""

    @property
    def wanted(self) -> list[Tensor]:
        """What gradients are asked for."""
        return [self.x, self.shares, *(f for f in self.factors if f is not None)]

    @property
    def experts(self) -> int:
        """How many there are."""
        return int(self.weights.down_stack.shape[0])


Arm = Callable[[Case], list[Tensor]]


def make_weights(shape: Shape, device: torch.device, source: torch.Generator) -> Nf4Weights:
    """Return random experts of one layer in NF4."""
    sizes = ((shape.experts, 2 * shape.ffn, shape.hidden), (shape.experts, shape.hidden, shape.ffn))
    made = (random_nf4(*size, device=device, source=source, spread=size[-1] ** -0.5) for size in sizes)
    return Nf4Weights(*made)


def make_case(
    shape: Shape, weights: Nf4Weights, tokens: int, routing: str, rank: int, source: torch.Generator
) -> Case:
    """Return random tokens, routing and adapters; routing is `uniform` or `zipf`: expert e by 1 / (e + 1)."""
    device, e, k = source.device, shape.experts, shape.experts_per_token

    def draw(*size: int, spread: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
        return (spread * torch.randn(*size, device=device, generator=source)).to(dtype).requires_grad_()

    chances = torch.ones(e, device=device) / (1 + torch.arange(e, device=device) * (routing == "zipf"))
    chosen = torch.multinomial(chances.expand(tokens, e), k, generator=source)
    factors = Factors(
        draw(e, 2 * rank, shape.hidden, spread=shape.hidden**-0.5),
        draw(e, shape.ffn, rank, spread=0.02),
        draw(e, shape.ffn, rank, spread=0.02),
        draw(e, rank, shape.ffn, spread=shape.ffn**-0.5),
        draw(e, shape.hidden, rank, spread=0.02),
    )
    shares = torch.rand(tokens, k, device=device, generator=source).softmax(-1).requires_grad_()
    x = draw(tokens, shape.hidden, dtype=torch.bfloat16)
    return Case(
        x, shares, chosen, weights, factors, draw(tokens, shape.hidden, dtype=torch.bfloat16).detach()
    )


def _graded(case: Case, out: Tensor) -> list[Tensor]:
    return [out.detach(), *torch.autograd.grad(out, case.wanted, case.dy)]


def ours(
    case: Case, *, backend: str = "loop", weights: ExpertWeights | None = None, whole: bool = False,
    **options: Any,
) -> list[Tensor]:  # fmt: skip
    """The engine; `whole` computes all of it again in backward."""

    def run(x: Tensor, shares: Tensor) -> Tensor:
        own = ExpertOptions(scale=SCALE, **options)
        return run_experts(
            x, shares, case.chosen, weights or case.weights, case.experts,
            options=own, factors=case.factors, backend=backend,
        )  # fmt: skip

    if whole:
        return _graded(case, checkpoint(run, case.x, case.shares, use_reentrant=False))
    return _graded(case, run(case.x, case.shares))


def whole_layer(case: Case) -> list[Tensor]:
    """The usual algorithm of fast MoE fine-tuning, written from its description.

    Tokens sorted by expert; the layer's four-bit stacks unpacked whole; grouped products for base and
    adapters; routing weight on the output; everything, unpacking too, computed again in backward.
    """
    plan = dispatch(case.chosen, case.experts)
    ends = torch.tensor(plan.counts, device=case.x.device).cumsum(0).to(torch.int32)
    inverse = plan.order.argsort()

    def times(rows: Tensor, stack: Tensor) -> Tensor:
        y: Tensor = grouped_mm(rows, stack.transpose(1, 2), offs=ends)
        return y

    def run(x_TH: Tensor, shares_TK: Tensor) -> Tensor:
        a13, b1, b3, a2, b2 = (f.to(x_TH.dtype) for f in case.factors if f is not None)
        x = x_TH[plan.tokens]
        low_1, low_3 = (part.contiguous() for part in times(x, a13).chunk(2, dim=-1))
        g, u = times(x, case.weights.gate_up_stack.dense(x.dtype)).chunk(2, dim=-1)
        h = silu(g + SCALE * times(low_1, b1)) * (u + SCALE * times(low_3, b3))
        y = times(h, case.weights.down_stack.dense(x.dtype)) + SCALE * times(times(h, a2), b2)
        y = y * shares_TK.reshape(-1)[plan.order, None].to(y.dtype)
        return y[inverse].view(*shares_TK.shape, -1).sum(dim=1)

    return _graded(case, checkpoint(run, case.x, case.shares, use_reentrant=False))


def missing_for_peft() -> str:
    """Return what is not installed for the PEFT arm, or nothing."""
    return ", ".join(name for name in ("transformers", "peft") if find_spec(name) is None)


def _fused(a: Tensor, b: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return PEFT's A [E R, in] and B [out, R E], the experts slowest in A and fastest in B."""
    blocks = [torch.block_diag(*(part[e] for part in b)) for e in range(len(a))]
    return a.flatten(0, 1), torch.stack(blocks, dim=-1).flatten(1)


def peft(case: Case, shape: Shape) -> Arm:
    """transformers' experts with grouped_mm, PEFT's `target_parameters`, over unpacked bf16 weights.

    The weights are unpacked beforehand: PEFT is spared what its four-bit path costs.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    config = MixtralConfig(
        hidden_size=shape.hidden, intermediate_size=shape.ffn, num_local_experts=shape.experts,
        num_experts_per_tok=shape.experts_per_token, num_attention_heads=1, num_key_value_heads=1,
    )  # fmt: skip
    config._experts_implementation = "grouped_mm"
    with torch.device("meta"):
        experts = MixtralExperts(config)
    dense = (stack.dense(torch.bfloat16) for stack in case.weights)
    experts.gate_up_proj, experts.down_proj = (nn.Parameter(w, requires_grad=False) for w in dense)
    holder = nn.ModuleDict({"experts": experts})
    assert case.factors.a2 is not None
    rank = case.factors.a2.shape[1]
    paths = ["experts.gate_up_proj", "experts.down_proj"]
    lora = LoraConfig(
        r=rank, lora_alpha=rank * SCALE, target_modules=[], target_parameters=paths,
        rank_pattern={paths[0]: 2 * rank}, alpha_pattern={paths[0]: 2 * rank * SCALE},
    )  # fmt: skip
    holder = inject_adapter_in_model(lora, holder)
    outer = holder["experts"]
    wrappers = {w.parameter_name: w for w in (outer, outer.base_layer)}
    a13, b1, b3, a2, b2 = (f.detach() for f in case.factors if f is not None)
    for name, a, b in (("gate_up_proj", a13, [b1, b3]), ("down_proj", a2, [b2])):
        own = wrappers[name]
        for layer, value in zip((own.lora_A.default, own.lora_B.default), _fused(a, b), strict=True):
            assert layer.weight.shape == value.shape, (name, layer.weight.shape, value.shape)
            layer.weight = nn.Parameter(value.contiguous())
    trained = [p for p in holder.parameters() if p.requires_grad]

    def run(given: Case) -> list[Tensor]:
        out = outer(given.x, given.chosen, given.shares.to(given.x.dtype))
        return [out.detach(), *torch.autograd.grad(out, [given.x, given.shares, *trained], given.dy)]

    return run


def arms(case: Case, shape: Shape) -> Iterator[tuple[str, Arm | str]]:
    """Yield (name, arm), or (name, why it is left out)."""
    plain: list[PlainWeights] = []

    def resident(given: Case) -> list[Tensor]:
        if not plain:
            plain.append(PlainWeights(*(stack.dense(torch.bfloat16) for stack in given.weights)))
        return ours(given, weights=plain[0])

    yield "loop", ours
    yield "loop_again", ours
    yield "loop_one_stream", lambda given: ours(given, prefetch=False)
    yield "loop_resident", resident
    yield "loop_gate_up_again", lambda given: ours(given, save_gate_up=False)
    yield "loop_all_again", lambda given: ours(given, whole=True)
    agree = agrees_with_loop(str(case.x.device), case.x.dtype)
    yield (
        "grouped",
        (lambda given: ours(given, backend="grouped")) if agree else "not the loop's numbers here",
    )
    yield "whole_layer_grouped_all_again", whole_layer
    missing = missing_for_peft()
    yield "peft_grouped_mm", f"not installed: {missing}" if missing else peft(case, shape)


def apart(mine: Tensor, other: Tensor) -> float:
    """Return the Frobenius norm of the difference relative to the other's; NaN never passes a bound."""
    wide = torch.promote_types(torch.promote_types(mine.dtype, other.dtype), torch.float32)
    difference = (mine.to(wide) - other.to(wide)).norm()
    return float(difference / other.to(wide).norm().clamp(min=1e-30))


def reference(case: Case) -> list[Tensor]:
    """Return what all arms compute, in float64 on the CPU with W + B A folded, by plain autograd."""
    x, shares = (t.detach().cpu().double().requires_grad_() for t in (case.x, case.shares))
    a13, b1, b3, a2, b2 = factors = [
        f.detach().cpu().double().requires_grad_() for f in case.factors if f is not None
    ]
    chosen, rank = case.chosen.cpu(), a2.shape[1]
    out = torch.zeros_like(x)
    for e in range(case.experts):
        tokens, slot = (chosen == e).nonzero(as_tuple=True)
        w1, w3 = case.weights.gate_up(e, torch.bfloat16).cpu().double().chunk(2)
        w2 = case.weights.down(e, torch.bfloat16).cpu().double()
        g = x[tokens] @ (w1 + SCALE * b1[e] @ a13[e, :rank]).T
        u = x[tokens] @ (w3 + SCALE * b3[e] @ a13[e, rank:]).T
        y = (silu(g) * u) @ (w2 + SCALE * b2[e] @ a2[e]).T
        out = out.index_add(0, tokens, y * shares[tokens, slot, None])
    graded = torch.autograd.grad(out, [x, shares, *factors], case.dy.cpu().double())
    return [out.detach(), *graded]


def poison(device: torch.device, floats: int) -> None:
    """Leave NaN in the memory that is handed out next, so that what is not written shows."""
    torch.full((floats,), float("nan"), device=device)
