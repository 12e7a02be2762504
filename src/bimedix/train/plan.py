"""What a run will cost before it starts: parameters, memory by part, FLOPs, time; from the config alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bimedix.errors import UsageError
from bimedix.model.arithmetic import (
    NF4_BITS,
    POLICIES,
    Flops,
    Parameters,
    Recompute,
    Shape,
    count_parameters,
    shape_of,
    trainable_parameters,
    training_flops,
)
from bimedix.model.budget import Rates, RecomputePlan, plan_recompute
from bimedix.train.settings import Settings

PAPER_TOKENS_PER_S = 1254
"""Per A100-80GB, BiMediX: 632 M tokens, 2 epochs, 35 h, 8 devices."""


@dataclass(frozen=True)
class Device:
    """What a device can do, as sustained or as its data sheet says."""

    name: str
    flops: float
    """bf16, dense, per second."""
    bytes_per_s: float
    """Of its memory."""
    memory: float
    """Bytes."""
    share_of_flops: float
    """Share that large matrix products reach."""


DEVICES: Mapping[str, Device] = {
    "a100-80": Device("A100-80GB", 312e12, 2.04e12, 80e9, 0.70),
    "h200": Device("H200", 790e12, 4.3e12, 141e9, 0.80),
}
"""A100: data sheet; H200: sustained, as measured on one card (moe.md)."""


SPARE_SHARE = 0.06
"""Of a device's memory, left to the allocator's fragments and the libraries."""
STEP_TOKENS = 512
"""The largest micro-batch is told in multiples of this."""


@dataclass(frozen=True)
class Plan:
    """What a run will cost."""

    parameters: Parameters
    trainable: int
    """Parameters that training changes."""
    trainable_share: float
    """Of the base's parameters."""
    layers: RecomputePlan
    """What each layer computes again, memory by part, and whether it fits."""
    largest_micro_batch: int
    """Tokens that fit on the device, with these settings otherwise; 0: not even the smallest."""
    sharded_bytes: float
    """Bytes on each of eight devices that share adapters, gradients and moments (FSDP2)."""
    flops: Flops
    """Per token, at the mean length of a document, under the policy of most layers."""
    tokens_per_s: float
    """Estimate per device: products at the device's share, then NF4 unpacked once per pass."""
    dequantise_share: float
    """Share of that time that goes into unpacking NF4."""
    hours: float | None
    """For the tokens asked about, over all epochs of the last phase."""


def plan(
    config: Mapping[str, Any],
    settings: Settings,
    *,
    device: str = "h200",
    tokens_per_document: int = 482,
    tokens: int | None = None,
) -> Plan:
    """Return what training with these settings costs on one device.

    Args:
        config: the base's `config.json`.
        settings: of the run; adapters, micro-batch, recompute and optimizer decide.
        device: a key of `DEVICES`.
        tokens_per_document: mean length (BiMed1.3M: 632.3 M / 1.31 M = 482).
        tokens: of one epoch, for the hours.

    Raises:
        UsageError: the device is not known.
        DataError: the config is not one of our families.
    """
    if device not in DEVICES:
        raise UsageError(f"device '{device}' is not known; known: {', '.join(DEVICES)}.")
    card, shape = DEVICES[device], shape_of(config)
    rates = Rates(card.flops * card.share_of_flops, 0.85 * card.bytes_per_s)
    budget = settings.memory_gb * 1e9 or card.memory * (1 - SPARE_SHARE)
    batch = settings.max_tokens_per_micro_batch
    found = layer_plan(shape, settings, batch, budget, rates=rates, context=tokens_per_document)
    parts, trained = count_parameters(shape), trainable_parameters(shape, settings.adapter)
    rate = batch / found.seconds
    return Plan(
        parameters=parts,
        trainable=trained,
        trainable_share=trained / parts.total,
        layers=found,
        largest_micro_batch=_largest(shape, settings, budget),
        sharded_bytes=found.total_bytes - found.memory.adapters * 7 / 8,
        flops=training_flops(shape, settings.adapter, tokens_per_document, max(POLICIES, key=found.count)),
        tokens_per_s=rate,
        dequantise_share=found.unpack_seconds / found.seconds,
        hours=None if tokens is None else tokens * settings.phases[-1].epochs / rate / 3600,
    )


