"""Dialogues and rationales from one exam item, as generators: make, check the words, check the answer, retry.

Rejection sampling against the key: what does not come to the gold answer when somebody else reads it is
made again with another `sample`, at most `tries` times. Source: data.md, section 3; the idea of an
independent check is FullyOpenMeditron's.
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from msgspec import structs

from bimedix.completers.base import Job, Request, Talk
from bimedix.draws import uniform_draw
from bimedix.languages import language
from bimedix.prompts.asking import FAILED, Ask, Tally, ask_all, ask_once
from bimedix.prompts.synthesis import (
    Prompt,
    Rationale,
    as_script,
    check_prompt,
    dialogue_prompt,
    gold_ids,
    rationale_prompt,
    rationale_text,
    read_answers,
    read_dialogue,
    read_rationale,
)
from bimedix.records import Dialogue, MultipleChoice, Turn
from bimedix.synthesize.faithful import OTHER_LANGUAGE, dialogue_problems, is_in_language, speaks_of_exam
from bimedix.synthesize.settings import Settings

NOT_GOLD = "does not reach the gold answer"
OTHER_ANSWER = "the writer holds another answer for right"
TALK = "a talk between a patient and a doctor"
LAST_WORDS = "what a doctor said at the end of a talk"
EXPLANATION = "an explanation of an exam item"
_REPLY_TOKENS = 3_072
"""Room for a dialogue; a check needs less."""


class Made(NamedTuple):
    """What came of one item."""

    record: Dialogue | MultipleChoice | None
    reasons: tuple[str, ...]
    """Why each try was rejected, in order."""
    sample: int
    """Which try was accepted."""
    keys: tuple[str, ...]
    """Of the calls behind the accepted one."""
    model: str
    tally: Tally


def draw_exchanges(id: str, settings: Settings, seed: int) -> int:
    """Draw the length aimed at, in exchanges, from (seed, id)."""
    at, sum_so_far = uniform_draw(seed, "exchanges", id), 0.0
    for exchanges, share in zip(settings.exchanges, settings.exchange_shares, strict=True):
        sum_so_far += share
        if at < sum_so_far:
            return exchanges
    return settings.exchanges[-1]


def make_dialogue(item: MultipleChoice, settings: Settings, *, seed: int) -> Talk[Made]:
    """Make a dialogue from an item until one is faithful and comes to the gold answer."""
    tally = Tally()
    reasons: list[str] = []
    exchanges = draw_exchanges(item.id, settings, seed)
    prompt = dialogue_prompt(item, exchanges)
    for sample in range(settings.tries):
        request = _request(item, settings, "dialogue", prompt, sample)
        answer = yield from ask_once(Ask(request, partial(read_dialogue, id=prompt.id)), tally)
        if answer.value is None:
            reasons.append(answer.error.reason if answer.error else "no reply")
            if reasons[-1] == FAILED:
                break
            continue
        problems = dialogue_problems(item, answer.value, exchanges, settings)
        if problems:
            reasons.append(problems[0])
            continue
        checks = _texts(answer.value, settings)
        agrees, keys = yield from _comes_to_gold(item, checks, sample, seed, tally)
        if agrees:
            return Made(
                _dialogue(item, answer.value),
                tuple(reasons),
                sample,
                (*answer.keys, *keys),
                answer.model,
                tally,
            )
        reasons.append(NOT_GOLD)
    return Made(None, tuple(reasons), -1, (), "", tally)


def _texts(turns: Sequence[Turn], settings: Settings) -> list[tuple[str, str, str]]:
    """Return what is checked against the key: (purpose, text, what it is)."""
    whole = [("answer-check", as_script(turns), TALK)]
    return [*whole, ("conclusion-check", turns[-1].text, LAST_WORDS)] if settings.conclusion_check else whole


def _dialogue(item: MultipleChoice, turns: tuple[Turn, ...]) -> Dialogue:
    return Dialogue(f"{item.id}#chat", item.language, item.origin, turns, item.subject, (item.id,))


def make_rationale(item: MultipleChoice, settings: Settings, *, seed: int) -> Talk[Made]:
    """Explain every option of an item, until writer and reader of the explanation agree with the key."""
    tally = Tally()
    reasons: list[str] = []
    prompt = rationale_prompt(item)
    for sample in range(settings.tries):
        request = _request(item, settings, "rationale", prompt, sample)
        answer = yield from ask_once(Ask(request, partial(read_rationale, item=item, id=prompt.id)), tally)
        if answer.value is None:
            reasons.append(answer.error.reason if answer.error else "no reply")
            if reasons[-1] == FAILED:
                break
            continue
        text = rationale_text(item, answer.value)
        if problem := _rationale_problem(item, answer.value):
            reasons.append(problem)
            continue
        check = [("rationale-check", text, EXPLANATION)]
        agrees, keys = yield from _comes_to_gold(item, check, sample, seed, tally)
        if agrees:
            record = structs.replace(item, rationale=text, human_checked=None, human_check_passed=None)
            return Made(record, tuple(reasons), sample, (*answer.keys, *keys), answer.model, tally)
        reasons.append(NOT_GOLD)
    return Made(None, tuple(reasons), -1, (), "", tally)


def _rationale_problem(item: MultipleChoice, rationale: Rationale) -> str:
    if rationale.answers != gold_ids(item):
        return OTHER_ANSWER
    texts = [*rationale.options.values(), rationale.conclusion]
    if not is_in_language("\n".join(texts), item.language):
        return OTHER_LANGUAGE
    return "speaks of letters or of an exam" if speaks_of_exam(item.language, texts) else ""


def _request(item: MultipleChoice, settings: Settings, purpose: str, prompt: Prompt, sample: int) -> Request:
    job = Job("chat" if purpose == "dialogue" else "rationale", item.language, item.language)
    return Request(
        prompt.messages, purpose, item.id, sample, _REPLY_TOKENS, settings.temperature, None,
        structs.replace(job, echo={"id": prompt.id}),
    )  # fmt: skip


def _comes_to_gold(
    item: MultipleChoice,
    texts: Sequence[tuple[str, str, str]],
    sample: int,
    seed: int,
    tally: Tally,
) -> Talk[tuple[bool, tuple[str, ...]]]:
    """Ask readers who see the text and the shuffled options alone; all have to name exactly the gold ones."""
    asks = [partial(_ask_check, item, purpose, text, what, sample, seed) for purpose, text, what in texts]
    answers = yield from ask_all(asks, tally, tries=3)
    gold = gold_ids(item)
    keys = tuple(key for answer in answers for key in answer.keys)
    return all(answer.value == gold for answer in answers), keys


def _ask_check(
    item: MultipleChoice, purpose: str, text: str, what: str, sample: int, seed: int, tried: int
) -> Ask[frozenset[str]]:
    order = list(range(len(item.options)))
    Random(f"{seed}:{purpose}:{item.id}:{sample}").shuffle(order)
    prompt = check_prompt(item, text, order, what)
    job = Job("answer", item.language, item.language, {"text": text}, echo={"id": prompt.id})
    request = Request(prompt.messages, purpose, item.id, sample + 100 * tried, 512, 0.0, None, job)
    return Ask(request, partial(read_answers, item=item, id=prompt.id))


def usable(item: object, settings: Settings) -> str:
    """Return why an item cannot be used, or nothing.

    Only items with a public key, of the allowed splits: what a dialogue of a test item teaches, its test
    cannot measure any more.
    """
    if not isinstance(item, MultipleChoice):
        return "no multiple-choice item"
    if item.origin.split not in settings.splits:
        return f"split '{item.origin.split}'"
    if settings.languages and item.language not in settings.languages:
        return f"language '{language(item.language).code}'"
    if settings.datasets and item.origin.dataset not in settings.datasets:
        return f"data set '{item.origin.dataset}'"
    return "" if item.answers else "no answer key"
