"""Rubrics and ratings of a run: answers are gathered, judges asked, people's sheets written and read.

Files: `rubric_answers.jsonl`, `rubric_grades.jsonl` (every verdict), `rubric_sheet.csv` for people to mark,
`rubrics.json`; `ratings/rater-N.csv` and `.html` to fill in, `ratings.jsonl` (every rating), `ratings.json`.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from bimedix.completers.base import Reply, Request, Talk
from bimedix.completers.runner import run_talks
from bimedix.completers.settings import CompleterSettings, open_completer
from bimedix.errors import DataError
from bimedix.evaluate.items import ROOM, Asked
from bimedix.evaluate.ratings import (
    Answered,
    Rated,
    Rating,
    rated,
    rating_talk,
    read_sheet,
    write_sheets,
)
from bimedix.evaluate.rationales import paired, rationale_pairs
from bimedix.evaluate.reasons import ModelScore
from bimedix.evaluate.rubric import (
    Grade,
    JudgeAgreement,
    RubricItem,
    RubricScore,
    grade_talk,
    judge_agreement,
    read_rubrics,
    rubric_scores,
)
from bimedix.evaluate.settings import Ratings, Rubrics
from bimedix.files import RecordWriter, read_records, read_text, write_json, write_text
from bimedix.prompts.questions import question_message
from bimedix.records import Prediction, content_hash
from bimedix.stage import Context
from bimedix.tables import safe_cell

if TYPE_CHECKING:
    from bimedix.evaluate.asking import Asker

RUBRICS_FILE, RATINGS_FILE = "rubrics.json", "ratings.json"
_YES, _NO = ("yes", "y", "1", "true", "نعم"), ("no", "n", "0", "false", "لا")


class RubricAnswer(Struct, frozen=True):
    """What a model said to a conversation."""

    model: str
    id: str
    text: str

    @property
    def code(self) -> str:
        """Stands for this answer on sheets; another text has another code."""
        return content_hash([self.model, self.id, self.text])[:10]


class RubricReport(Struct, frozen=True):
    """Scores, and how far the judge says what people say."""

    scores: tuple[RubricScore, ...]
    agreement: JudgeAgreement | None = None
    unknown_marks: int = 0
    """Marks of answers that this run did not give."""


@dataclass
class RubricRun:
    """Answers to the conversations of a rubric file, and their grades."""

    settings: Rubrics
    context: Context
    answers: list[RubricAnswer] = field(default_factory=list)
    items: list[RubricItem] = field(init=False)

    def __post_init__(self) -> None:
        items = read_rubrics(self.context.base / self.settings.path)
        items.sort(key=lambda item: content_hash(item.id))
        self.items = items[: self.settings.limit or None]

    def answer_local(self, model: Any, asker: "Asker", name: str, end_id: int, budget: int) -> None:
        """Let a local model answer every conversation."""
        from bimedix.evaluate.generation import generate
        from bimedix.prompts.chat import encode_prompt

        prompts = {
            item.id: tuple(encode_prompt(item.conversation, asker.tokenizer, asker.template))
            for item in self.items
        }
        found = generate(
            model, prompts, end_id=end_id, max_new_tokens=self.settings.max_new_tokens, budget=budget
        )
        for item in self.items:
            text = asker.tokenizer.decode(list(found[item.id]), skip_special_tokens=True).strip()
            self.answers.append(RubricAnswer(name, item.id, text))

    def answer_remote(self, chosen: CompleterSettings) -> None:
        """Ask a completer for every answer; what it does not give counts as an empty one."""

        def talk(item: RubricItem) -> Talk[Reply]:
            limit = self.settings.max_new_tokens
            (reply,) = yield (Request(item.conversation, "answer", item.id, max_new_tokens=limit),)
            return reply

        talks = [(item.id, talk(item)) for item in self.items]
        for name, reply in _ask(talks, chosen, self.context, "rubric answers"):
            text = "" if reply.finish == "error" else reply.text.strip()
            self.answers.append(RubricAnswer(chosen.model or chosen.kind, name, text))

    def finish(self, out: Path, confidence: float) -> RubricReport:
        """Have all answers graded, compare with people's marks, and write the files."""
        _write(out / "rubric_answers.jsonl", self.answers)
        by_id = {item.id: item for item in self.items}
        write_text(out / "rubric_sheet.csv", _marking_sheet(self.answers, by_id))
        grades: list[Grade] = []
        if self.settings.judge:
            talks = [(f"{a.model}:{a.id}", grade_talk(by_id[a.id], a.model, a.text)) for a in self.answers]
            for _, found in _ask(talks, self.settings.judge, self.context, "rubric grades"):
                grades += found
        _write(out / "rubric_grades.jsonl", grades)
        seed = self.context.seed
        scores = rubric_scores(self.items, grades, seed=seed, confidence=confidence)
        agreement, unknown = self._against_people(grades, confidence)
        report = RubricReport(tuple(scores), agreement, unknown)
        write_json(out / RUBRICS_FILE, report)
        return report

    def _against_people(
        self, grades: Sequence[Grade], confidence: float
    ) -> tuple[JudgeAgreement | None, int]:
        codes = {(a.model, a.id): a.code for a in self.answers}
        judged = {(codes[g.model, g.id], g.criterion): g.met for g in grades if g.met is not None}
        given = {(codes[g.model, g.id], g.criterion) for g in grades}
        marks: dict[tuple[str, int], list[bool]] = {}
        unknown = 0
        for path in self.settings.marks:
            for place, met in _read_marks(self.context.base / path):
                unknown += place not in given
                if place in judged:
                    marks.setdefault(place, []).append(met)
        both = sorted(marks)
        if len(both) < 2:
            return None, unknown
        verdicts = [bool(judged[place]) for place in both]
        people = [marks[place] for place in both]
        return judge_agreement(verdicts, people, seed=self.context.seed, confidence=confidence), unknown


