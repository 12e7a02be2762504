"""AdamW in float32, or with its two moments in eight bits; parameters may then be bfloat16.

Eight bits: blocks of 256 values with one float32 scale each, values on the dynamic levels of arXiv 2110.02861
(a zero, and fractions of each power of ten), so that values of a block may differ by a factor of a million.
Two things are ours. The second moment is rounded at random to one of its two neighbours: it loses a
thousandth a step, less than half of the way to the next level, and would stand still when rounded to the
nearest. And it is never rounded to zero, for the update divides by its root.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bimedix.model.arithmetic import OptimizerFormat
from bimedix.model.nf4 import dynamic_levels

if TYPE_CHECKING:
    from bimedix.train.settings import Phase

BLOCK = 256
LEAST_VALUES = 4096
"""Smaller parameters keep float32 moments (as bitsandbytes does): they are few and sensitive."""


@cache
def _positive_levels() -> Tensor:
    """Return 256 levels, ascending: 10^-7, for power 10^-i the middles of 2^(7-i) equal parts, and 1."""
    found = [1.0, 10.0**-7]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (power + 1) + 1, dtype=torch.float32)
        found += (10.0 ** (power - 6) * (edges[:-1] + edges[1:]) / 2).tolist()
    return torch.tensor(sorted(found), dtype=torch.float32)


def _levels(signed: bool, device: torch.device) -> Tensor:
    return (dynamic_levels() if signed else _positive_levels()).to(device)


def _blocks(values: Tensor) -> Tensor:
    """Return values [D, ...] as [D, blocks, 256], rows padded with zeros: a shard of D has whole blocks."""
    flat = values.reshape(len(values), -1)
    return torch.nn.functional.pad(flat, (0, -flat.shape[1] % BLOCK)).reshape(len(flat), -1, BLOCK)


def quantise(values: Tensor, *, signed: bool, source: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Return (codes uint8 [D, ...], scales float32 [D, blocks]) of float32 values [D, ...].

    Args:
        values: the moment; not negative unless `signed`.
        signed: the levels are those of both signs.
        source: round at random to one of the two neighbours; None rounds to the nearest.
    """
    blocks = _blocks(values)
    scales = blocks.abs().amax(dim=-1)
    scaled = blocks / scales.clamp(min=1e-38)[..., None]
    levels = _levels(signed, values.device)
    if source is None:
        codes = torch.bucketize(scaled, (levels[:-1] + levels[1:]) / 2)
    else:
        above = torch.bucketize(scaled, levels).clamp(1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        drawn = torch.rand(scaled.shape, generator=source, device=values.device)
        codes = above - (drawn >= (scaled - low) / (high - low)).long()
    flat = codes.to(torch.uint8).flatten(1)[:, : values[0].numel()]
    return flat.reshape(values.shape), scales


def dequantise(codes: Tensor, scales: Tensor, *, signed: bool) -> Tensor:
    """Return float32 values of codes [D, ...] and scales [D, blocks]."""
    blocks = _blocks(codes)
    values = _levels(signed, codes.device)[blocks.int()] * scales[..., None]
    return values.flatten(1)[:, : codes[0].numel()].reshape(codes.shape)


def round_at_random(values: Tensor, source: torch.Generator) -> Tensor:
    """Return float32 values as bfloat16, up or down so that the mean is kept.

    A step that is small beside its weight would else be lost: bfloat16 has 8 bits of precision.
    """
    noise = torch.randint(1 << 16, values.shape, generator=source, device=values.device, dtype=torch.int32)
    bits = values.contiguous().view(torch.int32) + noise
    return (bits & -65536).view(torch.float32).to(torch.bfloat16)


class LeanAdamW(torch.optim.Optimizer):
    """AdamW (arXiv 1711.05101) with eight-bit moments, for parameters in float32 or bfloat16.

    Draws come from (`seed`, step), so that a run that goes on draws alike, and so do all devices.
    """

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float], eps: float = 1e-8) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.seed = 0

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step by the gradients that are there."""
        every = [(group, parameter) for group in self.param_groups for parameter in group["params"]]
        for number, (own, parameter) in enumerate(every):
            if parameter.grad is not None:
                self._step(own, parameter, number)

    def _step(self, group: Mapping[str, Any], parameter: Tensor, number: int) -> None:
        weight, gradient = _local(parameter), _local(parameter.grad).float()
        if not weight.numel():
            return
        state = self.state[parameter]
        if not state:
            state.update(_fresh(parameter))
        state["step"] += 1
        step = int(state["step"])
        drawn = (self.seed + step * 1_000_003 + number) % (1 << 63)
        source = torch.Generator(device=weight.device).manual_seed(drawn)
        (beta1, beta2), lr = group["betas"], group["lr"]
        first, second = _read(state, "exp_avg"), _read(state, "exp_avg_sq")
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = (second / (1 - beta2**step)).sqrt_().add_(group["eps"])
        new = weight.float() * (1 - lr * group["weight_decay"])
        new.addcdiv_(first, spread, value=-lr / (1 - beta1**step))
        weight.copy_(round_at_random(new, source) if weight.dtype == torch.bfloat16 else new)
        _write(state, "exp_avg", first, None)
        _write(state, "exp_avg_sq", second, source)


def _local(tensor: Any) -> Tensor:
    """Return the part of a sharded tensor that this device holds."""
    found: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return found


def _fresh(parameter: Tensor) -> dict[str, Tensor]:
    """Return zero moments, laid out (and sharded) as the parameter."""
    state = {"step": torch.zeros((), dtype=torch.float32)}
    for name in ("exp_avg", "exp_avg_sq"):
        if parameter.numel() < LEAST_VALUES or parameter.ndim < 2:
            state[name] = torch.zeros_like(parameter, dtype=torch.float32)
            continue
        codes, scales = quantise(
            torch.zeros_like(_local(parameter), dtype=torch.float32), signed=name == "exp_avg"
        )
        state[name], state[f"{name}_scale"] = _like(codes, parameter), _like(scales, parameter)
    return state


def _like(local: Tensor, parameter: Any) -> Tensor:
    """Return this device's part as a tensor that is sharded along the first dimension as the parameter is."""
    if not hasattr(parameter, "device_mesh"):
        return local
    from torch.distributed.tensor import DTensor

    shape = (parameter.shape[0], *local.shape[1:])
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(
        local,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=torch.Size(shape),
        stride=stride,
    )


