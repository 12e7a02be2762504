"""Checkpoints that a killed run goes on from, bit for bit: safetensors and JSON, never pickle."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bimedix.errors import DataError
from bimedix.files import read_json, write_json

KEPT = 2
"""Checkpoints that stay on the disk: the newest and the one before it."""


def save_checkpoint(
    folder: Path,
    step: int,
    trained: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
) -> None:
    """Write weights, optimizer moments and random state of step `step`; the folder appears when whole."""
    from safetensors.torch import save_file

    target = folder / f"step-{step:08d}"
    part = folder / f"step-{step:08d}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tensors = {f"weight.{name}": tensor.detach() for name, tensor in trained.items()}
    steps: dict[str, float] = {}
    for name, tensor in trained.items():
        for key, value in optimizer.state.get(tensor, {}).items():
            if key == "step":
                steps[name] = float(value)
            else:
                tensors[f"{key}.{name}"] = value
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, part / "tensors.safetensors")
    write_json(part / "state.json", {**state, "step": step, "optimizer_steps": steps})
    with (part / "tensors.safetensors").open("rb") as file:
        os.fsync(file.fileno())
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    for old in _complete(folder)[:-KEPT]:
        shutil.rmtree(old)


def _complete(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.suffix != ".part" and (p / "state.json").exists())


def load_checkpoint(
    folder: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, identity: str
) -> dict[str, Any] | None:
    """Put the newest checkpoint back in place; returns its state, or None when there is none.

    Raises:
        DataError: the checkpoint belongs to other settings or data.
    """
    from safetensors.torch import load_file

    found = _complete(folder)
    if not found:
        return None
    state: dict[str, Any] = read_json(found[-1] / "state.json")
    if state.get("identity") != identity:
        raise DataError(
            f"{found[-1]}: written with other settings or data than now asked for.\n"
            "  Give the old settings to go on, or remove the folder to start again."
        )
    tensors = load_file(found[-1] / "tensors.safetensors")
    for name, tensor in trained.items():
        tensor.data.copy_(tensors[f"weight.{name}"])
        own = {
            key: tensors[f"{key}.{name}"].to(tensor.device)
            for key in ("exp_avg", "exp_avg_sq")
            if f"{key}.{name}" in tensors
        }
        if own:
            count = torch.tensor(
                state["optimizer_steps"][name], dtype=torch.float32, device=_step_device(tensor)
            )
            optimizer.state[tensor] = {"step": count, **own}
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return state


def _step_device(tensor: Tensor) -> torch.device:
    """Fused AdamW keeps its step count beside the parameter."""
    return tensor.device
