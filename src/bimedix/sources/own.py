"""What the readers of one's own files share: rows in any JSON form or Parquet, and what cannot be used.

A row that is not of its form stops the reader with file:line and the key; a row whose form is right and
whose texts are empty is dropped with a reason.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bimedix.errors import UsageError, did_you_mean
from bimedix.formats import Format, Place
from bimedix.languages import language as language_row
from bimedix.records import Origin
from bimedix.sources.base import Given, Options, Row, drop, json_list, split_of

LICENCE = "as its owner says"
EMPTY_MESSAGE = "a message is empty"


def read_rows(
    name: str, path: Path, options: Options, form: Format[Any, Any], unusable: Callable[[Any], str]
) -> Iterator[Given]:
    """Yield the records of a file in one of the forms of `bimedix.formats`.

    Args:
        unusable: returns why a row cannot be used, or nothing; seen before the row becomes a record.

    Raises:
        DataError: a row is not of this form, or tells no language and the recipe tells none either.
    """
    for row in json_list(path, options.encoding):
        values = convert(row, row.values, form.row, f"a row of the form '{form.name}'")
        reason = unusable(values)
        if reason:
            yield drop(name, row, reason)
            continue
        place = Place(language_of(row, options), origin_of(name, row, options))
        try:
            yield form.from_row(values, place)
        except (ValueError, UsageError) as error:
            raise row.error(f"not a row of the form '{form.name}': {error}.") from error


def convert(row: Row, values: Any, kind: Any, what: str) -> Any:
    """Return the values as `kind`.

    Raises:
        DataError: a key is missing or misspelt, or a value has another type; names file:line and the key.
    """
    try:
        return msgspec.convert(_whole(values), kind)
    except (msgspec.ValidationError, ValueError) as error:
        near = _near_key(str(error), row)
        raise row.error(f"not {what}: {error}.{near}\n  Keys: {', '.join(map(str, row.values))}.") from error


def _whole(value: Any) -> Any:
    """Return the value with U+FFFD for lone surrogates, which no file can hold; all else as it is."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list():
            return [_whole(part) for part in value]
        case dict():
            return {_whole(key): _whole(part) for key, part in value.items()}
    return value


def _near_key(message: str, row: Row) -> str:
    """Return a hint when a key that is missing stands there under a similar name."""
    _, sign, rest = message.partition("missing required field `")
    missing = rest.partition("`")[0]
    near = did_you_mean(missing, map(str, row.values)) if sign else ""
    return (
        f" '{missing}' is needed; seen:{near.removeprefix(' Did you mean').removesuffix('?')}."
        if near
        else ""
    )


def language_of(row: Row, options: Options) -> str:
    """Return the language that the row names (`language` or `lang`), or else the recipe.

    Raises:
        DataError: neither does, or the code is not in the table.
    """
    code = row.name_of("language") or row.name_of("lang") or options.language
    if not code and "bimedix" in row.values:
        code = row.within("bimedix").text("language")
    if not code:
        raise row.error(
            "no language: the row has no key 'language', and the recipe says none.\n"
            '  Give the source its language: { source = ..., path = ..., language = "en" }'
        )
    try:
        return language_row(code).code
    except UsageError as error:
        raise row.error(str(error)) from error


def origin_of(name: str, row: Row, options: Options) -> Origin:
    """Return where a row without an origin of its own comes from: its file's name, as the data set."""
    dataset = row.path.name.split(".")[0] or name
    return Origin(dataset, row.place, options.revision, LICENCE, options.split or split_of(row.path))
