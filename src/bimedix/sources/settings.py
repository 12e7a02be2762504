"""Settings of the room `sources`: which data sets to read, from where, and how much of them."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bimedix.errors import MissingError, UsageError, did_you_mean
from bimedix.files import require_file
from bimedix.languages import language
from bimedix.sources import require_name

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

    def __post_init__(self) -> None:
        if self.source != AUTO:
            require_name(self.source)
        if self.language:
            language(self.language)
        _check_split(self.split)
        if self.encoding:
            _check_encoding(self.encoding)
        if self.index_base not in (None, 0, 1):
            raise UsageError(f"index_base is {self.index_base}; options are numbered from 0 or from 1.")


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

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise UsageError(f"limit is {self.limit}; 0 takes all records, n the first n of each source.")
        for code in self.languages:
            language(code)
        for split in self.splits:
            _check_split(split)


def input_files(settings: Settings, base: Path) -> list[Path]:
    """Return the files that these settings read, so that a change in one of them is seen."""
    from bimedix.sources.room import find_jobs

    return [job.path for job in find_jobs(settings.data, base)]


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise UsageError(
            f"split '{split}' is unknown.{did_you_mean(split, SPLITS)}\n  Known: train, validation, test."
        )


def _check_encoding(name: str) -> None:
    try:
        codecs.lookup(name)
    except LookupError:
        from encodings.aliases import aliases

        raise UsageError(
            f"no encoding is called '{name}'.{did_you_mean(name, {*aliases, *aliases.values()})}\n"
            '  Name a codec of Python, such as "utf-8", "gb18030" or "cp1256".'
        ) from None


def check(settings: Settings, base: Path) -> Iterator[tuple[str, str]]:
    """Tell per entry how many files are there, or what is missing."""
    from bimedix.sources.room import find_jobs

    if not settings.data:
        yield "error", 'names no data; add one, e.g. data = [{ source = "auto", path = "data" }]'
    for entry in settings.data:
        try:
            jobs = find_jobs((entry,), base)
            for job in jobs:
                require_file(job.path)
            size = sum(job.path.stat().st_size for job in jobs)
        except MissingError as error:
            yield "missing", str(error)
        else:
            yield "ok", f"{entry.source}: {len(jobs):,} files, {size / 1e6:,.1f} MB below {entry.path}"
