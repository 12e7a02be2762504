"""Settings of the room `mix`: the recipe's table `[mix]`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bimedix.errors import UsageError

Basis = Literal["samples", "tokens", "characters"]


@dataclass(frozen=True)
class Settings:
    """Which records are trained on, in which proportion, and in which order."""

    languages: tuple[str, ...] = ("ar",)
    """ISO 639-1; the target languages. Empty: a mix of the source language alone."""
    source_language: str = "en"
    """ISO 639-1; the other side of the ratio."""
    ratio: tuple[float, ...] = (1.0, 2.0)
    """Target : source. 1 : 2 after BiMediX (arXiv 2402.13253, section 3.1.3); a 0 leaves that side out."""
    basis: Basis = "samples"
    """What the ratio counts. By samples BiMediX is 1 : 1.95, by tokens 1.2 : 1; all three are reported."""
    per_type: bool = False
    """Hold the ratio within each type (qa, mcqa, chat) instead of over all."""
    pairs: Literal["together", "apart"] = "together"
    """Whether an item and its translation may both be in the mix; BiMediX does not say. Ours."""
    validation_share: float = 0.01
    """Share of lineages (an item with all that was made from it) set aside for validation, 0 to 1. Ours."""
    with_rationale: float = 1.0
    """Share of multiple-choice items that are laid out with their rationale, where they have one, 0 to 1.
    MMedBench trains on both forms, half and half."""
    decontaminate: bool = True
    """Drop what holds a test item; see `bimedix.overlap.contamination`."""
    held_out: tuple[str, ...] = ("test", "medmcqa/validation")
    """Splits that never enter, as `split` or `dataset/split`. MedMCQA is tested on its validation split,
    because the keys of its test split are private."""
    tests: tuple[str, ...] = ()
    """Patterns of further test sets below the recipe's data folder: records.jsonl files of any split."""
    registered: Literal["report", "refuse"] = "report"
    """What to do when one of the registered test sets (`bimedix ls benchmarks`) is not among the held-out
    records, or less than nine tenths of it: name it in decontamination.json, or mix nothing."""
    near_duplicates: float = 0.8
    """Share of common runs of five words from which two texts of one language are one, above 0 to 1; 0 keeps
    all. Texts that differ in a number, a negation, a side or the right answer stay. Source: data.md, 5."""
    allow_licences: tuple[str, ...] = ()
    """Licences, as the records' origins name them, under which records may be mixed; empty: all."""
    other_licences: Literal["refuse", "drop"] = "refuse"
    """What becomes of other licences: no mix, or one without those records."""
    translations: tuple[Literal["accepted", "audit", "review"], ...] = ("accepted", "audit")
    """Routes whose translations are used when there is no review: accepted by score, and the audited
    sample of those. What waits for review stays out."""
    segments: Literal["off", "corrected", "as_released"] = "off"
    """How passages are cut for continued pre-training; as_released repeats MMedLM's windows."""
    segment_tokens: int = 2048
    """Mixtral tokens per segment (MMedLM: 2048 of its own tokenizer)."""
    segment_overlap_tokens: int = 0
    """Tokens that two neighbouring segments share; corrected mode only (as released: 512)."""
    frequent_words: int = 50
    """How many words per language the statistics list."""

    def __post_init__(self) -> None:
        if len(self.ratio) != 2 or min(self.ratio) < 0 or sum(self.ratio) <= 0:
            raise UsageError(
                f"ratio = {list(self.ratio)}; two numbers are needed, target : source, as in [1, 2].\n"
                "  A 0 leaves that side out; both may not be 0."
            )
        for name in ("validation_share", "with_rationale", "near_duplicates"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} = {getattr(self, name):g}; a share lies between 0 and 1.")
        if self.source_language in self.languages:
            raise UsageError(
                f"'{self.source_language}' is both the source and a target language.\n"
                "  Take it out of `languages`, or name another `source_language`."
            )
        if not 0 <= self.segment_overlap_tokens < self.segment_tokens:
            raise UsageError(
                f"segment_overlap_tokens = {self.segment_overlap_tokens}; it has to be below "
                f"segment_tokens = {self.segment_tokens}."
            )


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell which registered test sets are there."""
    for pattern in settings.tests:
        found = sum(path.is_file() for path in base.glob(pattern))
        where = base / pattern
        yield (
            ("ok", f"tests: {found:,} files match {pattern}")
            if found
            else ("missing", f"{where}: no test set")
        )


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that the settings name: further test sets."""
    return [path for pattern in settings.tests for path in sorted(base.glob(pattern))]
