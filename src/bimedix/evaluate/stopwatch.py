"""Speed and memory of a run: times whoever answers, one model after the other, and writes what it saw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bimedix.completers.settings import CompleterSettings, open_completer
from bimedix.evaluate.asking import Asker
from bimedix.evaluate.efficiency import (
    EFFICIENCY_FILE,
    Card,
    Estimate,
    Loaded,
    Speed,
    Timed,
    estimate,
    paper_estimates,
    summarise,
)
from bimedix.evaluate.items import Asked
from bimedix.evaluate.settings import Timing
from bimedix.files import RecordWriter, write_json
from bimedix.stage import Context

DTYPE_BITS = {"float32": 32.0}
"""Bits per weight of the formats that are not 16."""


@dataclass
class Stopwatch:
    """Collects the times of a run."""

    timing: Timing
    asked: Sequence[Asked]
    context: Context
    with_rationale: bool = False
    """Answers give the reason first, as those that are scored."""
    times: list[Timed] = field(default_factory=list)
    loaded: list[Loaded] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)

    def time_model(self, model: Any, asker: Asker, name: str, end_id: int) -> None:
        """Time a local model's answers, and estimate what its sizes allow on this machine."""
        from bimedix.evaluate.timing import loaded, time_local, timed_items
        from bimedix.model.arithmetic import shape_of

        items, timing = timed_items(self.asked, self.timing.items), self.timing
        rows: list[Timed] = []
        with self.context.progress.task(f"{name}, speed", len(items), "answers") as task:
            for row in time_local(
                model, asker, name, items, warm_up=timing.warm_up, max_new_tokens=timing.max_new_tokens,
                exact=timing.exact, end_id=end_id, with_rationale=self.with_rationale,
            ):  # fmt: skip
                rows.append(row)
                task.advance(not row.warm_up)
        lies = loaded(model, name, rows)
        here = Card(f"this machine ({lies.device})", lies.bandwidth, math.inf)
        self.times += rows
        self.loaded.append(lies)
        self.estimates.append(
            estimate(
                name, shape_of(model.config.to_dict()), here, lies.dtype, DTYPE_BITS.get(lies.dtype, 16.0),
                batch=1, context=max(row.prompt_tokens for row in rows), share=timing.share_of_bandwidth,
            )
        )  # fmt: skip

    def time_completer(self, chosen: CompleterSettings, asker: Asker) -> None:
        """Time an endpoint's streamed answers; they are asked for anew, past the ledger."""
        from bimedix.completers.openai import OpenAiCompleter
        from bimedix.evaluate.timing import time_endpoint, timed_items

        endpoint = open_completer(replace(chosen, record_to="", mode="online"), self.context.base)
        if isinstance(endpoint, OpenAiCompleter):  # the settings allow no other kind
            self.times += time_endpoint(
                endpoint, asker, timed_items(self.asked, self.timing.items), warm_up=self.timing.warm_up,
                max_new_tokens=self.timing.max_new_tokens, with_rationale=self.with_rationale,
            )  # fmt: skip

    def write(self, out: Path, confidence: float) -> None:
        """Write every timed answer, and their medians with the estimates and what lies in memory."""
        with RecordWriter(out / "efficiency.jsonl") as file:
            for row in self.times:
                file.write(row)
        measured = summarise(self.times, seed=self.context.seed, confidence=confidence)
        share = self.timing.share_of_bandwidth
        estimates = (*self.estimates, *paper_estimates(share))
        write_json(out / EFFICIENCY_FILE, Speed(tuple(measured), tuple(self.loaded), estimates, share))
