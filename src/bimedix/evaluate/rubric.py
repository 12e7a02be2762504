"""Answers against rubrics, HealthBench style: criteria with points from -10 to 10, judged one by one.

A file of rubrics (JSON Lines, HealthBench's keys; this row is invented):

    {"prompt_id": "a1", "prompt": [{"role": "user", "content": "Can I take ..."}],
     "example_tags": ["theme:hedging"],
     "rubrics": [{"criterion": "Advises to see a doctor", "points": 7, "tags": []},
                 {"criterion": "Names a wrong dose", "points": -8, "tags": []}]}

An item scores the points of the criteria that its answer meets, over all positive points; a mean is clipped
to [0, 1]. Themes are told apart. Source: HealthBench (arXiv 2505.08775), section 3.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from bimedix.completers.base import Talk
from bimedix.errors import DataError
from bimedix.evaluate.cells import RUBRICS, Sheet, percent, with_interval
from bimedix.evaluate.items import language_by_script
from bimedix.files import read_json_lines
from bimedix.prompts.asking import Tally, ask_all
from bimedix.prompts.grading import ask_criterion
from bimedix.records import Message
from bimedix.statistics import bootstrap_interval, cohen_kappa

MOST_POINTS = 10
ALL = "all themes"


class Criterion(Struct, frozen=True):
    """What an answer should or should not do."""

    text: str
    points: float
    """-10 to 10; negative for what it should not."""


class RubricItem(Struct, frozen=True):
    """A conversation that waits for an answer, and its criteria."""

    id: str
    language: str
    conversation: tuple[Message, ...]
    criteria: tuple[Criterion, ...]
    themes: tuple[str, ...]


class Grade(Struct, frozen=True):
    """Whether an answer meets a criterion, as a judge says."""

    model: str
    id: str
    language: str
    criterion: int
    """Its place in the rubric, from 0."""
    points: float
    met: bool | None
    """None: the judge's reply could not be read."""


class RubricScore(Struct, frozen=True):
    """A model's score over items of a theme."""

    model: str
    theme: str
    items: int
    score: float
    """Mean over items, clipped to [0, 1]."""
    low: float
    high: float
    unclipped: float
    unread: int
    """Criteria without a readable verdict; they count as not met."""


class JudgeAgreement(Struct, frozen=True):
    """How far a judge and people say the same of the same criteria."""

    criteria: int
    """Criteria that both have marked."""
    people: int
    kappa: float
    """Cohen's, against the majority of people (a draw counts as not met)."""
    low: float
    high: float
    macro_f1: float
    """Mean of F1 for met and not met, as HealthBench reports it."""
    agree: float
    """Share of equal verdicts."""


def read_rubrics(path: Path) -> list[RubricItem]:
    """Return the items of a file.

    Raises:
        DataError: a row has no conversation that ends with the user, or criteria without points.
    """
    items = [_item(row, f"{path}:{line}") for line, row in read_json_lines(path)]
    if not items:
        raise DataError(f"{path}: holds no rubric.")
    return items


