"""The room `curate`: keeps what is medical, in its language, and not there twice.

Every record goes through the same steps in the same order; the first step that objects drops it, with the
reason. Per step, records in = records out + dropped.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bimedix.curate.documents import read_documents
from bimedix.curate.filter import Mode, decide
from bimedix.curate.lists import KeywordList, keyword_list, read_keyword_list
from bimedix.curate.settings import Settings
from bimedix.errors import BimedixError
from bimedix.files import read_any_records
from bimedix.languages import LANGUAGES
from bimedix.overlap.duplicates import Seen, Textual, text_of
from bimedix.records import Dropped, Passage
from bimedix.stage import RECORDS, Context, StageWriter, Summary
from bimedix.text import script_shares


@dataclass(frozen=True)
class Removal:
    """Why a step objects to a record."""

    reason: str
    place: str = ""
    detail: str = ""


Check = Callable[[Textual], Removal | None]


@dataclass
class Step:
    """One named check and what it has seen."""

    name: str
    check: Check
    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    passed: int = 0

    def objects(self, record: Textual) -> Removal | None:
        """Return why the record has to go, or None; counts either way."""
        self.read += 1
        removal = self.check(record)
        if removal:
            self.dropped[removal.reason] += 1
        else:
            self.passed += 1
        return removal


def run(settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Fill `out` with the records of `inputs["sources"]` and of the documents that pass every step."""
    steps = steps_of(settings, context.base)
    tally = _Tally()
    with StageWriter(out, room="curate") as stage:
        for record in context.progress.track(_records(settings, inputs, out, context), "curate"):
            tally.read += 1
            if isinstance(record, Dropped):
                tally.unread += 1
                stage.put(record)
                continue
            if record.origin.split in settings.untouched:
                tally.untouched += 1
                tally.count(record, None)
                stage.write(record)
                continue
            removal = next((found for step in steps if (found := step.objects(record))), None)
            tally.count(record, removal)
            if removal:
                stage.drop(record, removal.reason, place=removal.place, detail=removal.detail)
            else:
                stage.write(record)
        _check_counts(steps, tally.read - tally.unread - tally.untouched, stage.written - tally.untouched)
        return stage.summary(tally.read, **tally.figures(steps))


def steps_of(settings: Settings, base: Path) -> list[Step]:
    """Return the steps that the settings ask for, in their order."""
    steps = []
    if settings.least_script_share > 0:
        steps.append(Step("language", _language_check(settings.least_script_share)))
    if settings.filter != "off":
        lists = _lists(settings, base)
        steps.append(
            Step("keywords", _keyword_check(lists, settings.filter, settings.least_specific_keywords))
        )
    if settings.repeats == "drop":
        steps.append(Step("repeats", _repeat_check()))
    return steps


def _records(
    settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context
) -> Iterator[Textual | Dropped]:
    if "sources" in inputs:
        for record in read_any_records(inputs["sources"] / RECORDS):
            if isinstance(record, Textual):
                yield record
            else:
                tag = type(record).__name__
                yield Dropped(record.id, "curate", "not a record of a source", detail=tag)
    yield from read_documents(settings, out, context)


def _lists(settings: Settings, base: Path) -> dict[str, KeywordList]:
    own = {code: read_keyword_list(base / path) for code, path in settings.keywords.items()}
    return {code: own.get(code) or keyword_list(code) for code in (*settings.filter_languages, *own)}


def _language_check(least: float) -> Check:
    def check(record: Textual) -> Removal | None:
        if record.language not in LANGUAGES:
            return None
        shares = script_shares(text_of(record))
        share = shares.get(LANGUAGES[record.language].script, 0.0)
        if not shares or share >= least:
            return None
        return Removal("not in the script of its language", detail=f"{share:.2f} of its letters are")

    return check


def _keyword_check(lists: Mapping[str, KeywordList], mode: Mode, least_specific: int) -> Check:
    def check(record: Textual) -> Removal | None:
        words = lists.get(record.language)
        if not isinstance(record, Passage) or words is None:
            return None
        found = decide(record.text, words, mode=mode, least_specific=least_specific)
        detail = f"{found.count} keywords, density {found.density:.4f}"
        return None if found.accepted else Removal(found.reason, detail=detail)

    return check


def _repeat_check() -> Check:
    seen = Seen()

    def check(record: Textual) -> Removal | None:
        repeat = seen.check(record)
        if repeat is None:
            return None
        reason = "repeats an earlier text" + ("" if repeat.same_answer else " with another answer")
        return Removal(reason, place=repeat.first)

    return check


@dataclass
class _Tally:
    read: int = 0
    unread: int = 0
    untouched: int = 0
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, record: Textual, removal: Removal | None) -> None:
        kind = str(record.__struct_config__.tag)
        (self.lost if removal else self.kept)[record.language, kind] += 1

    def figures(self, steps: list[Step]) -> dict[str, Any]:
        groups = sorted(self.kept.keys() | self.lost.keys())
        return {
            "untouched": self.untouched,
            "steps": [
                {"step": s.name, "in": s.read, "out": s.passed, "dropped": dict(sorted(s.dropped.items()))}
                for s in steps
            ],
            "groups": [
                {
                    "language": language, "kind": kind, "kept": (kept := self.kept[language, kind]),
                    "dropped": (lost := self.lost[language, kind]),
                    "kept_share": round(kept / (kept + lost), 4),
                }
                for language, kind in groups
            ],
        }  # fmt: skip


def _check_counts(steps: list[Step], read: int, written: int) -> None:
    """Prove that no record got lost: each step passes on what it does not drop, to the next one."""
    expected = read
    for step in steps:
        if step.read != expected or step.read != step.passed + step.dropped.total():
            raise BimedixError(
                f"curate: step '{step.name}' read {step.read} of {expected} records, passed {step.passed} "
                f"and dropped {step.dropped.total()}; records got lost. Please report this."
            )
        expected = step.passed
    if expected != written:
        raise BimedixError(f"curate: {expected} records passed every step and {written} were written.")
