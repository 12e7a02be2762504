"""Glossary terms and memory segments in prompts."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bimedix.errors import MissingError, UsageError
from bimedix.files import write_records
from bimedix.records import Origin, ParallelText
from bimedix.translate.hints import hints
from bimedix.translate.settings import Settings

SETTINGS = Settings()
PAIRS = {
    "Take one tablet of warfarin in the evening.": "خذ قرصًا من الوارفارين",
    "Take one tablet of aspirin in the evening.": "خذ قرصًا من الأسبرين",
    "The liver lies under the diaphragm.": "يقع الكبد تحت الحجاب الحاجز",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "terms.csv").write_text("en,ar\nwarfarin,وارفارين\ncodeine,كودين\n", encoding="utf-8")
    pairs = (ParallelText(str(n), "en", Origin("m"), s, t, "ar") for n, (s, t) in enumerate(PAIRS.items()))
    write_records(tmp_path / "memory.jsonl", pairs)
    return tmp_path


def test_files_of_a_recipe_feed_the_prompt(folder: Path) -> None:
    """Terms that occur; the segment nearest to the text; unlike ones not at all."""
    around = hints(replace(SETTINGS, glossary="terms.csv", memory="memory.jsonl"), folder)
    found = around("en", {"text": "Take one tablet of Warfarin in the morning."})

    assert found.glossary == (("warfarin", "وارفارين"),)
    assert found.memory == (("Take one tablet of warfarin in the evening.", "خذ قرصًا من الوارفارين"),)
    assert around("en", {"text": "Measles spreads through the air."}).memory == ()


def test_files_serve_the_other_direction_too(folder: Path) -> None:
    around = hints(replace(SETTINGS, glossary="terms.csv", target_language="en"), folder)

    assert around("ar", {"text": "يؤخذ وارفارين مساءً"}).glossary == (("وارفارين", "warfarin"),)


def test_a_missing_or_unknown_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory.docx").write_text("x")

    with pytest.raises(MissingError, match=r"none\.csv: no such file"):
        hints(replace(SETTINGS, glossary="none.csv"), tmp_path)("en", {"text": "x"})
    with pytest.raises(UsageError, match=r"no translation memory; read here are \.tmx"):
        hints(replace(SETTINGS, memory="memory.docx"), tmp_path)("en", {"text": "x"})


def test_the_same_segments_are_found_in_every_process() -> None:
    """Other segments would be another prompt, and every call would be paid again.

    Words are about as frequent as each other, and the search is cut after some of them; sets of words have
    another order in each process.
    """
    code = (
        "import random; from bimedix.completers.matches import Segments; draw = random.Random(1);"
        "words = [a + b for a in 'bcdfghklmn' for b in ('al', 'er', 'in', 'os', 'um', 'ya')];"
        "text = lambda: ' '.join(draw.sample(words, 12));"
        "held = Segments([(text(), str(n)) for n in range(6000)], 'en');"
        "print([m.target for m in (held.near(text(), 1.0) for n in range(40)) if m])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }  # fmt: skip

    assert len(told) == 1
    assert len(told.pop()) > 100


def test_each_sentence_of_a_long_field_is_looked_up(folder: Path) -> None:
    """A vignette of many sentences resembles no segment as a whole; one of its sentences does."""
    around = hints(replace(SETTINGS, memory="memory.jsonl"), folder)
    known, target = "Warfarin is taken once a day.", "يؤخذ الوارفارين مرة واحدة في اليوم."
    write_records(folder / "memory.jsonl", [ParallelText("1", "en", Origin("m"), known, target, "ar")])
    vignette = f"A man comes to the clinic because of a rash on both arms. {known} His pulse is regular."

    assert around("en", {"question": vignette}).memory == ((known, target),)
