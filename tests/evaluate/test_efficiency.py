"""Speed and memory: measured on a tiny model and a slow endpoint, estimated for a large one."""

import asyncio
import json
import statistics
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bimedix.completers.endpoint import EndpointError
from bimedix.completers.settings import CompleterSettings
from bimedix.errors import RecipeError
from bimedix.evaluate.efficiency import CARDS, Speed, Timed, estimate, paper_estimates, summarise
from bimedix.evaluate.room import run
from bimedix.evaluate.settings import Benchmark, Settings, Timing
from bimedix.files import read_json, read_records, write_records
from bimedix.model.arithmetic import known_config, shape_of
from bimedix.records import MultipleChoice
from bimedix.stage import Context

Maker = Callable[..., list[MultipleChoice]]
MIXTRAL = shape_of(known_config("mixtral_8x7b"))
FIRST_S, EACH_S = 0.15, 0.03


def timed(n: int, *, warm_up: bool = False, code: str = "en", tokens: int = 11) -> Timed:
    return Timed("m", str(n), code, warm_up, 5, tokens, 40 + n, 0.5, 1.0 + n)


def test_medians_leave_warm_up_out_and_languages_apart() -> None:
    rows = [timed(90, warm_up=True), *(timed(n) for n in range(5)), timed(3, code="ar", tokens=0)]
    english, arabic = summarise(rows)

    assert (english.answers, english.answer_s.value, english.first_token_s.value) == (5, 3.0, 0.5)
    assert english.tokens_per_s is not None and english.tokens_per_s.value == pytest.approx(10 / 2.5)
    assert english.answer_s.low < 3.0 < english.answer_s.high
    assert english.characters_per_token == pytest.approx((40 * 5 + 10) / 55)
    assert arabic.tokens_per_s is None and arabic.characters_per_token is None
    assert arabic.characters_per_s is not None and arabic.characters_per_s.value == pytest.approx(43 / 4)


def test_no_bf16_setting_on_one_a100_reaches_the_published_rate() -> None:
    """At full bandwidth two experts of 25.5 GB give 80 tokens a second; the paper prints 180.6."""
    best = estimate("m", MIXTRAL, CARDS["a100-80"], "bf16", 16.0, batch=1, context=0, share=1.0)

    assert best.bytes_per_step == pytest.approx(25.5e9, rel=0.005)
    assert best.tokens_per_s == pytest.approx(80, rel=0.005)
    assert not best.fits
    assert best.active_parameters == pytest.approx(12.75e9, rel=0.01)


def test_a_batch_reads_the_experts_it_hits() -> None:
    """Two experts for one answer, nearly all eight for sixteen; a batch is never cheaper than one."""
    rows = {(r.device, r.format, r.batch): r for r in paper_estimates(0.64, context=0)}
    one, sixteen = (rows["A100-80GB", "int8 + scales", batch] for batch in (1, 16))

    assert one.weight_bytes == pytest.approx(48.4e9, rel=0.01)
    assert one.bytes_per_step == pytest.approx(13.3e9, rel=0.01)
    assert one.tokens_per_s == pytest.approx(97.9, rel=0.01), "what gpt-fast measured"
    assert sixteen.bytes_per_step == pytest.approx(one.weight_bytes, rel=0.02)
    assert sixteen.tokens_per_s < one.tokens_per_s < 16 * sixteen.tokens_per_s


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, items: Maker, mixtral: Any, tokenizer: Any) -> Path:
    from bimedix.model.load import save_model

    base = tmp_path_factory.mktemp("speed")
    write_records(base / "items.jsonl", [*items("en", 4), *items("ar", 4)])
    save_model(mixtral, base / "model", tokenizer)
    return base


SETTINGS = Settings(
    benchmarks=(Benchmark("exam", "items.jsonl"),),
    efficiency=Timing(items=3, warm_up=1, max_new_tokens=6, exact=True),
    bootstrap_draws=50,
    verify=1,
)


def go(place: Path, settings: Settings, out: str) -> tuple[list[Timed], Any]:
    run(settings, {}, place / out, Context(calls=place / f"{out}.sqlite", base=place))
    rows = list(read_records(place / out / "efficiency.jsonl", Timed))
    return rows, read_json(place / out / "efficiency.json")


