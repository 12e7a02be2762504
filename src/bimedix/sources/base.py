"""What the readers of published data sets share: the registry's row, typed access to raw rows, drops.

A reader takes one file and yields records, or a `Dropped` with a short countable reason for an item that
cannot be used. A file that is not what it claims to be (another key, a letter outside the options) stops
the reader with `DataError` and file:line, because such a file would silently change every item after it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from bimedix.records import (
    Conversation,
    Dialogue,
    Dropped,
    MultipleChoice,
    OpenQuestion,
    Origin,
    ParallelText,
    Passage,
    Translation,
    content_id,
)
from bimedix.sources.rows import Row, clean, csv_rows, json_list, json_object

__all__ = [
    "LETTERS", "ROOM", "Given", "Options", "Row", "Source", "clean", "csv_rows", "cut_options", "drop",
    "json_list", "json_object", "letters_to_indexes", "multiple_choice", "origin", "source_id", "split_of",
    "word_to_indexes",
]  # fmt: skip

ROOM = "sources"
LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")
_SPLITS = {
    "train": "train", "training": "train", "dev": "validation", "valid": "validation", "val": "validation",
    "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip

Given: TypeAlias = (
    MultipleChoice | OpenQuestion | Dialogue | Passage | Conversation | ParallelText | Translation | Dropped
)
"""What a reader yields."""


@dataclass(frozen=True)
class Options:
    """What a recipe may say about a file that the file does not say itself; empty = as published."""

    language: str = ""
    """ISO 639-1; for files whose language is not in their name, path or rows."""
    split: str = ""
    """train, validation or test; goes into `origin.split` in place of what the path says."""
    encoding: str = ""
    """Codec name (gb18030, cp1251, ...); empty = the source's own, mostly UTF-8."""
    revision: str = ""
    """Commit or version; the room fills in the hash of the file when nothing is given."""
    index_base: int | None = None
    """0 or 1: what the first option's number is, where copies of a source differ (MedMCQA)."""


@dataclass(frozen=True)
class Source:
    """One row of the registry."""

    name: str
    """Name in recipes, and `origin.dataset`."""
    title: str
    licence: str
    """SPDX identifier, or the publisher's words."""
    address: str
    """Where it is published."""
    languages: tuple[str, ...]
    gives: str
    """Tag of the records it gives: multiple_choice, open_question, dialogue, passage, parallel_text, ..."""
    files: tuple[str, ...]
    """Patterns of its files, as published; matched against the end of a path (`medmcqa/*/dev.json`)."""
    read: Callable[[Path, Options], Iterator[Given]]
    notices: Mapping[str, Callable[[Given], int]] = field(default_factory=dict)
    """What to count in its records for the report, by name: damage that the publisher left behind."""


def source_id(dataset: str, key: str) -> str:
    """Return `dataset:key`; `@` and `#` are escaped, because they mark translation and synthesis in ids."""
    return f"{dataset}:{clean(key).replace('%', '%25').replace('@', '%40').replace('#', '%23')}"


def origin(
    source: str, licence: str, row: Row, options: Options, *, key: str = "", split: str = ""
) -> Origin:
    """Return where a row comes from; the recipe's split wins over `split`, which wins over the path's."""
    split = options.split or split or split_of(row.path)
    return Origin(source, key or row.place, options.revision, licence, split)


def split_of(path: Path) -> str:
    """Return the split that a path names (`dev.json`, `test/anatomy.csv`), or nothing.

    The file's name is read word by word, folders only when their whole name is a split.
    """
    words = re.findall(r"[a-z]+", path.stem.lower())
    folders = [part.lower() for part in path.parts[-2:-4:-1]]
    return next((_SPLITS[word] for word in [*words, *folders] if word in _SPLITS), "")


def drop(dataset: str, row: Row, reason: str, *, id: str = "", detail: str = "") -> Dropped:
    """Return the row as a `Dropped`, whole, with a short countable reason."""
    record = json.dumps(dict(row.values), ensure_ascii=False, default=str)
    return Dropped(id or content_id(dataset, record), ROOM, reason, row.place, clean(detail), clean(record))


