"""Simple tasks of lm-evaluation-harness as test sets of ours: their YAML and data, their words unchanged.

Simple: `output_type: multiple_choice`, data in local JSON Lines, CSV or parquet files, and texts given by
columns or Jinja templates (rendered in a sandbox). Tasks that name code (`!function`), hub data or worked
examples are refused with the reason. A record's question is then the whole prompt, and is scored with the
template `verbatim`. Source: docs/task_guide.md of lm-evaluation-harness 0.4.13.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bimedix.errors import DataError, MissingError
from bimedix.evaluate.items import language_by_script
from bimedix.files import read_json_lines, require_file
from bimedix.records import MultipleChoice, Origin

REFUSED = {
    "process_docs": "a function that changes the rows",
    "custom_dataset": "a function that makes the rows",
    "class": "a class of its own",
}


def read_task(path: Path) -> tuple[str, list[MultipleChoice]]:
    """Return name and questions of a task.

    Raises:
        MissingError: its data are not on this machine, or pyyaml is not installed.
        DataError: it is not a simple task; says what it asks for.
    """
    task = _read_yaml(path)
    name = str(task.get("task") or path.stem)
    for key, what in REFUSED.items():
        if key in task:
            raise DataError(f"{path}: `{key}` names {what}.\n  Run it with `bimedix.evaluate.fast_lm`.")
    if task.get("output_type") != "multiple_choice":
        raise DataError(f"{path}: output_type is {task.get('output_type')!r}; multiple_choice can be taken.")
    if task.get("num_fewshot") or task.get("target_delimiter", " ") != " ":
        raise DataError(
            f"{path}: worked examples or another delimiter than a space are not taken along.\n"
            "  Run it with `bimedix.evaluate.fast_lm`."
        )
    file = _data_file(path, task)
    rows = [_item(path, name, task, file.name, n, row) for n, row in enumerate(_rows(file), 1)]
    if not rows:
        raise DataError(f"{file}: holds no row.")
    return name, rows


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped]  # comes with lm-eval
    except ModuleNotFoundError as error:
        raise MissingError("reading task files needs pyyaml.\n  Run `pip install pyyaml`.") from error
    try:
        task = yaml.safe_load(require_file(path).read_text("utf-8"))
    except yaml.YAMLError as error:
        code = "!function" in str(error)
        told = "names code to run (`!function`)" if code else f"is no plain YAML: {error}"
        raise DataError(f"{path}: {told}.\n  Run it with `bimedix.evaluate.fast_lm`.") from error
    if not isinstance(task, dict):
        raise DataError(f"{path}: holds no task.")
    if include := task.pop("include", None):
        return {**_read_yaml(path.parent / str(include)), **task}
    return task


def _data_file(path: Path, task: Mapping[str, Any]) -> Path:
    kind, kwargs = task.get("dataset_path"), task.get("dataset_kwargs") or {}
    files = kwargs.get("data_files") if isinstance(kwargs, dict) else None
    if kind not in ("json", "csv", "parquet") or not files:
        raise MissingError(
            f"{path}: its data are {kind!r}, not local files.\n"
            "  Download them and set `dataset_path: json` with `dataset_kwargs: {data_files: {test: FILE}}`."
        )
    split = task.get("test_split") or task.get("validation_split") or "test"
    named = files if isinstance(files, str) else files.get(split)
    if not isinstance(named, str):
        raise DataError(f"{path}: data_files name no single file for the split '{split}'.")
    return require_file(path.parent / named)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".parquet":
        from pyarrow import parquet

        yield from parquet.read_table(file).to_pylist()
    elif file.suffix == ".csv":
        import csv

        with file.open(encoding="utf-8", newline="") as stream:
            yield from csv.DictReader(stream)
    else:
        yield from (row for _, row in read_json_lines(file))


def _item(
    path: Path, name: str, task: Mapping[str, Any], file: str, number: int, row: Mapping[str, Any]
) -> MultipleChoice:
    from jinja2 import TemplateError

    place = f"{path.name}, row {number}"
    try:
        text = str(_told(task.get("doc_to_text"), row))
        options = _told(task.get("doc_to_choice"), row)
        options = ast.literal_eval(options) if isinstance(options, str) else options
        target = _told(task.get("doc_to_target"), row)
    except (TemplateError, ValueError, SyntaxError) as error:
        raise DataError(f"{place}: {type(error).__name__}: {error}") from error
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise DataError(f"{place}: doc_to_choice gives {options!r}, not a list of texts.")
    answer = options.index(target) if target in options else target
    if isinstance(answer, str) and answer.strip().isdigit():
        answer = int(answer)
    if not isinstance(answer, int) or not 0 <= answer < len(options):
        raise DataError(f"{place}: doc_to_target gives {target!r}, which is none of {len(options)} options.")
    origin = Origin(name, f"{file}:{number}", split="test")
    try:
        return MultipleChoice(
            f"{name}:{number}", language_by_script(text), origin, text, tuple(options), (answer,)
        )
    except ValueError as error:
        raise DataError(f"{place}: {error}.") from error


def _told(given: Any, row: Mapping[str, Any]) -> Any:
    """Return what a setting of the task says of a row: a column, a rendered template, or itself."""
    if not isinstance(given, str):
        return given
    if given in row:
        return row[given]
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    frames = ImmutableSandboxedEnvironment(keep_trailing_newline=True, undefined=StrictUndefined)
    return frames.from_string(given).render(**row)
