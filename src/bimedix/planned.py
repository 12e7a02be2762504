"""`bimedix train --plan`: what the training of a recipe takes, from the config of its base alone."""

from collections.abc import Iterator
from pathlib import Path

from bimedix.errors import MissingError, UsageError
from bimedix.recipe import Recipe
from bimedix.train.plan import describe, plan
from bimedix.train.settings import base_config, check


def plan_lines(recipe: Recipe, device: str, tokens: int | None = None) -> Iterator[str]:
    """Yield lines of text: base and phases, then the plan of the adapters on one device.

    Args:
        device: a key of `train.plan.DEVICES`.
        tokens: of one epoch, for the hours.

    Raises:
        UsageError: the recipe trains nothing, or the device is not known.
        MissingError: the base's config is not at hand.
    """
    settings = recipe.rooms.get("train")
    if settings is None:
        raise UsageError(f"{recipe.path}: has no table [train]; it has: {', '.join(recipe.rooms) or 'none'}.")
    folder = data_folder(recipe)
    config, where = base_config(settings, folder)
    if config is None:
        raise MissingError(where)
    yield from (text if level == "ok" else f"{level}: {text}" for level, text in check(settings, folder))
    if settings.phases[-1].mode == "adapter":
        yield f"\nadapters on one {device}:"
        yield describe(plan(config, settings, device=device, tokens=tokens))


def data_folder(recipe: Recipe) -> Path:
    """Return the data folder, or the recipe's own where the environment names none: a plan reads no data."""
    try:
        return recipe.base
    except MissingError:
        return recipe.path.parent.resolve()
