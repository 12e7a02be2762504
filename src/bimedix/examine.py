"""`bimedix evaluate` by itself: any model on any files of questions, without a run around it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bimedix.benchmarks import NINE, REGISTERED
from bimedix.errors import MissingError, UsageError
from bimedix.evaluate import room
from bimedix.evaluate.room import TABLE
from bimedix.evaluate.settings import (
    OPTIONS,
    OPTIONS_PER_CHARACTER,
    VERBATIM,
    Benchmark,
    Settings,
    Timing,
)
from bimedix.evaluate.table import Table
from bimedix.evaluate.tables import read_table
from bimedix.files import read_any_records, read_json, require_file, write_records
from bimedix.languages import LANGUAGES
from bimedix.model.places import find_parts
from bimedix.path import CALLS, locked
from bimedix.progress import Progress
from bimedix.recipe import Recipe
from bimedix.records import MultipleChoice, Translation
from bimedix.stage import RECORDS, Context, Summary


def examine(
    recipe: Recipe,
    model: str,
    items: Sequence[Path],
    out: Path,
    progress: Progress,
    published: Sequence[str] = (),
    *,
    efficiency: bool = False,
    nine: bool = False,
) -> tuple[Summary, Table]:
    """Score a model on files of questions, with the recipe's settings in all that the command does not say.

    Args:
        model: folder of a run, of a training stage or of a model; a hub id; empty: the recipe's completer.
        items: records files, folders of stages that hold one, or task files (YAML) of lm-evaluation-harness,
            which are scored with their own words.
        out: folder to fill.
        published: tables to quote beside, by id; those of the recipe are about other test sets.
        efficiency: measure speed and memory too, as `[evaluate.efficiency]` says or by default.
        nine: sort the items into the nine columns of BiMediX's tables, whatever file they stand in.

    Raises:
        MissingError: model or items are not there.
        UsageError: two files would share a name in the table, or there is nobody to ask.
    """
    chosen = recipe.rooms.get("evaluate", Settings())
    settings, inputs = _with_model(chosen, model)
    out = out.resolve()
    if tasks := [path for path in items if path.suffix in TASKS]:
        items = _imported(items, tasks, out)
        settings = replace(settings, template=VERBATIM, protocols=(OPTIONS, OPTIONS_PER_CHARACTER), shots=0)
    settings = replace(
        settings, benchmarks=_nine(items) if nine else _benchmarks(items), published=tuple(published)
    )
    if efficiency and settings.efficiency is None:
        settings = replace(settings, efficiency=Timing())
    with locked(out):
        context = Context(out / CALLS, recipe.seed, progress, recipe.base)
        summary = room.run(settings, inputs, out, context)
    return summary, read_table(read_json(out / TABLE))


TASKS = (".yaml", ".yml")


def _imported(items: Sequence[Path], tasks: Sequence[Path], out: Path) -> list[Path]:
    """Write the questions of task files as records, and return these files.

    Raises:
        UsageError: records stand among the tasks: they are asked in other words.
    """
    if len(tasks) < len(items):
        raise UsageError("task files and records cannot be scored in one run.\n  Run them one by one.")
    from bimedix.evaluate.imported import read_task

    written = []
    for path in tasks:
        name, questions = read_task(path)
        written.append(write_records(out / "tasks" / f"{name}.jsonl", questions).path)
    return written


def _benchmarks(items: Sequence[Path]) -> tuple[Benchmark, ...]:
    """Name each test set after its file; `exam.en.jsonl` and `exam.ar.jsonl` are the test set `exam`."""
    named = [(*_name(path), (path / RECORDS if path.is_dir() else path).resolve()) for path in items]
    by_name = Counter((name, language) for name, language, _ in named)
    twice = sorted(name for (name, _), count in by_name.items() if count > 1)
    if twice or not named:
        told = f"two files of items are called '{twice[0]}'" if twice else "no file of items is named"
        raise UsageError(f"{told}; they name the rows of the table.\n  Give each file a name of its own.")
    return tuple(
        Benchmark(name, str(require_file(file)), group=name, language=language or "auto")
        for name, language, file in named
    )


def _name(path: Path) -> tuple[str, str]:
    """Return the name of a test set, and the language that its file's name tells, if it does."""
    if path.is_dir():
        return path.name, ""
    name, _, rest = path.name.partition(".")
    language = rest.partition(".")[0]
    return name, language if language in LANGUAGES else ""


def _nine(items: Sequence[Path]) -> tuple[Benchmark, ...]:
    """Return the nine columns as far as the files hold them, in every language that they hold.

    Raises:
        MissingError: no item belongs to a column.
    """
    found: dict[tuple[str, str, str, str, str], None] = {}
    for path in items:
        file = require_file((path / RECORDS if path.is_dir() else path).resolve())
        for record in read_any_records(file):
            item = record.target if isinstance(record, Translation) else record
            if isinstance(item, MultipleChoice) and (column := _column(item)):
                subject = REGISTERED[column].subject
                found[column, str(file), item.origin.dataset, item.origin.split, subject] = None
    if not found:
        raise MissingError(
            f"{', '.join(map(str, items))}: no item of the nine columns: {', '.join(NINE)}.\n"
            "  Read the test sets with `bimedix sources` first, or leave out --nine."
        )
    return tuple(
        Benchmark(column, file, group=NINE[column].group, dataset=dataset, split=split, subject=subject)
        for column, file, dataset, split, subject in sorted(found, key=lambda key: list(NINE).index(key[0]))
    )


def _column(item: MultipleChoice) -> str:
    """Return the column of an item; empty: none. PubMedQA without its list of test ids has no split."""
    at = item.origin
    split = at.split or ("test" if at.dataset == "pubmedqa" else "")
    held = (name for name in NINE if REGISTERED[name].holds(at.dataset, split, item.subject))
    return next(held, "") if item.answers else ""


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
    if not folder.is_dir():
        return replace(settings, model=model, completer=None), {}
    parts = find_parts(folder)
    own = replace(settings, completer=None, template=parts.template or settings.template)
    if parts.adapter is None:
        return replace(own, model=parts.base), {}
    return replace(own, model="", adapter=""), {"train": folder}
