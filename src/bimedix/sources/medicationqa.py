"""MedicationQA: questions of consumers about drugs, with answers from drug information sites.

`MedInfo2019-QA-Medications.xlsx`, sheet DrugQA (690 rows, 46 questions repeat):

    Question                | Focus (Drug) | Question Type | Answer            | Section Title | URL
    how long does x work    | x            | Action        | About six hours.  | Use           | https://...
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bimedix.errors import DataError, did_you_mean
from bimedix.files import require_file
from bimedix.sources.base import Given, Options, Row, Source, clean, origin, source_id
from bimedix.sources.texts import open_question

NAME = "medicationqa"
LICENCE = "not stated; answers quote MedlinePlus, DailyMed and others"
COLUMNS = ("Question", "Answer", "Focus (Drug)", "Question Type", "Section Title", "URL")
_ENCRYPTED = b"\xd0\xcf\x11\xe0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row of the sheet; the drug is its subject."""
    for row in _rows(path):
        place = origin(NAME, LICENCE, row, options, key=str(row.line))
        yield open_question(
            row,
            place,
            options.language or "en",
            row.text("Question"),
            row.text("Answer"),
            id=source_id(NAME, f"row/{row.line}"),
            subject=row.text("Focus (Drug)"),
        )


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the first sheet; `line` is the row's number in the sheet."""
    with require_file(path).open("rb") as file:
        if file.read(4) == _ENCRYPTED:
            raise DataError(
                f"{path}:1: protected by a password, or an old .xls file.\n"
                "  Save it as .xlsx without a password."
            )
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:
        raise DataError(f"{path}:1: not an XLSX file: {error}.\n  Save it as .xlsx again.") from error
    try:
        yield from _of_sheet(path, book.worksheets[0].iter_rows(values_only=True))
    finally:
        book.close()


def _of_sheet(path: Path, table: Iterator[Sequence[Any]]) -> Iterator[Row]:
    header = [clean(str(cell or "")) for cell in next(table, ())]
    for name in COLUMNS:
        if name not in header:
            raise DataError(
                f"{path}:1: no column '{name}'.{did_you_mean(name, header)}\n"
                f"  The first row holds: {', '.join(header):.300}"
            )
    for number, cells in enumerate(table, start=2):
        texts = ["" if cell is None else str(cell) for cell in cells]
        if any(text.strip() for text in texts):
            yield Row(path, number, dict(zip(header, texts, strict=False)))


SOURCE = Source(
    name=NAME,
    title="MedicationQA (MedInfo 2019)",
    licence=LICENCE,
    address="https://github.com/abachaa/Medication_QA_MedInfo2019",
    languages=("en",),
    gives="open_question",
    files=("MedInfo2019-QA-Medications.xlsx",),
    read=read,
)
