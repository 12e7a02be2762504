"""Sources for one's own files: our records and the field's row forms, validated row by row."""

from pathlib import Path
from typing import Any

import pytest

from bimedix.errors import DataError, MissingError
from bimedix.files import write_parquet
from bimedix.records import (
    Conversation,
    Dialogue,
    Dropped,
    Message,
    MultipleChoice,
    OpenQuestion,
    Origin,
    ParallelText,
    Passage,
    Turn,
)
from bimedix.sources import NAMES, SOURCES
from bimedix.sources.room import find_jobs
from bimedix.sources.settings import DataSet

OWN = ("instruction", "mcq_rows", "messages", "records", "sharegpt")
ORIGIN = Origin("mine", "1", "v2", "CC0-1.0", "train")
RECORDS = [
    MultipleChoice("m:1", "en", ORIGIN, "Which?", ("a", "b"), (1,), rationale="Because.", parents=("m:0",)),
    OpenQuestion("m:2", "ar", ORIGIN, "لماذا؟", "لأن."),
    Dialogue("m:3", "en", ORIGIN, (Turn("user", "Hi"), Turn("assistant", "Hello"))),
    Passage("m:4", "fr", ORIGIN, "Le genou."),
    Conversation("m:5@ar", "ar", ORIGIN, (Message("user", "أ"), Message("assistant", "ب")), "qa", ("m:5",)),
    ParallelText("m:6", "en", ORIGIN, "knee", "ركبة", "ar"),
]
ROWS: dict[str, tuple[dict[str, Any], Any]] = {
    "messages": (
        {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
        lambda r: [m.content for m in r.messages] == ["Why?", "So."] and r.type == "qa",
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "AI", "value": "So."}]},
        lambda r: [m.role for m in r.messages] == ["user", "assistant"],
    ),
    "mcq_rows": (
        {"question": "Which?", "options": ["x", "y", "z"], "answer_idx": "A,C"},
        lambda r: r.answers == (0, 2) and r.options == ("x", "y", "z"),
    ),
    "instruction": (
        {"instruction": "Answer.", "input": "Why?", "output": "So."},
        lambda r: (r.question, r.context, r.answer) == ("Answer.", "Why?", "So."),
    ),
    "records": (
        {"kind": "open_question", "question": "Why?", "answer": "So."},
        lambda r: (r.question, r.answer) == ("Why?", "So."),
    ),
}


def test_they_never_claim_a_file_by_themselves() -> None:
    assert set(OWN) <= set(NAMES)
    assert [SOURCES[name].files for name in OWN] == [()] * len(OWN)


def test_our_records_come_back_as_they_are(write: Any, read: Any) -> None:
    """Ids, lineage and origin stay: what one stage wrote, another recipe can read."""
    from bimedix.records import encode

    path = write("mine.jsonl", b"\n".join(map(encode, RECORDS)) + b"\n")

    assert read("records", path) == RECORDS


def test_our_records_come_back_from_parquet(tmp_path: Path, read: Any) -> None:
    write_parquet(tmp_path / "mine.parquet", RECORDS[:1])

    assert read("records", tmp_path / "mine.parquet") == RECORDS[:1]


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("form", ["mine.jsonl", "mine.json"])
def test_a_row_becomes_a_record_whose_language_the_recipe_tells(
    name: str, form: str, write: Any, read: Any
) -> None:
    """Also as a list in a .json file; the data set is the file's name, and the id does not change."""
    row, expected = ROWS[name]
    path = write(form, [row, {**row, "language": "fr"}])

    first, second = read(name, path, language="en", revision="v1", split="train")

    assert expected(first)
    assert (first.language, second.language) == ("en", "fr")
    assert (first.origin.dataset, first.origin.revision, first.origin.split) == ("mine", "v1", "train")
    assert first.id.startswith("mine:") and first.id == read(name, path, language="en")[0].id


