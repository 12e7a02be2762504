"""JSQuAD: questions about Japanese Wikipedia paragraphs, part of JGLUE; mostly general text.

`jsquad-v1.3/valid-v1.3.json`, SQuAD-like, in one line; each context opens with "title [SEP] ":

    {"data": [{"title": "膝", "paragraphs": [{"context": "膝 [SEP] 膝は関節である。",
      "qas": [{"id": "a1p0q0", "question": "膝は何か。", "is_impossible": false,
               "answers": [{"text": "関節", "answer_start": 10}]}]}]}]}
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.sources.base import Given, Options, Source, split_of
from bimedix.sources.squad import read_squad

NAME = "jsquad"
LICENCE = "CC-BY-SA-4.0"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield the questions of a file."""
    language = options.language or "ja"
    split = split_of(path)
    yield from read_squad(path, options, dataset=NAME, licence=LICENCE, language=language, split=split)


SOURCE = Source(
    name=NAME,
    title="JSQuAD (JGLUE)",
    licence=LICENCE,
    address="https://github.com/yahoojapan/JGLUE",
    languages=("ja",),
    gives="open_question",
    files=("jsquad-v1.*/*.json",),
    read=read,
)
