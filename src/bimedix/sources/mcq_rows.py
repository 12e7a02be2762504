"""One's own multiple-choice questions, one plain row each.

A row of any `.jsonl` (or list, or Parquet) that a recipe names:

    {"id": "q1", "question": "Which vitamin prevents scurvy?", "options": ["A", "B", "C", "D"],
     "answer_idx": "C", "rationale": "Scurvy is a lack of vitamin C.", "lang": "en"}

`options` may also be {"A": ..., "B": ...}; several right answers are "A,C", a private key is "". The
language is the row's (`lang` or `language`) or the recipe's.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.formats import MCQ, McqRow
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.own import LICENCE, read_rows

NAME = "mcq_rows"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a question per row."""
    yield from read_rows(NAME, path, options, MCQ, _unusable)


def _unusable(row: McqRow) -> str:
    texts = list(row.options.values() if isinstance(row.options, dict) else row.options)
    while texts and not (texts[-1] or "").strip():
        texts.pop()
    if not row.question.strip():
        return "the question is empty"
    if len(texts) < 2:
        return "has fewer than 2 options" if texts else "has no options"
    if len(texts) > 8:
        return "has more than 8 options"
    return "" if all((text or "").strip() for text in texts) else "an option is empty"


SOURCE = Source(
    name=NAME,
    title="Your own multiple-choice questions, one plain row each",
    licence=LICENCE,
    address="https://github.com/bimedix/bimedix",
    languages=("ar", "en", "es", "fr", "ja", "ru", "zh"),
    gives="multiple_choice",
    files=(),
    read=read,
)
