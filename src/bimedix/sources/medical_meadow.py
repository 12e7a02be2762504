"""Medical Meadow (medAlpaca): flashcards, WikiDoc and WikiDoc patient information as instructions.

`medical_meadow_*.json`, JSON lists:

    {"instruction": "Answer this question truthfully", "input": "What is a boil?",
     "output": "A boil is an infected hair follicle."}

`instruction` is the same in all rows of a file and is not kept. Of `medical_meadow_small.json` 175 of
5,942 questions repeat; the room sets exact repeats aside.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, json_list, origin
from bimedix.sources.texts import open_question

NAME = "medical_meadow"
LICENCE = "GPL-3.0 (collection); CC-BY-SA-3.0 (WikiDoc texts)"
_PARTS = {
    "flashcards": "flashcards",
    "patient_info": "patient information",
    "small": "patient information",
    "wikidoc": "wikidoc",
}


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row; the part of the collection is its subject."""
    part = next((part for name, part in _PARTS.items() if name in path.stem.lower()), None)
    for row in json_list(path, options.encoding):
        question = row.text("input") or row.text("instruction")
        place = origin(NAME, LICENCE, row, options)
        yield open_question(row, place, options.language or "en", question, row.text("output"), subject=part)


SOURCE = Source(
    name=NAME,
    title="Medical Meadow: flashcards, WikiDoc, patient information",
    licence=LICENCE,
    address="https://github.com/kbressem/medAlpaca",
    languages=("en",),
    gives="open_question",
    files=("medical_meadow_*.json",),
    read=read,
)