def layer_plan(
    shape: Shape, settings: Settings, tokens: int, budget_bytes: float, *, shards: int = 1, **costs: Any
) -> RecomputePlan:
    """Return how adapters train within a budget: as [train] recompute says, or the fastest mix (`auto`)."""
    auto = settings.recompute == "auto"
    allowed: tuple[Recompute, ...] = POLICIES if settings.recompute == "auto" else (settings.recompute,)
    return plan_recompute(
        shape, settings.adapter, tokens=tokens, budget_bytes=budget_bytes, optimizer=settings.optimizer,
        bits=base_bits(settings), shards=shards, allowed=allowed, resident=auto, **costs,
    )  # fmt: skip


def base_bits(settings: Settings) -> float:
    """Return bits per frozen weight, scales included."""
    plain = 32.0 if settings.dtype == "float32" else 16.0
    scales = settings.adapter.nf4_scales
    scales = settings.dtype if scales == "auto" else scales
    return NF4_BITS[scales] if settings.adapter.base == "nf4" else plain


def _largest(shape: Shape, settings: Settings, budget: float) -> int:
    """Return the tokens of the largest micro-batch that fits, by halving."""
    low, high = 0, 1 << 11
    while low < high:
        middle = (low + high + 1) // 2
        lean = replace(settings, recompute="layers") if settings.recompute == "auto" else settings
        fits = layer_plan(shape, lean, middle * STEP_TOKENS, budget).fits
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * STEP_TOKENS


def describe(found: Plan) -> str:
    """Return the plan as lines of text."""
    giga, layers = 1e9, found.layers
    parts = {
        "weights": layers.memory.weights, "adapters, gradients, optimizer": layers.memory.adapters,
        "activations": layers.memory.activations, "scratch": layers.memory.scratch,
        "experts kept unpacked": layers.resident_bytes,
    }  # fmt: skip
    counts = ", ".join(f"{layers.count(p)} layers '{p}'" for p in POLICIES if layers.count(p))
    largest = found.largest_micro_batch
    lines = [
        f"parameters   {found.parameters.total / giga:,.2f} B, trained {found.trainable / 1e6:,.1f} M "
        f"({100 * found.trainable_share:.2f} %)",
        f"memory       {layers.total_bytes / giga:,.1f} GB of {layers.budget_bytes / giga:,.1f}"
        + ("" if layers.fits else ": DOES NOT FIT"),
        *(f"  {name:<32}{size / giga:8.1f} GB" for name, size in parts.items() if size),
        f"recompute    {counts}"
        + (f"; experts of {layers.resident_layers} layers stay unpacked" if layers.resident_layers else ""),
        f"micro-batch  at most {largest:,} tokens" if largest else "micro-batch  none fits",
        f"sharded      {found.sharded_bytes / giga:,.1f} GB on each of 8 devices under FSDP2",
        f"FLOPs        {found.flops.total / giga:,.1f} G per token",
        f"tokens/s     {found.tokens_per_s:,.0f} per device, estimated "
        f"({100 * found.dequantise_share:.0f} % unpacking NF4); BiMediX: {PAPER_TOKENS_PER_S:,} per A100",
    ]
    if found.hours is not None:
        lines.append(f"time         {found.hours:,.1f} h on one device, estimated")
    if not layers.fits:
        lines += [f"warning      {text}" for text in ways_out(layers.total_bytes, layers.budget_bytes)]
    return "\n".join(lines)


def ways_out(needed: float, there: float) -> list[str]:
    """Return what to do when memory does not suffice."""
    return [
        f"{needed / 1e9:,.1f} GB are needed and {there / 1e9:,.1f} GB are there.",
        "Set [train] recompute = 'auto', optimizer = 'adamw_8bit_bfloat16', a smaller "
        "max_tokens_per_micro_batch, or adapter.base = 'nf4'; or shard over more devices (docs/training.md).",
    ]
