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
from bimedix.prompts.asking import Tally
from bimedix.prompts.judging import judge_prompt_hash
from bimedix.records import Item, Translation
from bimedix.stage import RECORDS, Context, StageWriter, Summary
from bimedix.translate.checks import Checks
from bimedix.translate.compared import compared
from bimedix.translate.controls import judge_controls, open_completers
from bimedix.translate.flow import Outcome, Tools, translate_item
from bimedix.translate.hints import hints
from bimedix.translate.routing import NO_TRUST, errors
from bimedix.translate.settings import Settings
from bimedix.translate.side_by_side import SAMPLE, draw_sample, side_by_side

ROOM = "translate"
PAGE = "side_by_side.html"
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
        for translation in compared(kept, out, context.seed, settings) if settings.set_checks else kept:
            report.add(translation)
            stage.write(translation)
    drawn = draw_sample(read_records(out / RECORDS, Translation), SAMPLE, context.seed)
    write_text(out / PAGE, side_by_side(drawn))
    if settings.sample:
        report.estimate(inbox.taken, inbox.left_alone["not in the sample"])
    figures = report.figures() | {"controls": controls and controls._asdict()}
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
        return "" if kind in self.settings.kinds else f"kind {kind} is not among kinds"


class Report:
    """Counts for the summary: what scores, routes and checks looked like before and after revision."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tally = Tally()
        self.stopped: Counter[str] = Counter()
        self.before, self.after = Scores(settings.threshold), Scores(settings.threshold)
        self.routes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.revisions = self.revised = self.helped = 0
        self.by_record: dict[str, list[float]] = {"tokens_in": [], "tokens_out": [], "cost_usd": []}
        self.expected: dict[str, Any] | None = None

    def used(self, tally: Tally) -> None:
        """Count what one record took."""
        self.tally.merge(tally)
        if self.settings.sample:
            for name, values in self.by_record.items():
                values.append(getattr(tally, name))

    def estimate(self, taken: int, left: int) -> None:
        """Work out what all records would take, from those of the sample, with 95 % intervals.

        Answers that came from the ledger cost nothing now, so the cost is that of a first run only.
        """
        from bimedix.statistics import bootstrap_interval

        if not taken:
            return
        self.expected = {"records": taken + left}
        for name, values in self.by_record.items():
            interval = bootstrap_interval(lambda column: float(column.mean()), values)
            each = (sum(values) / len(values), interval.low, interval.high)
            self.expected[name] = [round(value * (taken + left), 4) for value in each]

    def add(self, translation: Translation) -> None:
        """Count one translation."""
        best = translation.attempts[translation.best]
        self.before.add(translation.attempts[0].score, errors(translation.attempts[0]))
        self.after.add(best.score, errors(best))
        self.routes[translation.route] += 1
        self.reasons.update(translation.reasons)
        self.findings.update(f"{finding.check} ({finding.severity})" for finding in best.findings)
        self.spans.update(f"{span.category} ({span.severity})" for span in best.spans)
        self.revisions += len(translation.attempts) - 1
        self.revised += len(translation.attempts) > 1
        self.helped += translation.best > 0

    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        same = self.settings.judge is None or self.settings.judge == self.settings.completer
        return {
            "scores_before_revision": self.before.figures(),
            "scores_after_revision": self.after.figures(),
            "routes": dict(sorted(self.routes.items())),
            "reasons_for_review": dict(self.reasons.most_common()),
            "findings_by_check": dict(self.findings.most_common()),
            "error_spans": dict(self.spans.most_common()),
            "revisions": {"made": self.revisions, "records": self.revised, "records_bettered": self.helped},
            "loop_ended_by": dict(self.stopped.most_common()),
            "replies": dict(self.tally.counts.most_common()),
            "calls": self.tally.calls,
            "tokens_in": self.tally.tokens_in,
            "tokens_out": self.tally.tokens_out,
            "cost_usd": round(self.tally.cost_usd, 6),
            "calls_from_ledger": self.tally.cached,
            "calls_unpriced": self.tally.unpriced,
            "expected_for_all": self.expected,
            "judge_is_translator": same,
            "judge_prompt_hash": judge_prompt_hash(),
        }


class Scores:
    """A histogram of scores in steps of ten, and how many pass."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.bins = [0] * 10
        self.total = self.sum = 0.0
        self.unread = self.passing = 0

    def add(self, score: float | None, errors: int) -> None:
        """Count one version."""
        if score is None:
            self.unread += 1
            return
        self.bins[min(9, int(score // 10))] += 1
        self.total += 1
        self.sum += score
        self.passing += score >= self.threshold and not errors

    def figures(self) -> dict[str, Any]:
        """Return counts by range of score (0 to 100), mean, and how many need no person."""
        names = [f"{10 * n}-{10 * n + 9}" for n in range(9)] + ["90-100"]
        return {
            "histogram": dict(zip(names, self.bins, strict=True)),
            "mean": round(self.sum / self.total, 2) if self.total else None,
            "without_judgment": self.unread,
            "pass": self.passing,
        }
