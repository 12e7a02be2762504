"""XQuAD: 1,190 questions about 240 Wikipedia paragraphs, translated by professionals; general text.

`xquad.ar.json`, SQuAD 1.1:

    {"data": [{"title": "Knee", "paragraphs": [{"context": "The knee is a hinge joint.",
      "qas": [{"id": "k1", "question": "What is the knee?",
               "answers": [{"text": "a hinge joint", "answer_start": 12}]}]}]}], "version": "1.1"}

The same id stands for the same question in all languages; ids of records end in `/ar`, `/en`, ...
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import DataError
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.squad import read_squad
from bimedix.sources.texts import known_language

NAME = "xquad"
LICENCE = "CC-BY-SA-4.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of a file; its language is in its name."""
    language = options.language or known_language(path.name.split(".")[-2])
    if not language:
        raise DataError(f"{path}: its name holds no language of the table (xquad.ar.json); give `language`.")
    yield from read_squad(path, options, dataset=NAME, licence=LICENCE, language=language, split="test")


SOURCE = Source(
    name=NAME,
    title="XQuAD",
    licence=LICENCE,
    address="https://github.com/google-deepmind/xquad",
    languages=("ar", "en", "es", "ru", "zh"),
    gives="open_question",
    files=("xquad.*.json",),
    read=read,
)
