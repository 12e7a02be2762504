"""Recordings: what was recorded answers again; what is missing is named."""

import asyncio
from pathlib import Path

import pytest
from talks import ask_all, quick_completer

from bimedix.completers import Reply, Request
from bimedix.completers.recording import Recorder, RecordingCompleter
from bimedix.completers.runner import run_talks
from bimedix.errors import DataError
from bimedix.progress import Progress
from bimedix.records import Message


def ask(path: Path, record_id: str, *, sample: int = 0, text: str = "Hi") -> Reply:
    request = Request((Message("user", text),), "answer", record_id, sample=sample)
    return asyncio.run(RecordingCompleter(path).complete(request))


def test_lines_by_hand_answer_any_prompt(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"purpose": "answer", "record_id": "a", "reply": "text alone"}\n'
        '{"purpose": "answer", "record_id": "a", "sample": 1, "reply": {"text": "cut", "finish": "length"}}\n'
    )

    assert ask(path, "a").text == "text alone"
    assert ask(path, "a", sample=1).finish == "length"


def test_what_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("")
    reply = ask(path, "b", sample=2)

    assert reply.finish == "error"
    assert "r.jsonl holds no answer to purpose 'answer', record 'b', sample 2" in reply.error


def test_two_answers_to_one_call_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    line = '{"purpose": "answer", "record_id": "a", "reply": "%s"}\n'
    path.write_text(line % "one" + line % "two")
    with pytest.raises(DataError, match="two answers"):
        RecordingCompleter(path)


def test_a_recorded_run_comes_back_offline(endpoint: str, tmp_path: Path) -> None:
    """The same replies, also when the run that recorded was answered by the ledger; failures stay out."""
    path, texts = tmp_path / "r.jsonl", ["one", "two", "bad [[400*]]"]
    for ledger in ("a", "a"):
        recorder = Recorder(quick_completer(endpoint), path)
        live = list(run_talks(ask_all(texts), recorder, tmp_path / ledger, progress=Progress(), name="demo"))
    replayed = list(
        run_talks(ask_all(texts), RecordingCompleter(path), tmp_path / "b", progress=Progress(), name="demo")
    )

    assert [reply.text for _, reply in replayed[:2]] == [reply.text for _, reply in live[:2]]
    assert "no answer to" in replayed[2][1].error
    assert len(path.read_text().splitlines()) == 2


def test_two_recorders_of_one_run_share_a_file(endpoint: str, tmp_path: Path) -> None:
    """Translator and judge with the same `record_to`: neither overwrites the other."""
    path = tmp_path / "r.jsonl"
    one, two = (Recorder(quick_completer(endpoint), path) for _ in range(2))
    for recorder, record_id in ((one, "a"), (two, "b")):
        recorder.note(Request((), "answer", record_id), Reply("text"))
    for recorder in (one, two):
        asyncio.run(recorder.close())

    assert len(path.read_text().splitlines()) == 2


def test_a_changed_prompt_is_no_match(endpoint: str, tmp_path: Path) -> None:
    recorder = Recorder(quick_completer(endpoint), tmp_path / "r.jsonl")
    list(run_talks(ask_all(["one"]), recorder, tmp_path / "a", progress=Progress(), name="demo"))
    completer = RecordingCompleter(tmp_path / "r.jsonl")
    [(_, reply)] = run_talks(ask_all(["ONE"]), completer, tmp_path / "b", progress=Progress(), name="demo")

    assert reply.finish == "error"
