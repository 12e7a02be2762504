"""MentalQA: 350 Arabic questions about mental health with answers of doctors, anonymous posts of a forum.

`Train_Dev.tsv`; kinds of question (letters) and of answer (numbers) are lists written as text:

    question	answer	final_QT	final_AS
    لا أنام جيدا منذ شهر، ما العمل؟	يفضل مراجعة الطبيب.	['A', 'D']	['1']

The test questions are published without header and without answers and are not read.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin
from bimedix.sources.texts import open_question

NAME = "mentalqa"
LICENCE = "MIT"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row; the kinds of the question are its subject ("A,D")."""
    columns = ("question", "answer", "final_QT")
    for row in csv_rows(path, columns, encoding=options.encoding, delimiter="\t"):
        kinds = ",".join(re.findall(r"\w+", row.text("final_QT")))
        place = origin(NAME, LICENCE, row, options, split="train")
        question, answer = row.text("question"), row.text("answer")
        yield open_question(row, place, options.language or "ar", question, answer, subject=kinds)


SOURCE = Source(
    name=NAME,
    title="MentalQA",
    licence=LICENCE,
    address="https://github.com/hasanhuz/MentalQA",
    languages=("ar",),
    gives="open_question",
    files=("Train_Dev.tsv",),
    read=read,
)
