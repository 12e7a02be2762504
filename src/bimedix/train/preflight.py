"""What is known to fail later is refused before a model is loaded: too little memory, too little disk."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bimedix.errors import BimedixError, UsageError
from bimedix.model.arithmetic import OPTIMIZER_BYTES, count_parameters, shape_of, trainable_parameters
from bimedix.train.checkpoint import KEPT
from bimedix.train.plan import layer_plan, ways_out
from bimedix.train.settings import Phase, Settings

TOLERANCE = 1.1
"""An estimate above what is there by more than this is refused."""


def device_bytes(settings: Settings) -> float:
    """Return the memory of one device: as [train] memory_gb says, the accelerator's, or what is free here."""
    import torch

    if settings.memory_gb:
        return settings.memory_gb * 1e9
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    told = Path("/proc/meminfo")
    lines = told.read_text().splitlines() if told.exists() else []
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    return float(free or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def check_room(settings: Settings, phase: Phase, config: Mapping[str, Any], out: Path, shards: int) -> None:
    """Refuse a phase that does not fit into a device's memory, or whose checkpoints do not fit on the disk.

    Args:
        settings: of the run.
        phase: about to begin.
        config: the base's `config.json`.
        out: folder of the run.
        shards: devices that share gradients' moments.

    Raises:
        DataError: the architecture is not one of ours.
        UsageError: too little memory.
        BimedixError: too little disk.
    """
    shape = shape_of(config)
    whole = count_parameters(shape).total
    there = device_bytes(settings)
    if phase.mode == "adapter":
        trained = trainable_parameters(shape, settings.adapter)
        tokens = settings.max_tokens_per_micro_batch
        needed = layer_plan(shape, settings, tokens, there, shards=shards).total_bytes
    else:
        trained = whole
        needed = whole * OPTIMIZER_BYTES[settings.optimizer] / shards
    if needed > TOLERANCE * there:
        told = "\n  ".join([f"phase of mode '{phase.mode}': too little memory.", *ways_out(needed, there)])
        raise UsageError(f"[train] {told}")
    # Weights and two moments in float32, in the kept checkpoints and the one that is written.
    disk = 12.0 * trained * (KEPT + 1) * bool(settings.checkpoint_every_steps) + 4.0 * trained
    free = shutil.disk_usage(out).free
    if disk > free:
        raise BimedixError(
            f"{out}: checkpoints and weights need {disk / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free.\n"
            "  Free some space, name another folder for the run, or set [train] checkpoint_every_steps = 0."
        )
