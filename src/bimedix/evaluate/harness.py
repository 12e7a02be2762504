"""Multiple-choice records as tasks of lm-evaluation-harness, with the prompts that this room sends.

A folder holds, per data set and language, one JSON Lines file and two tasks that read it, `_letters` and
`_options`; the tag `bimedix` names them all:

    lm_eval --include_path FOLDER --tasks bimedix --model hf --model_args pretrained=...

A row (invented): {"id": "demo:1", "query": "Choose ...\\n\\nWhich?\\n\\nA. heart\\nB. lung\\nAnswer:",
"letters": ["A", "B"], "texts": ["heart", "lung"], "answer": 1, "language": "en", "subject": ""}

The query is rendered here and stands in the harness as a column, never as a template: braces in a question
stay braces. Source: docs/new_task_guide.md of lm-evaluation-harness 0.4.13 (the version checked).
"""

import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from bimedix.errors import DataError, UsageError
from bimedix.evaluate.asking import Asker
from bimedix.evaluate.settings import LETTERS, OPTIONS, PLAIN
from bimedix.files import RecordWriter, Tally, write_text
from bimedix.prompts.questions import pack_hash
from bimedix.records import Dropped, MultipleChoice

TAG = "bimedix"
READER = "bimedix_items.py"
COLUMNS = {LETTERS: "letters", OPTIONS: "texts"}
"""Column that holds the continuations, by variant; the harness puts one space before each."""
_TASK = """task: {name}
tag: [{tag}, {tag}_{variant}]
custom_dataset: !function bimedix_items.load
dataset_kwargs: {{"file": {file}}}
test_split: test
num_fewshot: 0
output_type: multiple_choice
doc_to_text: query
doc_to_choice: {column}
doc_to_target: answer
target_delimiter: " "
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{"version": 1.0, "question_pack": {pack}}}
"""


class HarnessRow(Struct, frozen=True):
    """One question as the harness reads it."""

    id: str
    query: str
    """Everything before the answer, ready to send; ends with the answer cue."""
    letters: tuple[str, ...]
    texts: tuple[str, ...]
    answer: int
    """Index of the right option, from 0."""
    language: str
    subject: str


def harness_row(item: MultipleChoice) -> HarnessRow:
    """Return the row of an item with one right option: the prompt of the template `plain`, no examples."""
    asker = Asker(tokenizer=None, template=PLAIN, longest=0)
    letters, texts = (asker.wordings(item, variant) for variant in (LETTERS, OPTIONS))
    return HarnessRow(
        item.id, asker.text(item), letters, texts, item.answers[0], item.language, item.subject or ""
    )


def write_tasks(folder: Path, records: Iterable[Struct]) -> Tally:
    """Write the tasks of all multiple-choice records; what cannot be asked goes to `dropped.jsonl`.

    Raises:
        UsageError: the folder is a file or holds something.
        DataError: no record can be asked.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not an empty folder.\n  Name a new one for the tasks.")
    tally, codes = Tally(folder), {}
    with ExitStack() as open_files:
        writers: dict[str, RecordWriter] = {}
        dropped = open_files.enter_context(RecordWriter(folder / "dropped.jsonl"))
        for record in records:
            if (reason := _why_not(record)) or not isinstance(record, MultipleChoice):
                dropped.write(Dropped(getattr(record, "id", ""), "export", reason))
                continue
            name = task_name(record)
            if name not in writers:
                writers[name] = open_files.enter_context(RecordWriter(folder / f"{name}.jsonl"))
                codes[name] = record.language
            writers[name].write(harness_row(record))
            tally.written += 1
    if not tally.written:
        raise DataError(
            f"{folder / 'dropped.jsonl'}: none of {dropped.tally.written} records is a question with one "
            "right option.\n  Export multiple-choice records, such as the output of the room `sources`."
        )
    _write_yaml(folder, codes)
    return tally


def _write_yaml(folder: Path, codes: dict[str, str]) -> None:
    reader = files("bimedix").joinpath("data", READER + ".txt").read_text("utf-8")
    write_text(folder / READER, reader)
    for name, code in codes.items():
        for variant, column in COLUMNS.items():
            text = _TASK.format(
                name=f"{name}_{variant}", tag=TAG, variant=variant, column=column,
                file=json.dumps(f"{name}.jsonl"), pack=json.dumps(pack_hash(code)),
            )  # fmt: skip
            write_text(folder / f"{name}_{variant}.yaml", text)


def _why_not(record: Struct) -> str:
    if not isinstance(record, MultipleChoice):
        return "not a multiple-choice question"
    if not record.answers:
        return "no answer key"
    return "several right options" if len(record.answers) > 1 else ""


def task_name(item: MultipleChoice) -> str:
    """Return `bimedix_dataset_language`, with the split where it is another than test."""
    split = "" if item.origin.split in ("", "test") else item.origin.split
    parts = (TAG, item.origin.dataset, split, item.language)
    return "_".join(re.sub(r"\W+", "_", part).strip("_").lower() for part in parts if part)
