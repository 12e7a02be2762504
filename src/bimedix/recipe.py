"""Recipes: TOML, one table per room, read strictly into the rooms' own frozen settings.

An unknown key, a wrong type or a value outside its choices is an error that names file, line and the
nearest known key. `--set room.key=value` overrides one value; the JSON Schema comes from the same walk.
"""

import ast
import inspect
import os
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from bimedix.errors import MissingError, RecipeError, UsageError, did_you_mean

ROOMS = ("sources", "curate", "synthesize", "translate", "review", "mix", "train", "evaluate", "serve")
SETTINGS = {room: f"bimedix.{room}.settings" for room in ROOMS}


@dataclass(frozen=True)
class Recipe:
    """One run of the path; a room whose table is absent is left out of it."""

    name: str
    """Names the run's folder."""
    title: str = ""
    """One line for the report."""
    data: str = "."
    """Folder that relative paths start from, relative to the recipe; `${NAME}` reads the environment."""
    seed: int = 17
    """Fixes every draw of the run."""
    rooms: Mapping[str, Any] = field(default_factory=dict)
    """Settings by room name, in the order of the path."""
    path: Path = Path()
    """The file it was read from."""

    @property
    def base(self) -> Path:
        """The data folder as a path."""
        return (self.path.parent / expand(self.data)).resolve()


def expand(text: str) -> str:
    """Replace `${NAME}` by the environment variable.

    Raises:
        MissingError: the variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if not os.environ.get(name):
            raise MissingError(
                f"the recipe reads the environment variable {name}, and it is not set.\n"
                f"  Run `export {name}=...`, or give the value with `--set data=FOLDER`."
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


@cache
def settings_class(room: str) -> type[Any]:
    """Return the settings class of a room."""
    cls: type[Any] = import_module(SETTINGS[room]).Settings
    return cls


# --- where a key stands ---------------------------------------------------------------------------------

Key = tuple[str | int, ...]
_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_HEADER = re.compile(r"(\[\[?)\s*([^\]\n]+?)\s*\]\]?")
_NAME = re.compile(r"(?:[\w-]+|\"[^\"\n]*\"|'[^'\n]*')(?:\s*\.\s*(?:[\w-]+|\"[^\"\n]*\"|'[^'\n]*'))*")
_SCALAR = re.compile(
    r"\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|[^,\]}\s#]+(?: [\d:.]+)?",
    re.DOTALL,
)


def locate_keys(text: str) -> dict[Key, int]:
    """Return the line (from 1) of every table, key and list entry of a TOML text; entries count from 0.

    The text has to be one that `tomllib` reads.
    """
    walk = _Walk(text)
    walk.document()
    return walk.lines


class _Walk:
    """Walks over TOML text and notes where each key begins."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.lines = text, 0, dict[Key, int]()
        self._counts: dict[Key, int] = {}

    def document(self) -> None:
        table: Key = ()
        while self._peek():
            if header := _HEADER.match(self.text, self.at) if self._peek() == "[" else None:
                table = _open_table(header, self._counts)
                self._note(table)
                self.at = header.end()
            else:
                self._entry(table)

    def _peek(self) -> str:
        blank = _BLANK.match(self.text, self.at)
        self.at = blank.end() if blank else self.at
        return self.text[self.at : self.at + 1]

    def _note(self, key: Key) -> None:
        line = self.text.count("\n", 0, self.at) + 1
        for end in range(1, len(key) + 1):
            self.lines.setdefault(key[:end], line)

    def _entry(self, table: Key) -> None:
        name = _NAME.match(self.text, self.at)
        if name is None:  # nothing that tomllib would have read
            self.at = len(self.text)
            return
        key = (*table, *_parts(name.group()))
        self._note(key)
        self.at = self.text.index("=", name.end()) + 1
        self._value(key)

    def _value(self, key: Key) -> None:
        sign = self._peek()
        if sign == "[":
            self._each("]", lambda index: self._listed((*key, index)))
        elif sign == "{":
            self._each("}", lambda _: self._entry(key))
        else:
            scalar = _SCALAR.match(self.text, self.at)
            self.at = scalar.end() if scalar else len(self.text)

    def _listed(self, key: Key) -> None:
        self._note(key)
        self._value(key)

    def _each(self, end: str, read: Callable[[int], None]) -> None:
        self.at += 1
        index = 0
        while self._peek() not in (end, ""):
            read(index)
            index += 1
            if self._peek() == ",":
                self.at += 1
        self.at += 1


