"""What a run will cost before it starts: parameters, memory by part, FLOPs, time; from the config alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bimedix.errors import UsageError
from bimedix.model.arithmetic import (
    NF4_BITS,
    Flops,
    Memory,
    Parameters,
    Recompute,
    count_parameters,
    memory,
    shape_of,
    trainable_parameters,
    training_flops,
)
from bimedix.train.settings import Settings

POLICIES: tuple[Recompute, ...] = ("none", "gate_up", "layers")
"""From fastest to leanest."""
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


@dataclass(frozen=True)
class Plan:
    """What a run will cost."""

    parameters: Parameters
    trainable: int
    """Parameters that training changes."""
    trainable_share: float
    """Of the base's parameters."""
    recompute: Recompute
    """Fastest policy that fits, or the one asked for when none does."""
    memory: Memory
    """Bytes on one device under that policy."""
    fits: bool
    flops: Flops
    """Per token, at the mean length of a document."""
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
        settings: of the run; its adapters and micro-batch decide.
        device: a key of `DEVICES`.
        tokens_per_document: mean length (BiMed1.3M: 632.3 M / 1.31 M = 482).
        tokens: of one epoch, for the hours.

    Raises:
        UsageError: the device is not known.
        DataError: the config is not one of our families.
    """
    if device not in DEVICES:
        raise UsageError(f"device '{device}' is not known; known: {', '.join(DEVICES)}.")
    card, shape, adapter = DEVICES[device], shape_of(config), settings.adapter
    bits = 16.0
    if adapter.base == "nf4":
        bits = NF4_BITS["bfloat16" if adapter.nf4_scales == "auto" else adapter.nf4_scales]
    batch = settings.max_tokens_per_micro_batch
    costs = {policy: memory(shape, adapter, batch, recompute=policy, bits=bits) for policy in POLICIES}
    first = POLICIES.index(settings.recompute)
    fitting = [policy for policy in POLICIES[first:] if costs[policy].total <= card.memory]
    policy = fitting[0] if fitting else settings.recompute
    flops = training_flops(shape, adapter, tokens_per_document, policy)
    compute_s = flops.total / (card.flops * card.share_of_flops)
    unpack_s = _unpack_seconds(_unpacked(count_parameters(shape)), bits, card, policy) / batch
    rate = 1 / (compute_s + unpack_s)
    parts, trained = count_parameters(shape), trainable_parameters(shape, adapter)
    epochs = settings.phases[-1].epochs
    return Plan(
        parameters=parts,
        trainable=trained,
        trainable_share=trained / parts.total,
        recompute=policy,
        memory=costs[policy],
        fits=bool(fitting),
        flops=flops,
        tokens_per_s=rate,
        dequantise_share=unpack_s * rate,
        hours=None if tokens is None else tokens * epochs / rate / 3600,
    )


def _unpacked(parts: Parameters) -> int:
    """Return weights that are unpacked in every pass."""
    return parts.experts + parts.attention


def _unpack_seconds(weights: int, bits: float, card: Device, policy: Recompute) -> float:
    """Return seconds of unpacking per micro-batch: read 4 bits and scales, write 16, at 85 % of bandwidth.

    Forward and backward are two passes; computing layers again is a third, [g, u] again none, for
    backward has the weights unpacked anyway.
    """
    if bits >= 16:
        return 0.0
    passes = 3 if policy == "layers" else 2
    return passes * weights * (bits / 8 + 2) / (0.85 * card.bytes_per_s)


def describe(found: Plan) -> str:
    """Return the plan as lines of text."""
    giga = 1e9
    parts = {
        "weights": found.memory.weights, "adapters, gradients, optimizer": found.memory.adapters,
        "activations": found.memory.activations, "scratch": found.memory.scratch,
    }  # fmt: skip
    lines = [
        f"parameters   {found.parameters.total / giga:,.2f} B, trained {found.trainable / 1e6:,.1f} M "
        f"({100 * found.trainable_share:.2f} %)",
        f"memory       {found.memory.total / giga:,.1f} GB, recompute '{found.recompute}'"
        + ("" if found.fits else ": DOES NOT FIT"),
        *(f"  {name:<32}{size / giga:8.1f} GB" for name, size in parts.items()),
        f"FLOPs        {found.flops.total / giga:,.1f} G per token",
        f"tokens/s     {found.tokens_per_s:,.0f} per device, estimated "
        f"({100 * found.dequantise_share:.0f} % unpacking NF4); BiMediX: {PAPER_TOKENS_PER_S:,} per A100",
    ]
    if found.hours is not None:
        lines.append(f"time         {found.hours:,.1f} h on one device, estimated")
    return "\n".join(lines)
