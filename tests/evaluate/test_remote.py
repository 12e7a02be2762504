"""Letters from an endpoint: its likeliest tokens, read as options, or an honest fallback."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bimedix.completers.base import Reply, Request
from bimedix.completers.endpoint import RawAnswer
from bimedix.completers.key import call_key
from bimedix.completers.openai import OpenAiCompleter
from bimedix.completers.settings import CompleterSettings
from bimedix.evaluate import remote, room
from bimedix.evaluate.remote import TOP_LOGPROBS, label_scores
from bimedix.evaluate.settings import Benchmark, Settings
from bimedix.files import read_records, write_records
from bimedix.records import Message, MultipleChoice, Prediction
from bimedix.stage import Context

ARABIC = ("أ", "ب", "ج", "د")
Maker = Callable[..., list[MultipleChoice]]
LATIN = ("A", "B", "C", "D")


def said(*places: dict[str, float]) -> Reply:
    """A reply whose likeliest tokens have these probabilities."""
    tops = tuple(tuple((token, math.log(p)) for token, p in place.items()) for place in places)
    return Reply("x", top_logprobs=tops)


@pytest.mark.parametrize(
    ("reply", "labels", "best"),
    [
        (said({"B": 0.6, "A": 0.3, "C": 0.05, "D": 0.05}), LATIN, 1),
        (said({" C": 0.4, "A": 0.35, "C.": 0.15, "(C": 0.1}), LATIN, 2),
        (said({" ": 0.9, "A": 0.1}, {"د": 0.7, "أ": 0.3}), ARABIC, 3),
        (said({"ر": 0.6, "نعم": 0.4}), ("نعم", "لا", "ربما"), 2),
        (said({"n": 0.5, "Y": 0.5001}), ("yes", "no", "maybe"), 0),
    ],
)
def test_a_token_stands_for_the_label_it_is_or_begins(
    reply: Reply, labels: tuple[str, ...], best: int
) -> None:
    """Space, brackets and points around a letter do not matter; several spellings add up."""
    scores = label_scores(reply, labels)

    assert scores is not None
    assert scores.index(max(scores)) == best
    assert len(scores) == len(labels)


def test_spellings_add_up_and_the_unseen_get_the_least_of_the_seen() -> None:
    scores = label_scores(said({" A": 0.3, "A": 0.2, "B": 0.4, "The": 0.1}), LATIN)

    assert scores == pytest.approx([math.log(0.5), math.log(0.4), math.log(0.1), math.log(0.1)])


@pytest.mark.parametrize("reply", [said({"The": 0.9, "I": 0.1}), said({" ": 0.9}), said({})])
def test_an_answer_that_begins_with_no_label_is_not_guessed(reply: Reply) -> None:
    assert label_scores(reply, LATIN) is None


def test_what_two_labels_begin_with_stands_for_neither() -> None:
    assert label_scores(said({"m": 0.9, "x": 0.1}), ("more", "most")) is None


def test_the_wish_for_log_probabilities_is_part_of_the_call() -> None:
    """A call with it is another call; the keys of calls without it stay as they were."""
    plain = Request((Message("user", "?"),), "answer", "q:1")
    wanted = Request((Message("user", "?"),), "answer", "q:1", top_logprobs=TOP_LOGPROBS)
    endpoint = OpenAiCompleter("http://127.0.0.1:1/v1", "m")

    assert call_key(plain, "c") != call_key(wanted, "c")
    assert call_key(plain, "c") == "26309f17feffed17c53ba7784c3eafc7"
    assert endpoint.body(wanted)["top_logprobs"] == TOP_LOGPROBS
    assert "logprobs" not in endpoint.body(plain)


def answer_of(logprobs: Any) -> bytes:
    import json

    choice = {"message": {"content": "B"}, "finish_reason": "stop", "logprobs": logprobs}
    return json.dumps({"model": "m", "choices": [choice], "usage": {}}).encode()


@pytest.mark.parametrize(
    "block", [None, {}, {"content": None}, {"content": [{"token": "B"}]}, {"content": 3}]
)
def test_broken_log_probabilities_are_none(block: Any) -> None:
    wanted = Request((Message("user", "?"),), "answer", "q:1", top_logprobs=5)
    reading = OpenAiCompleter("http://127.0.0.1:1/v1", "m").read(wanted, RawAnswer(200, answer_of(block)))

    assert reading.outcome == "answer"
    assert reading.reply.top_logprobs == ()


def test_log_probabilities_of_an_answer_are_read() -> None:
    tops = [{"token": "B", "logprob": -0.1}, {"token": "A", "logprob": -2.5}]
    block = {"content": [{"token": "B", "logprob": -0.1, "top_logprobs": tops}]}
    wanted = Request((Message("user", "?"),), "answer", "q:1", top_logprobs=5)
    reading = OpenAiCompleter("http://127.0.0.1:1/v1", "m").read(wanted, RawAnswer(200, answer_of(block)))

    assert reading.reply.top_logprobs == ((("B", -0.1), ("A", -2.5)),)


class Endpoint:
    """Prefers the text `fever`, wherever its letter stands; knows log-probabilities or not."""

    name, parallel = "endpoint", 4

    def __init__(self, *, offers: bool) -> None:
        self.offers, self.calls = offers, 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        lines = request.messages[-1].content.splitlines()
        letter = next(line[0] for line in lines if line[1:3] == ". " and line.endswith(" 2"))
        if not (self.offers and request.top_logprobs):
            return Reply(letter)
        return Reply(letter, top_logprobs=(((letter, -0.2), ("The", -3.0)),))

    async def close(self) -> None:
        pass


def go(
    monkeypatch: pytest.MonkeyPatch,
    items: Callable[..., list[MultipleChoice]],
    path: Path,
    endpoint: Endpoint,
) -> tuple[list[Prediction], Any]:
    monkeypatch.setattr(remote, "open_completer", lambda settings, base: endpoint)
    write_records(path / "q.jsonl", items("en", 6))
    settings = Settings(
        benchmarks=(Benchmark("own", "q.jsonl"),), protocols=("letters",), orders=4, integrity="off",
        completer=CompleterSettings("openai", model="m"),
    )  # fmt: skip
    summary = room.run(settings, {}, path / "out", Context(calls=path / "calls.sqlite", base=path))
    return list(read_records(path / "out" / "records.jsonl", Prediction)), summary


def test_letters_are_asked_in_every_order(
    monkeypatch: pytest.MonkeyPatch, items: Maker, tmp_path: Path
) -> None:
    """Four orders of six questions are 24 calls, told back in the item's own order."""
    endpoint = Endpoint(offers=True)
    predictions, _ = go(monkeypatch, items, tmp_path, endpoint)

    assert endpoint.calls == len(predictions) == 24
    assert {p.protocol for p in predictions} == {"letters", "letters@1", "letters@2", "letters@3"}
    assert len({(p.id, p.chosen) for p in predictions}) == 6


def test_without_log_probabilities_the_answer_is_tabled_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch, items: Maker, tmp_path: Path
) -> None:
    """A labelled fallback: protocol `generation`, counted in the summary; never letters made from words."""
    predictions, summary = go(monkeypatch, items, tmp_path, Endpoint(offers=False))

    assert {p.protocol for p in predictions} == {"generation"}
    assert len(predictions) == 6
    assert summary.figures["runs"]["m, letters"]["without_log_probabilities"] == 6
