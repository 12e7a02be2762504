"""People rate generated explanations: blinded sheets out, agreement and correlations back.

A sheet names neither model nor metric, and every rater gets the answers in another order. An answer goes by a
code that hashes its text, so a rating counts only for the text that was read. Krippendorff's alpha says how
far raters agree, tau-b and rho how far each metric follows them. Source: evaluate-serve.md, section 7.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from bimedix.completers.base import Talk
from bimedix.errors import DataError
from bimedix.evaluate.cells import RATINGS, Sheet
from bimedix.files import read_text, write_text
from bimedix.languages import LANGUAGES
from bimedix.pages import block, page
from bimedix.prompts.asking import Tally, ask_all
from bimedix.prompts.grading import ask_rating
from bimedix.records import content_hash
from bimedix.statistics import bootstrap_interval, kendall_tau_b, krippendorff_alpha, spearman
from bimedix.tables import safe_cell

COLUMNS = ("code", "language", "question", "reference", "answer", "rating", "note")
DRAWS = 300
"""Resamples of an interval; tau-b is quadratic in the items."""


class Answered(Struct, frozen=True):
    """An answer to be rated."""

    model: str
    id: str
    language: str
    question: str
    reference: str
    answer: str

    @property
    def code(self) -> str:
        """Stands for the answer on sheets; another text has another code."""
        return content_hash([self.model, self.id, self.language, self.answer])[:10]


class Rating(Struct, frozen=True):
    """What one rater gave one answer."""

    code: str
    rater: str
    value: float


class Agreement(Struct, frozen=True):
    """How far raters agree."""

    who: str
    raters: int
    answers: int
    """Rated by two or more."""
    alpha: float
    """Krippendorff's, for ratings as ranks."""
    low: float
    high: float


class MeanRating(Struct, frozen=True):
    """What a model's answers got."""

    model: str
    language: str
    who: str
    answers: int
    mean: float
    low: float
    high: float


class Correlation(Struct, frozen=True):
    """How a metric follows the mean rating of people."""

    metric: str
    answers: int
    tau: float
    tau_low: float
    tau_high: float
    rho: float
    rho_low: float
    rho_high: float


class Rated(Struct, frozen=True):
    """All of it."""

    agreement: tuple[Agreement, ...]
    means: tuple[MeanRating, ...]
    correlations: tuple[Correlation, ...]
    unknown_codes: int
    """Ratings of texts that this run did not write; they count for nothing."""


# --- sheets


def write_sheets(answers: Sequence[Answered], folder: Path, *, raters: int, highest: int, seed: int) -> None:
    """Write, for every rater, a CSV to fill in and a page to read from."""
    for rater in range(1, raters + 1):
        mine = sorted(answers, key=lambda a: Random(f"{seed}:{rater}:{a.code}").random())
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for row in mine:
            cells = (row.code, row.language, row.question, row.reference, row.answer, "", "")
            writer.writerow([safe_cell(cell) for cell in cells])
        write_text(folder / f"rater-{rater}.csv", "\ufeff" + stream.getvalue())
        write_text(folder / f"rater-{rater}.html", _page(mine, rater, highest))


def _page(answers: Sequence[Answered], rater: int, highest: int) -> str:
    body = "".join(
        f"<article><h2>{row.code}</h2>{block(row.question, row.language)}"
        f"<p class=note>Reference</p>{block(row.reference, row.language)}"
        f"<p class=note>Answer</p>{block(row.answer, row.language)}</article>"
        for row in answers
    )
    told = f"<p>Rate each answer from 1 to {highest} in rater-{rater}.csv, by its code.</p>"
    return page(f"Answers to rate, rater {rater}", told + body)


