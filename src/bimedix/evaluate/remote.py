"""Asks a completer, such as an OpenAI-compatible endpoint, in place of a local model.

`letters` takes the log-probabilities that chat endpoints offer: of the likeliest tokens where the answer
begins. An endpoint that offers none is asked for a reply, and its answers are tabled as `generation`:
what was measured is what the table says.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from bimedix.completers.base import Reply, Request, Talk
from bimedix.completers.runner import run_talks
from bimedix.completers.settings import CompleterSettings, open_completer
from bimedix.evaluate.asking import Asker, turned
from bimedix.evaluate.items import ROOM, Asked
from bimedix.evaluate.predict import from_reply, from_scores, unread
from bimedix.evaluate.settings import GENERATION, LETTERS, Settings
from bimedix.prompts.questions import is_yes_no_maybe, option_labels
from bimedix.records import MultipleChoice, Prediction
from bimedix.stage import Context, StageWriter

TOP_LOGPROBS = 20
"""Likeliest tokens asked for at every place: the most that OpenAI's API gives."""
LETTER_TOKENS = 4
"""Tokens of an answer that only has to begin: some tokenizers write a space first."""
_AROUND = " \n\t.:()[]*\"'"

Answer = tuple[str, int, Reply]
"""Protocol, by how many places the options were moved on, and what came back."""


def ask_completer(
    asked: Sequence[Asked],
    asker: Asker,
    settings: Settings,
    chosen: CompleterSettings,
    context: Context,
    stage: StageWriter,
    reports: dict[str, Any],
) -> Iterator[Prediction]:
    """Yield a prediction per item, protocol and order; what is not answered is left out and kept aside."""
    entries = {entry.key: entry for entry in asked}
    model = chosen.model or chosen.kind
    replies = run_talks(
        ((key, question_talk(entry, asker, settings)) for key, entry in entries.items()),
        open_completer(chosen, context.base),
        context.calls,
        progress=context.progress,
        name=ROOM,
        budget_usd=chosen.budget_usd,
        total=len(entries),
    )
    counts = {"without_log_probabilities": 0, "no_label_among_the_likeliest": 0}
    for key, answers in replies:
        for protocol, by, reply in answers:
            entry = entries[key]
            if reply.finish == "error":
                stage.drop(
                    entry.item, "the endpoint gave no answer", place=entry.benchmark, detail=reply.error
                )
            elif protocol == GENERATION:
                counts["without_log_probabilities"] += GENERATION not in settings.protocols
                yield from_reply(entry, reply.text, model=model)
            else:
                scores = label_scores(reply, option_labels(turned(entry.item, by)))
                counts["no_label_among_the_likeliest"] += scores is None
                if scores is None:
                    yield unread(entry, LETTERS, model=model, text=reply.text, by=by)
                else:
                    yield from_scores(entry, scores, protocol=LETTERS, model=model, by=by)
    if LETTERS in settings.protocols:
        reports[f"{model}, {LETTERS}"] = counts


def question_talk(entry: Asked, asker: Asker, settings: Settings) -> Talk[list[Answer]]:
    """Ask one question by every protocol; without log-probabilities, `letters` falls back to a reply."""
    answers: list[Answer] = []
    generate = GENERATION in settings.protocols
    if LETTERS in settings.protocols:
        orders = 1 if is_yes_no_maybe(entry.item) else min(settings.orders, len(entry.item.options))
        found = yield tuple(_letter_request(entry, asker, turned(entry.item, by)) for by in range(orders))
        offered = all(reply.top_logprobs for reply in found)
        generate = generate or not offered
        if offered:
            answers += [(LETTERS, by, reply) for by, reply in enumerate(found)]
    if generate:
        messages = asker.messages(entry.item, with_rationale=settings.with_rationale)
        request = Request(messages, "answer", entry.item.id, max_new_tokens=settings.max_new_tokens)
        (reply,) = yield (request,)
        answers.append((GENERATION, 0, reply))
    return answers


def _letter_request(entry: Asked, asker: Asker, item: MultipleChoice) -> Request:
    return Request(
        asker.messages(item),
        "answer",
        entry.item.id,
        max_new_tokens=LETTER_TOKENS,
        top_logprobs=TOP_LOGPROBS,
    )


def label_scores(reply: Reply, labels: Sequence[str]) -> tuple[float, ...] | None:
    """Return the log-probability of each label where the answer begins, or None when none is in sight.

    The first place that is more than space or punctuation counts. A token stands for the label that it is,
    or for the only one that it begins, whatever is around it; several spellings of one add up. A label that
    is not among the likeliest has at most the probability of the last of them, and gets that.
    """
    for place in reply.top_logprobs:
        if not place or not max(place, key=lambda top: top[1])[0].strip(_AROUND):
            continue
        sums: dict[int, float] = {}
        for token, logprob in place:
            index = _label_of(token, labels)
            if index is not None:
                sums[index] = sums.get(index, 0.0) + math.exp(logprob)
        if not sums:
            return None
        least = min(logprob for _, logprob in place)
        return tuple(math.log(sums[index]) if sums.get(index) else least for index in range(len(labels)))
    return None


def _label_of(token: str, labels: Sequence[str]) -> int | None:
    said = token.strip(_AROUND).casefold()
    whole = [index for index, label in enumerate(labels) if label.casefold() == said]
    begun = [index for index, label in enumerate(labels) if said and label.casefold().startswith(said)]
    fits = whole or begun
    return fits[0] if len(fits) == 1 else None
