"""The chat page in a real browser: every message has its own direction, nothing is loaded from outside."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette")
import uvicorn

from bimedix.records import Message
from bimedix.serve.app import build_app
from bimedix.serve.settings import Settings
from browser import Page, needs_chromium, open_browser

pytestmark = [pytest.mark.slow, needs_chromium]
ANSWERS = {
    "ما الجرعة؟": "Ibuprofen يؤخذ بجرعة 200–400 mg كل 8 ساعات (بحد أقصى 1200 mg يوميًا).\n\n"
    "لا تتناوله مع warfarin.",
    "And in English?": "Take 200–400 mg every 8 hours.\n\n"
    "The Arabic name is إيبوبروفين, and it is widely known.",
    "<b>x</b>": "<img src=x onerror=alert(1)> <b>bold</b>",
}


class Scripted:
    name = "scripted"

    def count_prompt_tokens(self, messages: tuple[Message, ...]) -> int:
        return 1

    def stream(self, messages: tuple[Message, ...], **_: object) -> Iterator[str]:
        answer = ANSWERS[messages[-1].content]
        yield from (answer[i : i + 7] for i in range(0, len(answer), 7))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(build_app(Scripted(), Settings()), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(5)


async def say(page: Page, text: str) -> list[dict[str, str]]:
    """Send a message and return the blocks of the answer."""
    before = await page.run("document.querySelectorAll('article').length")
    await page.run(f"byId('text').value = {json.dumps(text)}; byId('form').requestSubmit(); true")
    await page.until(f"document.querySelectorAll('article').length === {before + 2} && !byId('send').hidden")
    blocks = await page.run(
        "[...[...document.querySelectorAll('article')].at(-1).children].map(p => "
        "({dir: p.dir, html: p.innerHTML, text: p.textContent}))"
    )
    return list(blocks)


async def talk(address: str, picture: Path) -> dict[str, list[dict[str, str]]]:
    async with open_browser() as page:
        await page.open(address)
        answers = {text: await say(page, text) for text in ANSWERS}
        await page.run("interfaceLanguage = 'ar'; showStrings(); true")
        answers["interface"] = [{"dir": await page.run("document.documentElement.dir")}]
        answers["outside"] = await page.run(
            "performance.getEntriesByType('resource').map(e => e.name)"
            ".filter(name => !name.startsWith(location.origin))"
        )
        await page.picture(picture)
    return answers


@pytest.fixture(scope="module")
def answers(address: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = Path(os.environ.get("BIMEDIX_PICTURES", tmp_path_factory.mktemp("pictures")))
    return asyncio.run(talk(address, folder / "chat.png"))


def test_an_arabic_answer_that_opens_with_a_drug_name_reads_right_to_left(
    answers: dict[str, list[dict[str, str]]],
) -> None:
    first, second = answers["ما الجرعة؟"]

    assert (first["dir"], second["dir"]) == ("rtl", "rtl")
    assert '<bdi dir="ltr">200–400 mg</bdi>' in first["html"]
    assert '<bdi dir="ltr">warfarin</bdi>' in second["html"]


def test_an_english_answer_in_the_same_talk_reads_left_to_right(
    answers: dict[str, list[dict[str, str]]],
) -> None:
    blocks = answers["And in English?"]

    assert [b["dir"] for b in blocks] == ["ltr", "ltr"]
    assert '<bdi dir="rtl">إيبوبروفين</bdi>' in blocks[1]["html"]


def test_what_the_model_writes_stays_text(answers: dict[str, list[dict[str, str]]]) -> None:
    (block,) = answers["<b>x</b>"]

    assert block["text"] == ANSWERS["<b>x</b>"]
    assert "<img" not in block["html"]


def test_the_interface_mirrors_and_nothing_comes_from_outside(
    answers: dict[str, list[dict[str, str]]],
) -> None:
    assert answers["interface"][0]["dir"] == "rtl"
    assert answers["outside"] == []