def letters_to_indexes(
    letters: str | Sequence[str], count: int, row: Row, labels: Sequence[str] = LETTERS
) -> tuple[int, ...]:
    """Return the ascending indexes of answer letters: `"B"`, `"(B)"`, `"A,C"`, `"ac"`, `["a", "c"]`.

    Raises:
        DataError: something that is not a letter, or a letter outside the `count` options.
    """
    if isinstance(letters, str):
        letters = [part for part in re.split(r"[^\w]+", letters) if part]
        if len(letters) == 1 and letters[0].upper() not in labels:
            letters = list(letters[0])
    found = {_letter_to_index(letter, count, row, labels) for letter in letters}
    return tuple(sorted(found))


def _letter_to_index(letter: object, count: int, row: Row, labels: Sequence[str]) -> int:
    label = str(letter).strip().upper()
    if label not in labels[:count]:
        raise row.error(f"answer '{letter}' is not one of the options {', '.join(labels[:count])}.")
    return labels.index(label)


def word_to_indexes(word: str, words: Sequence[str], row: Row) -> tuple[int, ...]:
    """Return the index of an answer word (yes, да, ...); nothing for an empty word, which is a private key.

    Raises:
        DataError: the word is not one of `words`.
    """
    if not word:
        return ()
    if word.lower() not in words:
        raise row.error(f"answer '{word}' is not one of {', '.join(words)}.")
    return (words.index(word.lower()),)


def cut_options(
    text: str, labels: Mapping[str, int], *, gaps: bool = False
) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Cut a text at option labels (`(A) ..`, `B. ..`, `ج. ..`) that begin its lines.

    Args:
        labels: each label and its number; two spellings of one label share a number.
        gaps: take a label that skips numbers (some exams go أ ب ج هـ), and let the first one stand within
            a line where no line begins with it. Without, labels have to follow each other, so that a
            line such as `E. coli` inside an option stays text.

    Returns:
        the text before the first label, and (number, option) in order.
    """
    names = "|".join(sorted(map(re.escape, labels), key=len, reverse=True))
    marks = ".)-" if gaps else ".)"
    found = [
        (labels[match[1]], match.start(), match.end())
        for match in re.finditer(rf"(?m)^[ \t]*\(?({names})[{re.escape(marks)}]", text)
    ]
    if gaps and not any(number == 0 for number, _, _ in found):
        inline = (match for match in re.finditer(rf"\s({names})[.)-]", text) if labels[match[1]] == 0)
        found = [(0, match.start(), match.end()) for match in inline][:1] + found
    starts: list[tuple[int, int, int]] = []
    for number, start, end in found:
        last, at = (starts[-1][0], starts[-1][2]) if starts else (-1, 0)
        if start >= at and (number == last + 1 or (gaps and number > last)):
            starts.append((number, start, end))
    ends = [start for _, start, _ in starts[1:]] + [len(text)]
    options = tuple((n, clean(text[at:end])) for (n, _, at), end in zip(starts, ends, strict=False))
    return clean(text[: starts[0][1]] if starts else text), options


def multiple_choice(
    dataset: str,
    row: Row,
    *,
    id: str,
    language: str,
    origin: Origin,
    question: str,
    options: Sequence[str],
    answers: tuple[int, ...],
    **more: Any,
) -> MultipleChoice | Dropped:
    """Return the question, or a `Dropped` when it has no text, no options, or an empty or ninth option."""
    reason = ""
    if not question:
        reason = "the question is empty"
    elif not options:
        reason = "has no options"
    elif len(options) < 2:
        reason = "has fewer than 2 options"
    elif len(options) > 8:
        reason = "has more than 8 options"
    elif not all(options):
        reason = "an option is empty"
    if reason:
        return drop(dataset, row, reason, id=id)
    return MultipleChoice(id, language, origin, question, tuple(options), answers, **more)
