"""MedArabiQ: Arabic medical questions of seven kinds, for evaluation only (no redistribution).

Kinds are told by the columns. `multiple-choice-questions.csv`, `multiple-choice-withbias.csv` (invented):

    Question,Answer,Category
    "أي عضو يضخ الدم؟
    أ. الكبد
    ب. القلب",ب. القلب,Physiology

`fill-in-the-blank-*.csv` hold every item in Arabic and English, with options inside the question or
without; `patient-doctor-qa*.csv` hold Question_description and Answer_details.

Options carry Arabic letters in two spellings (أ or ا, هـ or ه), may skip a letter, and the first may stand
in the line of the question. An answer is the letter with its text, sometimes cut. An answer whose letter
is none of the options drops the item.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bimedix.records import OpenQuestion, content_id, translated_id
from bimedix.sources.base import (
    LETTERS,
    Given,
    Options,
    Row,
    Source,
    csv_rows,
    cut_options,
    drop,
    multiple_choice,
    origin,
)

NAME = "medarabiq"
LICENCE = "NYU: internal non-commercial research only, no redistribution"
LABELS: dict[str, Mapping[str, int]] = {
    "ar": {"أ": 0, "ا": 0, "إ": 0, "ب": 1, "ج": 2, "د": 3, "هـ": 4, "ه": 4, "و": 5},
    "en": {letter: number for number, letter in enumerate(LETTERS[:6])},
}
"""Labels of options and their numbers, by language."""
KINDS = (
    (("Question", "Answer", "Category"), (("ar", "Question", "Answer"),)),
    (
        ("Question - Arabic", "Answer - Arabic", "Question - English", "Answer - English", "Category"),
        (("ar", "Question - Arabic", "Answer - Arabic"), ("en", "Question - English", "Answer - English")),
    ),
    (("Question_description", "Answer_details"), (("ar", "Question_description", "Answer_details"),)),
)
"""Columns of a kind of file; language, question column and answer column of what it gives."""


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one file."""
    for row in csv_rows(path, (), encoding=options.encoding):
        given = next((given for columns, given in KINDS if set(columns) <= set(row.values)), None)
        if given is None:
            known = "; ".join(", ".join(columns) for columns, _ in KINDS)
            raise row.error(
                f"no known kind of file has the columns {', '.join(row.values):.200}.\n  Known: {known}."
            )
        first = content_id(NAME, row.text(given[0][1]), row.text(given[0][2]))
        for number, (code, question, answer) in enumerate(given):
            yield _item(row, options, code, question, answer, first, translated=number > 0)


def _item(
    row: Row, options: Options, code: str, question: str, answer: str, first: str, *, translated: bool
) -> Given:
    item_id = translated_id(first, code) if translated else first
    parents = (first,) if translated else ()
    came_from = origin(NAME, LICENCE, row, options, split="test")
    subject = row.optional("Category")
    stem, numbered = cut_options(row.text(question), LABELS[code], gaps=True)
    if len(numbered) < 2:
        if not row.text(question) or not row.text(answer):
            return drop(NAME, row, "the question or the answer is empty", id=item_id)
        texts = row.text(question), row.text(answer)
        return OpenQuestion(item_id, code, came_from, *texts, subject=subject, parents=parents)
    right = _right(row.text(answer), numbered, LABELS[code])
    if right is None:
        return drop(NAME, row, "the answer names no option", id=item_id, detail=row.text(answer))
    return multiple_choice(
        NAME, row, id=item_id, language=code, origin=came_from, question=stem,
        options=[text for _, text in numbered], answers=(right,), subject=subject, parents=parents,
    )  # fmt: skip


def _right(answer: str, numbered: tuple[tuple[int, str], ...], labels: Mapping[str, int]) -> int | None:
    """Return the place of the option that an answer names by letter, or else by its whole text."""
    names = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    found = re.match(rf"({names})(?:[.)\-]|$)", answer)
    if found:
        return next((at for at, (number, _) in enumerate(numbered) if number == labels[found[1]]), None)
    return next((at for at, (_, text) in enumerate(numbered) if text == answer), None)


SOURCE = Source(
    name=NAME,
    title="MedArabiQ",
    licence=LICENCE,
    address="https://github.com/nyuad-cai/MedArabiQ",
    languages=("ar", "en"),
    gives="multiple_choice",
    files=("multiple-choice-*.csv", "fill-in-the-blank-*.csv", "patient-doctor-qa*.csv"),
    read=read,
)
