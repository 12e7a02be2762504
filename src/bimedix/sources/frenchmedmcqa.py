"""FrenchMedMCQA: exams of the French diploma in pharmacy; most questions have several right answers.

An item of `corpus/train.json`, a JSON list with ASCII escapes (invented):

    {"id": "00ab", "question": "Quels organes sont pairs ?",
     "answers": {"a": "Les reins", "b": "Le foie", "c": "Les poumons", "d": "La rate", "e": "Le coeur"},
     "correct_answers": ["a", "c"], "subject_name": "pharmacie", "type": "multiple",
     "nbr_correct_answers": 2}
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

NAME, LICENCE = "frenchmedmcqa", "Apache-2.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    for row in json_list(path, options.encoding):
        yield _question(row, options)


def _question(row: Row, options: Options) -> Given:
    key, choices = row.text("id"), row.within("answers")
    letters = sorted(choices.values)
    labels = [letter.upper() for letter in letters]
    return multiple_choice(
        NAME,
        row,
        id=source_id(NAME, key),
        language=options.language or "fr",
        origin=origin(NAME, LICENCE, row, options, key=key),
        question=row.text("question"),
        options=[choices.text(letter) for letter in letters],
        answers=_answers(row, labels),
        subject=row.optional("subject_name"),
    )


def _answers(row: Row, labels: list[str]) -> tuple[int, ...]:
    answers = letters_to_indexes(row.texts("correct_answers"), len(labels), row, labels)
    stated = row.values.get("nbr_correct_answers", len(answers))
    if stated != len(answers):
        raise row.error(f"{len(answers)} right answers, and 'nbr_correct_answers' says {stated!r}.")
    return answers


SOURCE = Source(
    name=NAME,
    title="FrenchMedMCQA",
    licence=LICENCE,
    address="https://github.com/qanastek/FrenchMedMCQA",
    languages=("fr",),
    gives="multiple_choice",
    files=tuple(f"corpus/{split}.json" for split in ("train", "dev", "test")),
    read=read,
)
