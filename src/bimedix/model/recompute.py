"""Compute layers again in backward, with the routing that was chosen the first time.

Replaying a router can send a token whose scores are nearly tied to another expert; the gradients then
belong to no forward pass at all. So the first pass remembers expert ids, and the second takes them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from bimedix.model.blocks import install
from bimedix.model.router import EngineState


@contextmanager
def _routing(state: EngineState, mode: Literal["record", "replay"]) -> Iterator[None]:
    before, state.replay = state.replay, mode
    try:
        yield
    finally:
        state.replay = before


def recompute_layers(model: Any, enable: bool = True) -> None:
    """Keep only each layer's input in training, and compute the rest again in backward.

    Costs one more forward pass and saves most activations (`arithmetic.activation_bytes`).
    """
    state = install(model)
    if not enable:
        model.activation_checkpointing_disable()
        return
    model.activation_checkpointing_enable(
        {
            "use_reentrant": False,
            "context_fn": lambda: (_routing(state, "record"), _routing(state, "replay")),
        }
    )
