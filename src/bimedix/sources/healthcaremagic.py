"""HealthCareMagic-100k: questions of patients and answers of doctors, collected for ChatDoctor.

`HealthCareMagic-100k.json`, a JSON list (112,165 rows):

    {"instruction": "If you are a doctor, please answer the medical questions based on the patient's
     description.", "input": "My ankle is swollen since Sunday.", "output": "Rest it and keep it raised."}

`instruction` is the same in all rows and is not kept. "Chat Doctor" stands for the names of sites and
doctors; the report counts it.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, json_list, origin
from bimedix.sources.boilerplate import substituted_names, without_boilerplate
from bimedix.sources.texts import open_question

NAME = "healthcaremagic"
LICENCE = "not stated; posts of healthcaremagic.com"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row."""
    for row in json_list(path, options.encoding):
        yield open_question(
            row,
            origin(NAME, LICENCE, row, options),
            options.language or "en",
            row.text("input") or row.text("instruction"),
            without_boilerplate(row.text("output")),
        )


SOURCE = Source(
    name=NAME,
    title="HealthCareMagic-100k",
    licence=LICENCE,
    address="https://github.com/Kent0n-Li/ChatDoctor",
    languages=("en",),
    gives="open_question",
    files=("HealthCareMagic-100k*.json", "HealthCareMagic-100k*.jsonl"),
    read=read,
    notices={"Chat Doctor in place of a name": substituted_names},
)
