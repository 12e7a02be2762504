"""Task files of lm-evaluation-harness: simple ones are read, the others refused with the reason."""

import json
from pathlib import Path

import pytest

pytest.importorskip("yaml")

from bimedix.errors import DataError, MissingError
from bimedix.evaluate.imported import read_task

TASK = {
    "task": "demo",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{stem}}\nAnswer:",
    "doc_to_choice": ["A", "B"],
    "doc_to_target": "key",
}


def written(folder: Path, rows: list[dict[str, object]], **changes: object) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {name: value for name, value in {**TASK, **changes}.items() if value is not None}
    (folder / "demo.yaml").write_text(json.dumps(task))  # JSON is YAML
    return folder / "demo.yaml"


def test_prompts_are_rendered_and_keys_found(tmp_path: Path) -> None:
    """A key is an index or one of the choices; braces of a question are no template."""
    rows: list[dict[str, object]] = [{"stem": "{{ 1 + 1 }} or 3?", "key": 1}, {"stem": "ما هذا", "key": "A"}]
    name, items = read_task(written(tmp_path, rows))

    assert name == "demo"
    assert [item.question for item in items] == ["{{ 1 + 1 }} or 3?\nAnswer:", "ما هذا\nAnswer:"]
    assert [item.answers for item in items] == [(1,), (0,)]
    assert [item.language for item in items] == ["en", "ar"]


def test_a_task_may_include_another_file(tmp_path: Path) -> None:
    path = written(tmp_path, [{"stem": "x", "key": 0}])
    (tmp_path / "child.yaml").write_text("include: demo.yaml\ntask: child\ndoc_to_choice: [yes_, no_]\n")

    name, (item,) = read_task(tmp_path / "child.yaml")
    assert (name, item.options, path.exists()) == ("child", ("yes_", "no_"), True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"process_docs": "x"}, "a function that changes the rows"),
        ({"output_type": "generate_until"}, "multiple_choice can be taken"),
        ({"num_fewshot": 5}, "worked examples"),
        ({"doc_to_choice": "stem"}, "ValueError"),
        ({"doc_to_text": "{{ steam }}"}, "UndefinedError: 'steam' is undefined"),
        ({"doc_to_target": 7}, "none of 2 options"),
        ({"doc_to_text": "{{ ''.__class__.__mro__ }}"}, "SecurityError"),
    ],
)
def test_what_is_not_simple_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_task(written(tmp_path, [{"stem": "x", "key": 0}], **changes))


def test_code_and_far_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "code.yaml").write_text("task: x\nprocess_docs: !function utils.f\n")
    with pytest.raises(DataError, match="names code to run"):
        read_task(tmp_path / "code.yaml")
    with pytest.raises(MissingError, match="not local files"):
        read_task(written(tmp_path, [], dataset_path="GBaker/MedQA"))
