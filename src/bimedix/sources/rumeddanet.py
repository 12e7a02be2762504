"""RuMedDaNet: yes / no questions on short medical texts, in Russian.

A line of `RuMedDaNet/train_v1.jsonl` (invented):

    {"context": "Сердце перекачивает кровь.", "question": "Перекачивает ли сердце кровь?", "answer": "да",
     "pairID": "00ff"}
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.languages import language
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

NAME, LICENCE = "rumeddanet", "Apache-2.0"
WORDS = language("ru").yes_no_maybe[:2]


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file; a file without answers is a private test set."""
    for row in json_list(path, options.encoding):
        yield _question(row, options)


def _question(row: Row, options: Options) -> Given:
    code, key = options.language or "ru", row.text("pairID")
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, key),
        language=code,
        origin=origin(NAME, LICENCE, row, options, key=key),
        question=row.text("question"),
        options=language(code).yes_no_maybe[:2],
        answers=word_to_indexes(row.optional("answer") or "", WORDS, row),
        context=row.optional("context"),
    )


SOURCE = Source(
    name=NAME,
    title="RuMedDaNet",
    licence=LICENCE,
    address="https://github.com/sb-ai-lab/MedBench",
    languages=("ru",),
    gives="multiple_choice",
    files=("RuMedDaNet/*.jsonl",),
    read=read,
)
