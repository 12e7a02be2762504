"""What a run tells while it goes on: a row per step on the disk, and a line on the screen."""

from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

BARS = "▁▂▃▄▅▆▇█"


class Metrics:
    """`metrics.jsonl`: one row per step, flushed; rows after the checkpoint that a run resumes from go.

    Only the first device writes; the others keep their rows to themselves.
    """

    def __init__(self, path: Path, phase: int, resumed_at: int, writes: bool) -> None:
        self.rows: list[dict[str, Any]] = []
        kept = []
        if path.exists():
            for line in path.read_bytes().splitlines():
                try:
                    row = msgspec.json.decode(line)
                except msgspec.DecodeError:
                    break
                if (row["phase"], row["step"]) <= (phase, resumed_at):
                    kept.append(line)
                    if row["phase"] == phase:
                        self.rows.append(row)
        self._file = None
        if writes:
            path.write_bytes(b"".join(line + b"\n" for line in kept))
            self._file = path.open("ab")

    def add(self, row: dict[str, Any]) -> None:
        """Keep the row of one step."""
        self.rows.append(row)
        if self._file:
            self._file.write(msgspec.json.encode(row) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """Return what trackers are given of a row: numbers, and nothing else."""
    flat = {**row, **row["timing"]}
    return {
        f"train/{key}": float(value)
        for key, value in flat.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and key not in ("phase", "step")
    }


def shown(row: dict[str, Any], load: Tensor) -> dict[str, Any]:
    """Return what the line on the screen tells of a row."""
    told = {
        "loss": f"{row['loss']:.3f}",
        "tokens_per_s": int(row["timing"]["tokens_per_s"]),
        "padding": f"{row['padding_share']:.0%}",
    }
    return told | ({"experts": histogram(load)} if load.numel() else {})


def busiest(load: Tensor) -> float | None:
    """Return the largest share of pairs that one expert of a layer got; 1/E when all are equal."""
    if load.numel() == 0:
        return None
    return round(float((load / load.sum(dim=1, keepdim=True).clamp(min=1)).max()), 4)


def histogram(load: Tensor) -> str:
    """Return a bar per expert, over all layers; the tallest is the busiest."""
    if load.numel() == 0:
        return ""
    total = load.sum(dim=0)
    heights = (total * (len(BARS) - 1) / total.max().clamp(min=1)).round().int().tolist()
    return "".join(BARS[height] for height in heights)
