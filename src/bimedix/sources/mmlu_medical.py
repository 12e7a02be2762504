"""MMLU, the six medical subjects, in English and in the Arabic of AceGPT.

A row of `test/anatomy_test.csv`, which has NO header: question, four options, letter (invented):

    Which organ pumps blood?,Heart,Liver,Spleen,Skin,A

The language comes from the recipe, from a folder above the file (`en`, `ar`, `MMLUArabic`), or from the
script in which most letters of the file are written.
The Arabic rows were written by a chat model, and about a fifth of them are no translation of their
English row: this reader passes them on as published, `integrity` is what finds them.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.files import read_text
from bimedix.languages import LANGUAGES
from bimedix.records import content_id
from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    csv_rows,
    letters_to_indexes,
    multiple_choice,
    origin,
    split_of,
)
from bimedix.text import script_shares

NAME, LICENCE = "mmlu_medical", "MIT; Arabic rows Apache-2.0 (AceGPT)"
LICENCES = {"en": "MIT", "ar": "Apache-2.0"}
"""Licence of the rows by language."""
SUBJECTS = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics",
    "professional_medicine",
)  # fmt: skip
COLUMNS = ("question", "A", "B", "C", "D", "answer")
FOLDERS = {code: code for code in LANGUAGES} | {"MMLUArabic": "ar"}
"""Folder names that tell a language."""
PUBLISHED = ("en", "ar")
PARENTS_SEARCHED = 4
"""How many folders above the file may tell its language."""


def language_of(path: Path, options: Options) -> str:
    """Return the language that the recipe, a folder or the script names."""
    folders = path.parts[-2 : -2 - PARENTS_SEARCHED : -1]
    found = options.language or next((FOLDERS[part] for part in folders if part in FOLDERS), "")
    if not found:
        shares = script_shares(read_text(path, options.encoding or "utf-8"))
        found = next((code for code in PUBLISHED if shares.get(LANGUAGES[code].script, 0.0) >= 0.5), "")
    if not found:
        raise DataError(
            f"{path}: neither folder nor script tells the language.\n"
            '  Say `language = "en"` (hendrycks/test) or `language = "ar"` for this file.'
        )
    return found


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one subject."""
    yield from read_subject(path, options, NAME)


def read_subject(path: Path, options: Options, name: str) -> Iterator[Given]:
    """Yield the questions of one file in the layout of MMLU, under the name of a source."""
    code, split = language_of(path, options), split_of(path)
    subject = path.stem.removesuffix("_test").removesuffix("_dev").removesuffix("_val").replace("_", " ")
    for row in csv_rows(path, COLUMNS, header=False, encoding=options.encoding):
        if row.line == 1 and _is_header(row):
            continue
        question, texts = row.text("question"), [row.text(letter) for letter in "ABCD"]
        yield multiple_choice(
            name,
            row,
            id=content_id(name, code, question, *texts),
            language=code,
            origin=origin(name, LICENCES.get(code, LICENCE), row, options, split=split),
            question=question,
            options=texts,
            answers=letters_to_indexes([row.text("answer")], 4, row),
            subject=subject,
        )


def _is_header(row: Row) -> bool:
    """Tell a row of column names, which copies of the set have, from a first question."""
    return row.text("answer").lower() == "answer"


SOURCE = Source(
    name=NAME,
    title="MMLU, medical subjects (English, Arabic)",
    licence=LICENCE,
    address="https://github.com/hendrycks/test",
    languages=PUBLISHED,
    gives="multiple_choice",
    files=tuple(f"{split}/{subject}_{split}.csv" for subject in SUBJECTS for split in ("test", "dev", "val")),
    read=read,
)
