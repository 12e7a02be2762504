"""What a finished run left on disk, for the report and the cards: every figure comes from there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from bimedix.files import read_json, read_json_lines, read_records
from bimedix.path import LEDGER, STAGES, stage_folder
from bimedix.recipe import Recipe
from bimedix.records import Dropped, Translation
from bimedix.stage import DROPPED, RECORDS

R = TypeVar("R", bound=Struct)
DECONTAMINATION = "decontamination.json"
"""What the mix was held against."""


@dataclass(frozen=True)
class Run:
    """A finished run of a recipe."""

    recipe: Recipe
    folder: Path

    @cached_property
    def ledgers(self) -> dict[str, dict[str, Any]]:
        """The ledger of each stage that ran, by room, in the order of the path."""
        found = {room: stage_folder(self.folder, room) / LEDGER for room in STAGES}
        return {room: read_json(path) for room, path in found.items() if path.exists()}

    def figures(self, room: str) -> dict[str, Any]:
        """Return the figures of a stage's summary; empty when it did not run."""
        figures: dict[str, Any] = self.ledgers.get(room, {}).get("summary", {}).get("figures", {})
        return figures

    def file(self, room: str, name: str) -> Path | None:
        """Return a file of a stage, when it is there."""
        path = stage_folder(self.folder, room) / name
        return path if path.is_file() else None

    def json(self, room: str, name: str) -> Any:
        """Return the value of a stage's JSON file, or None."""
        path = self.file(room, name)
        return read_json(path) if path else None

    def rows(self, room: str, name: str) -> Iterator[dict[str, Any]]:
        """Yield the objects of a stage's JSON Lines file."""
        if path := self.file(room, name):
            yield from (row for _, row in read_json_lines(path))

    def records(self, room: str, kind: type[R], name: str = RECORDS) -> Iterator[R]:
        """Yield the records of a stage."""
        if path := self.file(room, name):
            yield from read_records(path, kind)

    def translations(self) -> Iterator[Translation]:
        """Yield the translations with their history."""
        return self.records("translate", Translation)

    def drops(self, room: str, reason: str, most: int) -> list[Dropped]:
        """Return the first records that a stage dropped for a reason."""
        return list(islice((d for d in self.records(room, Dropped, DROPPED) if d.reason == reason), most))


def held_against(told: Mapping[str, Any] | None, near: Mapping[str, Any] | None) -> list[str]:
    """Return sentences on what a mix was held against, and which registered test sets it could not be.

    Args:
        told: the mix's decontamination.json.
        near: `near_duplicates` of its statistics.json.
    """
    if not told:
        return []
    if not told["on"]:
        return ["Not held against any test set: `decontaminate` is off."]
    rules = ", ".join(f"{rule} {count:,}" for rule, count in told["dropped_by_rule"].items())
    found = sum(told["dropped_by_rule"].values())
    lines = [
        f"{told['checked']:,} records were held against {told['test_items']:,} test items; {found:,} held "
        f"one and were left out{f' ({rules})' if rules else ''}."
    ]
    absent, partly = told.get("registered_absent", []), told.get("registered_incomplete", [])
    if whole := len(told.get("registered", {})) - len(absent) - len(partly):
        lines.append(f"Of the registered test sets {whole} were there as a whole.")
    if partly:
        lines.append(f"There in part: {', '.join(partly)}.")
    if absent:
        lines.append(f"Absent, so that a leak from them would not show: {', '.join(absent)}.")
    if near and near["least_share_of_runs"]:
        lines.append(
            f"{near['left_out']:,} near-duplicates were left out; {near['kept_though_alike']:,} pairs read "
            "alike and differ in a number, a negation, a side or the answer, and stay."
        )
    return lines
