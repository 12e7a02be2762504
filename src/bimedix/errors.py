"""Errors that tell where, what was seen, and what to do next; each class has its exit code."""

from collections.abc import Iterable
from difflib import get_close_matches


class BimedixError(Exception):
    """A run failed. Exit code 1.

    The message is written for the user: the place (file:line, record or recipe key), what was seen
    there, and the next thing to try. The command line prints it without a traceback.
    """

    exit_code = 1


class UsageError(BimedixError):
    """A command line, recipe or setting is wrong. Exit code 2."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe has an unknown key, a wrong type or values that contradict each other. Exit code 2."""


class MissingError(BimedixError):
    """Data, a model, an optional package or an endpoint's key is not there. Exit code 3."""

    exit_code = 3


class DataError(BimedixError):
    """A file is not what it claims to be. Exit code 1."""


class ShapeError(BimedixError):
    """A tensor or model has another shape than the code needs. Exit code 1."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known word nearest to `word`, or nothing."""
    nearest = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""
