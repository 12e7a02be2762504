"""What the adapters send and how they read answers: no network."""

from typing import Any

import msgspec
import pytest

from bimedix.completers import Request
from bimedix.completers.anthropic import AnthropicCompleter
from bimedix.completers.endpoint import RawAnswer, Reading
from bimedix.completers.openai import OpenAiCompleter
from bimedix.completers.prices import Price, cost_usd
from bimedix.completers.usage import believe_tokens
from bimedix.records import Message

MESSAGES = (Message("system", "Be kind."), Message("user", "Hello there"))
REQUEST = Request(MESSAGES, "answer-check", "r", max_new_tokens=9, schema={"type": "object"})
PRICE = Price(1.0, 10.0, cached=0.1)
OPENAI = OpenAiCompleter("http://h/v1/", "m", price=PRICE)
ANTHROPIC = AnthropicCompleter("http://h/v1", "m", key="k", price=PRICE)


def read_openai(body: Any, status: int = 200) -> Reading:
    return OPENAI.read(REQUEST, RawAnswer(status, msgspec.json.encode(body)))


def choice(text: Any, reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason, "message": {"content": text, **more}}]}


def test_the_body_of_a_chat_call() -> None:
    body = OPENAI.body(REQUEST)

    assert OPENAI.url == "http://h/v1/chat/completions"
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello there"}
    ]  # fmt: skip
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 9, 0.0)
    assert body["response_format"]["json_schema"]["name"] == "answer_check"
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_newer_name_of_the_limit_and_more_parameters() -> None:
    completer = OpenAiCompleter("http://h/v1", "m", limit_field="max_completion_tokens", extra={"top_p": 0.5})
    body = completer.body(REQUEST)

    assert (body["max_completion_tokens"], body["top_p"], "max_tokens" in body) == (9, 0.5, False)


def test_the_body_of_a_messages_call() -> None:
    assert ANTHROPIC.body(REQUEST) == {
        "model": "m", "system": "Be kind.", "messages": [{"role": "user", "content": "Hello there"}],
        "max_tokens": 9, "temperature": 0.0,
    }  # fmt: skip
    assert ANTHROPIC.headers("k")["x-api-key"] == "k"


def test_usage_and_cost_with_cached_and_reasoning_tokens() -> None:
    usage = {"prompt_tokens": 20, "prompt_tokens_details": {"cached_tokens": 10}}
    usage |= {"completion_tokens": 1005, "completion_tokens_details": {"reasoning_tokens": 1000}}
    reading = read_openai(choice("Good day to you") | {"usage": usage, "model": "m-2"})

    assert (reading.reply.tokens_in, reading.reply.tokens_out, reading.usage) == (20, 1005, "reported")
    assert reading.reply.cost_usd == pytest.approx((10 * 1 + 10 * 0.1 + 1005 * 10) / 1e6)
    assert reading.reply.model == "m-2"


@pytest.mark.parametrize("body, outcome, finish", [
    (choice("x"), "answer", "stop"),
    (choice("x", "length"), "answer", "length"),
    (choice("", "length"), "answer", "length"),
    (choice("x", "content_filter"), "answer", "refusal"),
    (choice(None, refusal="I cannot"), "answer", "refusal"),
    (choice([{"type": "text", "text": "x"}]), "answer", "stop"),
    (choice("  "), "empty", "error"),
    (choice(None), "empty", "error"),
    ({"choices": []}, "retry", "error"),
    ({"choices": [None]}, "retry", "error"),
    ({"choices": [{"message": "x"}]}, "retry", "error"),
    ({}, "retry", "error"),
    ([], "retry", "error"),
])  # fmt: skip
def test_what_an_answer_means(body: Any, outcome: str, finish: str) -> None:
    reading = read_openai(body)

    assert (reading.outcome, reading.reply.finish) == (outcome, finish)


@pytest.mark.parametrize("status, outcome", [
    (400, "fail"), (413, "fail"), (422, "fail"), (418, "fail"), (401, "stop"), (403, "stop"), (404, "stop"),
    (302, "stop"), (429, "wait"), (503, "wait"), (529, "wait"), (500, "retry"), (502, "retry"),
    (504, "retry"), (408, "retry"), (599, "retry"),
])  # fmt: skip
def test_what_a_status_means(status: int, outcome: str) -> None:
    """With the endpoint's own words in the error."""
    reading = read_openai({"error": {"message": "so it is", "code": "x9"}}, status)

    assert reading.outcome == outcome
    assert f"status {status}: so it is / x9" in reading.reply.error


def test_an_account_without_quota_stops_the_run() -> None:
    """It comes as a 429, and waiting does not help."""
    assert read_openai({"error": {"code": "insufficient_quota"}}, 429).outcome == "stop"


def test_a_broken_transport_may_have_been_billed() -> None:
    assert OPENAI.read(REQUEST, RawAnswer(200, b"{", error="cut")).billed == "possibly"
    assert OPENAI.read(REQUEST, RawAnswer(0, error="refused", sent=False)).billed == "no"


@pytest.mark.parametrize("body, finish, text", [
    ({"content": [{"type": "text", "text": "Good"}, {"type": "text", "text": " day"}]}, "stop", "Good day"),
    ({"content": [{"type": "text", "text": "Go"}], "stop_reason": "max_tokens"}, "length", "Go"),
    ({"content": [], "stop_reason": "refusal"}, "refusal", ""),
    ({"content": [], "stop_reason": "end_turn"}, "error", ""),
    ({"type": "message"}, "error", ""),
])  # fmt: skip
def test_what_a_messages_answer_means(body: dict[str, Any], finish: str, text: str) -> None:
    usage = {"usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 2}}
    reading = ANTHROPIC.read(REQUEST, RawAnswer(200, msgspec.json.encode(body | usage)))

    assert (reading.reply.finish, reading.reply.text) == (finish, text)
    if reading.outcome == "answer":
        assert reading.reply.tokens_in == 9
        assert reading.reply.cost_usd == pytest.approx(cost_usd(PRICE, 9, 2, 4))


@pytest.mark.parametrize("reported, whose", [
    (1000, "reported"), (0, "estimated"), (None, "estimated"), (-5, "estimated"), (10**9, "estimated"),
    (True, "estimated"), ("1000", "estimated"), (1000.5, "estimated"),
])  # fmt: skip
def test_whose_count_is_believed(reported: Any, whose: str) -> None:
    """A text of 5,000 characters, about 1,000 tokens."""
    tokens, source = believe_tokens(reported, "five " * 1000)

    assert source == whose
    assert 900 <= tokens <= 1100


def test_the_estimate_before_sending_is_above_the_cost() -> None:
    """Arabic too: two bytes a token are more than any tokenizer makes."""
    request = Request((Message("user", "التهاب الشعب الهوائية " * 50),), "p", "r", max_new_tokens=100)
    body = choice("كلمة " * 20) | {"usage": {"prompt_tokens": 700, "completion_tokens": 100}}
    reading = OPENAI.read(request, RawAnswer(200, msgspec.json.encode(body)))

    assert (OPENAI.estimate_usd(request) or 0) >= (reading.reply.cost_usd or 1)
