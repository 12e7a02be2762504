"""`bimedix show`: look into the records of any stage, right-to-left text in isolates."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bimedix.errors import DataError, MissingError, did_you_mean
from bimedix.files import read_any_records
from bimedix.records import Conversation, Dropped, Item, Record, Translation, encode, item_fields
from bimedix.stage import DROPPED, RECORDS
from bimedix.text import isolate


def show_records(
    path: Path, *, count: int, record_id: str | None, drops: bool, tokens: bool, as_json: bool
) -> None:
    """Print the first records of a file or stage, or the one with a given id.

    Raises:
        MissingError: no such file or id.
    """
    file = records_file(path, DROPPED if drops else RECORDS)
    records: Any = read_any_records(file)
    if record_id is not None:
        records, ids = _with_id(records, record_id)
        if not records:
            seen = f"The first ids: {', '.join(ids[:3])}." if ids else "The file is empty."
            hint = did_you_mean(record_id, ids)
            raise MissingError(f"{file}: no record with the id '{record_id}'.{hint}\n  {seen}")
    for record in itertools.islice(records, count):
        if as_json:
            print(encode(record).decode())
        elif tokens:
            _print_tokens(record)
        else:
            _print_record(record)


def records_file(path: Path, name: str) -> Path:
    """Return the records file of a stage's folder, or the file itself."""
    if not path.is_dir():
        return path
    if not (path / name).exists():
        stages = sorted(p.name for p in path.iterdir() if (p / name).exists())
        hint = (
            f"Choose a stage: {', '.join(stages)}." if stages else "Name a records file, or a stage's folder."
        )
        raise MissingError(f"{path}: holds no {name}.\n  {hint}")
    return path / name


def _with_id(records: Any, record_id: str) -> tuple[list[Struct], list[str]]:
    ids: list[str] = []
    found: list[Struct] = []
    for record in records:
        if record.id == record_id:
            found.append(record)
        elif len(ids) < 100_000:
            ids.append(record.id)
    return found, ids


def _print_record(record: Struct) -> None:
    from rich.table import Table

    table = Table(
        title=f"{type(record).__name__}  {getattr(record, 'id', '')}", title_justify="left", show_header=False
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(record):
        table.add_row(name, isolate(value))
    _console().print(table)


def _console() -> Any:
    from rich.console import Console

    return Console(markup=False, highlight=False)


def _rows(record: Struct) -> list[tuple[str, str]]:
    match record:
        case Translation():
            return _translation_rows(record)
        case Dropped():
            told = [("reason", record.reason), ("place", record.place), ("detail", record.detail)]
            return [row for row in told if row[1]] + _dropped_rows(record.record)
        case Conversation():
            return [(message.role, message.content) for message in record.messages]
    if isinstance(record, Item):
        rows = list(item_fields(record).items())
        answers = getattr(record, "answers", None)
        return [*rows, ("answers", ", ".join(map(str, answers)))] if answers is not None else rows
    return [(name, str(value)) for name, value in msgspec.to_builtins(record).items()]


def _dropped_rows(text: str) -> list[tuple[str, str]]:
    try:
        return _rows(msgspec.json.decode(text, type=Record)) if text else []
    except msgspec.DecodeError:  # a raw row that never became a record
        return [("record", text)]


def _translation_rows(record: Translation) -> list[tuple[str, str]]:
    rows = [("route", record.route), ("reasons", "; ".join(record.reasons))]
    target = item_fields(record.target) if record.target else {}
    for name, text in item_fields(record.source).items():
        rows += [(name, text), ("", target.get(name, ""))]
    for index, attempt in enumerate(record.attempts):
        kept = " (kept)" if index == record.best else ""
        findings = "; ".join(f"{f.check}: {f.explanation}" for f in attempt.findings)
        rows.append((f"round {attempt.round}{kept}", f"score {attempt.score}  {findings}"))
    return rows


def _print_tokens(record: Struct) -> None:
    """Print a conversation token by token; supervised tokens stand on a coloured ground."""
    from rich.text import Text

    from bimedix.prompts.chat import MixtralPieces, encode_conversation
    from bimedix.tokens import piece_of

    if not isinstance(record, Conversation):
        raise DataError(
            f"record {getattr(record, 'id', '')}: --tokens needs conversations, such as those of the mix."
        )
    ids, supervised = encode_conversation(record.messages, MixtralPieces(), "mixtral")
    text = Text()
    for token, counts in zip(ids, supervised, strict=True):
        text.append(piece_of(token).replace("▁", " "), style="black on green" if counts else "dim")
    _console().print(text)
    _console().print(f"{len(ids)} tokens, {sum(supervised)} of them trained", style="bold")
