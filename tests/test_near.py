"""Near-duplicates: proposed by MinHash, decided by the texts."""

import random
import subprocess
import sys

import pytest

from bimedix.overlap.near import BANDS, NearDuplicates, band_keys, jaccard, runs_of
from bimedix.records import Origin, Passage

WORDS = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("al", "ere", "ino", "os", "um", "yla")]


def passage(id: str, text: str, language: str = "en") -> Passage:
    return Passage(id, language, Origin("web"), text)


def drawn(seed: int, words: int = 80) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def groups(records: list[Passage], least: float = 0.8) -> list[list[str]]:
    near = NearDuplicates(least)
    for place, record in enumerate(records):
        near.add(record, place)
    found = near.groups(lambda place: records[place], lambda one, other: True)
    return [[records[place].id for place in places] for places in found]


def with_one_word_more(words: list[str], at: int) -> str:
    return " ".join([*words[:at], "indeed", *words[at:]])


def test_texts_that_differ_in_a_word_are_one_and_others_are_not() -> None:
    """The third differs from the first in case, punctuation and spaces alone."""
    words = drawn(1)
    records = [
        passage("a", " ".join(words)),
        passage("b", with_one_word_more(words, 40)),
        passage("c", " ".join(words).capitalize().replace(" ", ",  ", 30)),
        passage("d", " ".join(drawn(2))),
        passage("e", " ".join(words[::-1])),
    ]

    assert groups(records) == [["a", "b", "c"]]


def test_groups_are_those_of_comparing_all_with_all() -> None:
    """200 texts with up to 12 changed words; pairs above 0.8 are found, and none below 0.8 is merged."""
    draw = random.Random(3)
    records = []
    for group in range(50):
        words = drawn(group, 120)
        for copy in range(4):
            changed = list(words)
            for _ in range(draw.choice((0, 1, 2, 3, 6, 12)) if copy else 0):
                changed[draw.randrange(len(changed))] = draw.choice(WORDS)
            records.append(passage(f"{group}:{copy}", " ".join(changed)))
    runs = {record.id: runs_of(record) for record in records}
    alike = {
        (a.id, b.id)
        for a in records
        for b in records
        if a.id < b.id and jaccard(runs[a.id], runs[b.id]) >= 0.8
    }
    found = groups(records)
    together = {tuple(sorted((a, b))) for members in found for a in members for b in members if a != b}

    assert len(alike) > 60
    assert alike <= together
    for members in found:
        assert all(any(tuple(sorted((one, other))) in alike for other in members) for one in members)


@pytest.mark.parametrize(
    ("code", "text"),
    [("zh", "患者男性因反复上腹部疼痛伴反酸嗳气就诊胃镜检查提示十二指肠球部溃疡幽门螺杆菌检测阳性" * 2),
     ("ar", "راجع رجل العيادة بسبب ألم متكرر في أعلى البطن مع حموضة وأظهر التنظير قرحة في الاثني عشر")],
)  # fmt: skip
def test_other_scripts_are_compared_too(code: str, text: str) -> None:
    """Characters where words are not spaced; in Arabic vowel signs and forms of alef make no other text."""
    changed = text[:-1] if code == "zh" else text.replace("أعلى", "اعلى").replace("قرحة", "قَرْحة")

    assert groups([passage("a", text, code), passage("b", changed, code)]) == [["a", "b"]]
    assert groups([passage("a", text, code), passage("b", changed, "en")]) == []


def test_what_the_caller_keeps_apart_stays_apart() -> None:
    words = drawn(5)
    records = [passage("a", " ".join(words)), passage("b", with_one_word_more(words, 9))]
    near = NearDuplicates(0.8)
    for place, record in enumerate(records):
        near.add(record, place)

    assert list(near.groups(lambda place: records[place], lambda one, other: False)) == []
    assert near.kept_apart == 1


def test_keys_are_the_same_in_every_process() -> None:
    """Python's own hashes change with each start; these may not, or no mix could be made again."""
    code = (
        "from bimedix.overlap.near import *; from bimedix.records import *;"
        "print(band_keys(runs_of(Passage('a', 'en', Origin('t'), 'one two three four five six seven')), 'en')"
        ".tolist())"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    here = band_keys(runs_of(passage("a", "one two three four five six seven")), "en")

    assert told == {f"{here.tolist()}\n"}
    assert len(here) == BANDS


def test_empty_texts_and_crowded_buckets_do_no_harm() -> None:
    """A thousand equal texts are one group; a record without a word is in none."""
    records = [passage(f"{n}", "the same few words in every one of them") for n in range(1000)]

    assert [len(members) for members in groups([*records, passage("empty", "…")])] == [1000]
