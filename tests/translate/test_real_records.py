"""The rooms alone, from the command line, on real exam questions, beside an endpoint that fails at times.

`docs/translate.md` has the same commands. Records and memory are those of BIMEDIX_DATA; none of them stays.
"""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bimedix.cli import cli
from bimedix.files import read_records
from bimedix.records import Conversation, Dialogue, Dropped, MultipleChoice, Translation, item_fields
from bimedix.text import written_in
from browser import needs_chromium, open_browser
from completers.stub import running_stub

pytestmark = pytest.mark.slow
DATA_SETS = {"medqa", "medmcqa", "pubmedqa", "mmlu_medical"}
PAGE = Path(__file__).parents[2] / "docs" / "translate.md"
READ = "my_data/read/records.jsonl"


def blocks(kind: str) -> str:
    """Return the one fenced block of a kind on the page."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return str(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Path:
    """Do what the page says, in a shell, but for the address of the endpoint and the cap on openings."""
    here = tmp_path_factory.mktemp("rooms")
    command = f'bimedix() {{ "{sys.executable}" -m bimedix "$@" --quiet; }}\n'
    typed = blocks("bash").replace("/your/data", f"'{real_data}'")
    with running_stub(script=str(Path(__file__).parent / "translator.py")) as address:
        recipe = blocks("toml").replace("http://localhost:8000/v1", address)
        (here / "exams.toml").write_text(recipe.replace("same_opening = 5 ", "same_opening = 99 "))
        done = subprocess.run(
            ["bash", "-euc", command + typed], cwd=here, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return here


def again(folder: Path, *words: str) -> dict[str, Any]:
    """Run a room once more, without an endpoint; every answer is in the ledger. Returns what it tells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = CliRunner().invoke(cli, [*words, "--recipe", "exams.toml", "--sample", "50", "--json"])
    assert done.exit_code == 0, done.output
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["figures"]
    return figures


def test_every_question_is_translated_or_kept_with_its_reason(folder: Path) -> None:
    """Fifty are drawn, from all four sources; keys, options and numbers of fields stay."""
    made = list(read_records(folder / "my_data" / "translated" / "records.jsonl", Translation))
    gone = list(read_records(folder / "my_data" / "translated" / "dropped.jsonl", Dropped))
    sources = Counter(t.source.origin.dataset for t in made)

    assert len(made) + len(gone) == 50
    assert len(made) >= 48
    assert all(drop.reason and drop.record for drop in gone)
    assert set(sources) == DATA_SETS
    for translation in made:
        source, target = translation.source, translation.target
        assert isinstance(source, MultipleChoice)
        assert isinstance(target, MultipleChoice)
        assert (target.answers, len(target.options)) == (source.answers, len(source.options))
        assert item_fields(target).keys() == item_fields(source).keys()
        assert translation.route == "accepted" or translation.reasons or translation.route == "audit"


def test_memory_and_glossary_reach_the_prompts_and_no_answer_is_paid_twice(folder: Path) -> None:
    """A second run, in another process, asks nothing at all: the prompts are the same to the byte."""
    figures = again(folder, "translate", READ, "my_data/translated")

    assert figures["replies"]["glossary terms shown"] > 10
    assert figures["replies"]["memory segments shown"] > 0
    assert figures["calls"] > 100
    assert figures["spend"]["this_start"]["attempts"] == 0
    assert figures["expected_for_all"]["records"] > 2_000


def test_every_version_says_who_wrote_it_under_which_prompt_and_what_it_cost(folder: Path) -> None:
    """Model, hash of the prompt, score and calls stand in the history; the ledger has the price of each."""
    with sqlite3.connect(folder / "my_data" / "translated" / "calls.sqlite") as ledger:
        cost = dict(ledger.execute("SELECT key, sum(cost_usd) FROM attempts GROUP BY key"))
    made = list(read_records(folder / "my_data" / "translated" / "records.jsonl", Translation))
    attempts = [attempt for translation in made for attempt in translation.attempts]

    assert any(attempt.round == 1 for attempt in attempts)
    for attempt in attempts:
        assert attempt.completer.startswith("my-model")
        assert len(attempt.prompt_hash) == 32
        assert len(attempt.calls) >= 2
        assert sum(cost[key] for key in attempt.calls) > 0


def test_talks_are_made_from_real_items(folder: Path) -> None:
    made = list(read_records(folder / "my_data" / "talks" / "records.jsonl", Dialogue))
    gone = list(read_records(folder / "my_data" / "talks" / "dropped.jsonl", Dropped))

    assert len(made) + len(gone) == 50
    assert len(made) >= 45
    assert {record.origin.dataset for record in made} >= {"medmcqa", "pubmedqa"}
    assert all(record.parents for record in made)


def test_the_mix_holds_pairs_that_lead_back(folder: Path) -> None:
    """Every translated conversation names the item that it comes from; MMLU has Arabic rows of its own."""
    records = list(read_records(folder / "my_data" / "mix" / "records.jsonl", Conversation))
    translated = [record for record in records if record.language == "ar" and record.parents]

    assert len(translated) >= 10
    assert all(record.parents == (record.id.removesuffix("@ar"),) for record in translated)
    assert "</article>" in (folder / "my_data" / "mix" / "side_by_side.html").read_text(encoding="utf-8")


@needs_chromium
def test_the_page_reads_from_right_to_left(folder: Path) -> None:
    """What a browser shows: an article a translation, Arabic paragraphs right to left, nothing cut off."""
    asyncio.run(look_at_page(folder))


async def look_at_page(folder: Path) -> None:
    async with open_browser() as tab:
        await tab.open((folder / "my_data" / "translated" / "side_by_side.html").as_uri())
        articles = await tab.run("document.querySelectorAll('article').length")
        arabic = await tab.run("[...document.querySelectorAll('td p[dir=rtl]')].map(p => p.innerText)")
        sides = await tab.run(
            "[...new Set([...document.querySelectorAll('td p[dir=rtl]')]"
            ".map(p => getComputedStyle(p).direction))]"
        )
        wide = await tab.run("document.documentElement.scrollWidth <= window.innerWidth")

    assert articles == len(
        list(read_records(folder / "my_data" / "translated" / "records.jsonl", Translation))
    )
    assert len(arabic) > articles
    assert sum(written_in(text, "ar") for text in arabic) > 0.9 * len(arabic)
    assert sides == ["rtl"]
    assert wide
