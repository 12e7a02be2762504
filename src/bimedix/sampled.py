"""`--sample N`: one room on a few records first, to look at what it makes before it gets all of them."""

from collections.abc import Mapping
from dataclasses import replace
from heapq import nsmallest
from pathlib import Path

from bimedix.draws import uniform_draw
from bimedix.errors import UsageError
from bimedix.files import read_any_records, write_records
from bimedix.recipe import Recipe, with_room
from bimedix.records import root_id

OWN_DRAW = {"translate": "sample", "synthesize": "count"}
"""Rooms that draw by themselves, so that what they paid for counts in the full run, and the setting."""

Inputs = dict[str, tuple[Path, str]]
"""By room name: the path (file or stage folder) and the file that the room reads there."""


def sampled(recipe: Recipe, room: str, inputs: Inputs, out: Path, count: int) -> tuple[Recipe, Inputs]:
    """Return recipe and inputs under which a room works on `count` records only, or as they are for 0.

    Rooms without a draw of their own read `count` lineages, written below `out`.
    """
    if not count or room not in recipe.rooms:
        return recipe, inputs
    if count < 0:
        raise UsageError(f"--sample {count}: a number of records, 1 or more.")
    if room in OWN_DRAW:
        drawn: Mapping[str, int] = {OWN_DRAW[room]: count}
        return with_room(recipe, room, replace(recipe.rooms[room], **drawn)), inputs
    return recipe, {
        name: (draw_lineages(path, file, out / "sample" / name, count, recipe.seed), file)
        for name, (path, file) in inputs.items()
    }


def draw_lineages(path: Path, file: str, folder: Path, count: int, seed: int) -> Path:
    """Write the records of `count` lineages, drawn by (seed, root id), into `folder`, and return it.

    An item and what was made from it stay together, in the order of the file.
    """
    source = path / file if path.is_dir() else path
    roots = {root_id(record.id) for record in read_any_records(source)}
    taken = frozenset(nsmallest(count, roots, key=lambda root: (uniform_draw(seed, "sample", root), root)))
    write_records(
        folder / file, (record for record in read_any_records(source) if root_id(record.id) in taken)
    )
    return folder
