"""RuMedTest: Russian exam questions with four options; the published test set has no key.

A line of `RuMedTest/private_test_v1.jsonl` (invented):

    {"idx": "00ff", "question": "Кровь перекачивает", "1": "печень", "2": "сердце", "3": "кожа", "4": "почка"}

Where a file has `answer` ("1" to "4"), it is the key.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    json_list,
    multiple_choice,
    origin,
    source_id,
    word_to_indexes,
)

NAME, LICENCE = "rumedtest", "Apache-2.0"
NUMBERS = ("1", "2", "3", "4")


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    for row in json_list(path, options.encoding):
        yield _question(row, options)


def _question(row: Row, options: Options) -> Given:
    key = row.text("idx")
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, key),
        language=options.language or "ru",
        origin=origin(NAME, LICENCE, row, options, key=key),
        question=row.text("question"),
        options=[row.text(number) for number in NUMBERS],
        answers=word_to_indexes(row.name_of("answer"), NUMBERS, row),
    )


SOURCE = Source(
    name=NAME,
    title="RuMedTest",
    licence=LICENCE,
    address="https://github.com/sb-ai-lab/MedBench",
    languages=("ru",),
    gives="multiple_choice",
    files=("RuMedTest/*.jsonl",),
    read=read,
)