@pytest.mark.parametrize("name", OWN)
def test_a_row_without_a_language_asks_for_one(name: str, write: Any, read: Any) -> None:
    with pytest.raises(DataError, match=r"mine.jsonl:1: no language.*(?s:.)*language = \"en\""):
        read(name, write("mine.jsonl", [ROWS[name][0]]))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("messages", {"messages": []}, "has no messages"),
        ("messages", {"messages": [{"role": "user", "content": "a"}]}, "no message of the assistant"),
        ("messages", {"messages": [{"role": "assistant", "content": " "}]}, "a message is empty"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": ""}]}, "a message is empty"),
        ("sharegpt", {"conversations": [{"from": "human", "value": "a"}]}, "no message of the assistant"),
        ("mcq_rows", {"question": " "}, "the question is empty"),
        ("mcq_rows", {"options": []}, "has no options"),
        ("mcq_rows", {"options": ["a", None]}, "has fewer than 2 options"),
        ("mcq_rows", {"options": ["a", "", "c"]}, "an option is empty"),
        ("mcq_rows", {"options": list("abcdefghi")}, "has more than 8 options"),
        ("instruction", {"output": ""}, "the answer is empty"),
        ("records", {"answer": "\n"}, "the answer is empty"),
        ("records", {"question": ""}, "the question is empty"),
    ],
)
def test_a_row_without_texts_is_dropped_and_the_others_stay(
    name: str, change: dict[str, Any], reason: str, write: Any, read: Any
) -> None:
    row = ROWS[name][0]
    dropped, kept = read(name, write("mine.jsonl", [{**row, **change}, row]), language="en")

    assert (
        isinstance(dropped, Dropped) and dropped.reason == reason and dropped.place.endswith("mine.jsonl:1")
    )
    assert not isinstance(kept, Dropped)


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        ("messages", {"messages": [{"role": "nurse", "content": "a"}, {"role": "assistant", "content": "b"}]},
         "role 'nurse'"),
        ("messages", {"message": []}, "'messages' is needed; seen: 'message'"),
        ("messages", {"messages": [{"role": "user", "content": 7}]}, r"\$.messages\[0\].content"),
        ("sharegpt", {"conversations": [{"from": "nurse", "value": "a"}]}, "from 'nurse'"),
        ("mcq_rows", {"question": "Which?", "options": ["x", "y"], "answer_idx": "C"},
         "none of the letters AB"),
        ("mcq_rows", {"question": "Which?", "options": ["x", "y"], "answer_idx": 1}, r"\$.answer_idx"),
        ("mcq_rows", {"question": "Which?", "options": {"A": "x", "C": "y"}, "answer_idx": "A"}, "A, B, C"),
        ("records", {"kind": "open_questions"}, "Did you mean 'open_question'"),
        ("records", {"kind": "verdict"}, "no kind of record that a source gives"),
        ("records", {"question": "Why?"}, "no key 'kind'"),
        ("records", {"kind": "open_question", "question": "Why?", "answer": None}, r"\$.answer"),
        ("records", {"kind": "passage", "text": "a", "titel": "b"},
         "unknown key 'titel'. Did you mean 'title'"),
        ("records", {"kind": "passage", "text": "a", "language": "eng"}, "'eng' is not in the table"),
        ("records", {"kind": "multiple_choice", "question": "a", "options": ["x", "y"], "answers": [2]},
         "point outside the 2 options"),
    ],
)  # fmt: skip
def test_a_row_of_another_form_stops_with_its_place(
    name: str, row: dict[str, Any], told: str, write: Any, read: Any
) -> None:
    with pytest.raises(DataError, match=rf"mine.jsonl:2: (?s:.)*{told}"):
        read(name, write("mine.jsonl", [{**ROWS[name][0]}, row]), language="en")


def test_a_folder_asks_for_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"is a folder(?s:.)*my/file.jsonl"):
        find_jobs([DataSet("records", ".")], tmp_path)
