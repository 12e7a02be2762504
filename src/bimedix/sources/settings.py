"""Settings of the room `sources`: which data sets to read, from where, and how much of them."""

from dataclasses import dataclass
from pathlib import Path

AUTO = "auto"
SPLITS = ("train", "validation", "test", "")


@dataclass(frozen=True)
class DataSet:
    """One data set of the user's own copy."""

    source: str = AUTO
    """Name of a source (`bimedix ls sources`), or `auto`: every source that finds its files below `path`."""
    path: str = "."
    """A file, a folder, or a pattern such as `medqa/US/4_options/*train*.jsonl`; relative to the recipe's
    base. In a folder, files are found by the source's own patterns. `auto` needs a folder."""
    language: str = ""
    """ISO 639-1 code, where the files do not tell their language; else empty."""
    split: str = ""
    """train, validation or test, in place of what the files say; else empty."""
    encoding: str = ""
    """Codec such as gb18030; empty = the source's own."""
    revision: str = ""
    """Commit or version of the copy; empty = the hash of each file is written into its records."""
    index_base: int | None = None
    """Number of the first option, 0 or 1, where a file does not tell (MedMCQA)."""


@dataclass(frozen=True)
class Settings:
    """Table `[sources]` of a recipe."""

    data: tuple[DataSet, ...] = ()
    """The data sets, in the order in which their records are written. A file named in one entry is not read
    again by an entry with `auto`."""
    limit: int = 0
    """First usable records to take of each source, in records; 0 = all."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes to keep; empty = all. A pair of texts needs both of its languages here."""
    splits: tuple[str, ...] = ()
    """Splits to keep (train, validation, test, or "" where a source states none); empty = all. Training
    takes training splits only (paper: BiMediX, section 3.1.1); test items are for `evaluate`."""


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that these settings read, so that a change in one of them is seen."""
    from bimedix.sources.room import find_jobs

    return [job.path for job in find_jobs(settings.data, base)]
