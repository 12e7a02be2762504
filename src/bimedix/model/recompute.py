"""Compute layers again in backward, with the routing that was chosen the first time.

Replaying a router can send a token whose scores are nearly tied to another expert; the gradients then
belong to no forward pass at all. So the first pass remembers expert ids, and the second takes them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch

from bimedix.model.arithmetic import Recompute
from bimedix.model.blocks import blocks, install
from bimedix.model.budget import RecomputePlan
from bimedix.model.nf4 import Nf4Weight
from bimedix.model.router import EngineState


@contextmanager
def _routing(state: EngineState, mode: Literal["record", "replay"]) -> Iterator[None]:
    before, state.replay = state.replay, mode
    try:
        yield
    finally:
        state.replay = before


def routings(state: EngineState) -> tuple[Any, Any]:
    """Return the contexts of the first and of the second pass through a layer, as torch's checkpoint asks."""
    return _routing(state, "record"), _routing(state, "replay")


def recompute_layers(model: Any, enable: bool = True, policies: Sequence[Recompute] | None = None) -> None:
    """Keep only what each layer's policy says, and compute the rest again in backward.

    Args:
        model: of transformers.
        enable: False: every layer keeps what it has.
        policies: one for each layer (`budget.plan_recompute`); None: whole layers, all of them. That costs
            one more forward pass and saves most activations (`arithmetic.activation_bytes`).
    """
    state = install(model)
    chosen = list(policies or ("layers",) * len(model.model.layers)) if enable else []
    for index, block in blocks(model):
        block.experts.save_gate_up = not chosen or chosen[index] != "gate_up"
    if "layers" not in chosen:
        model.activation_checkpointing_disable()
        return
    model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": lambda: routings(state)})
    for layer, policy in zip(model.model.layers, chosen, strict=True):
        layer.gradient_checkpointing = policy == "layers"


def keep_unpacked(model: Any, layers: int, dtype: torch.dtype | None) -> int:
    """Hold the unpacked experts of the first layers that have NF4 ones; returns the bytes held.

    The rest, and all of them with None, are unpacked at every use. The numbers are the same either way.
    """
    held = 0
    packed = [b for _, b in blocks(model) if isinstance(b.experts.gate_up_proj, Nf4Weight)]
    for at, block in enumerate(packed):
        for weight in (block.experts.gate_up_proj, block.experts.down_proj):
            assert isinstance(weight, Nf4Weight)
            held += weight.keep_unpacked(dtype if at < layers else None)
    return held


def apply_plan(model: Any, plan: RecomputePlan) -> int:
    """Let a model train by a plan; returns the bytes of experts that are held unpacked."""
    recompute_layers(model, policies=plan.policies)
    return keep_unpacked(model, plan.resident_layers, model.dtype)
