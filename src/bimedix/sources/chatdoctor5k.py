"""GenMedGPT-5k: 5,452 questions and answers written by a chat model, from the ChatDoctor repository.

`chatdoctor5k.json`, a JSON list with the keys of HealthCareMagic-100k:

    {"instruction": "If you are a doctor, please answer ...", "input": "Doctor, my ear itches.",
     "output": "Please do not put anything into it; we will have a look."}

The README asks for academic, non-clinical use; no person wrote these texts.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, json_list, origin
from bimedix.sources.texts import open_question

NAME = "chatdoctor5k"
LICENCE = "Apache-2.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row."""
    for row in json_list(path, options.encoding):
        question = row.text("input") or row.text("instruction")
        place = origin(NAME, LICENCE, row, options)
        yield open_question(row, place, options.language or "en", question, row.text("output"))


SOURCE = Source(
    name=NAME,
    title="GenMedGPT-5k (ChatDoctor)",
    licence=LICENCE,
    address="https://github.com/Kent0n-Li/ChatDoctor",
    languages=("en",),
    gives="open_question",
    files=("chatdoctor5k.json", "GenMedGPT-5k.json"),
    read=read,
)
