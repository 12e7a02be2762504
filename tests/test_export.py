"""`bimedix export`: a stage's records in the formats of the field."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from bimedix.cli import cli
from bimedix.errors import BimedixError
from bimedix.files import write_records
from bimedix.records import (
    Attempt,
    Conversation,
    Finding,
    Message,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Translation,
)

ORIGIN = Origin("demo", "1")
QUESTION = MultipleChoice("demo:1", "en", ORIGIN, "Which?", ("a", "b"), (1,))
TALK = Conversation("demo:2", "en", ORIGIN, (Message("user", "Hi"), Message("assistant", "Hello")), "qa")
TRANSLATION = Translation("demo:1@ar", QUESTION, QUESTION, (Attempt(0, {}, 90.0),), 0, "accepted")


def export(*arguments: object) -> str:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False).output


def test_conversations_become_messages_and_sharegpt(tmp_path: Path) -> None:
    write_records(tmp_path / "in.jsonl", [TALK])

    export(tmp_path / "in.jsonl", tmp_path / "m.jsonl", "--to", "messages", "--bare")
    export(tmp_path / "in.jsonl", tmp_path / "s.jsonl", "--to", "sharegpt", "--bare")

    assert json.loads((tmp_path / "m.jsonl").read_text())["messages"][1]["content"] == "Hello"
    assert json.loads((tmp_path / "s.jsonl").read_text())["conversations"][0]["from"] == "human"


def test_translations_give_their_targets_and_parquet_keeps_them_whole(tmp_path: Path) -> None:
    write_records(tmp_path / "in.jsonl", [TRANSLATION])

    export(tmp_path / "in.jsonl", tmp_path / "q.jsonl", "--to", "mmedbench")
    export(tmp_path / "in.jsonl", tmp_path / "t.parquet", "--to", "parquet")

    assert json.loads((tmp_path / "q.jsonl").read_text())["answer_idx"] == "B"
    assert pq.read_table(tmp_path / "t.parquet").to_pylist()[0]["route"] == "accepted"


def test_an_unknown_format_and_writing_over_the_source_are_refused(tmp_path: Path) -> None:
    write_records(tmp_path / "in.jsonl", [TALK])

    with pytest.raises(BimedixError, match="Did you mean 'parquet'"):
        export(tmp_path / "in.jsonl", tmp_path / "x", "--to", "parqet")
    with pytest.raises(BimedixError, match="is the file that is read"):
        export(tmp_path / "in.jsonl", tmp_path / "in.jsonl", "--to", "records")


def test_translations_of_several_kinds_fit_one_parquet_schema(tmp_path: Path) -> None:
    """Nothing is lost where a later record has fields that the first one has not."""
    open_question = OpenQuestion("demo:3", "en", ORIGIN, "Why?", "Because.")
    finding = Finding("number", "error", "5 became 50", "answer", ((0, 1),), ((0, 2),))
    second = Translation(
        "demo:3@ar",
        open_question,
        open_question,
        (Attempt(0, {"answer": "x"}, 80.0, findings=(finding,)),),
        0,
        "review",
    )
    write_records(tmp_path / "in.jsonl", [TRANSLATION, second])

    export(tmp_path / "in.jsonl", tmp_path / "t.parquet", "--to", "parquet")

    row = pq.read_table(tmp_path / "t.parquet").to_pylist()[1]
    assert (row["source"]["kind"], row["source"]["answer"]) == ("open_question", "Because.")
    assert row["attempts"][0]["fields"] == [{"key": "answer", "value": "x"}]
    assert row["attempts"][0]["findings"][0]["target_spans"] == [[0, 2]]


def test_records_of_several_kinds_are_no_parquet_file(tmp_path: Path) -> None:
    write_records(tmp_path / "in.jsonl", [QUESTION, TALK])

    with pytest.raises(BimedixError, match="one kind"):
        export(tmp_path / "in.jsonl", tmp_path / "t.parquet", "--to", "parquet")