def read_sheet(path: Path, highest: int) -> list[Rating]:
    """Return the ratings of a filled sheet; the file's name is the rater's.

    Raises:
        DataError: a column is missing, or a rating is no number from 1 to `highest`; names the line.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if missing := {"code", "rating"} - set(reader.fieldnames or ()):
        raise DataError(
            f"{path}: has no column {', '.join(sorted(missing))}; sheets hold {', '.join(COLUMNS)}."
        )
    out = []
    for row in reader:
        text = (row["rating"] or "").strip()
        if not text:
            continue
        value = float(text) if text.replace(".", "", 1).isdigit() else math.nan
        if not 1 <= value <= highest:
            raise DataError(
                f"{path}:{reader.line_num}: rating '{text}'; a number from 1 to {highest} is needed.\n"
                "  Leave the cell empty where you cannot tell."
            )
        out.append(Rating(row["code"].strip(), path.stem, value))
    return out


def rating_talk(row: Answered, highest: int) -> Talk[Rating | None]:
    """Ask a judge for a rating; None where its replies cannot be read."""
    (found,) = yield from ask_all(
        [
            lambda sample: ask_rating(
                row.question, row.reference, row.answer, highest=highest, record_id=row.code, sample=sample
            )
        ],
        Tally(),
    )
    return None if found.value is None else Rating(row.code, "judge", float(found.value))


# --- figures


def rated(
    answers: Sequence[Answered],
    people: Sequence[Rating],
    judge: Sequence[Rating],
    metrics: Mapping[str, Mapping[str, float]],
    *,
    seed: int = 17,
    confidence: float = 0.95,
) -> Rated:
    """Return agreement, mean ratings and correlations.

    Args:
        answers: what was to be rated.
        people: ratings of all raters.
        judge: ratings of a judge, where there was one.
        metrics: value by metric and code of the answer.
        seed: fixes the resamples.
        confidence: level of all intervals.
    """
    known = {row.code: row for row in answers}
    mine = [r for r in people if r.code in known]
    about: dict[str, Any] = {"seed": seed, "confidence": confidence}
    groups = {"people": mine, "people and judge": [*mine, *judge] if judge else []}
    agreement = [found for who, rows in groups.items() if (found := _agreement(who, rows, **about))]
    means = [*_means("people", known, mine, **about), *_means("judge", known, judge, **about)]
    human = _mean_by_code(mine)
    columns = {**metrics, **({"judge": {r.code: r.value for r in judge}} if judge else {})}
    every = [_correlation(name, values, human, **about) for name, values in columns.items()]
    correlations = [found for found in every if found]
    return Rated(tuple(agreement), tuple(means), tuple(correlations), len(people) - len(mine))


def _agreement(who: str, rows: Sequence[Rating], *, seed: int, confidence: float) -> Agreement | None:
    raters = sorted({row.rater for row in rows})
    codes = sorted({row.code for row in rows})
    if len(raters) < 2:
        return None
    given = {(row.rater, row.code): row.value for row in rows}
    columns = [[given.get((rater, code), math.nan) for code in codes] for rater in raters]
    shared = sum(sum(column[n] == column[n] for column in columns) >= 2 for n in range(len(codes)))

    def alpha(*table: Sequence[float]) -> float:
        return krippendorff_alpha(list(table), level="ordinal")

    low, high = bootstrap_interval(alpha, *columns, draws=DRAWS, seed=seed, confidence=confidence)
    found = (float(alpha(*columns)), low, high)
    return Agreement(who, len(raters), shared, *found) if all(map(math.isfinite, found)) else None


def _mean_by_code(rows: Sequence[Rating]) -> dict[str, float]:
    by: dict[str, list[float]] = {}
    for row in rows:
        by.setdefault(row.code, []).append(row.value)
    return {code: math.fsum(values) / len(values) for code, values in by.items()}


def _means(
    who: str, known: Mapping[str, Answered], rows: Sequence[Rating], *, seed: int, confidence: float
) -> list[MeanRating]:
    by: dict[tuple[str, str], list[float]] = {}
    for code, value in _mean_by_code(rows).items():
        by.setdefault((known[code].model, known[code].language), []).append(value)
    return [
        MeanRating(
            *key, who, len(values), _mean(values),
            *bootstrap_interval(_mean, values, draws=DRAWS, seed=seed, confidence=confidence),
        )
        for key, values in sorted(by.items())
    ]  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _correlation(
    metric: str, values: Mapping[str, float], human: Mapping[str, float], *, seed: int, confidence: float
) -> Correlation | None:
    codes = sorted(set(values) & set(human))
    if len(codes) < 3:
        return None
    a, b = [values[code] for code in codes], [human[code] for code in codes]
    tau = bootstrap_interval(kendall_tau_b, a, b, draws=DRAWS, seed=seed, confidence=confidence)
    rho = bootstrap_interval(spearman, a, b, draws=DRAWS, seed=seed, confidence=confidence)
    found = (float(kendall_tau_b(a, b)), *tau, float(spearman(a, b)), *rho)
    return Correlation(metric, len(codes), *found) if all(map(math.isfinite, found)) else None


def rating_sheets(found: Rated) -> list[Sheet]:
    """Return agreement, mean ratings, and how metrics follow people."""
    return [
        Sheet(
            "Mean ratings",
            ("model", "language", "who", "answers", "mean"),
            tuple(
                (
                    r.model, LANGUAGES[r.language].name, r.who, f"{r.answers:,}",
                    _shown(r.mean, r.low, r.high),
                )
                for r in found.means
            ),
            part=RATINGS,
        ),
        Sheet(
            "Agreement of raters (Krippendorff's alpha, ordinal)",
            ("who", "raters", "answers", "alpha"),
            tuple(
                (r.who, str(r.raters), f"{r.answers:,}", _shown(r.alpha, r.low, r.high))
                for r in found.agreement
            ),
            part=RATINGS,
        ),
        Sheet(
            "How metrics follow people",
            ("metric", "answers", "tau-b", "rho"),
            tuple(
                (
                    r.metric, f"{r.answers:,}", _shown(r.tau, r.tau_low, r.tau_high),
                    _shown(r.rho, r.rho_low, r.rho_high),
                )
                for r in found.correlations
            ),
            notes=("Against the mean rating of people; bootstrap intervals over answers.",),
            part=RATINGS,
        ),
    ]  # fmt: skip


def _shown(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
