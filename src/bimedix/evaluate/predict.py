"""From scores and replies to predictions: pure functions."""

import math
from collections.abc import Sequence

from bimedix.evaluate.items import Asked
from bimedix.evaluate.settings import GENERATION, LETTERS, OPTIONS_PER_CHARACTER
from bimedix.prompts.questions import read_answer
from bimedix.records import Prediction


def order_protocol(by: int) -> str:
    """Return the protocol's name for the options moved on by `by` places; the printed order has none."""
    return f"{LETTERS}@{by}" if by else LETTERS


def from_scores(
    asked: Asked,
    scores: Sequence[float],
    *,
    protocol: str,
    model: str,
    wordings: Sequence[str] = (),
    by: int = 0,
) -> Prediction:
    """Return the prediction of the likeliest option.

    Args:
        asked: the item, options in its own order.
        scores: log-probability per option, in the order they were shown.
        protocol: how they were taken; `options_per_character` divides by the characters of `wordings`.
        model: its name in tables.
        wordings: what was scored for each option.
        by: the options were shown moved on by so many places; the prediction is in the item's own order.

    A draw goes to the first option shown, as in lm-eval.
    """
    if protocol == OPTIONS_PER_CHARACTER:
        scores = [score / len(wording) for score, wording in zip(scores, wordings, strict=True)]
    n = len(scores)
    best = max(range(n), key=lambda index: scores[index])
    chosen = ((best + by) % n,)
    item = asked.item
    return Prediction(
        id=item.id,
        language=item.language,
        benchmark=asked.benchmark,
        model=model,
        protocol=order_protocol(by) if by else protocol,
        options=n,
        gold=item.answers,
        chosen=chosen,
        correct=chosen == item.answers,
        log_probabilities=tuple(scores[(index - by) % n] for index in range(n)),
    )


def unread(asked: Asked, protocol: str, *, model: str, text: str, by: int = 0) -> Prediction:
    """Return the prediction of an answer that names no option: wrong, and counted as not read."""
    return _said(asked, order_protocol(by) if by else protocol, model, text, ())


def from_reply(asked: Asked, text: str, *, model: str) -> Prediction:
    """Return the prediction that a reply reads as; `chosen` is empty when it could not be read."""
    return _said(asked, GENERATION, model, text, read_answer(text, asked.item) or ())


def _said(asked: Asked, protocol: str, model: str, text: str, chosen: tuple[int, ...]) -> Prediction:
    item = asked.item
    return Prediction(
        id=item.id,
        language=item.language,
        benchmark=asked.benchmark,
        model=model,
        protocol=protocol,
        options=len(item.options),
        gold=item.answers,
        chosen=chosen,
        correct=chosen == item.answers,
        text=text,
    )


def probabilities(prediction: Prediction) -> tuple[float, ...]:
    """Return the options' probabilities among themselves: softmax of their log-probabilities."""
    top = max(prediction.log_probabilities)
    weights = [math.exp(value - top) for value in prediction.log_probabilities]
    return tuple(weight / math.fsum(weights) for weight in weights)
