"""MedQA: medical licence exams of the United States (en), mainland China and Taiwan (zh).

A line of `US/4_options/phrases_no_exclude_test.jsonl` (invented):

    {"question": "A man of 30 years sneezes in spring. What is likely?", "answer": "Allergy",
     "options": {"A": "Allergy", "B": "Gout", "C": "Scurvy", "D": "Rickets"}, "meta_info": "step1",
     "answer_idx": "A", "metamap_phrases": ["spring"]}

Files of five options and of the mainland have the same keys, without metamap_phrases. A folder that holds
both forms is read with four options; name the files to read the others.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.records import content_id
from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    clean,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
)

NAME, LICENCE = "medqa", "MIT"
EXAMS = {"US": "en", "Mainland": "zh", "Taiwan": "zh"}
"""Folder of an exam, and the language it is written in."""


def language_of(path: Path, options: Options) -> str:
    """Return the language that the recipe or the exam's folder names."""
    found = options.language or next((EXAMS[part] for part in reversed(path.parts) if part in EXAMS), "")
    if not found:
        raise DataError(
            f"{path}: no folder tells the exam ({', '.join(EXAMS)}).\n"
            '  Say `language = "en"` or `language = "zh"` for this file.'
        )
    return found


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    code = language_of(path, options)
    for row in json_list(path, options.encoding):
        yield _question(row, options, code)


def _question(row: Row, options: Options, code: str) -> Given:
    question, choices = row.text("question"), row.within("options")
    letters = sorted(choices.values)
    texts = [choices.text(letter) for letter in letters]
    return multiple_choice(
        NAME,
        row,
        id=content_id(NAME, question, *texts),
        language=code,
        origin=origin(NAME, LICENCE, row, options),
        question=question,
        options=texts,
        answers=_answers(row, texts, letters),
        subject=row.optional("meta_info"),
    )


def _answers(row: Row, texts: list[str], letters: list[str]) -> tuple[int, ...]:
    answers = letters_to_indexes(row.text("answer_idx"), len(texts), row, letters)
    if not answers:
        raise row.error("'answer_idx' is empty.")
    if len(answers) != 1 or texts[answers[0]] != clean(row.text("answer")):
        raise row.error(
            f"answer {row.text('answer')!r:.80} is not the option {row.text('answer_idx')}, "
            f"which is {texts[answers[0]]!r:.80}."
        )
    return answers


SOURCE = Source(
    name=NAME,
    title="MedQA",
    licence=LICENCE,
    address="https://github.com/jind11/MedQA",
    languages=("en", "zh"),
    gives="multiple_choice",
    files=tuple(f"{exam}/4_options/*.jsonl" for exam in EXAMS),
    read=read,
)
