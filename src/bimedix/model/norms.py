"""Norms that keep next to nothing for backward; what they give is computed again where it is needed.

A layer's norms give what its adapters and its router read, so that autograd would keep their outputs (and the
float32 copies inside) beside their inputs, which the layer keeps anyway. Here a norm keeps its input alone;
and whatever wants to keep a norm's output keeps a note of how to compute it, which costs three passes over
memory where it is read. The numbers are those of transformers' norm, bit for bit, in both passes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import saved_tensors_hooks


def _normed(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the norm's output and x over its root mean square, in at least float32."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    unit = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * unit.to(x.dtype), unit


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        return _normed(x, weight, eps)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        root = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + ctx.eps)
        unit = wide * root
        dunit = (dy * weight).to(wide.dtype)
        dx = (dunit - unit * (dunit * unit).mean(-1, keepdim=True)).mul_(root).to(x.dtype)
        dweight = None
        if ctx.needs_input_grad[1]:
            dweight = (dy * unit.to(x.dtype)).flatten(0, -2).sum(dim=0).to(weight.dtype)
        return dx, dweight, None


@dataclass(frozen=True)
class _Again:
    """In the place of a norm's output: how to compute it."""

    x: Tensor
    weight: Tensor
    eps: float
    shape: torch.Size

    def value(self) -> Tensor:
        with torch.no_grad():
            return _normed(self.x, self.weight, self.eps)[0].view(self.shape)


class LeanNorm(nn.Module):
    """Root mean square norm under the names of transformers."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = weight, eps
        self.outputs: dict[int, tuple[Tensor, _Again]] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the norm of x [..., H]."""
        y: Tensor = _Norm.apply(x, self.weight, self.variance_epsilon)  # type: ignore[no-untyped-call]
        if self.outputs is not None:
            again = _Again(x.detach(), self.weight.detach(), self.variance_epsilon, y.shape)
            self.outputs[y.data_ptr()] = (y.detach(), again)
        return y


def _others_decide() -> bool:
    """Tell whether something around this layer, such as a checkpoint, already decides what is kept."""
    top: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
    return top is not None and top(True) is not None


class Watch:
    """While a layer runs forward in training, keeps notes in the place of its norms' outputs."""

    def __init__(self, norms: list[LeanNorm]) -> None:
        self.norms = norms
        self.outputs: dict[int, tuple[Tensor, _Again]] = {}
        self._hooks: Any = None

    def begin(self, module: nn.Module, args: Any) -> None:
        """Before the layer."""
        if not (module.training and torch.is_grad_enabled()) or _others_decide():
            return
        for norm in self.norms:
            norm.outputs = self.outputs
        self._hooks = saved_tensors_hooks(self.pack, self.unpack)
        self._hooks.__enter__()

    def end(self, module: nn.Module, args: Any, output: Any) -> None:
        """After the layer, also when it failed."""
        if self._hooks is None:
            return
        self._hooks.__exit__(None, None, None)
        self._hooks = None
        self.outputs.clear()
        for norm in self.norms:
            norm.outputs = None

    def pack(self, tensor: Tensor) -> Tensor | _Again:
        """Return what is kept in the place of a tensor."""
        output, again = self.outputs.get(tensor.data_ptr(), (None, None))
        if output is None or again is None:
            return tensor
        whole = tensor.numel() == output.numel() and tensor.dtype == output.dtype and tensor.is_contiguous()
        return _Again(again.x, again.weight, again.eps, tensor.shape) if whole else tensor

    def unpack(self, kept: Tensor | _Again) -> Tensor:
        """Return the tensor that was kept."""
        return kept.value() if isinstance(kept, _Again) else kept


def use_lean_norms(layer: nn.Module) -> None:
    """Put lean norms in the place of a decoder layer's two, sharing their weights."""
    norms = []
    for name in ("input_layernorm", "post_attention_layernorm"):
        old: Any = getattr(layer, name)
        lean = LeanNorm(old.weight, old.variance_epsilon).train(old.training)
        setattr(layer, name, lean)
        norms.append(lean)
    watch = Watch(norms)
    layer.register_forward_pre_hook(watch.begin)
    layer.register_forward_hook(watch.end, always_call=True)
