"""The room `synthesize`: exam items in, dialogues grounded in them and rationales out."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from bimedix.completers.base import Completer, Talk
from bimedix.completers.runner import run_talks
from bimedix.completers.settings import open_completer
from bimedix.draws import uniform_draw
from bimedix.errors import MissingError
from bimedix.files import RecordWriter, read_any_records, write_text
from bimedix.pages import SIDE_BY_SIDE
from bimedix.prompts.asking import FAILED, Tally
from bimedix.prompts.synthesis import prompt_hash
from bimedix.records import Dialogue, MultipleChoice
from bimedix.stage import RECORDS, Context, StageWriter, Summary
from bimedix.synthesize.flow import NOT_GOLD, OTHER_ANSWER, Made, make_dialogue, make_rationale, usable
from bimedix.synthesize.settings import Settings
from bimedix.synthesize.side_by_side import draw_made, side_by_side
from bimedix.text import normalise, words

ROOM = "synthesize"
PROVENANCE = "provenance.jsonl"
_MAKERS = {"dialogue": make_dialogue, "rationale": make_rationale}
_CHECK_PURPOSES = ("answer-check", "conclusion-check", "rationale-check")
_OPENING_WORDS = 8


class Provenance(Struct, frozen=True):
    """How a record was made."""

    id: str
    item: str
    kind: str
    prompt_hash: str
    sample: int
    """Which try it was, from 0."""
    rejected: tuple[str, ...]
    """Why the tries before it were rejected."""
    model: str
    calls: tuple[str, ...]
    """Keys in the call ledger."""


def run(settings: Settings, inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Make dialogues and rationales from the multiple-choice items of `curate`.

    An item whose tries were all rejected is dropped with the last reason: those that never reach their answer
    are a list of doubtful keys.
    """
    inbox = Inbox(settings, inputs, context.seed)
    asked: dict[str, tuple[str, MultipleChoice]] = {}

    def talks() -> Iterator[tuple[str, Talk[Made]]]:
        for item in inbox:
            for kind in settings.kinds:
                if kind == "rationale" and item.rationale:
                    continue
                asked[f"{item.id}#{kind}"] = kind, item
                yield f"{item.id}#{kind}", _MAKERS[kind](item, settings, seed=context.seed)

    completer = open_completer(settings.completer, context.base)
    checker: dict[str, Completer] = {}
    if settings.checker:
        checker = dict.fromkeys(_CHECK_PURPOSES, open_completer(settings.checker, context.base))
    results = run_talks(
        talks(), completer, context.calls, progress=context.progress, name=ROOM,
        budget_usd=settings.completer.budget_usd, by_purpose=checker,
    )  # fmt: skip
    report = Report(settings)
    with StageWriter(out, ROOM) as stage, RecordWriter(out / PROVENANCE) as provenance:
        for name, made in results:
            kind, item = asked.pop(name)
            repeated = made.record is not None and report.opens_too_often(made.record)
            report.add(kind, item, made, repeated=repeated)
            if made.record is None or repeated:
                reason = "opens like others" if repeated else f"{kind}: {_told(made.reasons)}"
                stage.drop(made.record or item, reason, place=item.id, detail="; ".join(made.reasons))
                continue
            stage.write(made.record)
            provenance.write(_provenance(kind, item, made))
    write_text(out / SIDE_BY_SIDE, side_by_side(draw_made(out, context.seed), inbox.file))
    return stage.summary(inbox.read, **report.figures(), left_alone=dict(sorted(inbox.left_alone.items())))


def _told(reasons: Sequence[str]) -> str:
    """Return why an item was given up: the last reason that lies with what was written."""
    return next((reason for reason in reversed(reasons) if reason != FAILED), reasons[-1])


def _provenance(kind: str, item: MultipleChoice, made: Made) -> Provenance:
    assert made.record is not None
    prompt = prompt_hash(kind, item.language)
    return Provenance(made.record.id, item.id, kind, prompt, made.sample, made.reasons, made.model, made.keys)


