"""`bimedix show`: look into the records of any stage, right-to-left text in isolates."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bimedix.errors import DataError, MissingError, UsageError, did_you_mean
from bimedix.files import read_any_records
from bimedix.planned import data_folder
from bimedix.prompts.chat import encoder
from bimedix.recipe import Recipe
from bimedix.records import Conversation, Dropped, Item, Record, Translation, encode, item_fields
from bimedix.stage import DROPPED, RECORDS
from bimedix.text import isolate, strip_controls
from bimedix.tokens import piece_of


def show_records(
    path: Path, *, count: int, record_id: str | None, drops: bool, tokens: bool, as_json: bool,
    recipe: Recipe | None = None,
) -> None:  # fmt: skip
    """Print the first records of a file or stage, or the one with a given id.

    Args:
        path: records file, or folder of a stage.
        count: how many.
        record_id: of the only one to show.
        drops: what the stage left out.
        tokens: conversations as tokens with their loss mask.
        as_json: as JSON Lines.
        recipe: whose [train] names tokenizer and template for `tokens`; Mixtral's own when None.

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
            _print_tokens(record, recipe)
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


def _print_tokens(record: Struct, recipe: Recipe | None) -> None:
    """Print a conversation token by token, as training reads it; what bears loss stands on a coloured ground.

    Raises:
        DataError: the record is no conversation, or its replies and the runs of trained tokens differ.
    """
    from rich.text import Text

    from bimedix.prompts.chat import encode_conversation

    place = f"record {getattr(record, 'id', '')}"
    if not isinstance(record, Conversation):
        raise DataError(f"{place}: --tokens needs conversations, such as those of the mix.")
    encoding = _encoding(recipe)
    tokenizer = encoding.encoder()
    ids, supervised = encode_conversation(record.messages, tokenizer, encoding.template)
    runs = _runs(supervised)
    replies = sum(message.role == "assistant" for message in record.messages)
    if len(runs) != replies or all(supervised):
        raise DataError(
            f"{place}: {replies} replies, and {len(runs)} runs of {sum(supervised)} of {len(ids)} tokens "
            f"bear loss.\n  The template '{encoding.template}' tells no replies from prompts: take another."
        )
    console = _console()
    opens, closes = {run.start for run in runs}, {run.stop for run in runs}
    text = Text()
    for at, piece in enumerate(_pieces(ids, tokenizer)):
        if not console.color_system:  # a file or a pipe: marks in place of colours
            text.append("⟧" * (at in closes) + "⟦" * (at in opens))
        text.append(
            piece, style=("black on green", "black on bright_green")[at % 2] if supervised[at] else "dim"
        )
    console.print(text if console.color_system or len(ids) not in closes else text + Text("⟧"))
    told = f"{len(ids)} tokens, {sum(supervised)} of them trained, in {replies} "
    told += "reply" if replies == 1 else "replies"
    console.print(f"{told}; template '{encoding.template}', tokenizer '{encoding.tokenizer}'", style="bold")
    for number, run in enumerate(runs, 1):
        if encoder(tokenizer).end_id not in ids[run.start : run.stop]:
            console.print(
                f"reply {number}: its stop token is not trained, so that it is never learned to end"
            )


def _encoding(recipe: Recipe | None) -> Any:
    """Return how the recipe's training encodes, or Mixtral's own tokenizer and template."""
    from bimedix.train.prepare import Encoding
    from bimedix.train.settings import tokenizer_name

    if recipe is None:
        return Encoding("mixtral", "mixtral", 0)
    settings = recipe.rooms.get("train")
    if settings is None:
        raise UsageError(f"{recipe.path}: has no table [train], which names tokenizer and template.")
    return Encoding(tokenizer_name(settings), settings.template, 0, base=data_folder(recipe))


def _runs(supervised: Sequence[bool]) -> list[range]:
    """Return the runs of marked tokens."""
    edges = [at for at, (a, b) in enumerate(pairwise([False, *supervised, False])) if a != b]
    return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _pieces(ids: Sequence[int], tokenizer: Any) -> Iterator[str]:
    """Yield the text of each token; a character of several byte tokens comes with the last of them."""
    own = hasattr(tokenizer, "convert_ids_to_tokens")
    named = tokenizer.convert_ids_to_tokens(list(ids)) if own else [piece_of(token) for token in ids]
    if any("▁" in piece for piece in named):
        yield from map(_printable, _whole_characters(named))
        return
    start = 0
    for stop in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[start:stop], clean_up_tokenization_spaces=False)
        if text.endswith("\ufffd") and stop - start < 8:
            yield ""
            continue
        start = stop
        yield _printable(text)


def _whole_characters(pieces: Iterable[str]) -> Iterator[str]:
    """Yield sentencepiece's pieces as text, `<0xD8><0x9B>` as one character with the last of its bytes."""
    held = b""
    for piece in pieces:
        if not (len(piece) == 6 and piece.startswith("<0x")):
            held = b""
            yield piece.replace("▁", " ")
            continue
        held += bytes([int(piece[3:5], 16)])
        text = held.decode("utf-8", "ignore")
        held = b"" if text else held
        yield text


def _printable(text: str) -> str:
    """Return a text with control characters made visible: a record must not steer the terminal."""
    return "".join(chr(0x2400 + ord(c)) if c < " " and c != "\n" else c for c in strip_controls(text))
