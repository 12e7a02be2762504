"""ArabicMMLU: school and university exams written in Arabic; general knowledge with two to five options.

A row of `ArabicMMLUs.csv` (invented):

    #,ID,Source,Country,Group,Subject,Level,Question,Context,Answer Key,Option 1,...,Option 5,is_few_shot
    1,0,https://example.org,Egypt,STEM,Biology,High,أي عضو يضخ الدم؟,,B,الكبد,القلب,,,,0

Rows marked is_few_shot are the examples for prompts and carry split validation; all others are test items.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    csv_rows,
    letters_to_indexes,
    multiple_choice,
    origin,
    source_id,
)

NAME, LICENCE = "arabicmmlu", "CC-BY-NC-SA-4.0"
OPTIONS = tuple(f"Option {number}" for number in range(1, 6))
COLUMNS = ("ID", "Subject", "Question", "Context", "Answer Key", *OPTIONS, "is_few_shot")


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    for row in csv_rows(path, COLUMNS, encoding=options.encoding):
        yield _question(row, options)


def _question(row: Row, options: Options) -> Given:
    key = row.text("ID")
    texts = [row.text(name) for name in OPTIONS]
    while texts and not texts[-1]:
        texts.pop()
    few_shot = row.text("is_few_shot") in ("1", "1.0", "True")
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, key),
        language=options.language or "ar",
        origin=origin(NAME, LICENCE, row, options, key=key, split="validation" if few_shot else "test"),
        question=row.text("Question"),
        options=texts,
        answers=letters_to_indexes([row.text("Answer Key")], len(texts), row),
        context=row.optional("Context"),
        subject=row.optional("Subject"),
    )


SOURCE = Source(
    name=NAME,
    title="ArabicMMLU",
    licence=LICENCE,
    address="https://github.com/mbzuai-nlp/ArabicMMLU",
    languages=("ar",),
    gives="multiple_choice",
    files=("ArabicMMLU*.csv",),
    read=read,
)
