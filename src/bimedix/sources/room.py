"""The run of the room `sources`: every data set of the recipe into one file of records.

Writes `records.jsonl` (kinds mixed), `parallel.jsonl` (pairs of texts, for translation memories and
tests of translations), `translations.jsonl` (translations that people have annotated, to hold judges
against) and `dropped.jsonl`. Records read = records written + records dropped.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from msgspec import structs

from bimedix.errors import DataError, MissingError, RecipeError
from bimedix.files import RecordWriter, hash_file
from bimedix.records import Dropped, Origin, ParallelText, Translation, content_hash, encode
from bimedix.sources import SOURCES, source
from bimedix.sources.base import Given, Options, Source
from bimedix.sources.settings import AUTO, DataSet, Settings
from bimedix.stage import Context, StageWriter, Summary

ROOM = "sources"
PARALLEL = "parallel.jsonl"
TRANSLATIONS = "translations.jsonl"
REPEATS = "repeats an earlier record of this source"


@dataclass(frozen=True)
class Job:
    """One file to read."""

    source: Source
    path: Path
    shown: str
    """The path as the recipe sees it: relative to the base where it lies below it."""
    options: Options


def run(settings: Settings, inputs: dict[str, Path], out: Path, context: Context) -> Summary:
    """Read all data sets of the recipe; see `stage.py` for the contract."""
    check(settings)
    tally = Tally()
    with (
        StageWriter(out, ROOM) as stage,
        RecordWriter(out / PARALLEL) as pairs,
        RecordWriter(out / TRANSLATIONS) as annotated,
        context.progress.task("read sources") as task,
    ):
        apart = {ParallelText: pairs, Translation: annotated}
        for job in find_jobs(settings.data, context.base):
            for given in read_job(job, settings, tally):
                tally.read[job.shown] += 1
                task.advance()
                if isinstance(given, Dropped):
                    stage.put(given)
                    continue
                apart.get(type(given), stage).write(given)
                tally.count(job, given)
        if not tally.read.total():
            raise DataError(
                f"{', '.join([*tally.files][:6])}: no record in {len(tally.files):,} files.\n"
                "  Look whether they are whole, and of the source that the recipe names."
            )
        summary = stage.summary(sum(tally.read.values()), **tally.figures())
        summary.written += pairs.tally.written + annotated.tally.written
    return summary


def check(settings: Settings) -> None:
    """Refuse a table without data sets; single values are checked when settings are made."""
    if not settings.data:
        raise RecipeError(
            '[sources] names no data.\n  Add one, e.g. data = [{ source = "auto", path = "data" }]'
        )


def find_jobs(data: Iterable[DataSet], base: Path) -> list[Job]:
    """Return the files to read, in the order of the recipe; a file is read once per source.

    Raises:
        MissingError: a path does not exist, or holds no file of its source.
    """
    entries = list(data)
    named = {path.resolve() for entry in entries if entry.source != AUTO for path in _files(entry, base)}
    jobs: dict[tuple[str, Path], Job] = {}
    for entry in entries:
        options = Options(entry.language, entry.split, entry.encoding, entry.revision, entry.index_base)
        for name, path in _claims(entry, base):
            key = path.resolve()
            if entry.source != AUTO or key not in named:
                jobs.setdefault((name, key), Job(SOURCES[name], path, _shown(path, base), options))
    return list(jobs.values())


def _claims(entry: DataSet, base: Path) -> Iterator[tuple[str, Path]]:
    if entry.source != AUTO:
        yield from ((entry.source, path) for path in _files(entry, base))
        return
    files = list_files(_folder(entry, base))
    claims = [(name, path) for name in SOURCES for path in files if claimed(SOURCES[name], path)]
    if not claims:
        raise MissingError(
            f"{base / entry.path}: no source finds its files here ({len(files):,} files seen).\n"
            "  Name a source and a file: { source = ..., path = ... }; `bimedix ls sources` lists patterns."
        )
    yield from claims


def _folder(entry: DataSet, base: Path) -> Path:
    folder = base / entry.path
    if not folder.is_dir():
        raise MissingError(f'{folder}: no such folder; source = "auto" needs one.')
    return folder


def _files(entry: DataSet, base: Path) -> list[Path]:
    """Return the files of an entry that names its source: one file, a pattern's, or a folder's."""
    path, wanted = base / entry.path, source(entry.source)
    if path.is_file():
        return [path]
    if path.is_dir() and not wanted.files:
        raise MissingError(
            f"{path}: is a folder, and source '{wanted.name}' reads files that a recipe names.\n"
            f'  Say which: {{ source = "{wanted.name}", path = "my/file.jsonl" }}, or "my/*.jsonl".'
        )
    if path.is_dir():
        found = [file for file in list_files(path) if claimed(wanted, file)]
    else:
        anchor = Path(path.anchor) if Path(entry.path).is_absolute() else base
        found = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
    if not found:
        raise MissingError(
            f"{path}: no file of source '{wanted.name}' here.\n"
            f"  {_looked_for(wanted)} Paths start from the recipe's data folder, {base}."
        )
    return found


def _looked_for(wanted: Source) -> str:
    return f"As published: {', '.join(wanted.files[:6])}." if wanted.files else "It reads files of any name."


def list_files(folder: Path) -> list[Path]:
    """Return all files below a folder in the order of their paths, without hidden ones."""
    found = (path for path in folder.rglob("*") if not _hidden(path.relative_to(folder)) and path.is_file())
    return sorted(found, key=lambda path: path.as_posix())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def claimed(by: Source, path: Path) -> bool:
    """Tell whether a path ends like one of the source's files."""
    return any(path.match(pattern) for pattern in by.files)


