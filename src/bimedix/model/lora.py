"""A linear layer with a low-rank adapter beside its frozen weight."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from bimedix.model.nf4 import Nf4Weight, nf4_linear
from bimedix.model.products import frozen_linear


def start_a(*shape: int, seed: int) -> Tensor:
    """Return start values of A: uniform as torch's Linear (Kaiming with a = √5), float32, from a seed.

    The last dimension is the fan-in. B starts at zero, so that the adapter starts as no change.
    """
    source = torch.Generator().manual_seed(seed)
    bound = 1 / math.sqrt(shape[-1])
    return torch.empty(*shape).uniform_(-bound, bound, generator=source)


def _base(x: Tensor, weight: Tensor | Nf4Weight, bias: Tensor | None) -> Tensor:
    """Return what a frozen layer gives."""
    y = nf4_linear(x, weight) if isinstance(weight, Nf4Weight) else frozen_linear(x, weight)
    return y if bias is None else y + bias


def device_of(weight: Tensor | Nf4Weight) -> torch.device:
    """Return where a weight lies."""
    return weight.packed.device if isinstance(weight, Nf4Weight) else weight.device


def _still(parameter: Tensor) -> nn.Parameter:
    """Return the same values as a parameter that is not trained."""
    return nn.Parameter(parameter.detach(), requires_grad=False)


class FrozenLinear(nn.Module):
    """A linear layer without an adapter, with its weight plain or in NF4."""

    def __init__(self, base: "nn.Linear | FrozenLinear") -> None:
        super().__init__()
        weight = base.weight
        self.weight: nn.Parameter | Nf4Weight = weight if isinstance(weight, Nf4Weight) else _still(weight)
        bias = cast(Tensor | None, base.bias)
        self.bias: nn.Parameter | None = None if bias is None else _still(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output."""
        return _base(x, self.weight, self.bias)


class LoraLinear(FrozenLinear):
    """y = x Wᵀ + b + s (dropout(x) Aᵀ) Bᵀ, with W and b frozen; A, B in float32."""

    def __init__(
        self, base: nn.Linear | FrozenLinear, *, rank: int, scale: float, dropout: float, seed: int
    ) -> None:
        super().__init__(base)
        outputs, inputs = base.weight.shape
        device = device_of(base.weight)
        self.lora_a = nn.Parameter(start_a(rank, inputs, seed=seed).to(device))
        self.lora_b = nn.Parameter(torch.zeros(outputs, rank, device=device))
        self.scale, self.dropout = scale, dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output plus what the adapter adds."""
        seen = dropout(x, self.dropout, self.training) if self.dropout else x
        down = linear(seen, self.lora_a.to(x.dtype)).flatten(0, -2)
        y = _base(x, self.weight, self.bias)
        added = torch.addmm(y.flatten(0, -2), down, self.lora_b.to(x.dtype).T, alpha=self.scale)
        return added.reshape(y.shape)