def _parts(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _open_table(header: re.Match[str], counts: dict[Key, int]) -> Key:
    table: Key = ()
    names = _parts(header.group(2))
    for position, name in enumerate(names):
        table = (*table, name)
        if position == len(names) - 1 and header.group(1) == "[[":
            counts[table] = counts.get(table, -1) + 1
        if table in counts:
            table = (*table, counts[table])
    return table


@dataclass(frozen=True)
class _Places:
    """Tells where a key was written: a line of the recipe, or a --set option."""

    path: Path
    lines: Mapping[Key, int]
    overridden: Mapping[Key, str] = field(default_factory=dict)

    def of(self, key: Key) -> str:
        for end in range(len(key), 0, -1):
            if key[:end] in self.overridden:
                return f"--set {self.overridden[key[:end]]}"
            if key[:end] in self.lines:
                return f"{self.path}:{self.lines[key[:end]]}"
        below = (told for name, told in self.overridden.items() if name[: len(key)] == key)
        return next((f"--set {told}" for told in below), f"{self.path}:1")


# --- values into settings -------------------------------------------------------------------------------


def build(cls: Any, value: Any, places: _Places, key: Key = ()) -> Any:
    """Turn a TOML value into `cls` (dataclass, tuple, Literal, Path, scalar), or say what is wrong where."""
    origin, arguments = typing.get_origin(cls), typing.get_args(cls)
    if origin in (types.UnionType, typing.Union):
        kinds = [a for a in arguments if a is not type(None)]
        fitting = [k for k in kinds if _fits(k, value)] or kinds
        return build(fitting[0], value, places, key)
    if origin is Literal:
        if value not in arguments:
            listed = ", ".join(repr(a) for a in arguments)
            hint = did_you_mean(str(value), [str(a) for a in arguments])
            raise _wrong(places, key, f"{value!r} is not one of {listed}.{hint}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(places, key, f"a list is needed, seen {value!r}.")
        return tuple(build(arguments[0], v, places, (*key, i)) for i, v in enumerate(value))
    if origin in (dict, Mapping, types.MappingProxyType) or origin is typing.get_origin(Mapping[str, int]):
        if not isinstance(value, dict):
            raise _wrong(places, key, f"a table is needed, seen {value!r}.")
        return {k: build(arguments[1], v, places, (*key, k)) for k, v in value.items()}
    if is_dataclass(cls):
        return _build_dataclass(typing.cast(type[Any], cls), value, places, key)
    return _build_scalar(cls, value, places, key)


def _fits(cls: Any, value: Any) -> bool:
    if is_dataclass(cls):
        return isinstance(value, dict)
    if typing.get_origin(cls) is tuple:
        return isinstance(value, list)
    if typing.get_origin(cls) is Literal:
        return value in typing.get_args(cls)
    return isinstance(value, (int, float) if cls is float else str if cls is Path else cls)


def _build_scalar(cls: Any, value: Any, places: _Places, key: Key) -> Any:
    if cls is Any:
        return value
    if cls is Path and isinstance(value, str):
        return Path(expand(value))
    if cls is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, cls) or (cls is int and isinstance(value, bool)):
        raise _wrong(places, key, f"{_TYPE_NAMES.get(cls, cls.__name__)} is needed, seen {value!r}.")
    return value


_TYPE_NAMES = {
    str: "a text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path in quotes",
}


@cache
def _types_of(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build_dataclass(cls: type[Any], value: Any, places: _Places, key: Key) -> Any:
    if not isinstance(value, dict):
        raise _wrong(places, key, f"a table is needed, seen {value!r}.")
    hints = _types_of(typing.cast(Any, cls))
    known = {f.name: f for f in fields(cls)}
    for name in value:
        if name not in known:
            hint = did_you_mean(name, known)
            raise RecipeError(
                f"{places.of((*key, name))}: unknown key '{_dotted((*key, name))}'.{hint}\n"
                f"  Known keys here: {', '.join(sorted(known))}."
            )
    missing = [
        n for n, f in known.items()
        if n not in value and f.default is MISSING and f.default_factory is MISSING
    ]  # fmt: skip
    if missing:
        raise _wrong(places, key, f"needs the key{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    built = {name: build(hints[name], v, places, (*key, name)) for name, v in value.items()}
    try:
        return cls(**built)
    except (ValueError, UsageError) as error:
        told = str(error).removeprefix(f"[{key[0]}] ") if key else str(error)
        raise _wrong(places, key, told) from error


def _dotted(key: Key) -> str:
    return ".".join(str(part) for part in key)


def _wrong(places: _Places, key: Key, what: str) -> RecipeError:
    return RecipeError(f"{places.of(key)}: {_dotted(key) or 'recipe'}: {what}")


# --- reading --------------------------------------------------------------------------------------------


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `room.key=value` overrides.

    Raises:
        MissingError: no such file.
        RecipeError: not TOML, or a key or value that does not fit; names the line.
    """
    path = find_recipe(path)
    text = _text_of(path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise RecipeError(f"{path}:{line.group(1) if line else 1}: not TOML: {error}.") from error
    overridden: dict[Key, str] = {}
    for override in overrides:
        overridden[_apply(table, override)] = override
    places = _Places(path, locate_keys(text), overridden)
    return _read_table(table, path, places)


def _text_of(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RecipeError(
            f"{path}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8.\n  Save the recipe as UTF-8 text."
        ) from error


def _read_table(table: dict[str, Any], path: Path, places: _Places) -> Recipe:
    head = {f.name: f for f in fields(Recipe) if f.name not in ("rooms", "path")}
    for name in table:
        if name not in head and name not in ROOMS:
            known = (*head, *ROOMS)
            raise RecipeError(
                f"{places.of((name,))}: unknown key or room '{name}'.{did_you_mean(name, known)}\n"
                f"  Known: {', '.join(known)}."
            )
    hints = typing.get_type_hints(Recipe)
    top = {n: build(hints[n], v, places, (n,)) for n, v in table.items() if n in head}
    if "name" not in top:
        raise RecipeError(f'{path}:1: needs the key name, such as name = "{path.stem}".')
    rooms = {
        room: build(settings_class(room), table[room], places, (room,)) for room in ROOMS if room in table
    }
    return Recipe(**top, rooms=rooms, path=path)


def _apply(table: dict[str, Any], override: str) -> Key:
    name, sign, raw = override.partition("=")
    if not sign or not name.strip():
        raise RecipeError(f"--set {override}: write it as room.key=value, such as --set train.epochs=2.")
    key = _parts(name.strip())
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw
    place: Any = table
    for step, part in enumerate(key):
        last = step == len(key) - 1
        index: Any = int(part) if isinstance(place, list) and str(part).isdigit() else part
        if isinstance(place, list) and not (isinstance(index, int) and index < len(place)):
            raise RecipeError(f"--set {override}: '{part}' is no entry of the list (0 to {len(place) - 1}).")
        if not isinstance(place, (dict, list)):
            raise RecipeError(f"--set {override}: '{_dotted(key[:step])}' is a value, not a table.")
        if last:
            place[index] = value
        else:
            place = place[index] if isinstance(place, list) else place.setdefault(index, {})
    return tuple(int(p) if str(p).isdigit() else p for p in key)


def recipe_folders() -> list[Path]:
    """Return the folders that hold the shipped recipes: in a checkout, or inside the package."""
    here = Path(__file__).resolve().parent
    return [f for f in (here.parents[1] / "recipes", here / "recipes") if f.is_dir()]


def shipped_recipes() -> dict[str, Path]:
    """Return the shipped recipes by name."""
    return {p.stem: p for folder in recipe_folders() for p in sorted(folder.glob("*.toml"))}


def find_recipe(path: Path) -> Path:
    """Return `path`, or the shipped recipe of that name.

    Raises:
        MissingError: neither exists.
    """
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if path.name in shipped or path.stem in shipped:
        return shipped.get(path.name) or shipped[path.stem]
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; a recipe is one TOML file, or the name of a shipped one.")
    hint = did_you_mean(path.stem, shipped)
    raise MissingError(f"{path}: no such recipe.{hint}\n  Shipped: {', '.join(sorted(shipped)) or 'none'}.")


def with_room(recipe: Recipe, room: str, settings: Any) -> Recipe:
    """Return the recipe with other settings for one room."""
    return replace(recipe, rooms={**recipe.rooms, room: settings})


# --- JSON Schema ----------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of recipes, with the docstring of every field."""
    head = _schema_of(Recipe)
    for name in ("rooms", "path"):
        del head["properties"][name]
    head["properties"] |= {room: _schema_of(settings_class(room)) for room in ROOMS}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bimedix recipe", **head}


def _schema_of(cls: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(cls), typing.get_args(cls)
    if origin in (types.UnionType, typing.Union):
        kinds = [a for a in arguments if a is not type(None)]
        return _schema_of(kinds[0]) if len(kinds) == 1 else {"anyOf": [_schema_of(k) for k in kinds]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema_of(arguments[0])}
    if is_dataclass(cls):
        return _schema_of_dataclass(typing.cast(type[Any], cls))
    if origin is not None:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    names = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "string"}
    return {"type": names[cls]} if cls in names else {}


def _schema_of_dataclass(cls: type[Any]) -> dict[str, Any]:
    hints, notes = typing.get_type_hints(cls), field_notes(cls)
    properties = {}
    for f in fields(cls):
        properties[f.name] = _schema_of(hints[f.name])
        if f.name in notes:
            properties[f.name] = {**properties[f.name], "description": notes[f.name]}
    needed = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return schema | ({"required": needed} if needed else {})


def field_notes(cls: type[Any]) -> dict[str, str]:
    """Return the docstring line under each field of a dataclass, read from its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    notes: dict[str, str] = {}
    for above, below in zip(tree.body, tree.body[1:], strict=False):
        match above, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(note))):
                notes[name] = " ".join(note.split())
    return notes
