"""One's own instructions in the layout of Alpaca, as most instruction sets are passed around.

A row of any `.json` or `.jsonl` (or Parquet) that a recipe names:

    {"instruction": "Answer the patient.", "input": "Why does my knee click?", "output": "Mostly gas."}

`input` may be missing; it becomes the context. The language is the row's (`language` or `lang`) or the
recipe's.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.formats import INSTRUCTION, InstructionRow
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.own import LICENCE, read_rows

NAME = "instruction"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield an open question per row."""
    yield from read_rows(NAME, path, options, INSTRUCTION, _unusable)


def _unusable(row: InstructionRow) -> str:
    if not row.instruction.strip():
        return "the question is empty"
    return "" if row.output.strip() else "the answer is empty"


SOURCE = Source(
    name=NAME,
    title="Your own instructions: instruction, input, output",
    licence=LICENCE,
    address="https://github.com/bimedix/bimedix",
    languages=("ar", "en", "es", "fr", "ja", "ru", "zh"),
    gives="open_question",
    files=(),
    read=read,
)
