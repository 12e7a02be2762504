"""A small mix and a small run that the tests of this folder share."""

import random
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from bimedix.files import write_records
from bimedix.model.settings import AdapterSettings, TinySettings
from bimedix.records import Conversation, Message, Origin
from bimedix.stage import Context
from bimedix.train import Phase, Settings

TINY = TinySettings(hidden=32, ffn=48, layers=2, heads=2, kv_heads=1, experts=4, vocab=32_000)
WORDS = {
    "en": ["fever", "cough", "pain", "dose", "renal", "acute", "blood", "heart", "nerve", "skin"],
    "ar": ["حمى", "سعال", "ألم", "جرعة", "كلوي", "حاد", "دم", "قلب", "عصب", "جلد"],
}


def made_up(index):
    draw = random.Random(index)
    language = ("en", "ar")[index % 2]
    turns = [
        Message(("user", "assistant")[k % 2], " ".join(draw.choices(WORDS[language], k=6)))
        for k in range(2 + 2 * (index % 3))
    ]
    return Conversation(f"c:{index}", language, Origin("made"), tuple(turns), "chat")


@pytest.fixture
def conversation():
    """Return a function from a number to a talk of one to three exchanges, in English or Arabic."""
    return made_up


@pytest.fixture
def mix(tmp_path):
    """Return a folder with train.jsonl (12) and validation.jsonl (3)."""
    folder = tmp_path / "mix"
    write_records(folder / "train.jsonl", map(made_up, range(12)))
    write_records(folder / "validation.jsonl", map(made_up, range(100, 103)))
    return folder


@pytest.fixture
def settings():
    """Two short phases: the tiny base in full, then adapters."""
    full = Phase("full", "all", epochs=1, batch_size=4, learning_rate=2e-3, warmup_steps=2)
    return Settings(
        tiny=TINY,
        adapter=AdapterSettings(rank=4, alpha=8),
        phases=(full, replace(full, mode="adapter", supervise="replies", epochs=2)),
        max_tokens_per_sample=256,
        max_tokens_per_micro_batch=256,
        checkpoint_every_steps=2,
    )


@pytest.fixture
def context(tmp_path):
    return Context(calls=tmp_path / "calls.sqlite")
