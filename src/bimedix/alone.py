"""One room by itself, on files of the user's own."""

import shutil
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

from bimedix.errors import DataError, UsageError
from bimedix.path import CALLS, locked, process_index
from bimedix.progress import Progress
from bimedix.recipe import Recipe
from bimedix.spend import Spend
from bimedix.stage import Context, Summary


def run_alone(
    recipe: Recipe, room: str, inputs: dict[str, tuple[Path, str]], out: Path, progress: Progress,
    step: str = "run",
) -> Summary:  # fmt: skip
    """Run one room with the recipe's settings.

    Args:
        inputs: by room name, the path (file or stage folder) and the file name that the room reads there.
        step: function of the room.

    Raises:
        UsageError: the recipe has no table for this room.
    """
    if room not in recipe.rooms:
        listed = ", ".join(recipe.rooms) or "none"
        raise UsageError(f"{recipe.path}: has no table [{room}]; it has: {listed}.")
    out = out.resolve()  # rooms read relative paths from the recipe's data folder
    first = process_index() == 0
    with locked(out) if first else nullcontext():
        folders = {
            name: _as_folder(path.resolve(), file, out / "input", first)
            for name, (path, file) in inputs.items()
        }
        context = Context(out / CALLS, recipe.seed, progress, recipe.base)
        spend = Spend(context.calls, room)
        try:
            module = import_module(f"bimedix.{room}.room")
            summary: Summary = getattr(module, step)(recipe.rooms[room], folders, out, context)
        except DataError as error:
            raise DataError(_with_own_names(str(error), inputs, folders)) from error
        summary.figures |= spend.figures()
    return summary


def _with_own_names(text: str, inputs: dict[str, tuple[Path, str]], folders: dict[str, Path]) -> str:
    """Name the user's file in a message in place of the copy that the room read."""
    for name, (path, file) in inputs.items():
        text = text.replace(str(folders[name] / file), str(path)) if path.is_file() else text
    return text


def _as_folder(path: Path, file: str, place: Path, first: bool) -> Path:
    """Return the folder that a room reads; of several processes the first one copies a single file there."""
    if path.is_dir():
        return path
    if first:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / file)
    return place


def read_folder(folder: Path, out: Path, names: tuple[str, ...], limit: int, progress: Progress) -> Summary:
    """Read every known source below a folder."""
    from bimedix.sources import room
    from bimedix.sources.settings import DataSet, Settings

    sets = tuple(DataSet(name) for name in names) or (DataSet(),)
    with locked(out):
        return room.run(
            Settings(sets, limit), {}, out, Context(out / CALLS, progress=progress, base=folder.resolve())
        )
