"""The room `translate`: records in, `Translation` records with their whole history out."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from bimedix.completers.base import Talk
from bimedix.completers.runner import run_talks
from bimedix.draws import uniform_draw
from bimedix.errors import MissingError
from bimedix.files import read_records, write_text
from bimedix.pages import SHOWN, SIDE_BY_SIDE
from bimedix.records import Item, Translation
from bimedix.stage import RECORDS, Context, StageWriter, Summary
from bimedix.translate.checks import Checks
from bimedix.translate.compared import compared
from bimedix.translate.controls import judge_controls, open_completers
from bimedix.translate.flow import Outcome, Tools, translate_item
from bimedix.translate.hints import hints
from bimedix.translate.outside import OutsideScores
from bimedix.translate.report import Report
from bimedix.translate.routing import NO_TRUST
from bimedix.translate.settings import Settings
from bimedix.translate.side_by_side import draw_sample, side_by_side

ROOM = "translate"
SOURCES = ("synthesize", "curate")
"""Rooms whose records are translated; a record with a rationale from the first goes before its plain form."""


def run(settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Translate the records of `synthesize` and `curate`; what was refused or unreadable is dropped whole.

    A run that was killed goes on from the call ledger: no answer is paid for twice.
    """
    inbox = Inbox(settings, inputs, context.seed)
    controls = judge_controls(settings, context)
    doubt = NO_TRUST if controls and controls.failure else ""
    tools = Tools(Checks(settings, context.base), hints(settings, context.base), doubt)
    talks: Iterator[tuple[Item, Talk[Outcome]]] = (
        (item, translate_item(item, settings, tools, seed=context.seed)) for item in inbox
    )
    report = Report(settings)
    outside = OutsideScores(settings.outside, context.base, out)
    waiting: dict[str, Item] = {}

    def named() -> Iterator[tuple[str, Talk[Outcome]]]:
        for item, talk in talks:
            waiting[item.id] = item
            yield item.id, talk

    completer, judge = open_completers(settings, context.base)
    outcomes = run_talks(
        named(), completer, context.calls, progress=context.progress, name=ROOM,
        budget_usd=settings.completer.budget_usd, by_purpose=judge,
    )  # fmt: skip
    with StageWriter(out, ROOM) as stage:
        kept = _kept(outcomes, waiting, stage, report)
        checked = compared(kept, out, context.seed, settings) if settings.set_checks else kept
        for translation in outside.scored(checked):
            report.add(translation)
            stage.write(translation)
    drawn = draw_sample(read_records(out / RECORDS, Translation), SHOWN, context.seed)
    write_text(out / SIDE_BY_SIDE, side_by_side(drawn))
    if settings.sample:
        report.estimate(inbox.taken, inbox.left_alone["not in the sample"])
    figures = report.figures() | {"controls": controls and controls._asdict(), "outside": outside.figures()}
    return stage.summary(inbox.read, **figures, left_alone=dict(sorted(inbox.left_alone.items())))


def _kept(
    outcomes: Iterator[tuple[str, Outcome]], waiting: dict[str, Item], stage: StageWriter, report: "Report"
) -> Iterator[Translation]:
    for name, outcome in outcomes:
        item = waiting.pop(name)
        report.used(outcome.tally)
        report.stopped[outcome.stopped or "dropped"] += 1
        if outcome.translation is None:
            stage.drop(item, outcome.refusal, detail=outcome.detail)
        else:
            yield outcome.translation


class Inbox:
    """Reads the records to translate, once an id, and counts those it leaves alone."""

    def __init__(self, settings: Settings, inputs: Mapping[str, Path], seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.files = [inputs[room] / RECORDS for room in SOURCES if room in inputs]
        self.files = [file for file in self.files if file.exists()]
        if not self.files:
            raise MissingError(
                f"[translate] no records to read: of {', '.join(SOURCES)} none has left a {RECORDS}.\n"
                "  Run `curate` first, or give the folder that holds its records."
            )
        self.read = self.taken = 0
        self.left_alone: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Item]:
        """Yield what is to be translated; of a sample the records with the smallest draws."""
        limit = self._limit() if self.settings.sample else (2.0, "")
        self.read = self.taken = 0
        self.left_alone.clear()
        for item in self._fitting():
            if (self._draw(item), item.id) > limit:
                self.left_alone["not in the sample"] += 1
            else:
                self.taken += 1
                yield item

    def _draw(self, item: Item) -> float:
        return uniform_draw(self.seed, "sample", item.id)

    def _limit(self) -> tuple[float, str]:
        draws = ((self._draw(item), item.id) for item in self._fitting())
        return max(heapq.nsmallest(self.settings.sample, draws), default=(0.0, ""))

    def _fitting(self) -> Iterator[Item]:
        seen: set[str] = set()
        for file in self.files:
            items: Iterator[Item] = read_records(file, cast(type[Any], Item))
            for item in items:
                self.read += 1
                why = "read already from another room" if item.id in seen else self._left_alone(item)
                seen.add(item.id)
                if why:
                    self.left_alone[why] += 1
                else:
                    yield item

    def _left_alone(self, item: Item) -> str:
        if item.language == self.settings.target_language:
            return "in the target language"
        if self.settings.source_languages and item.language not in self.settings.source_languages:
            return f"language {item.language} is not among source_languages"
        kind = str(item.__struct_config__.tag)
        if kind not in self.settings.kinds:
            return f"kind {kind} is not among kinds"
        return "" if self._drawn(item) else "not drawn by share"

    def _drawn(self, item: Item) -> bool:
        origin = item.origin
        if {origin.split, f"{origin.dataset}/{origin.split}"} & set(self.settings.whole_splits):
            return True
        return uniform_draw(self.seed, "translated", item.id) < self.settings.share