def _read(state: Mapping[str, Tensor], name: str) -> Tensor:
    codes = _local(state[name])
    if codes.dtype == torch.float32:
        return codes
    return dequantise(codes, _local(state[f"{name}_scale"]), signed=name == "exp_avg")


def _write(state: Mapping[str, Tensor], name: str, values: Tensor, source: torch.Generator | None) -> None:
    held = _local(state[name])
    if held.dtype == torch.float32:
        return  # changed in place
    codes, scales = quantise(values, signed=name == "exp_avg", source=source)
    held.copy_(codes)
    _local(state[f"{name}_scale"]).copy_(scales)


def to_bfloat16(trained: Iterable[tuple[str, Tensor]]) -> None:
    """Make the adapters' matrices bfloat16; a router that is trained in full stays float32."""
    for name, parameter in trained:
        if ".lora_" in name:
            parameter.data = parameter.data.to(torch.bfloat16)


def make_optimizer(
    trained: Mapping[str, Tensor], phase: "Phase", format: OptimizerFormat
) -> torch.optim.Optimizer:
    """Return the optimizer of a phase; its rate is zero until the loop sets it."""
    matrices = [p for p in trained.values() if p.ndim > 1]
    vectors = [p for p in trained.values() if p.ndim <= 1]
    groups: Any = [
        {"params": members, "weight_decay": decay}
        for members, decay in ((matrices, phase.weight_decay), (vectors, 0.0))
        if members
    ]
    if format == "adamw_float32":
        return torch.optim.AdamW(groups, lr=0.0, betas=phase.betas, fused=True)
    return LeanAdamW(groups, lr=0.0, betas=phase.betas)
