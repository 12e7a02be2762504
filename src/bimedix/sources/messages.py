"""One's own conversations as chat messages, the layout that trainers and endpoints use.

A row of any `.jsonl` (or list, or Parquet) that a recipe names:

    {"messages": [{"role": "user", "content": "Why does my knee click?"},
                  {"role": "assistant", "content": "Mostly gas in the joint."}], "language": "en"}

The language is the row's (`language` or `lang`) or the recipe's; the data set is the file's name.
"""

from collections.abc import Iterator
from pathlib import Path

from bimedix.formats import MESSAGES, MessagesRow
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.own import EMPTY_MESSAGE, LICENCE, read_rows

NAME = "messages"


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield a conversation per row."""
    yield from read_rows(NAME, path, options, MESSAGES, _unusable)


def _unusable(row: MessagesRow) -> str:
    if not row.messages:
        return "has no messages"
    if not any(said.role == "assistant" for said in row.messages):
        return "no message of the assistant"
    return EMPTY_MESSAGE if any(not said.content.strip() for said in row.messages) else ""


SOURCE = Source(
    name=NAME,
    title="Your own chat messages: role and content",
    licence=LICENCE,
    address="https://github.com/bimedix/bimedix",
    languages=("ar", "en", "es", "fr", "ja", "ru", "zh"),
    gives="conversation",
    files=(),
    read=read,
)