def test_a_local_model_is_timed_in_every_language(place: Path, mixtral: Any) -> None:
    """Figures follow from the file of answers; weights are those of the model; the estimate is marked."""
    rows, told = go(place, replace(SETTINGS, model="model"), "local")
    page = (place / "local" / "report.html").read_text("utf-8")
    counted = [row for row in rows if not row.warm_up]

    assert [row.language for row in counted] == ["ar", "en"] * 3 and len(rows) == 7
    assert all(row.tokens == 6 and 0 < row.first_token_s < row.total_s for row in rows)
    for cell in told["measured"]:
        mine = [row.total_s for row in counted if row.language == cell["language"]]
        assert cell["answer_s"]["value"] == pytest.approx(statistics.median(mine))
    (lies,) = told["loaded"]
    assert lies["weight_bytes"] >= 4 * sum(p.numel() for p in mixtral.parameters())
    assert lies["resident_bytes"] > lies["weight_bytes"] and lies["bandwidth"] > 1e8
    assert "Measured speed" in page and "Estimated speed, not measured" in page
    assert "exceeds 80 tokens per second" in page and "180.6" in page


def test_answers_are_timed_as_they_are_asked_for(items: Maker, mixtral: Any, tokenizer: Any) -> None:
    """With the reason first where the run asks so: another prompt, and so another time."""
    from bimedix.evaluate.asking import Asker
    from bimedix.evaluate.items import Asked
    from bimedix.evaluate.timing import time_local

    asker, entry = Asker(tokenizer, "mixtral", 2048), Asked("exam", "", items("en", 1)[0])
    for with_rationale in (False, True):
        (row,) = time_local(
            mixtral, asker, "m", [entry], warm_up=0, max_new_tokens=2, exact=True, end_id=2,
            with_rationale=with_rationale,
        )  # fmt: skip
        assert row.prompt_tokens == len(asker.prompt(entry.item, with_rationale=with_rationale))


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A server that streams four pieces with known pauses."""
    ready, address, loop = threading.Event(), [""], asyncio.new_event_loop()

    async def chat(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "A"}
            return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})
        if asked["model"] == "broken":
            return web.json_response({"error": {"message": "no such model"}}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        events: list[Any] = [{"choices": [{"delta": {"role": "assistant"}}]}]
        events += [{"choices": [{"delta": {"content": "حمى"}}]}] * 4
        events.append({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 8}})
        for number, event in enumerate(events):
            await asyncio.sleep(FIRST_S if number == 1 else EACH_S if number > 1 else 0)
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address[0] = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()

    def work() -> None:
        loop.create_task(serve())
        loop.run_forever()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_an_endpoint_is_timed_by_its_stream(place: Path, endpoint: str) -> None:
    """First token and whole answer come from the stream; tokens from its usage."""
    completer = CompleterSettings("openai", endpoint, "stub", price_in=0, price_out=0)
    settings = replace(SETTINGS, completer=completer, protocols=("generation",))
    rows, told = go(place, settings, "remote")

    assert (
        len(rows) == 7 and {row.tokens for row in rows} == {8} and {row.prompt_tokens for row in rows} == {9}
    )
    assert all(row.characters == 12 for row in rows)
    assert all(row.first_token_s >= FIRST_S and row.total_s >= FIRST_S + 3 * EACH_S for row in rows)
    assert told["loaded"] == [] and {cell["language"] for cell in told["measured"]} == {"ar", "en"}
    assert 0 < told["measured"][0]["tokens_per_s"]["value"] <= 7 / (3 * EACH_S)


def test_a_refusing_endpoint_is_told_and_other_completers_cannot_be_timed(place: Path, endpoint: str) -> None:
    completer = CompleterSettings("openai", endpoint, "broken", price_in=0, price_out=0)
    settings = replace(SETTINGS, completer=completer, protocols=("generation",))

    with pytest.raises(EndpointError, match=r"status 400: .*no such model"):
        go(place, settings, "broken")
    with pytest.raises(RecipeError, match="cannot be timed"):
        replace(settings, completer=CompleterSettings("memory", memory=("a.tmx",)))


def test_the_published_speed_is_quoted_with_what_is_wrong_with_it() -> None:
    from bimedix.evaluate.efficiency import efficiency_sheets

    sheet = efficiency_sheets(Speed((), (), (), 0.64))[-1]

    assert sheet.quoted[-1][:4] == ("BiMediX (quoted)", "13", "2.8", "180.6")
    assert "analytic" in sheet.quoted[-1][4] and any("47 B are resident" in note for note in sheet.notes)
