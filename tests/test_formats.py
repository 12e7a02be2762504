"""The field's file formats: nothing is lost on the way out and back, and foreign rows are understood."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimedix.errors import DataError, UsageError
from bimedix.formats import (
    FORMATS,
    INSTRUCTION,
    MCQ,
    MESSAGES,
    MMEDBENCH,
    SHAREGPT,
    Place,
    format_named,
    indexes_of,
    letters_of,
)
from bimedix.records import Conversation, Message, MultipleChoice, OpenQuestion, Origin

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
FILLED = TEXT.filter(str.strip)
MAYBE = st.none() | TEXT
ORIGIN = st.builds(Origin, TEXT, TEXT, TEXT, TEXT, st.sampled_from(["", "train", "test"]))
LANGUAGE = st.sampled_from(["ar", "en", "zh"])
PARENTS = st.lists(TEXT, max_size=2).map(tuple)
MAYBE_BOOL = st.none() | st.booleans()


@st.composite
def questions(draw: st.DrawFn) -> MultipleChoice:
    options = draw(st.lists(FILLED, min_size=2, max_size=8))
    answers = draw(st.sets(st.integers(0, len(options) - 1)))
    return MultipleChoice(
        draw(TEXT), draw(LANGUAGE), draw(ORIGIN), draw(TEXT), tuple(options), tuple(sorted(answers)),
        context=draw(MAYBE), rationale=draw(MAYBE), subject=draw(MAYBE), parents=draw(PARENTS),
        human_checked=draw(MAYBE_BOOL), human_check_passed=draw(MAYBE_BOOL),
    )  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    roles = draw(st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=4))
    messages = tuple(Message(role, draw(st.text(max_size=9))) for role in [*roles, "assistant"])
    kind = draw(st.sampled_from(["qa", "mcqa", "chat"]))
    return Conversation(draw(TEXT), draw(LANGUAGE), draw(ORIGIN), messages, type=kind, parents=draw(PARENTS))


OPEN = st.builds(OpenQuestion, TEXT, LANGUAGE, ORIGIN, TEXT, TEXT, MAYBE, MAYBE, PARENTS)
RECORDS = {"messages": conversations(), "sharegpt": conversations(), "mmedbench": questions(),
           "mcq": questions(), "instruction": OPEN}  # fmt: skip
ELSEWHERE = Place("en", Origin("elsewhere"))


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_a_record_comes_back_from_every_format(name: str, data: st.DataObject) -> None:
    """Whatever the record holds, its row in the format gives it back whole."""
    form = FORMATS[name]
    record = data.draw(RECORDS[name])

    line = msgspec.json.encode(form.to_row(record, False))

    assert form.from_row(msgspec.json.decode(line, type=form.row), ELSEWHERE) == record


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_bare_rows_hold_only_the_keys_of_the_format(name: str, data: st.DataObject) -> None:
    """Without our extra key, others read exactly what they expect."""
    row = msgspec.to_builtins(FORMATS[name].to_row(data.draw(RECORDS[name]), True))

    expected = {
        "messages": {"messages"},
        "sharegpt": {"conversations", "id"},
        "mmedbench": {
            "question", "options", "answer", "answer_idx", "rationale", "meta_info",
            "human_checked", "human_check_passed",
        },
        "mcq": {"id", "question", "options", "answer_idx", "rationale", "lang"},
        "instruction": {"instruction", "input", "output"},
    }  # fmt: skip
    assert set(row) == expected[name]


@pytest.mark.parametrize("human", ["human", "user", "Human"])
@pytest.mark.parametrize("machine", ["gpt", "AI", "assistant"])
def test_every_name_for_the_two_sides_is_understood(tmp_path: Path, human: str, machine: str) -> None:
    talk = [
        {"from": "system", "value": "Be brief."},
        {"from": human, "value": "Is fever bad?"},
        {"from": machine, "value": "Often not."},
    ]
    path = lines(tmp_path / "talks.jsonl", {"id": "t1", "conversations": talk})

    (read,) = SHAREGPT.read(path, language="en")

    assert [message.role for message in read.messages] == ["system", "user", "assistant"]
    assert (read.id, read.type, read.origin.row) == ("talks:t1", "qa", "talks.jsonl:1")


def test_a_foreign_mmedbench_row_is_read_with_several_answers_and_flags(tmp_path: Path) -> None:
    row = {
        "question": "Lesquels ?", "options": {"A": "un", "B": "deux", "C": "trois", "D": "quatre", "E": None},
        "answer": "un,trois", "answer_idx": "A,C", "rationale": "Parce que.", "meta_info": "pharmacie",
        "human_checked": 1, "human_check_passed": False, "metamap_phrases": ["un"],
    }  # fmt: skip
    (read,) = MMEDBENCH.read(lines(tmp_path / "fr.jsonl", row), language="fr")

    assert read.answers == (0, 2)
    assert read.options == ("un", "deux", "trois", "quatre")
    assert (read.human_checked, read.human_check_passed, read.subject) == (True, False, "pharmacie")
    assert (read.language, read.rationale) == ("fr", "Parce que.")


def test_plain_rows_name_their_own_language_and_key(tmp_path: Path) -> None:
    row = {"id": 7, "question": "؟", "options": ["a", "b"], "answer_idx": "b", "rationale": "", "lang": "ar"}
    (read,) = MCQ.read(lines(tmp_path / "own.jsonl", row), language="en")

    assert (read.id, read.language, read.answers, read.rationale) == ("own:7", "ar", (1,), None)


def test_rows_without_a_key_get_the_same_id_wherever_they_stand(tmp_path: Path) -> None:
    row = {"instruction": "What is fever?", "input": "", "output": "A raised temperature."}
    other = {"instruction": "What is pain?", "input": "", "output": "A warning."}
    first = list(INSTRUCTION.read(lines(tmp_path / "a.jsonl", row, other), language="en"))
    again = list(INSTRUCTION.read(lines(tmp_path / "a.jsonl", other, row), language="en"))

    assert {record.id for record in first} == {record.id for record in again}
    assert first[0].id == again[1].id
    assert first[0].context is None


GOOD_MCQ = {"id": "1", "question": "?", "options": ["a", "b"], "answer_idx": "A", "lang": "en"}
TALK = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("messages", {"messages": TALK}, "no message of the assistant"),
        ("messages", {"messages": [{"role": "tool", "content": "x"}]}, "role 'tool'"),
        ("messages", {"conversations": []}, "messages"),
        ("sharegpt", {"conversations": [{"from": "bot", "value": "x"}]}, "from 'bot'"),
        ("mcq", GOOD_MCQ | {"answer_idx": "C"}, "'C' is none of the letters AB"),
        ("mcq", GOOD_MCQ | {"options": {"A": "a", "C": "c"}}, "keys"),
        ("mcq", GOOD_MCQ | {"options": ["a", None, "c"]}, "between others is null"),
        ("mcq", GOOD_MCQ | {"options": ["a", ""]}, "1 options"),
        ("mcq", GOOD_MCQ | {"lang": "xx"}, "language 'xx'"),
        (
            "mmedbench",
            {"question": "?", "options": {"A": "a", "B": "b"}, "answer_idx": "A", "answer": "b"},
            "answer is 'b'",
        ),
        ("instruction", {"instruction": "Why?", "input": ""}, "output"),
    ],
)
def test_a_row_that_is_something_else_is_named_with_its_place(
    tmp_path: Path, name: str, row: Any, reason: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n" + json.dumps(row) + "\n", encoding="utf-8")

    with pytest.raises(DataError) as caught:
        list(FORMATS[name].read(path, language="en"))

    assert "rows.jsonl:2: not a row of the format" in str(caught.value)
    assert reason in str(caught.value)


def test_answer_letters_are_read_in_any_of_their_spellings() -> None:
    assert [indexes_of(text, 4) for text in ("A,C", "ca", "A; C", "a / c", "")] == [(0, 2)] * 4 + [()]
    assert letters_of((0, 2)) == "A,C"


def test_an_unknown_format_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'sharegpt'"):
        format_named("share_gpt")


def test_the_text_a_question_is_about_is_not_lost_in_bare_rows() -> None:
    question = MultipleChoice("q", "en", Origin("d"), "Does it?", ("yes", "no"), (0,), context="A study.")

    assert MCQ.to_row(question, True).question == "A study.\n\nDoes it?"


@pytest.mark.slow
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_datasets_loads_what_is_written(tmp_path: Path, name: str, bare: bool) -> None:
    datasets = pytest.importorskip("datasets")
    origin = Origin("demo", "1", licence="MIT")
    talk = (Message("user", "Hello"), Message("assistant", "Good day"))
    question = MultipleChoice("q", "en", origin, "Which?", ("a", "b", "c"), (0, 2), context="Text.")
    records: dict[type, list[Any]] = {
        Conversation: [Conversation("c", "en", origin, talk, type="qa")],
        MultipleChoice: [
            question,
            msgspec.structs.replace(question, rationale="So.", options=("a", "b", "c")),
        ],
        OpenQuestion: [OpenQuestion("o", "en", origin, "Why?", "So.")],
    }
    form = FORMATS[name]
    path = tmp_path / "rows.jsonl"
    form.write(path, records[form.record], bare=bare)

    rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "c"))

    read = [form.from_row(msgspec.convert(dict(row), form.row), ELSEWHERE) for row in rows]
    if bare:
        assert len(read) == len(records[form.record])
    else:
        assert read == records[form.record]


def test_messages_of_a_real_talk_stay_in_order(tmp_path: Path) -> None:
    row = {"messages": [*TALK, {"role": "assistant", "content": "Yes?"}, *TALK,
                        {"role": "assistant", "content": "Bye"}]}  # fmt: skip
    (read,) = MESSAGES.read(lines(tmp_path / "m.jsonl", row), language="en")

    assert [message.content for message in read.messages] == ["Hi", "Yes?", "Hi", "Bye"]
    assert read.type == "chat"
