"""Small items and models for the tests of the room."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from bimedix.languages import LANGUAGES
from bimedix.records import MultipleChoice, Origin

WORDS = {
    "en": [
        "fever",
        "cough",
        "liver",
        "kidney",
        "aspirin",
        "insulin",
        "patient",
        "acute",
        "chronic",
        "artery",
        "lung",
        "bone",
    ],
    "ar": ["حمى", "سعال", "كبد", "كلية", "أسبرين", "إنسولين", "مريض", "حاد", "مزمن", "شريان", "رئة", "عظم"],
    "ru": [
        "лихорадка",
        "кашель",
        "печень",
        "почка",
        "аспирин",
        "инсулин",
        "больной",
        "острый",
        "артерия",
        "лёгкое",
        "кость",
    ],
    "zh": [
        "发热",
        "咳嗽",
        "肝脏",
        "肾脏",
        "阿司匹林",
        "胰岛素",
        "患者",
        "急性",
        "慢性",
        "动脉",
        "肺部",
        "骨骼",
    ],
}


def make_items(
    code: str, count: int, *, options: int = 4, words: int = 12, name: str = "q"
) -> list[MultipleChoice]:
    """Return invented questions of different length; ids pair across languages."""
    out = []
    for number in range(count):
        draw = Random(f"{code}:{number}")
        text = " ".join(draw.choices(WORDS[code], k=words + number % 7))
        answers = tuple(" ".join(draw.sample(WORDS[code], 2)) + f" {index}" for index in range(options))
        key = f"{name}:{number}" + ("" if code == "en" else f"@{code}")
        right = Random(number).randrange(options)
        out.append(MultipleChoice(key, code, Origin("made-up", split="test"), text, answers, (right,)))
    return out


@pytest.fixture(scope="session")
def items() -> Callable[..., list[MultipleChoice]]:
    return make_items


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from bimedix.model.load import load_tokenizer

    return load_tokenizer("mixtral")


@pytest.fixture(scope="session")
def mixtral() -> Any:
    """A random Mixtral whose options differ clearly."""
    from bimedix.model.load import tiny_model
    from bimedix.model.settings import TinySettings

    return tiny_model(TinySettings(hidden=64, ffn=96, layers=2, heads=4, kv_heads=2, init_std=0.2))


@pytest.fixture(scope="session")
def yes_no() -> dict[str, tuple[str, ...]]:
    return {code: row.yes_no_maybe for code, row in LANGUAGES.items()}
