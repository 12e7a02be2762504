"""Settings of the room `review`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bimedix.errors import RecipeError


@dataclass(frozen=True)
class Settings:
    """One table `[review]` of a recipe."""

    verdicts: tuple[str, ...] = ()
    """Filled sheets (.csv), verdicts (.jsonl), exports of Label Studio (.json), or folders of them; later
    ones go before earlier ones of the same reviewer."""
    waiting: Literal["drop", "keep"] = "drop"
    """What becomes of translations that nobody has read yet, though somebody has to: `drop` leaves them out
    (they are kept beside), `keep` lets them through and says so in the figures."""
    reviews: int = 1
    """Independent reviews that an item needs; 2 for benchmarks. Source: data.md, section 4.1."""
    adjudicators: tuple[str, ...] = ()
    """Reviewers who decide where others disagree."""
    sheet_items: int = 100
    """Records per sheet."""
    sheets: int = 20
    """Sheets written at most; what is left waits for the next run."""
    label_studio: bool = False
    """Also write each sheet as tasks for Label Studio, with the labelling page `label_studio.xml`."""
    goal: float = 0.02
    """Share of errors among accepted translations that the audit is to certify. Source: data.md, 4.3."""
    alpha: float = 0.05
    """Probability that a certificate is wrong, however often one looks."""
    strata: tuple[Literal["kind", "dataset", "language", "score"], ...] = ()
    """Traits that split the audit into strata, each with a certificate of its own at alpha over their number:
    kind of record, data set, source language, score in steps of ten. Empty: one certificate over all, which
    there always is, because audits are drawn in proportion. Source: data.md, 4.3."""
    precision: float = 0.95
    """Share of good translations that a proposed threshold has to guarantee."""
    history: str = ""
    """File of the append-only chain of verdicts; empty: `review_history.jsonl` in the run's folder."""

    def __post_init__(self) -> None:
        _require(self.reviews >= 1, f"reviews = {self.reviews}; at least 1.")
        _require(self.sheet_items >= 2, f"sheet_items = {self.sheet_items}; at least 2.")
        _require(self.waiting in ("drop", "keep"), f"waiting = '{self.waiting}'; known: drop, keep.")
        for name in ("goal", "alpha", "precision"):
            value = getattr(self, name)
            _require(0 < value < 1, f"{name} = {value}; between 0 and 1.")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(f"[review] {message}")


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that these settings name, of folders one by one; the room tells what is absent."""
    named = [base / name for name in settings.verdicts]
    inside = [file for path in named if path.is_dir() for file in sorted(path.rglob("*")) if file.is_file()]
    return [*(path for path in named if path.is_file()), *inside]


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell which verdicts are there."""
    for name in settings.verdicts:
        if (base / name).exists():
            yield "ok", f"verdicts: {name}"
        else:
            yield "missing", f"{base / name}: no such file of verdicts; name filled sheets, or their folder"
