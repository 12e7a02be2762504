"""Label Studio: tasks that tell a reviewer nothing but the texts, and exports matched like filled sheets."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bimedix.errors import DataError
from bimedix.files import read_json, read_records, write_json, write_records
from bimedix.records import Attempt, MultipleChoice, OpenQuestion, Origin, Translation, with_fields
from bimedix.review.label_studio import read_export
from bimedix.review.room import run
from bimedix.review.settings import Settings
from bimedix.review.sheets import Label, Problem
from bimedix.stage import Context

SETTINGS = Settings(sheet_items=10, label_studio=True)
SOURCES = [
    MultipleChoice("mc", "en", Origin("demo"), "Give 5 mg?", ("Yes", "No"), (0,)),
    OpenQuestion("oq", "en", Origin("demo"), "How much?", "5 mg."),
]


def translated(source: MultipleChoice | OpenQuestion) -> Translation:
    names = (
        ("question", "options.0", "options.1")
        if isinstance(source, MultipleChoice)
        else ("question", "answer")
    )
    fields = {name: f"نص {name} 5 ملغ" for name in names}
    target = with_fields(source, fields, language="ar", id=f"{source.id}@ar")
    return Translation(
        target.id, source, target, (Attempt(0, fields, 41.5, completer="secret"),), 0, "review"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_records(tmp_path / "translate" / "records.jsonl", map(translated, SOURCES))
    return tmp_path


def review(folder: Path, settings: Settings = SETTINGS) -> dict[str, Any]:
    context = Context(folder / "calls.sqlite", base=folder)
    return run(settings, {"translate": folder / "translate"}, folder / "out", context).figures


def tasks(folder: Path) -> list[dict[str, Any]]:
    review(folder)
    found: list[dict[str, Any]] = read_json(folder / "out" / "sheets" / "sheet-001.tasks.json")
    return sorted(found, key=lambda task: str(task["data"]["id"]))


def annotation(decision: str, who: Any = 7, **corrected: str) -> dict[str, Any]:
    """What Label Studio exports for one person; the box of a field comes back unchanged too."""
    said = [
        {
            "from_name": "decision",
            "to_name": "translation_0",
            "type": "choices",
            "value": {"choices": [decision]},
        }
    ]
    said += [
        {"from_name": name, "to_name": "x", "type": "textarea", "value": {"text": [text]}}
        for name, text in corrected.items()
    ]
    return {"id": 1, "result": said, "was_cancelled": False, "lead_time": 12.34, "completed_by": who}


def test_tasks_hold_texts_and_nothing_that_would_sway_a_reviewer(folder: Path) -> None:
    """Every task has every field of the page, empty where the record has none."""
    multiple, open_question = (task["data"] for task in tasks(folder))
    page = ElementTree.parse(folder / "out" / "sheets" / "label_studio.xml").getroot()
    used = {value[1:] for tag in page.iter() for value in tag.attrib.values() if value.startswith("$")}

    assert used <= set(multiple)
    assert set(multiple) == set(open_question) == used | {"id", "version"}
    assert (multiple["field_2"], open_question["field_2"]) == ("options.1", "")
    assert multiple["source_0"] == "Give 5 mg?"
    assert not any(word in str(multiple) for word in ("41.5", "secret", "review"))


def test_every_control_of_the_page_belongs_to_a_text(folder: Path) -> None:
    review(folder)
    page = ElementTree.parse(folder / "out" / "sheets" / "label_studio.xml").getroot()
    texts = {tag.get("name") for tag in page.iter("Text")}

    assert {tag.get("toName") for kind in ("TextArea", "Choices") for tag in page.iter(kind)} <= texts
    assert [c.get("value") for c in page.iter("Choice")][:3] == ["approve", "fix", "reject"]


def test_an_export_decides_like_a_filled_sheet(folder: Path) -> None:
    """An approval, and a fix in which one of the boxes was changed."""
    multiple, other = tasks(folder)
    multiple["annotations"] = [
        annotation(
            "fix", {"email": "noor@x.org"}, corrected_0=multiple["data"]["translation_0"], corrected_2="لا"
        )
    ]
    other["annotations"] = [annotation("approve")]
    write_json(folder / "export.json", [multiple, other])
    figures = review(folder, replace(SETTINGS, verdicts=("export.json",)))
    kept = {
        item.id: item
        for item in read_records(folder / "out" / "records.jsonl", MultipleChoice | OpenQuestion)
    }  # type: ignore[type-var,arg-type]

    assert figures["states"] == {"approved": 1, "corrected": 1}
    assert figures["seconds_per_item"] == 12.3
    assert kept["mc@ar"].options == ("نص options.0 5 ملغ", "لا")
    assert kept["mc@ar"].question == "نص question 5 ملغ"


def test_what_nobody_finished_is_passed_over_and_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    data = {"id": "q@ar", "version": "v", "field_0": "question", "translation_0": "نص"}
    skipped, unsaid = annotation("approve"), annotation("approve")
    skipped["was_cancelled"], unsaid["result"] = True, []
    given = [annotation("approve", corrected_0="آخر"), annotation("fix"), annotation("approve", None)]
    write_json(
        tmp_path / "e.json", [{"data": data}, {"data": data, "annotations": [skipped, unsaid, *given]}]
    )
    found = read_export(tmp_path / "e.json")

    assert [entry.why for entry in found if isinstance(entry, Problem)] == [
        "corrected, but decided 'approve'", "a fix without a corrected text", "no reviewer is named",
    ]  # fmt: skip
    assert not any(isinstance(entry, Label) for entry in found)
    assert {entry.place for entry in found} == {"e.json:2"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": 1}, "no JSON export of Label Studio"),
        ([{"data": {"text": "x"}}], "task 1 names no id and version"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, value: Any, told: str) -> None:
    write_json(tmp_path / "e.json", value)

    with pytest.raises(DataError, match=told):
        read_export(tmp_path / "e.json")
