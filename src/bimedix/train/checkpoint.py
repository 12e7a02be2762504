"""Checkpoints that a killed run goes on from, bit for bit: safetensors and JSON, never pickle.

They hold whole tensors, whatever shards them on the devices, so that a run may go on with another number of
devices. Random numbers need no state: every step draws from (seed, phase, step).
"""

import os
import shutil
from pathlib import Path
from typing import Any

from bimedix.errors import DataError
from bimedix.files import read_json, write_json
from bimedix.train.devices import Devices

KEPT = 2
"""Checkpoints that stay on the disk: the newest and the one before it."""


def save_checkpoint(folder: Path, step: int, devices: Devices, state: dict[str, Any]) -> None:
    """Write weights and optimizer moments of step `step`; the folder appears when whole.

    All devices take part, the first one writes.
    """
    target = folder / f"step-{step:08d}"
    part = folder / f"step-{step:08d}.part"
    first = devices.accelerator.is_main_process
    tensors = {name: tensor for name, tensor in devices.state() if first}
    taken = devices.steps()
    if first:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _save_tensors(tensors, part / "tensors.safetensors")
        write_json(part / "state.json", {**state, "step": step, "optimizer_steps": taken})
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        for old in _complete(folder)[:-KEPT]:
            shutil.rmtree(old)
    devices.accelerator.wait_for_everyone()


def _save_tensors(tensors: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(tensors, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _complete(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.suffix != ".part" and (p / "state.json").exists())


def load_checkpoint(folder: Path, devices: Devices, identity: str) -> dict[str, Any] | None:
    """Put the newest checkpoint back in place; returns its state, or None when there is none.

    Raises:
        DataError: the checkpoint belongs to other settings or data.
    """
    from safetensors import safe_open

    found = check_checkpoint(folder, identity)
    if found is None:
        return None
    state: dict[str, Any] = read_json(found / "state.json")
    with safe_open(found / "tensors.safetensors", framework="pt") as tensors:
        devices.restore(tensors, state["optimizer_steps"])
    return state


def check_checkpoint(folder: Path, identity: str) -> Path | None:
    """Return the newest checkpoint of a folder, or None when there is none.

    Raises:
        DataError: it belongs to other settings or data.
    """
    found = _complete(folder)
    if not found:
        return None
    if read_json(found[-1] / "state.json").get("identity") != identity:
        raise DataError(
            f"{found[-1]}: written with other settings or data than now asked for.\n"
            "  Give the old settings to go on, or remove the folder to start again."
        )
    return found[-1]


def save_best(folder: Path, devices: Devices) -> None:
    """Keep the weights with the lowest validation loss so far; the file appears when whole."""
    first = devices.accelerator.is_main_process
    tensors = {name: tensor for name, tensor in devices.weights() if first}
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        _save_tensors(tensors, folder / "best.part")
        (folder / "best.part").rename(folder / "best.safetensors")
    devices.accelerator.wait_for_everyone()


def load_best(folder: Path, devices: Devices) -> None:
    """Put the kept weights back in place."""
    from safetensors.torch import load_file

    devices.put_weights(load_file(folder / "best.safetensors"))
