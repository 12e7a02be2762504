"""Review in Label Studio: tasks and a labelling page out, its JSON export in.

Blind like the sheets: no score, model, route or earlier version. A task carries record and version, so an
export is matched like a filled sheet; skipped annotations and tasks nobody has opened are passed over.
Source: Label Studio's guide, "Task format", and its tags Text, TextArea, Choices.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args
from xml.sax.saxutils import quoteattr

import msgspec

from bimedix.errors import DataError
from bimedix.files import read_json, write_json, write_text
from bimedix.languages import language
from bimedix.records import Translation, content_hash, item_fields
from bimedix.review.sheets import COLUMNS, Decision, Label, Problem, Row, Severity, label_of


def export_tasks(translations: Sequence[Translation], folder: Path, name: str) -> Path:
    """Write `NAME.tasks.json`; where a record has fewer fields than another, its texts are empty."""
    most = count_fields(translations)
    path = folder / f"{name}.tasks.json"
    write_json(path, [{"data": _data(translation, most)} for translation in translations])
    return path


def count_fields(translations: Sequence[Translation]) -> int:
    """Return the most fields that one of the records has."""
    return max((len(item_fields(translation.source)) for translation in translations), default=0)


def _data(translation: Translation, most: int) -> dict[str, str]:
    assert translation.target is not None
    target = item_fields(translation.target)
    data = {"id": translation.id, "version": content_hash(translation.target)}
    fields = list(item_fields(translation.source).items())
    for at in range(most):
        name, text = fields[at] if at < len(fields) else ("", "")
        data |= {f"field_{at}": name, f"source_{at}": text, f"translation_{at}": target.get(name, "")}
    return data


def write_page(translations: Sequence[Translation], folder: Path) -> Path:
    """Write `label_studio.xml`, the labelling page of all tasks."""
    codes = {t.source.language for t in translations}, {t.target.language for t in translations if t.target}
    sides = tuple(language(sorted(code)[0]).direction if code else "ltr" for code in codes)
    parts = (_part(at, *sides) for at in range(count_fields(translations)))
    path = folder / "label_studio.xml"
    write_text(path, "<View>\n" + "".join(parts) + _verdict() + "</View>\n")
    return path


def _part(at: int, here: str, there: str) -> str:
    """Return one field: its name, both texts, and a box for the corrected one."""
    return (
        f'<Header value="$field_{at}" size="5"/>\n'
        f'<View style="direction: {here}"><Text name="source_{at}" value="$source_{at}"/></View>\n'
        f'<View style="direction: {there}"><Text name="translation_{at}" value="$translation_{at}"/>\n'
        f'<TextArea name="corrected_{at}" toName="translation_{at}" value="$translation_{at}" rows="2" '
        'maxSubmissions="1" editable="true" showSubmitButton="true"/></View>\n'
    )


def _verdict() -> str:
    return (
        _choices("decision", [*get_args(Decision)], required=True)
        + _choices("severity", [word for word in get_args(Severity) if word])
        + '<TextArea name="reason" toName="translation_0" placeholder="reason" maxSubmissions="1"/>\n'
    )


def _choices(name: str, words: Sequence[str], *, required: bool = False) -> str:
    needed = ' required="true"' if required else ""
    inside = "".join(f"<Choice value={quoteattr(word)}/>" for word in words)
    return f'<Choices name="{name}" toName="translation_0" choice="single"{needed}>{inside}</Choices>\n'


class _Result(msgspec.Struct):
    from_name: str = ""
    value: dict[str, Any] = {}


class _Annotation(msgspec.Struct):
    result: list[_Result] = []
    was_cancelled: bool = False
    lead_time: float | None = None
    completed_by: dict[str, Any] | int | str | None = None


class _Task(msgspec.Struct):
    data: dict[str, Any]
    annotations: list[_Annotation] = []


def read_export(path: Path) -> list[Label | Problem]:
    """Return what an export says, in the order of its tasks.

    Raises:
        DataError: the file is no export of Label Studio, or its tasks were not made here.
    """
    try:
        tasks = msgspec.convert(read_json(path), list[_Task])
    except msgspec.ValidationError as error:
        raise DataError(
            f"{path}: no JSON export of Label Studio: {error}.\n  Choose `JSON`, not `JSON-MIN`, to export."
        ) from error
    return [entry for number, task in enumerate(tasks, start=1) for entry in _of_task(path, number, task)]


def _of_task(path: Path, number: int, task: _Task) -> Iterator[Label | Problem]:
    if not {"id", "version"} <= set(task.data):
        raise DataError(f"{path}: task {number} names no id and version; it was not made by this room.")
    for annotation in task.annotations:
        if not annotation.was_cancelled and annotation.result:
            entry = label_of(
                path, (str(task.data["id"]), str(task.data["version"])), _rows(number, task, annotation)
            )
            if entry is not None:
                yield entry


def _rows(number: int, task: _Task, annotation: _Annotation) -> list[Row]:
    """Return an annotation as the rows of a sheet: one for what was decided, one for each corrected field."""
    said = {result.from_name: _text(result.value) for result in annotation.result}
    reviewer = annotation.completed_by
    cells = dict.fromkeys(COLUMNS, "") | {
        name: said.get(name, "") for name in ("decision", "severity", "reason")
    }
    cells["reviewer"] = str(reviewer.get("email", "") if isinstance(reviewer, dict) else reviewer or "")
    cells["seconds"] = "" if annotation.lead_time is None else f"{annotation.lead_time:.1f}"
    rows = [Row(number, cells)]
    for name, text in said.items():
        kind, _, at = name.partition("_")
        if kind == "corrected" and text.strip() and text != task.data.get(f"translation_{at}"):
            field = str(task.data.get(f"field_{at}", ""))
            rows.append(Row(number, dict.fromkeys(COLUMNS, "") | {"field": field, "corrected": text}))
    return rows


def _text(value: dict[str, Any]) -> str:
    found = next((value[name] for name in ("choices", "text") if name in value), "")
    return "\n".join(map(str, found)) if isinstance(found, list) else str(found)
