"""MMedBench: six medical exams in one layout, with rationales written by GPT-4 and partly checked.

A line of `Test/English.jsonl` (invented):

    {"question": "Which organs are paired?", "options": {"A": "Kidneys", "B": "Liver", "C": "Lungs"},
     "answer": "Kidneys", "answer_idx": "A,C", "rationale": "Two kidneys and two lungs.",
     "meta_info": "anatomy", "human_checked": true, "human_check_passed": true}

The language is the file's name. Some languages have more than one right letter.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.languages import LANGUAGES
from bimedix.records import content_id
from bimedix.sources.base import (
    Given,
    Options,
    Row,
    Source,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
)

NAME, LICENCE = "mmedbench", "CC-BY-NC-4.0"
FILES = {row.name: code for code, row in LANGUAGES.items()}
"""Name of a file without its ending, and its language."""


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one language and split."""
    code = options.language or FILES.get(path.stem, "")
    if not code:
        raise DataError(
            f"{path}: the file's name is no language ({', '.join(FILES)}).\n  Say `language` for this file."
        )
    for row in json_list(path, options.encoding):
        yield _question(row, options, code)


def _question(row: Row, options: Options, code: str) -> Given:
    question, choices = row.text("question"), row.within("options")
    letters = sorted(choices.values)
    while letters and not choices.text(letters[-1]):  # shorter items are padded with empty options
        letters.pop()
    texts = [choices.text(letter) for letter in letters]
    return multiple_choice(
        NAME,
        row,
        id=content_id(NAME, code, question, *texts),
        language=code,
        origin=origin(NAME, LICENCE, row, options),
        question=question,
        options=texts,
        answers=letters_to_indexes(row.text("answer_idx"), len(texts), row, letters),
        rationale=row.optional("rationale"),
        human_checked=_flag(row, "human_checked"),
        human_check_passed=_flag(row, "human_check_passed"),
    )


def _flag(row: Row, name: str) -> bool | None:
    found = row.values.get(name)
    if found not in (None, 0, 1):
        raise row.error(f"'{name}' is {found!r:.40}; true or false is needed.")
    return None if found is None else bool(found)


SOURCE = Source(
    name=NAME,
    title="MMedBench",
    licence=LICENCE,
    address="https://huggingface.co/datasets/Henrychur/MMedBench",
    languages=("en", "zh", "ja", "fr", "ru", "es"),
    gives="multiple_choice",
    files=tuple(f"{split}/{name}.jsonl" for split in ("Train", "Test") for name in FILES),
    read=read,
)