def _shown(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


@dataclass
class Tally:
    """What has been read so far: counts for the report, and ids and hashes against repeats."""

    read: Counter[str] = field(default_factory=Counter)
    """Records read, by file."""
    kept: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """Records written, by source, kind, language and split."""
    noticed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What `Source.notices` counts in the records written, by source and name."""
    sources: dict[str, Source] = field(default_factory=dict)
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    hashes: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Id of the first record of each content, by source and content hash."""

    def count(self, job: Job, record: Given) -> None:
        """Count a record that was written."""
        kind = str(record.__struct_config__.tag)
        code, split = _language_and_split(record)
        self.kept[job.source.name, kind, code, split] += 1
        for what, count in job.source.notices.items():
            self.noticed[job.source.name, what] += count(record)

    def written(self, name: str) -> int:
        """Return how many records of a source were written."""
        return sum(count for key, count in self.kept.items() if key[0] == name)

    def figures(self) -> dict[str, Any]:
        """Return counts by source, kind, language and split, licences, files with their hashes, damage."""
        counts = [
            {"source": source, "kind": kind, "language": code, "split": split, "records": count}
            for (source, kind, code, split), count in sorted(self.kept.items())
        ]
        licences = [
            {"source": name, "title": row.title, "licence": row.licence, "address": row.address}
            for name, row in sorted(self.sources.items())
        ]
        files = [{"file": name, **row, "records_read": self.read[name]} for name, row in self.files.items()]
        noticed = [
            {"source": source, "what": what, "count": count}
            for (source, what), count in sorted(self.noticed.items())
        ]
        return {"counts": counts, "licences": licences, "files": files, "noticed": noticed}


def read_job(job: Job, settings: Settings, tally: Tally) -> Iterator[Given]:
    """Yield what one file gives: records with an id of their own, and drops; up to the source's limit."""
    name, left = job.source.name, settings.limit - tally.written(job.source.name)
    if settings.limit and left <= 0:
        return
    hashed = hash_file(job.path)
    tally.sources[name] = job.source
    tally.files[job.shown] = {"source": name, "blake2b_128": hashed}
    options = replace(job.options, revision=job.options.revision or hashed)
    for given in job.source.read(job.path, options):
        record = _screen(given, name, settings, tally)
        yield record
        left -= not isinstance(record, Dropped)
        if settings.limit and left <= 0:
            return


def _screen(given: Given, name: str, settings: Settings, tally: Tally) -> Given:
    """Return the record to write, under an id that no other has, or the drop."""
    if isinstance(given, Dropped):
        return given
    reason = _unwanted(given, settings)
    if reason:
        return _left_out(given, reason)
    content = content_of(given)
    first = tally.hashes[name].get(content)
    if first is not None:
        return _left_out(given, REPEATS, place=first)
    if given.id in tally.ids:
        given = structs.replace(given, id=f"{given.id}~{content[:8]}")
    tally.hashes[name][content] = given.id
    tally.ids.add(given.id)
    return given


def _left_out(record: Given, reason: str, place: str = "") -> Dropped:
    return Dropped(record.id, ROOM, reason, place, record=encode(record).decode())


def content_of(record: Given) -> str:
    """Return the hash of what a record says: its texts, key, language and split, without id and place."""
    assert not isinstance(record, Dropped)
    if isinstance(record, Translation):
        return content_hash(record)
    bare = Origin(record.origin.dataset, split=record.origin.split)
    return content_hash(structs.replace(record, id="", origin=bare))


def _unwanted(record: Given, settings: Settings) -> str:
    code, split = _language_and_split(record)
    codes = {code} | ({record.target_language} if isinstance(record, ParallelText) else set())
    codes |= {record.target.language} if isinstance(record, Translation) and record.target else set()
    if settings.languages and not codes <= set(settings.languages):
        return "a language that the recipe does not ask for"
    if settings.splits and split not in settings.splits:
        return "a split that the recipe does not ask for"
    return ""


def _language_and_split(record: Given) -> tuple[str, str]:
    """Return the language and split of a record; of a translation, those of its source."""
    assert not isinstance(record, Dropped)
    item = record.source if isinstance(record, Translation) else record
    return item.language, item.origin.split
