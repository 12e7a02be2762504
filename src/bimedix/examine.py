"""`bimedix evaluate` by itself: any model on any files of questions, without a run around it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bimedix.errors import MissingError, UsageError
from bimedix.evaluate import room
from bimedix.evaluate.room import TABLE
from bimedix.evaluate.settings import Benchmark, Settings
from bimedix.evaluate.table import Table
from bimedix.evaluate.tables import read_table
from bimedix.files import read_json, require_file
from bimedix.path import CALLS, locked
from bimedix.progress import Progress
from bimedix.recipe import Recipe
from bimedix.serve.engine import CHAT
from bimedix.stage import RECORDS, Context, Summary


def examine(
    recipe: Recipe,
    model: str,
    items: Sequence[Path],
    out: Path,
    progress: Progress,
    published: Sequence[str] = (),
) -> tuple[Summary, Table]:
    """Score a model on files of questions, with the recipe's settings in all that the command does not say.

    Args:
        model: folder of a run, of a training stage or of a model; a hub id; empty: the recipe's completer.
        items: records files, or folders of stages that hold one.
        out: folder to fill.
        published: tables to quote beside, by id; those of the recipe are about other test sets.

    Raises:
        MissingError: model or items are not there.
        UsageError: two files would share a name in the table, or there is nobody to ask.
    """
    chosen = recipe.rooms.get("evaluate", Settings())
    settings, inputs = _with_model(chosen, model)
    settings = replace(settings, benchmarks=_benchmarks(items), published=tuple(published))
    out = out.resolve()
    with locked(out):
        context = Context(out / CALLS, recipe.seed, progress, recipe.base)
        summary = room.run(settings, inputs, out, context)
    return summary, read_table(read_json(out / TABLE))


def _benchmarks(items: Sequence[Path]) -> tuple[Benchmark, ...]:
    files = [(path / RECORDS if path.is_dir() else path).resolve() for path in items]
    names = [path.name if path.is_dir() else path.name.partition(".")[0] for path in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not files:
        told = f"two files of items are called '{twice[0]}'" if twice else "no file of items is named"
        raise UsageError(f"{told}; they name the rows of the table.\n  Give each file a name of its own.")
    return tuple(
        Benchmark(name, str(require_file(file)), group=name) for name, file in zip(names, files, strict=True)
    )


def _with_model(settings: Settings, model: str) -> tuple[Settings, dict[str, Path]]:
    """Return settings and inputs under which the room tests this model."""
    if not model:
        if settings.completer is None:
            raise UsageError(
                "no model is named, and the recipe's [evaluate] has no completer.\n"
                "  Give the folder of a run, of a training stage, or of a model."
            )
        return settings, {}
    folder = Path(model).resolve()
    for stage in (folder, *sorted(folder.glob("*_train"))):
        if (stage / "base" / "config.json").is_file():
            told = stage / CHAT
            template = read_json(told)["template"] if told.exists() else settings.template
            own = replace(settings, model="", adapter="", completer=None, template=template)
            return own, {"train": stage}
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise MissingError(
            f"{folder}: holds no model.\n"
            "  Give the folder of a run (`bimedix run tiny` makes one), of a training stage, or of a model."
        )
    return replace(settings, model=str(folder) if folder.is_dir() else model, completer=None), {}
