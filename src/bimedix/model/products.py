"""Dense products with frozen weights, by whichever of torch's two CPU libraries uses the processor in full.

torch multiplies float32 with MKL, which stays at half of what AMD's AVX-512 can do: on an EPYC it reaches
110 GFLOP/s a core, where oneDNN, which torch also holds, reaches 250. So there, and only there, products go
to oneDNN; it reads the same tensors, with no copy of a weight. What is chosen depends on the machine alone,
not on a timing, so that a machine gives the same bytes every time.
"""

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from bimedix.model.devices import kernels_of
from bimedix.model.native import nf4_kernel
from bimedix.model.nf4 import MOST_ROWS, NESTED_BLOCK, Nf4Weight, dynamic_levels, few_rows, unpack

LEAST_WEIGHTS = 2**18
"""Below it (the low-rank factors) the gain is small, and oneDNN keeps code for every shape it has seen."""


def _is_amd() -> bool:
    """Tell whether the system names AMD as the processor's maker."""
    info = Path("/proc/cpuinfo")
    vendor = info.read_text(errors="replace") if info.exists() else platform.processor()
    return "AuthenticAMD" in vendor


def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return y


@cache
def onednn_pays() -> bool:
    """Tell whether oneDNN is there, uses wider vectors than MKL here, and gives the same numbers."""
    libraries: Any = torch.backends
    if not (libraries.mkl.is_available() and libraries.mkldnn.is_available()):
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not _is_amd():
        return False
    return _agrees()


def _agrees() -> bool:
    """Compare both libraries on a small product, and on transposed and strided views as backward has them."""
    source = torch.Generator().manual_seed(3)
    x, w = torch.randn(24, 96, generator=source), torch.randn(40, 96, generator=source)
    try:
        pairs = ((x, w), (x[:, :48], w[:, 48:]), (x, torch.randn(96, 40, generator=source).T))
        return all(
            float((_onednn(a, b) - a @ b.T).norm()) <= 1e-5 * float((a @ b.T).norm()) for a, b in pairs
        )
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ for x [N, in] and W [out, in], without a gradient of its own."""
    on_cpu = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    large = len(x) > 0 and weight.numel() >= LEAST_WEIGHTS
    return _onednn(x, weight) if on_cpu and large and onednn_pays() else linear(x, weight)


class _FrozenLinear(torch.autograd.Function):
    """y = x Wᵀ; backward gives dX alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return product(x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        dx = product(dy.reshape(-1, dy.shape[-1]), weight.T)
        return dx.reshape(*dy.shape[:-1], weight.shape[1]), None


def frozen_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply x [..., in] with a weight [out, in] that is not trained."""
    y: Tensor = _FrozenLinear.apply(x, weight)  # type: ignore[no-untyped-call]
    return y


UNPACKED_AT_ONCE = 2**19
"""Weights that are unpacked at any one moment: as many as a core's own cache holds in float32."""


def nf4_product(x_NH: Tensor, weight: Nf4Weight, index: int | None = None) -> Tensor:
    """Return x Wᵀ for W in NF4 (a member of a stack by `index`), without its gradient, [N, out].

    One row on the CPU and a few on CUDA are multiplied with the four bits as they lie, given a kernel
    for it; else a few rows of W at a time are unpacked.
    """
    if index is None and len(x_NH) <= MOST_ROWS and kernels_of(x_NH):
        return few_rows(x_NH, weight)
    packed, scales = weight.packed, _scales(weight, index)
    if index is not None:
        packed = packed[index]
    if len(x_NH) == 1 and x_NH.device.type == "cpu" and (kernel := nf4_kernel()):
        return kernel(packed, scales, x_NH[0].float())[None].to(x_NH.dtype)
    step = max(1, UNPACKED_AT_ONCE // (2 * packed.shape[1]))
    out = x_NH.new_empty(len(x_NH), len(packed))
    for start in range(0, len(packed), step):
        rows = slice(start, start + step)
        torch.mm(x_NH, unpack(packed[rows], scales[rows], x_NH.dtype).T, out=out[:, rows])
    return out


def _scales(weight: Nf4Weight, index: int | None) -> Tensor:
    """Return the scales of a weight, or of one member of a stack without unpacking the others'."""
    if index is None:
        return weight.plain_scales()
    if weight.format != "nested":
        return weight.scales[index]
    nested: Any = weight
    codes = weight.scales[index]
    place = torch.arange(codes.numel(), device=codes.device).add_(index * codes.numel()) // NESTED_BLOCK
    levels = dynamic_levels().to(codes.device)[codes.reshape(-1).int()]
    values: Tensor = levels * nested.second_scales[place] + nested.mean
    return values.reshape(codes.shape)
