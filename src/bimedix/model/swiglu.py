"""The experts' activation h = silu(g) u p and its gradients: one pass over memory on CUDA, else torch."""

import torch
from torch import Tensor
from torch.nn.functional import silu

from bimedix.model.devices import kernels_of


def swiglu(gate_up: Tensor, shares_N: Tensor) -> Tensor:
    """Return h [N, F] of [g, u] [N, 2F] and routing weights."""
    if fused := kernels_of(gate_up):
        h: Tensor = fused.swiglu(gate_up, shares_N)
        return h
    g, u = gate_up.chunk(2, dim=-1)
    return silu(g).mul_(u).mul_(shares_N[:, None])


class Activation:
    """What backward needs of the activation: silu(g) u first, and the gradients once dh is known."""

    def __init__(self, gate_up: Tensor) -> None:
        self._fused = kernels_of(gate_up)
        self._gate_up = gate_up
        self._silu_g: Tensor | None = None
        if self._fused:
            self.product: Tensor = self._fused.swiglu(gate_up, None)
        else:
            g, u = gate_up.chunk(2, dim=-1)
            self._silu_g = silu(g)
            self.product = self._silu_g * u
        """silu(g) u, [N, F], without the routing weight."""

    def backward(self, dh: Tensor, shares_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return d[g, u] [N, 2F] and dp [N]; `dh` is used up."""
        if self._fused:
            found: tuple[Tensor, Tensor] = self._fused.swiglu_backward(self._gate_up, dh, shares_N)
            return found
        assert self._silu_g is not None
        g, u = self._gate_up.chunk(2, dim=-1)
        dshares_N = torch.linalg.vecdot(dh, self.product)
        dh.mul_(shares_N[:, None])
        dgate_up = torch.empty_like(self._gate_up)
        dg, du = dgate_up.chunk(2, dim=-1)
        torch.mul(dh, self._silu_g, out=du)
        torch.ops.aten.silu_backward.grad_input(dh.mul_(u), g, grad_input=dg)
        return dgate_up, dshares_N
