"""XMedBench of Apollo: medical exams of several languages in one layout, one file a language.

An item of `test/zh.json`, a JSON list (invented):

    {"question": "哪个器官泵血？", "options": "(A) 心\\n(B) 肝\\n(C) 脾\\n(D) 皮肤", "answer": "(A)",
     "source": "medqa-mcmle"}

The language is the file's name. The Arabic file is MMLU as AceGPT translated it, with Latin letters cut
out of 199 questions and the first question of professional medicine missing (it was read as a header).
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.languages import LANGUAGES
from bimedix.records import content_id
from bimedix.sources.base import (
    LETTERS,
    Given,
    Options,
    Row,
    Source,
    cut_options,
    json_list,
    letters_to_indexes,
    multiple_choice,
    origin,
)

NAME, LICENCE = "xmedbench", "Apache-2.0"
LABELS = {letter: number for number, letter in enumerate(LETTERS)}


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of one language."""
    code = options.language or path.stem
    if code not in LANGUAGES:
        raise DataError(
            f"{path}: the file's name is no known language code.\n  Say `language` for this file."
        )
    for row in json_list(path, options.encoding):
        yield _question(row, options, code)


def _question(row: Row, options: Options, code: str) -> Given:
    question, listed = row.text("question"), row.text("options")
    before, numbered = cut_options(listed, LABELS)
    if before:
        raise row.error(f"options do not begin with (A): {listed!r:.80}.")
    texts = [text for _, text in numbered]
    place = f"{row.text('source')} {row.place}"
    return multiple_choice(
        NAME,
        row,
        id=content_id(NAME, code, question, *texts),
        language=code,
        origin=origin(NAME, LICENCE, row, options, key=place, split="test"),
        question=question,
        options=texts,
        answers=letters_to_indexes(row.text("answer"), len(texts), row),
    )


SOURCE = Source(
    name=NAME,
    title="XMedBench",
    licence=LICENCE,
    address="https://github.com/FreedomIntelligence/Apollo",
    languages=("ar", "en", "es", "fr", "zh"),
    gives="multiple_choice",
    files=tuple(
        f"{folder}/{code}.json"
        for folder in ("metadata/test", "xmedbench/test", "*-xmedbench")
        for code in LANGUAGES
    ),
    read=read,
)
