"""RuMedTop3: complaints of Russian outpatients, and the ICD-10 code of the diagnosis.

`RuMedTop3/train_v1.jsonl` (4,690 / 848 / 822); test files may lack the code:

    {"idx": "q1a2b", "symptoms": "Боль в колене при ходьбе.", "code": "M17"}
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, json_list, origin, source_id
from bimedix.sources.texts import open_question

NAME = "rumedtop3"
LICENCE = "Apache-2.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row: the complaints, answered by the code."""
    for row in json_list(path, options.encoding):
        key = row.text("idx")
        yield open_question(
            row,
            origin(NAME, LICENCE, row, options, key=key),
            options.language or "ru",
            row.text("symptoms"),
            row.optional("code") or "",
            id=source_id(NAME, key),
        )


SOURCE = Source(
    name=NAME,
    title="RuMedTop3 (RuMedBench)",
    licence=LICENCE,
    address="https://github.com/sb-ai-lab/MedBench",
    languages=("ru",),
    gives="open_question",
    files=("RuMedTop3/*.jsonl",),
    read=read,
)
