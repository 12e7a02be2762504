"""One's own records in the layout of `bimedix.records`: what every stage writes, or what one writes by hand.

A row of any `.jsonl` (or list, or Parquet) that a recipe names:

    {"kind": "open_question", "id": "my:1", "language": "en", "origin": {"dataset": "my"},
     "question": "Why does my knee click?", "answer": "Mostly gas in the joint."}

Kinds: multiple_choice, open_question, dialogue, passage, conversation, parallel_text, translation. `id`,
`language` and `origin` may be left out: then they are a hash of the content, the recipe's, and the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from bimedix.errors import UsageError, did_you_mean
from bimedix.languages import language as language_row
from bimedix.records import (
    KINDS,
    Conversation,
    Dialogue,
    MultipleChoice,
    OpenQuestion,
    ParallelText,
    Passage,
    Translation,
    content_id,
)
from bimedix.sources.base import Given, Options, Row, Source, drop, json_list
from bimedix.sources.own import LICENCE, convert, language_of, origin_of

NAME = "records"
TAKEN = (
    "multiple_choice",
    "open_question",
    "dialogue",
    "passage",
    "conversation",
    "parallel_text",
    "translation",
)


def read(path: Path, options: Options) -> Iterator[Given]:
    """Yield every record; one whose texts are empty is dropped.

    Raises:
        DataError: a row is no record of these kinds; names file:line, the key and what was seen.
    """
    for row in json_list(path, options.encoding):
        record = _record(row, options)
        reason = _unusable(record)
        yield drop(NAME, row, reason, id=record.id) if reason else record


def _record(row: Row, options: Options) -> Any:
    kind = _kind(row)
    values = dict(row.values)
    if kind is not Translation:
        values = _completed(row, values, options)
    _refuse_slips(row, values, kind)
    record = convert(row, values, kind, f"a record of the kind '{row.values['kind']}'")
    for code in _codes(record):
        try:
            language_row(code)
        except UsageError as error:
            raise row.error(str(error)) from error
    return record


def _kind(row: Row) -> type[msgspec.Struct]:
    name = row.text("kind")
    if name not in TAKEN:
        raise row.error(
            f"'{name}' is no kind of record that a source gives.{did_you_mean(name, TAKEN)}\n"
            f"  Known: {', '.join(TAKEN)}."
        )
    return KINDS[name]


def _completed(row: Row, values: dict[str, Any], options: Options) -> dict[str, Any]:
    """Fill in language, origin and id where a row written by hand leaves them out."""
    if not values.get("language"):
        values["language"] = language_of(row, options)
    if not values.get("origin"):
        values["origin"] = msgspec.to_builtins(origin_of(NAME, row, options))
    elif options.split and isinstance(values["origin"], dict):
        values["origin"] = {**values["origin"], "split": options.split}
    if not values.get("id"):
        content = {key: value for key, value in values.items() if key not in ("id", "origin")}
        dataset = row.path.name.split(".")[0]
        values["id"] = content_id(dataset, msgspec.json.encode(content, order="sorted").decode())
    return values


def _refuse_slips(row: Row, values: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Refuse a misspelt key of an optional field, which would else be passed over in silence."""
    known = {*kind.__struct_fields__, "kind"}
    absent = known - values.keys()
    for key in values.keys() - known:
        hint = did_you_mean(str(key), absent)
        if hint:
            raise row.error(f"unknown key '{key}'.{hint}\n  Known: {', '.join(kind.__struct_fields__)}.")


def _codes(record: Any) -> tuple[str, ...]:
    match record:
        case Translation():
            return (record.source.language,)
        case ParallelText():
            return (record.language, record.target_language)
    return (cast(str, record.language),)


def _unusable(record: Any) -> str:
    """Return why a record of the right form cannot be used, or nothing."""
    texts: dict[str, tuple[str, ...]]
    match record:
        case MultipleChoice():
            texts = {"the question is empty": (record.question,), "an option is empty": record.options}
        case OpenQuestion():
            texts = {"the question is empty": (record.question,), "the answer is empty": (record.answer,)}
        case Dialogue():
            texts = {"a turn is empty": tuple(turn.text for turn in record.turns)}
        case Passage():
            texts = {"the text is empty": (record.text,)}
        case Conversation():
            texts = {"a message is empty": tuple(message.content for message in record.messages)}
        case ParallelText():
            texts = {"a segment is empty": (record.source, record.target)}
        case _:
            texts = {}
    return next((reason for reason, parts in texts.items() if not all(map(str.strip, parts))), "")


SOURCE = Source(
    name=NAME,
    title="Your own records, in the layout of bimedix.records",
    licence=LICENCE,
    address="https://github.com/bimedix/bimedix",
    languages=("ar", "en", "es", "fr", "ja", "ru", "zh"),
    gives="any kind",
    files=(),
    read=read,
)
