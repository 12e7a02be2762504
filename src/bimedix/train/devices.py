"""The devices of a run, as accelerate sees them: one, data parallel, FSDP2, or DeepSpeed's ZeRO.

Whatever spreads the work, the loop sees the same four things: passes that all devices make in step, trained
parameters by name, whole values of them for checkpoints, and whole weights for saving.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bimedix.errors import MissingError, UsageError
from bimedix.model.blocks import blocks
from bimedix.model.router import Router
from bimedix.train.settings import Phase, Settings

SHARDINGS = {"FSDP": "fsdp2", "DEEPSPEED": "zero"}
"""What accelerate calls the ways of sharding, and what we do."""


def make_accelerator(settings: Settings, folder: Path) -> Any:
    """Return the accelerator of this process, as `accelerate launch` set it up; trackers write to `folder`.

    Raises:
        UsageError: the configuration asks for what the loop does not do.
        MissingError: a tracker is not installed.
    """
    from accelerate import Accelerator

    if missing := [name for name in settings.trackers if find_spec(name) is None]:
        raise MissingError(
            f"[train] trackers: {', '.join(missing)} not installed.\n  Run `pip install {' '.join(missing)}`."
        )
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        log_with=list(settings.trackers) or None,
        project_dir=str(folder),
    )
    if accelerator.mixed_precision != "no":
        raise UsageError(
            f"accelerate is set to mixed precision '{accelerator.mixed_precision}'; in what is computed is "
            "said by the recipe's [train] dtype.\n  Set `mixed_precision: 'no'` in its configuration."
        )
    kind = SHARDINGS.get(accelerator.distributed_type.value)
    if kind == "fsdp2" and not accelerator.is_fsdp2:
        raise UsageError(
            "accelerate is set to FSDP of version 1.\n  Set `fsdp_version: 2` in its configuration."
        )
    if kind == "zero" and settings.optimizer != "adamw_float32":
        raise UsageError(
            f"[train] optimizer = '{settings.optimizer}' under DeepSpeed, which lays all parameters end to "
            "end; blocks of eight bits would mix them.\n  Use FSDP2, or optimizer = 'adamw_float32'."
        )
    return accelerator


def sharing(accelerator: Any) -> int:
    """Return how many devices share the optimizer's moments; 1 when each has all of them."""
    sharded = accelerator.distributed_type.value in SHARDINGS
    return int(accelerator.num_processes) if sharded else 1


