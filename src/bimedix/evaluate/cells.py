"""The cells of tables for people: what a sheet is, and how numbers are written in it."""

from dataclasses import dataclass, field

from bimedix.languages import LANGUAGES

ACCURACY, BETWEEN, MODELS = "accuracy", "between languages", "models"
CALIBRATION, ORDERS, PUBLISHED = "calibration", "orders", "published"
RATIONALES, RUBRICS, RATINGS, EFFICIENCY = "rationales", "rubrics", "ratings", "efficiency"


@dataclass(frozen=True)
class Sheet:
    """One table, as text cells."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    quoted: tuple[tuple[str, ...], ...] = ()
    """Published rows, shown below a line."""
    notes: tuple[str, ...] = ()
    part: str = ACCURACY
    """Section of the page that it belongs to."""
    best: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    """(row, column) of the best of our own cells per column, where two or more models can be compared."""


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal, as the papers print it."""
    return f"{100 * share:.1f}"


def with_interval(value: float, low: float, high: float) -> str:
    """Return a share with its interval."""
    return f"{percent(value)} [{percent(low)}, {percent(high)}]"


def language_name(code: str) -> str:
    """Return the name of a language, or of two joined by `+`."""
    return " + ".join(LANGUAGES[part].name if part in LANGUAGES else part for part in code.split("+"))


def signed(share: float) -> str:
    """Return a difference in points, with its sign."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"


def p_value(p: float) -> str:
    """Return p, or that it is below a thousandth."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
