"""One's own conversations in the layout of ShareGPT and Vicuna, in which BiMediX kept its training set.

A row of any `.json` or `.jsonl` (or Parquet) that a recipe names:

    {"id": "7", "conversations": [{"from": "human", "value": "Why does my knee click?"},
                                  {"from": "gpt", "value": "Mostly gas in the joint."}], "language": "en"}

`from` may be human, user, gpt, AI, assistant or system. The language is the row's or the recipe's.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.formats import SHAREGPT, SHAREGPT_ROLES, ShareGptRow
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.own import EMPTY_MESSAGE, LICENCE, read_rows

NAME = "sharegpt"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a conversation per row."""
    yield from read_rows(NAME, path, options, SHAREGPT, _unusable)


def _unusable(row: ShareGptRow) -> str:
    if not row.conversations:
        return "has no messages"
    roles = [SHAREGPT_ROLES.get(said.speaker.strip().lower()) for said in row.conversations]
    if None not in roles and "assistant" not in roles:
        return "no message of the assistant"
    return EMPTY_MESSAGE if any(not said.value.strip() for said in row.conversations) else ""


SOURCE = Source(
    name=NAME,
    title="Your own conversations in the layout of ShareGPT and Vicuna",
    licence=LICENCE,
    address="https://github.com/bimedix/bimedix",
    languages=("ar", "en", "es", "fr", "ja", "ru", "zh"),
    gives="conversation",
    files=(),
    read=read,
)