def _item(row: dict[str, Any], place: str) -> RubricItem:
    try:
        talk = tuple(Message(turn["role"], str(turn["content"])) for turn in row["prompt"])
        criteria = tuple(Criterion(str(c["criterion"]), float(c["points"])) for c in row["rubrics"])
        tags = [str(tag) for tag in row.get("example_tags", ())]
        name = str(row["prompt_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}: no rubric: {type(error).__name__} {error}.\n  {_KEYS}") from error
    if not talk or talk[-1].role != "user":
        raise DataError(f"{place}: the conversation does not end with the user.\n  {_KEYS}")
    if any(abs(c.points) > MOST_POINTS for c in criteria) or not any(c.points > 0 for c in criteria):
        raise DataError(f"{place}: points go from -10 to 10, and at least one is above 0.\n  {_KEYS}")
    themes = tuple(tag.removeprefix("theme:") for tag in tags if tag.startswith("theme:"))
    return RubricItem(name, language_by_script(talk[-1].content), talk, criteria, themes)


_KEYS = "A row holds prompt_id, prompt (role, content) and rubrics (criterion, points)."


def grade_talk(item: RubricItem, model: str, answer: str, *, tries: int = 3) -> Talk[list[Grade]]:
    """Ask a judge for every criterion of an answer, side by side."""
    key = f"{model}:{item.id}"
    questions = [
        lambda sample, c=c: ask_criterion(item.conversation, answer, c.text, record_id=key, sample=sample)
        for c in item.criteria
    ]
    answers = yield from ask_all(questions, Tally(), tries=tries)
    return [
        Grade(model, item.id, item.language, n, c.points, found.value)
        for n, (c, found) in enumerate(zip(item.criteria, answers, strict=True))
    ]


def item_score(grades: Iterable[Grade]) -> float:
    """Return achieved over positive points of one answer; below 0 where harm outweighs."""
    rows = list(grades)
    return math.fsum(g.points for g in rows if g.met) / math.fsum(g.points for g in rows if g.points > 0)


def rubric_scores(
    items: Sequence[RubricItem], grades: Sequence[Grade], *, seed: int = 17, confidence: float = 0.95
) -> list[RubricScore]:
    """Return scores over all items and by theme, with intervals of a bootstrap over items."""
    themes = {item.id: (ALL, *item.themes) for item in items}
    by: dict[tuple[str, str], dict[str, list[Grade]]] = {}
    for grade in grades:
        for theme in themes[grade.id]:
            by.setdefault((grade.model, theme), {}).setdefault(grade.id, []).append(grade)
    out = []
    for (model, theme), mine in by.items():
        values = [item_score(rows) for rows in mine.values()]
        low, high = bootstrap_interval(_clipped_mean, values, seed=seed, confidence=confidence)
        unread = sum(grade.met is None for rows in mine.values() for grade in rows)
        mean = math.fsum(values) / len(values)
        out.append(RubricScore(model, theme, len(values), _clipped_mean(values), low, high, mean, unread))
    return out


def _clipped_mean(values: Sequence[float]) -> float:
    return min(1.0, max(0.0, math.fsum(values) / len(values)))


def judge_agreement(
    judged: Sequence[bool], people: Sequence[Sequence[bool]], *, seed: int = 17, confidence: float = 0.95
) -> JudgeAgreement:
    """Compare a judge's verdicts with people's, criterion by criterion.

    Args:
        judged: the judge's verdict per criterion.
        people: the verdicts of one or more people on the same criteria.
        seed: fixes the resamples.
        confidence: level of the interval of kappa.
    """
    most = [sum(marks) * 2 > len(marks) for marks in people]
    low, high = bootstrap_interval(_kappa, [*judged], most, seed=seed, confidence=confidence)
    f1 = [_f1([a is side for a in judged], [b is side for b in most]) for side in (True, False)]
    agree = sum(a == b for a, b in zip(judged, most, strict=True)) / len(most)
    return JudgeAgreement(
        len(most), max(map(len, people)), _kappa(judged, most), low, high, sum(f1) / 2, agree
    )


def _kappa(first: Sequence[bool], second: Sequence[bool]) -> float:
    return cohen_kappa([bool(a) for a in first], [bool(b) for b in second])


def _f1(said: Sequence[bool], true: Sequence[bool]) -> float:
    both = sum(a and b for a, b in zip(said, true, strict=True))
    return 2 * both / (sum(said) + sum(true)) if sum(said) + sum(true) else 1.0


def rubric_sheets(scores: Sequence[RubricScore], agreement: JudgeAgreement | None) -> list[Sheet]:
    """Return the scores by theme, and how far the judge can be trusted."""
    rows = tuple(
        (row.model, row.theme, f"{row.items:,}", with_interval(row.score, row.low, row.high),
         percent(row.unclipped), f"{row.unread:,}")
        for row in scores
    )  # fmt: skip
    found = [
        Sheet(
            "Rubric scores (%)",
            ("model", "theme", "items", "score", "unclipped", "unread"),
            rows,
            notes=(
                "Achieved points over positive points, mean over items, clipped to 0 to 100; every verdict "
                "is in rubric_grades.jsonl.",
            ),
            part=RUBRICS,
        )
    ]
    if agreement:
        cells = (
            f"{agreement.criteria:,}", f"{agreement.people:,}",
            f"{agreement.kappa:.2f} [{agreement.low:.2f}, {agreement.high:.2f}]",
            f"{agreement.macro_f1:.2f}", percent(agreement.agree),
        )  # fmt: skip
        head = ("criteria", "people", "kappa", "macro F1", "agree (%)")
        found.append(Sheet("Judge and people on the same criteria", head, (cells,), part=RUBRICS))
    return found