class Devices:
    """Spreads one phase over the devices of an accelerator."""

    def __init__(
        self, accelerator: Any, model: Any, objective: nn.Module, phase: Phase, settings: Settings
    ) -> None:
        self.accelerator = accelerator
        self.sharding = SHARDINGS.get(accelerator.distributed_type.value, "none")
        self._model = model
        if self.sharding == "fsdp2":
            layers = {type(layer).__name__ for layer in model.model.layers}
            if settings.optimizer == "adamw_8bit_bfloat16" and blocks(model):
                layers.add(Router.__name__)  # float32 beside bfloat16: a group has one dtype
            accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = sorted(layers)
        if self.sharding == "zero":
            config = accelerator.state.deepspeed_plugin.deepspeed_config
            config |= {
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": phase.max_gradient_norm,
                "zero_allow_untested_optimizer": True,
            }
        self.objective: Any = objective
        self.optimizer: Any = None
        self.trained: dict[str, Tensor] = {}

    def prepare(self, optimizer: torch.optim.Optimizer) -> None:
        """Put model and optimizer in place; parameters are found under their names again afterwards."""
        self.objective, self.optimizer = self.accelerator.prepare(self.objective, optimizer)
        self.trained = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        if self.sharding == "zero":  # DeepSpeed takes an empty step to make the moments; it shall not count
            for state in self.base_optimizer.state.values():
                if "step" in state:
                    state["step"] = torch.zeros_like(torch.as_tensor(state["step"], dtype=torch.float32))

    @property
    def base_optimizer(self) -> Any:
        """torch's optimizer below the wrappers."""
        inner = self.optimizer.optimizer
        return inner.optimizer if self.sharding == "zero" else inner

    def passes(self, groups: Sequence[Sequence[Any]]) -> list[Any | None]:
        """Return the groups of this device, with None for passes that only keep it in step with the others.

        Args:
            groups: of every device, known to all.
        """
        most = max(map(len, groups))
        own = list(groups[self.accelerator.process_index])
        return [*own, *[None] * (most - len(own))]

    def accumulate(self, last: bool) -> AbstractContextManager[Any]:
        """Return what a backward pass runs in: data parallel devices add up gradients in the last one only.

        Sharded ones do so in every pass, so that no device ever holds all gradients.
        """
        if self.sharding == "zero":
            self.accelerator.sync_gradients = last
        if last or self.sharding != "none":
            return nullcontext()
        found: AbstractContextManager[Any] = self.accelerator.no_sync(self.objective)
        return found

    def clip(self, limit: float) -> float | None:
        """Scale gradients down to a norm of `limit`; returns the norm before."""
        if not limit:
            return None
        norm = self.accelerator.clip_grad_norm_(list(self.trained.values()), limit)
        return None if norm is None else float(norm)

    # --- checkpoints --------------------------------------------------------------------------------

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, whole tensor) of weights and moments; all devices have to ask together."""
        for name, parameter in self.trained.items():
            yield f"weight.{name}", self._whole_weight(parameter)
            for key, value in self._moments(parameter).items():
                yield f"{key}.{name}", _whole(value)

    def steps(self) -> int:
        """Return how many steps the optimizer has taken."""
        counts = [int(s["step"]) for s in self.base_optimizer.state.values() if "step" in s]
        return max(counts, default=0)

    def restore(self, tensors: Any, steps: int) -> None:
        """Put whole tensors back in their places.

        Args:
            tensors: with `keys()` and `get_tensor(name)`, as safetensors opens a file.
            steps: that the optimizer had taken.
        """
        names = set(tensors.keys())
        for name, parameter in self.trained.items():
            self._put_weight(parameter, tensors.get_tensor(f"weight.{name}"))
            tail = f".{name}"
            keys = [n.removesuffix(tail) for n in names if n.endswith(tail) and n != f"weight{tail}"]
            if self.sharding == "zero":
                self._put_zero_moments(parameter, {key: tensors.get_tensor(f"{key}{tail}") for key in keys})
            elif keys:
                own = {key: _sharded_as(tensors.get_tensor(f"{key}{tail}"), parameter) for key in keys}
                fused = bool(self.base_optimizer.param_groups[0].get("fused"))
                at = parameter.device if fused else torch.device("cpu")
                count = torch.tensor(float(steps), dtype=torch.float32, device=at)
                self.base_optimizer.state[parameter] = {"step": count, **own}
        if self.sharding == "zero":
            for state in self.base_optimizer.state.values():
                state["step"] = torch.full_like(torch.as_tensor(state["step"]), float(steps))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, whole tensor) of the trained weights."""
        for name, parameter in self.trained.items():
            yield name, self._whole_weight(parameter)

    def put_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Put whole weights back in their places."""
        for name, parameter in self.trained.items():
            self._put_weight(parameter, tensors[name])

    def _moments(self, parameter: Tensor) -> Mapping[str, Any]:
        if self.sharding == "zero":
            from deepspeed.utils import safe_get_full_optimizer_state

            if not self.steps():
                return {}
            return {key: safe_get_full_optimizer_state(parameter, key) for key in ("exp_avg", "exp_avg_sq")}
        state = self.base_optimizer.state.get(parameter, {})
        return {key: value for key, value in state.items() if key != "step"}

    def _whole_weight(self, parameter: Tensor) -> Tensor:
        if self.sharding == "zero":
            from deepspeed.utils import safe_get_full_fp32_param

            whole: Tensor = safe_get_full_fp32_param(parameter)
            return whole.detach().cpu()
        return _whole(parameter)

    @torch.no_grad()
    def _put_weight(self, parameter: Tensor, whole: Tensor) -> None:
        if self.sharding == "zero":
            from deepspeed.utils import safe_set_full_fp32_param
            from deepspeed.zero import GatheredParameters

            safe_set_full_fp32_param(parameter, whole.to(parameter.device))
            with GatheredParameters([parameter], modifier_rank=0):
                parameter.data.copy_(whole)
            return
        parameter.data.copy_(_sharded_as(whole, parameter))

    @staticmethod
    def _put_zero_moments(parameter: Tensor, moments: Mapping[str, Tensor]) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        for key, value in moments.items():
            safe_set_full_optimizer_state(parameter, value.to(parameter.device), key)


def _whole(tensor: Any) -> Tensor:
    """Return a tensor on the CPU, put together from all devices when it is sharded."""
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach().cpu().contiguous()


def _sharded_as(whole: Tensor, parameter: Any) -> Tensor:
    """Return this device's part of a whole tensor, or all of it, where the parameter lies."""
    whole = whole.to(parameter.device)
    if not hasattr(parameter, "device_mesh"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)


@contextmanager
def whole_weights(model: Any) -> Iterator[None]:
    """Hold all weights of a sharded model whole on every device while the block lasts.

    For naming, auditing and saving adapters; a model that is not sharded is whole anyway.
    """
    from torch.distributed.fsdp import FSDPModule

    if any(hasattr(p, "ds_id") for p in model.parameters()):
        from deepspeed.zero import GatheredParameters

        with GatheredParameters(list(model.parameters())):
            yield
        return
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.reshard()
