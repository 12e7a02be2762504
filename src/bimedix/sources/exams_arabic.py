"""EXAMS, the Arabic part, as AceGPT repackaged it: school exams written in Arabic, not translated.

A line of `exam_test.jsonl` (invented):

    {"id": "Biology-1", "question": "أي عضو يضخ الدم؟", "A": "القلب", "B": "الكبد", "C": "الطحال",
     "D": "الجلد", "answer": "A"}

Subjects are science, social and Islamic studies, physics, biology; the texts hold traces of OCR.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
    source_id,
)

NAME, LICENCE = "exams_arabic", "Apache-2.0 (repackaging); EXAMS itself CC-BY-SA-4.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    for row in json_list(path, options.encoding):
        yield _question(row, options)


def _question(row: Row, options: Options) -> Given:
    key = row.text("id")
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, key),
        language=options.language or "ar",
        origin=origin(NAME, LICENCE, row, options, key=key),
        question=row.text("question"),
        options=[row.text(letter) for letter in "ABCD"],
        answers=letters_to_indexes([row.text("answer")], 4, row),
        subject=key.rpartition("-")[0] or None,
    )


SOURCE = Source(
    name=NAME,
    title="EXAMS, Arabic (AceGPT)",
    licence=LICENCE,
    address="https://github.com/FreedomIntelligence/AceGPT",
    languages=("ar",),
    gives="multiple_choice",
    files=("EXAMS_Arabic/*.jsonl", "exams-arabic/*.jsonl"),
    read=read,
)
