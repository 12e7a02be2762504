"""MTS-Dialog: 1,701 short talks between doctor and patient, written by people to match clinical notes.

`Main-Dataset/MTS-Dialog-*.csv`:

    ID,section_header,section_text,dialogue
    0,CC,Knee pain.,"Doctor: What brings you here?
    Patient: My knee hurts.
    Guest_family: He fell on Sunday."

Speakers are Doctor, Patient, Guest_family and Guest_clinician, some with a number and some misspelled;
talks with one speaker, and those of clinicians among themselves, are dropped. The note
(`section_text`) is not used.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, csv_rows, origin, source_id
from bimedix.sources.texts import dialogue, lines_by_speaker

NAME = "mts_dialog"
LICENCE = "CC-BY-4.0"
_SAID = re.compile(r"\s*([A-Za-z][A-Za-z_ ]{2,18}?(?:_?\d)?)\s*:\s*(.*)", re.DOTALL)
_SPLITS = {"training": "train", "validation": "validation", "test": "test"}


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a dialogue per row; the section of the note is its subject."""
    split = next((split for word, split in _SPLITS.items() if word in path.stem.lower()), "")
    for row in csv_rows(path, ("ID", "section_header", "dialogue"), encoding=options.encoding):
        key = f"{path.stem.removeprefix('MTS-Dialog-')}/{row.text('ID')}"
        yield dialogue(
            row,
            origin(NAME, LICENCE, row, options, key=key, split=split),
            options.language or "en",
            lines_by_speaker(row.text("dialogue"), _SAID),
            id=source_id(NAME, key),
            subject=row.text("section_header"),
        )


SOURCE = Source(
    name=NAME,
    title="MTS-Dialog",
    licence=LICENCE,
    address="https://github.com/abachaa/MTS-Dialog",
    languages=("en",),
    gives="dialogue",
    files=("MTS-Dialog-*.csv",),
    read=read,
)
