"""The chat server: protocol, who may ask, limits, safety first."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from bimedix.errors import UsageError
from bimedix.records import Message
from bimedix.serve.app import build_app, read_key
from bimedix.serve.settings import Settings

KEY = "k" * 40


class Scripted:
    """Says fixed pieces; counts words as tokens."""

    name = "scripted"

    def __init__(self, pieces: tuple[str, ...] = ("Good ", "morning", ".")) -> None:
        self.pieces = pieces
        self.asked: list[tuple[Message, ...]] = []
        self.limits: list[int] = []

    def count_prompt_tokens(self, messages: tuple[Message, ...]) -> int:
        return sum(len(m.content.split()) for m in messages)

    def stream(
        self, messages: tuple[Message, ...], *, max_new_tokens: int, temperature: float, seed: int,
        stop: threading.Event,
    ) -> Iterator[str]:  # fmt: skip
        self.asked.append(messages)
        self.limits.append(max_new_tokens)
        yield from self.pieces


def client(engine: Scripted | None = None, key: str = "", **settings: object) -> TestClient:
    app = build_app(engine or Scripted(), Settings(**settings), key)  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False)


def ask(text: str = "Hello", **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **more}


def test_an_answer_has_the_shape_of_the_protocol() -> None:
    body = client().post("/v1/chat/completions", json=ask()).json()

    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Good morning."}
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def test_a_stream_opens_with_the_role_and_ends_with_done() -> None:
    """Clients break on any other order."""
    more = {"stream": True, "stream_options": {"include_usage": True}}
    text = client().post("/v1/chat/completions", json=ask(**more)).text
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    chunks = [json.loads(event) for event in events[:-1]]

    assert events[-1] == "[DONE]"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == "Good morning."
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 3


def test_a_red_flag_is_answered_before_the_model() -> None:
    body = client().post("/v1/chat/completions", json=ask("أعاني من ألم شديد في الصدر")).json()

    assert body["choices"][0]["message"]["content"].startswith("قد تكون هذه حالة طارئة")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"messages": []}, 400, "invalid_messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "invalid_messages"),
        ({"messages": [{"role": "user", "content": 7}]}, 400, "invalid_body"),
        (ask(n=2), 400, "unsupported"),
        (ask(temperature=9), 400, "invalid_value"),
        (ask("word " * 40_000), 413, "too_large"),
        (ask("word " * 5_000), 413, "too_long"),
    ],
)
def test_bad_requests_get_the_error_shape(body: dict[str, object], status: int, code: str) -> None:
    response = client(max_body_bytes=100_000).post("/v1/chat/completions", json=body)

    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ["/", "/chat.js", "/chat.css", "/v1/models", "/nothing", "/openapi.json"])
def test_every_route_but_health_needs_the_key(path: str) -> None:
    guarded = client(key=KEY)

    assert guarded.get(path).status_code == 401
    assert guarded.get(path, headers={"Authorization": "Bearer " + "x" * 40}).status_code == 401
    assert guarded.get("/health").status_code == 200
    known = guarded.get(path, headers={"Authorization": f"Bearer {KEY}"}).status_code
    assert known == (404 if path in ("/nothing", "/openapi.json") else 200)
    assert guarded.get("/", auth=("anyone", KEY)).status_code == 200


def test_pages_of_other_sites_are_refused() -> None:
    """A web page that is open in the same browser must not reach a loopback server."""
    open_client = client()

    other = open_client.post("/v1/chat/completions", json=ask(), headers={"Origin": "https://example.org"})
    rebound = open_client.get("/v1/models", headers={"Host": "example.org"})
    plain = open_client.post("/v1/chat/completions", content="{}", headers={"Content-Type": "text/plain"})

    assert (other.status_code, rebound.status_code, plain.status_code) == (403, 403, 415)


def test_a_public_address_needs_a_long_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIMEDIX_SERVE_KEY", raising=False)
    with pytest.raises(UsageError, match="BIMEDIX_SERVE_KEY"):
        read_key(Settings(host="0.0.0.0"))
    monkeypatch.setenv("BIMEDIX_SERVE_KEY", "short")
    with pytest.raises(UsageError, match="32"):
        read_key(Settings())


def test_old_turns_are_left_out_and_the_last_one_stays() -> None:
    engine = Scripted()
    talk = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"turn {i} " * 20} for i in range(9)]

    client(engine, max_prompt_tokens=100).post("/v1/chat/completions", json={"messages": talk})

    assert engine.asked[0][-1].content == talk[-1]["content"]
    assert engine.asked[0][0].role == "user"
    assert len(engine.asked[0]) == 1 or engine.count_prompt_tokens(engine.asked[0]) <= 100


def test_a_failure_inside_a_stream_becomes_an_event_without_the_prompt() -> None:
    class Failing(Scripted):
        def stream(self, messages: tuple[Message, ...], **_: object) -> Iterator[str]:  # type: ignore[override]
            yield "Good"
            raise RuntimeError(messages[0].content)

    text = client(Failing()).post("/v1/chat/completions", json=ask("canary-7731", stream=True)).text

    assert '"error"' in text and "[DONE]" not in text
    assert "canary-7731" not in text


def test_a_client_that_leaves_stops_the_model() -> None:
    ended = threading.Event()

    class Endless(Scripted):
        def stream(
            self, messages: tuple[Message, ...], *, stop: threading.Event, **_: object
        ) -> Iterator[str]:  # type: ignore[override]
            while not stop.is_set():
                time.sleep(0.01)
                yield "word "
            ended.set()

    import socket

    import uvicorn

    config = uvicorn.Config(build_app(Endless(), Settings()), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    body = json.dumps(ask(stream=True)).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as talk:
        talk.sendall(head.encode() + body)
        assert b"200" in talk.recv(4096)

    assert ended.wait(5)
    server.should_exit = True
    thread.join(5)
