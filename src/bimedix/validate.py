"""`bimedix validate`: what can be known of a run before it starts, without loading a model."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from bimedix.errors import BimedixError, MissingError
from bimedix.recipe import Recipe

Level = Literal["ok", "warning", "error", "missing"]


@dataclass(frozen=True)
class Told:
    """One line of the check."""

    level: Level
    room: str
    text: str


def validate_recipe(recipe: Recipe) -> list[Told]:
    """Check every room that the recipe has.

    A settings module says what it can with `check(settings, base) -> Iterable[(level, text)]`.
    """
    told = [Told("ok", "recipe", f"{recipe.path}: {len(recipe.rooms)} rooms: {', '.join(recipe.rooms)}")]
    try:
        base = recipe.base
    except MissingError as error:
        return [*told, Told("missing", "recipe", str(error))]
    if not base.is_dir():
        told.append(
            Told("missing", "recipe", f"data folder {base} does not exist; set `data` or --set data=FOLDER")
        )
    for room, settings in recipe.rooms.items():
        told += _check_room(room, settings, base)
    return told


def _check_room(room: str, settings: Any, base: Any) -> list[Told]:
    module = import_module(f"bimedix.{room}.settings")
    if not hasattr(module, "check"):
        return [Told("ok", room, "settings read")]
    try:
        lines = [Told(level, room, text) for level, text in module.check(settings, base)]
    except MissingError as error:
        return [Told("missing", room, str(error))]
    except BimedixError as error:
        return [Told("error", room, str(error))]
    return lines or [Told("ok", room, "settings read")]
