"""Control items: a judge that cannot tell a human translation from a spoilt one routes nothing.

Good pairs are human translations; bad ones are the same with one number changed, or, where there is none,
with the translation of another pair. Source: data.md, section 2.3: routing by score stops when good and bad
separate with AUC < 0.9, or the mean of the good ones moved by more than 3 points.
"""

import re
from collections.abc import Sequence
from heapq import nsmallest
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from bimedix.completers.base import Completer, Talk
from bimedix.completers.runner import run_talks
from bimedix.completers.settings import open_completer
from bimedix.draws import uniform_draw
from bimedix.errors import DataError
from bimedix.prompts.asking import Tally, ask_all
from bimedix.prompts.judging import median_score
from bimedix.stage import Context
from bimedix.translate.hints import read_pairs
from bimedix.translate.judge import judgment
from bimedix.translate.settings import Settings

LEAST_AUC = 0.9
MOST_DRIFT = 3.0
"""Points."""
_SOURCE = "en"
_NUMBER = re.compile(r"(?<![\w.,٫٬])\d+(?![\w.,٫٬])")


class Controls(NamedTuple):
    """How the judge did."""

    pairs: int
    mean_good: float | None
    mean_bad: float | None
    auc: float
    """Probability that a good pair scores above a bad one; ties count half."""
    unreadable: int
    failure: str
    """Why its scores route nothing; empty when it passed."""


def open_completers(settings: Settings, base: Path) -> tuple[Completer, dict[str, Completer]]:
    """Open the translator, and the judge by its purpose where it is another one."""
    judge = {"judge": open_completer(settings.judge, base)} if settings.judge else {}
    return open_completer(settings.completer, base), judge


def spoil(pairs: Sequence[tuple[str, str]], at: int) -> str:
    """Return the translation of pair `at` with one error: a number tenfold, or another pair's text."""
    target = pairs[at][1]
    number = _NUMBER.search(target)
    if number is None:
        return pairs[(at + 1) % len(pairs)][1]
    zero = chr(ord(number.group()[-1]) - int(number.group()[-1]))
    return f"{target[: number.end()]}{zero}{target[number.end() :]}"


def judge_controls(settings: Settings, context: Context) -> Controls | None:
    """Have the judge read good and spoilt pairs; None when the settings name none.

    Raises:
        DataError: the file holds fewer than two pairs of these languages.
    """
    if not settings.controls:
        return None
    source = settings.source_languages[0] if settings.source_languages else _SOURCE
    known = read_pairs(context.base / settings.controls, source, settings.target_language)
    pairs = nsmallest(
        settings.control_pairs, known, key=lambda p: uniform_draw(context.seed, "control", p[0])
    )
    if len(pairs) < 2:
        raise DataError(
            f"[translate] controls = '{settings.controls}': {len(pairs)} pairs from {source} to "
            f"{settings.target_language}; at least 2 are needed."
        )
    texts = [(s, t) for s, t in pairs] + [(s, spoil(pairs, at)) for at, (s, _) in enumerate(pairs)]
    talks = (
        (f"control-{n}", _judge(source, s, t, settings, n, context.seed)) for n, (s, t) in enumerate(texts)
    )
    completer, judge = open_completers(settings, context.base)
    results = run_talks(
        talks, completer, context.calls, progress=context.progress, name="translate",
        budget_usd=settings.completer.budget_usd, by_purpose=judge,
    )  # fmt: skip
    scores = [score for _, score in results]
    return assess(scores[: len(pairs)], scores[len(pairs) :], settings.control_mean)


def _judge(
    source: str, text: str, translated: str, settings: Settings, number: int, seed: int
) -> Talk[float | None]:
    tally = Tally()
    asks = [
        lambda tried, k=k: judgment(
            {"text": text}, {"text": translated}, source, settings, tally,
            record_id=f"control-{number}", sample=k + tried * settings.judgments, seed=seed,
        )
        for k in range(settings.judgments)
    ]  # fmt: skip
    answers = yield from ask_all(asks, tally)
    return median_score([answer.value for answer in answers if answer.value is not None])


def assess(
    good: Sequence[float | None], bad: Sequence[float | None], expected_mean: float | None
) -> Controls:
    """Compare scores of good and bad pairs; those that could not be read count against the judge."""
    fine = [score for score in good if score is not None]
    poor = [score for score in bad if score is not None]
    unreadable = len(good) + len(bad) - len(fine) - len(poor)
    wins = sum((g > b) + 0.5 * (g == b) for g in fine for b in poor)
    auc = wins / (len(good) * len(bad))
    mean = fmean(fine) if fine else None
    failure = ""
    if auc < LEAST_AUC:
        failure = f"good and spoilt translations separate with AUC {auc:.2f}; {LEAST_AUC} is needed"
    elif expected_mean is not None and mean is not None and abs(mean - expected_mean) > MOST_DRIFT:
        failure = f"the mean of good controls is {mean:.1f}, and was {expected_mean:.1f}"
    rounded = [round(fmean(scores), 2) if scores else None for scores in (fine, poor)]
    return Controls(len(good), rounded[0], rounded[1], round(auc, 4), unreadable, failure)