def _ask(
    talks: Sequence[tuple[str, Talk[Any]]], chosen: CompleterSettings, context: Context, name: str
) -> Iterable[tuple[str, Any]]:
    return run_talks(
        talks, open_completer(chosen, context.base), context.calls, progress=context.progress,
        name=f"{ROOM}, {name}", budget_usd=chosen.budget_usd, total=len(talks),
    )  # fmt: skip


def _write(path: Path, rows: Iterable[Struct]) -> None:
    with RecordWriter(path) as file:
        for row in rows:
            file.write(row)


def _marking_sheet(answers: Sequence[RubricAnswer], items: dict[str, RubricItem]) -> str:
    """Return a row per answer and criterion, without the model's name, in the order of the codes."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(("code", "criterion", "conversation", "answer", "text", "met"))
    for answer in sorted(answers, key=lambda a: a.code):
        item = items[answer.id]
        talk = "\n".join(f"{turn.role}: {turn.content}" for turn in item.conversation)
        for number, criterion in enumerate(item.criteria):
            cells = (answer.code, str(number), talk, answer.text, criterion.text, "")
            writer.writerow([safe_cell(cell) for cell in cells])
    return "\ufeff" + stream.getvalue()


def _read_marks(path: Path) -> Iterable[tuple[tuple[str, int], bool]]:
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if missing := {"code", "criterion", "met"} - set(reader.fieldnames or ()):
        raise DataError(f"{path}: has no column {', '.join(sorted(missing))}.")
    for row in reader:
        said = (row["met"] or "").strip().lower()
        if said and said not in (*_YES, *_NO):
            raise DataError(f"{path}:{reader.line_num}: met '{said}'; write yes or no, or leave it empty.")
        if said and not (row["criterion"] or "").strip().isdigit():
            raise DataError(f"{path}:{reader.line_num}: criterion '{row['criterion']}' is no number.")
        if said:
            yield (row["code"].strip(), int(row["criterion"])), said in _YES


def rate_answers(
    settings: Ratings,
    context: Context,
    asked: Sequence[Asked],
    predictions: Sequence[Prediction],
    out: Path,
    *,
    unfiltered: bool,
    confidence: float,
) -> Rated:
    """Write sheets of generated explanations, and tell what filled ones and a judge say of them."""
    answers = _to_rate(settings, asked, predictions, unfiltered)
    write_sheets(
        answers, out / "ratings", raters=settings.raters, highest=settings.highest, seed=context.seed
    )
    people = [r for path in settings.sheets for r in read_sheet(context.base / path, settings.highest)]
    judged: list[Rating] = []
    if settings.judge:
        talks = [(row.code, rating_talk(row, settings.highest)) for row in answers]
        judged = [row for _, row in _ask(talks, settings.judge, context, "ratings") if row is not None]
    _write(out / "ratings.jsonl", [*people, *judged])
    metrics = _metrics(out, answers)
    found = rated(answers, people, judged, metrics, seed=context.seed, confidence=confidence)
    write_json(out / RATINGS_FILE, found)
    return found


def _to_rate(
    settings: Ratings, asked: Sequence[Asked], predictions: Sequence[Prediction], unfiltered: bool
) -> list[Answered]:
    """Return the first answers of each model and language by hash of the item's id."""
    out: list[Answered] = []
    for model in dict.fromkeys(row.model for row in predictions):
        mine = paired(asked, [row for row in predictions if row.model == model])
        pairs = sorted(rationale_pairs(mine, unfiltered=unfiltered), key=lambda p: content_hash(p[1].id))
        taken: dict[str, int] = {}
        for entry, pair in pairs:
            taken[pair.language] = taken.get(pair.language, 0) + 1
            if taken[pair.language] <= settings.items:
                question = question_message(entry.item).content
                out.append(Answered(model, pair.id, pair.language, question, pair.reference, pair.generated))
    return out


def _metrics(out: Path, answers: Sequence[Answered]) -> dict[str, dict[str, float]]:
    """Return our metrics by name and code, from the file of single scores."""
    codes = {(row.model, row.id, row.language): row.code for row in answers}
    found: dict[str, dict[str, float]] = {}
    for row in read_records(out / "rationales.jsonl", ModelScore):
        code = codes.get((row.model, row.id, row.language))
        if code and row.protocol == "bimedix":
            found.setdefault(row.metric, {})[code] = row.value
    return found
