"""Settings of the room `translate`."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bimedix.completers.settings import CompleterSettings, files_of
from bimedix.completers.settings import check as check_completer
from bimedix.errors import RecipeError
from bimedix.languages import language


@dataclass(frozen=True)
class Outside:
    """A scorer in a program of its own, such as `scripts/comet_scorer.py`; see `translate/outside.py`."""

    name: str = ""
    """What scores, as its model card calls it, such as Unbabel/wmt22-comet-da; printed with its figures."""
    licence: str = ""
    """Licence of its weights; required, and printed wherever its scores are. Some forbid commercial use."""
    command: tuple[str, ...] = ()
    """Program and arguments, started in the recipe's data folder with the rights of this process."""
    least: float | None = None
    """Score, 0 to 100, below which a translation goes to a person; none: the score is only told."""
    records_at_once: int = 64
    """Records whose fields go out in one request."""
    timeout_s: float = 1800.0
    """Seconds that an answer, or the loading of the model, may take."""


@dataclass(frozen=True)
class Settings:
    """One table `[translate]` of a recipe."""

    target_language: str = "ar"
    """ISO 639-1. Records that are in it already are left alone."""
    kinds: tuple[str, ...] = ("multiple_choice", "open_question", "dialogue", "passage")
    """Kinds of records to translate."""
    source_languages: tuple[str, ...] = ()
    """ISO 639-1; empty: all but the target."""
    share: float = 1.0
    """Share of the records that is translated, 0 to 1, drawn by (seed, id). BiMediX: 444,995 of 866,600."""
    whole_splits: tuple[str, ...] = ("test", "medmcqa/validation")
    """Splits that are translated whole whatever the share, as `split` or `dataset/split`: the test sets."""
    sample: int = 0
    """Translate only so many records, drawn by (seed, id): to read `side_by_side.html` and the estimate
    before the rest is paid for. Their answers are kept for the whole run. 0: all."""
    judgments: int = 3
    """Judgments per version; the score is their median. 1 for the translation memory, which answers alike.
    Source: data.md, section 2.3; GEMBA-MQM v2 takes ten."""
    threshold: float = 90.0
    """Score from 0 to 100 that needs no person. The paper names none; `images/data.gif` of its README shows
    90/100, as decoration. Take it from an alignment study of your own (`bimedix.review`)."""
    rounds: int = 3
    """Revisions at most; 0 translates and judges once. Source: data.md, section 2.4."""
    min_gain: float = 2.0
    """Points that a revision has to gain for the loop to go on. Source: data.md, section 2.4."""
    judge_disagreement: float = 20.0
    """Range of the judgments, in points, above which a person decides. Source: data.md, section 2.3."""
    controls: str = ""
    """Human translations (.tmx, or .jsonl of `parallel_text`) that the judge has to tell from the same with
    one error put in, before any of its scores counts; empty: it is trusted unseen."""
    control_pairs: int = 20
    """Control pairs drawn by (seed, text)."""
    control_mean: float | None = None
    """Mean score that the good controls had when the threshold was chosen; a move of more than 3 points
    means that the model behind the name has changed. Source: data.md, section 2.3."""
    audit_share: float = 0.05
    """Share of the accepted translations that is read all the same, drawn uniformly by (seed, id)."""
    checks: tuple[str, ...] = ()
    """Integrity checks to run, by name; empty: all."""
    set_checks: bool = True
    """Also compare the translations with each other: one output for many inputs, a leaked example. Holds
    their words in memory, about 10 KiB a record."""
    glossary: str = ""
    """CSV with a column per language code, or TBX; terms found in a record go into its prompt."""
    memory: str = ""
    """Approved pairs (.tmx, .xlf, or .jsonl of `parallel_text`); the nearest ones go into the prompt."""
    memory_segments: int = 3
    """Segments of the memory shown at most, per request."""
    part_characters: int = 8_000
    """Records longer than this are cut at sentence ends. About 2,000 tokens of English."""
    completer: CompleterSettings = field(default_factory=CompleterSettings)
    """Who translates and revises, and, unless `judge` is set, judges."""
    judge: CompleterSettings | None = None
    """Who judges; better not the translator (the summary says which it was)."""
    outside: Outside | None = None
    """One more score, from a program of its own; never in place of an integrity check."""

    def __post_init__(self) -> None:
        language(self.target_language)
        _require(0 <= self.threshold <= 100, f"threshold = {self.threshold}; a score is 0 to 100.")
        _require(0 <= self.share <= 1, f"share = {self.share}; a share is 0 to 1.")
        _require(0 <= self.audit_share <= 1, f"audit_share = {self.audit_share}; a share is 0 to 1.")
        _require(self.judgments >= 1, f"judgments = {self.judgments}; at least 1 is needed.")
        _require(self.rounds >= 0, f"rounds = {self.rounds}; 0 or more.")
        _require(self.sample >= 0, f"sample = {self.sample}; 0 or more.")
        _require(self.part_characters >= 500, f"part_characters = {self.part_characters}; at least 500.")
        if self.outside is not None:
            for name in ("name", "licence", "command"):
                said = f"outside.{name} is empty; a scorer is told by its name, licence and command."
                _require(bool(getattr(self.outside, name)), said)
            _require(self.outside.records_at_once >= 1, "outside.records_at_once is below 1.")
            _require(self.outside.timeout_s > 0, "outside.timeout_s is not above 0.")


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that these settings name."""
    own = [name for name in (settings.glossary, settings.memory, settings.controls) if name]
    return [base / name for name in (*own, *files_of(settings.completer), *files_of(settings.judge))]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(f"[translate] {message}")


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell who translates and judges, and which files are there."""
    for role, completer in (("completer", settings.completer), ("judge", settings.judge)):
        if completer is not None:
            yield from ((level, f"{role}: {text}") for level, text in check_completer(completer, base))
    if settings.outside is not None:
        outside = settings.outside
        runs = shutil.which(outside.command[0]) or (base / outside.command[0]).is_file()
        told = f"{outside.name} (licence {outside.licence}), run as: {' '.join(outside.command)}"
        yield ("ok" if runs else "missing"), f"outside: {told}" + ("" if runs else ": no such program")
    for name in (settings.glossary, settings.memory):
        if name and not (base / name).is_file():
            yield "missing", f"{base / name}: no such file"
