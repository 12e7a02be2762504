"""Unpack the next expert's weights on a second CUDA stream, into two buffers that every layer reuses.

While the products of one expert keep the matrix units busy, unpacking the next one keeps the memory busy.
Scratch is two experts' weights in bf16 (0.7 GB for Mixtral-8x7B), whatever the number of layers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor


@dataclass
class Slot:
    """One of the two buffers."""

    gate_up: Tensor
    down: Tensor
    filled: Any
    """Event on the side stream: the weights are there."""
    used: Any
    """Event on the main stream: the last product with them is done."""


Shapes = tuple[tuple[int, ...], tuple[int, ...]]


@cache
def _slots(shapes: Shapes, dtype: torch.dtype, device: torch.device) -> tuple[Any, tuple[Slot, Slot]]:
    """Return the side stream of a device and the buffers for weights of these shapes."""
    cuda: Any = torch.cuda

    def slot() -> Slot:
        gate_up, down = (torch.empty(shape, dtype=dtype, device=device) for shape in shapes)
        return Slot(gate_up, down, cuda.Event(), cuda.Event())

    return cuda.Stream(device), (slot(), slot())


def through_slots(
    count: int, fill: Callable[[int, Slot], None], shapes: Shapes, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[int, Slot]]:
    """Yield (index, slot) for 0 .. count - 1 with `fill(index, slot)` done, each filled one step ahead.

    A slot is filled again only when the products with what it held are done.
    """
    side, slots = _slots(shapes, dtype, device)
    main = torch.cuda.current_stream(device)
    side.wait_stream(main)

    def start(at: int) -> None:
        slot = slots[at % 2]
        side.wait_event(slot.used)
        with torch.cuda.stream(side):
            fill(at, slot)
            slot.filled.record(side)

    start(0)
    for at in range(count):
        if at + 1 < count:
            start(at + 1)
        slot = slots[at % 2]
        main.wait_event(slot.filled)
        yield at, slot
        slot.used.record(main)