class Inbox:
    """Reads the items to work on: usable ones, of which a share or a number is drawn by (seed, id)."""

    def __init__(self, settings: Settings, inputs: Mapping[str, Path], seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.file = inputs.get("curate", Path()) / RECORDS
        if "curate" not in inputs or not self.file.exists():
            raise MissingError(
                f"[synthesize] no records to read: {self.file} does not exist.\n"
                "  Run `curate` first, or give the folder that holds its records."
            )
        self.read = 0
        self.left_alone: Counter[str] = Counter()

    def __iter__(self) -> Iterator[MultipleChoice]:
        limit = self._limit()
        for record in read_any_records(self.file):
            self.read += 1
            why = usable(record, self.settings)
            if why or not isinstance(record, MultipleChoice):
                self.left_alone[why] += 1
            elif (self._draw(record.id), record.id) > limit:
                self.left_alone["not drawn"] += 1
            else:
                yield record

    def _draw(self, id: str) -> float:
        return uniform_draw(self.seed, ROOM, id)

    def _limit(self) -> tuple[float, str]:
        """Return the largest (draw, id) that is taken."""
        if not self.settings.count:
            return self.settings.share, ""
        usable_ids = (
            record.id
            for record in read_any_records(self.file)
            if isinstance(record, MultipleChoice) and not usable(record, self.settings)
        )
        taken = heapq.nsmallest(self.settings.count, ((self._draw(one), one) for one in usable_ids))
        return taken[-1] if taken else (0.0, "")


class Report:
    """Counts for the summary: acceptance by try, subject and source; why tries were rejected."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tally = Tally()
        self.by_try: dict[str, Counter[int]] = defaultdict(Counter)
        self.rejected: Counter[str] = Counter()
        self.groups: dict[str, Counter[str]] = defaultdict(Counter)
        self.doubtful: list[str] = []
        self._openings: Counter[str] = Counter()
        self.turns: Counter[int] = Counter()

    def opens_too_often(self, record: Dialogue | MultipleChoice) -> bool:
        """Count how a dialogue opens; true when too many before it opened alike."""
        if not isinstance(record, Dialogue):
            return False
        opening = " ".join(words(normalise(record.turns[0].text), record.language)[:_OPENING_WORDS])
        self._openings[opening] += 1
        return self._openings[opening] > self.settings.same_opening

    def add(self, kind: str, item: MultipleChoice, made: Made, *, repeated: bool) -> None:
        """Count one result."""
        self.tally.merge(made.tally)
        self.rejected.update(made.reasons)
        kept = made.record is not None and not repeated
        for group in (f"subject: {item.subject or 'none'}", f"source: {item.origin.dataset}"):
            self.groups[group].update(asked=1, kept=int(kept))
        if kept:
            self.by_try[kind][made.sample + 1] += 1
        if kept and isinstance(made.record, Dialogue):
            self.turns[len(made.record.turns) // 2] += 1
        if made.record is None and {NOT_GOLD, OTHER_ANSWER} & set(made.reasons):
            self.doubtful.append(item.id)

    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        dialogues = sum(self.turns.values())
        exchanges = sum(length * count for length, count in self.turns.items())
        return {
            "accepted_by_try": {
                kind: {str(number): count for number, count in sorted(tries.items())}
                for kind, tries in sorted(self.by_try.items())
            },
            "tries_rejected": dict(self.rejected.most_common()),
            "kept_by_group": {name: dict(counts) for name, counts in sorted(self.groups.items())},
            "doubtful_keys": self.doubtful[:1000],
            "exchanges_per_dialogue": {
                "mean": round(exchanges / dialogues, 3) if dialogues else None,
                "count_by_length": {str(length): count for length, count in sorted(self.turns.items())},
            },
            "calls": self.tally.calls,
            "tokens_in": self.tally.tokens_in,
            "tokens_out": self.tally.tokens_out,
            "cost_usd": round(self.tally.cost_usd, 6),
            "calls_from_ledger": self.tally.cached,
            "calls_unpriced": self.tally.unpriced,
            "replies": dict(self.tally.counts.most_common()),
        }
