"""The keyword filter on published texts whose subject is known, in seven languages."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bimedix.curate.filter import decide
from bimedix.curate.lists import keyword_list

TICO = {"ar": "en-ar", "en": "en-ar", "es": "en-es-LA", "fr": "en-fr", "ru": "en-ru", "zh": "en-zh"}


def medical_texts(folder: Path, code: str) -> list[str]:
    """Return texts of about 1,200 characters (400 in zh) from TICO-19: human translations on COVID-19."""
    texts: list[str] = []
    part = ""
    for unit in ElementTree.parse(folder / "tico19" / "TM" / f"all.{TICO[code]}.tmx").iter("tu"):
        sides = [segment.text or "" for segment in unit.iter("seg")]
        part += sides[0 if code == "en" else 1] + " "
        if len(part) > (400 if code == "zh" else 1200):
            texts.append(part)
            part = ""
    return texts


def general_texts(folder: Path, code: str) -> list[str]:
    """Return sentences of news and encyclopaedias (parallel treebanks), five at a time."""
    (file,) = (folder / "ud-pud").rglob(f"{code}_pud*.conllu")
    sentences = re.findall(r"^# text = (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return [" ".join(sentences[start : start + 5]) for start in range(0, len(sentences), 5)]


@pytest.mark.parametrize("code", sorted(TICO))
def test_most_texts_on_covid_pass(real_data: Path, code: str) -> None:
    """At least 80 % in each language: dialogue phrases, abstracts, encyclopaedia and news on the pandemic."""
    texts = medical_texts(real_data, code)
    accepted = sum(decide(text, keyword_list(code)).accepted for text in texts)

    assert len(texts) > 50
    assert accepted / len(texts) >= 0.8


@pytest.mark.parametrize("code", sorted(TICO))
def test_next_to_no_general_text_passes(real_data: Path, code: str) -> None:
    """At most 5 % of news and encyclopaedia texts, some of which are on medicine."""
    texts = general_texts(real_data, code)
    accepted = [text for text in texts if decide(text, keyword_list(code)).accepted]

    assert len(texts) >= 25
    assert len(accepted) / len(texts) <= 0.05
