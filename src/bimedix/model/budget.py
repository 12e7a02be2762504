"""What to compute again and what to keep unpacked, from a budget of bytes. Pure, and free of torch.

Memory that is left over after weights, adapters and optimizer buys time in two ways: layers that keep their
activations save a second forward pass, and expert weights that stay unpacked (bit for bit what unpacking
gives) save the unpacking of every pass. Layers are alike, so that the search over how many layers get what
is exhaustive: no heuristic, and more bytes never give a slower plan.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bimedix.model.arithmetic import (
    NF4_BITS,
    POLICIES,
    Memory,
    OptimizerFormat,
    Recompute,
    Shape,
    count_parameters,
    expert_bytes,
    memory,
    training_flops,
)
from bimedix.model.settings import AdapterSettings

PASSES: dict[Recompute, int] = {"none": 2, "gate_up": 2, "layers": 3}
"""Times that NF4 weights are unpacked in a step: forward, backward, and once more for a whole layer."""


@dataclass(frozen=True)
class Rates:
    """What a device sustains."""

    flops_per_s: float
    """bf16 matrix products, as large ones reach it."""
    bytes_per_s: float
    """Bytes read and written by the unpacking kernel."""


H200 = Rates(0.80 * 790e12, 0.85 * 4.3e12)
"""80 % of the products and 85 % of the copying that one card sustains."""


@dataclass(frozen=True)
class RecomputePlan:
    """How each layer trains, what that costs, and whether it fits."""

    policies: tuple[Recompute, ...]
    """What each layer computes again, first layer first."""
    resident_layers: int
    """Layers, from the first, whose experts stay unpacked in bf16."""
    memory: Memory
    """Bytes by part, without the resident experts."""
    resident_bytes: float
    """Bytes of the resident experts."""
    budget_bytes: float
    """What was allowed."""
    seconds: float
    """Estimate for forward and backward of one micro-batch: products, then unpacking."""
    unpack_seconds: float
    """Share of it that goes into unpacking NF4."""

    @property
    def total_bytes(self) -> float:
        """Bytes of all parts."""
        return self.memory.total + self.resident_bytes

    @property
    def fits(self) -> bool:
        """Whether the plan keeps to the budget; when nothing does, the leanest plan is given."""
        return self.total_bytes <= self.budget_bytes

    def count(self, policy: Recompute) -> int:
        """Return the layers under a policy."""
        return self.policies.count(policy)


def plan_recompute(
    shape: Shape,
    adapter: AdapterSettings,
    *,
    tokens: int,
    budget_bytes: float,
    context: int = 482,
    optimizer: OptimizerFormat = "adamw_float32",
    bits: float = NF4_BITS["bfloat16"],
    shards: int = 1,
    rates: Rates = H200,
    allowed: tuple[Recompute, ...] = POLICIES,
    resident: bool = True,
) -> RecomputePlan:
    """Return the fastest plan within the budget, or the leanest one when none fits (`fits` is False).

    Args:
        shape: the model.
        adapter: what is trained.
        tokens: of one micro-batch.
        budget_bytes: for everything on the device; leave some for the allocator's fragments.
        context: mean tokens per document, for attention's cost.
        optimizer: formats of parameters and moments.
        bits: per frozen weight; 16 or more: nothing is unpacked.
        shards: devices that share the optimizer's moments.
        rates: of the device.
        allowed: policies to choose from.
        resident: whether experts may stay unpacked.
    """
    plans = [
        _plan(
            shape, adapter, policies, tokens, budget_bytes, context, optimizer, bits, shards, rates, resident
        )
        for policies in _mixes(shape.layers, allowed)
    ]
    fitting = [plan for plan in plans if plan.fits]
    if fitting:
        return min(fitting, key=lambda plan: (plan.seconds, plan.total_bytes))
    return min(plans, key=lambda plan: plan.total_bytes)


def _mixes(layers: int, allowed: tuple[Recompute, ...]) -> Iterator[tuple[Recompute, ...]]:
    """Yield every number of layers per policy; the leanest come first in the model.

    The last layers are let go of first, so that a layer that is computed again finds their room free.
    """
    lean_first = [policy for policy in reversed(POLICIES) if policy in allowed]

    def spread(left: int, policies: list[Recompute]) -> Iterator[tuple[Recompute, ...]]:
        if len(policies) == 1:
            yield (policies[0],) * left
            return
        for count in range(left + 1):
            for rest in spread(left - count, policies[1:]):
                yield (policies[0],) * count + rest

    yield from spread(layers, lean_first)


def _plan(
    shape: Shape, adapter: AdapterSettings, policies: tuple[Recompute, ...], tokens: int, budget_bytes: float,
    context: int, optimizer: OptimizerFormat, bits: float, shards: int, rates: Rates, resident: bool,
) -> RecomputePlan:  # fmt: skip
    """Cost one mix of policies, with as many layers kept unpacked as the rest of the budget holds."""
    found = memory(shape, adapter, tokens, recompute=policies, optimizer=optimizer, bits=bits, shards=shards)
    stack = expert_bytes(shape) * shape.experts
    sparse = shape.layers - shape.dense_layers
    room = int((budget_bytes - found.total) // stack) if resident and bits < 16 else 0
    kept = min(max(room, 0), sparse)
    flops = sum(
        policies.count(policy) * training_flops(shape, adapter, context, policy).total
        for policy in POLICIES
        if policy in policies
    )
    unpack_s = _unpacked_bytes(shape, policies, kept, bits) / rates.bytes_per_s
    products_s = tokens * flops / shape.layers / rates.flops_per_s
    return RecomputePlan(policies, kept, found, kept * stack, budget_bytes, products_s + unpack_s, unpack_s)


def _unpacked_bytes(shape: Shape, policies: tuple[Recompute, ...], kept: int, bits: float) -> float:
    """Return bytes read and written by unpacking in one step: all layers but the experts of the kept ones."""
    if bits >= 16:
        return 0.0
    parts = count_parameters(shape)
    attention, experts = parts.attention / shape.layers, parts.experts / shape.layers
    weights = sum(
        PASSES[policy] * (attention + (0 if at < kept else experts)) for at, policy in enumerate(policies)
    )
    return weights * (bits / 8 + 2)
