"""The loop that translates one record: translate, check, judge, revise; a generator without any I/O.

Source: BiMediX (arXiv 2402.13253), section 3.1.2, for the idea of scoring and refining; data.md, section
2.4, for what the paper leaves open: rounds, keep-best, when to stop, and feedback by named errors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from msgspec import structs

from bimedix.completers.base import Job, Request, Talk
from bimedix.languages import language
from bimedix.prompts.asking import Answer, Ask, Tally, ask_all
from bimedix.prompts.judging import (
    Judgment,
    median_score,
    standing_spans,
)
from bimedix.prompts.replies import ReplyError
from bimedix.prompts.translation import (
    NOTHING,
    Surroundings,
    fields_schema,
    prompt_hash,
    read_fields,
    revise_messages,
    text_id,
    translate_messages,
)
from bimedix.records import (
    Attempt,
    ErrorSpan,
    Finding,
    Item,
    Message,
    Translation,
    item_fields,
    translated_id,
    with_fields,
)
from bimedix.translate.guard import instruction_signs
from bimedix.translate.judge import judgment
from bimedix.translate.parts import Part, cut, join
from bimedix.translate.routing import INSTRUCTION, best_of, route_of, stop_reason
from bimedix.translate.settings import Settings

Check = Callable[[Item, Item], tuple[Finding, ...]]
"""Compares an item with its translation (`bimedix.integrity.check_pair`)."""
Around = Callable[[str, Mapping[str, str]], Surroundings]
"""Finds glossary terms and memory segments for texts in a source language."""
_MAX_PROBLEMS = 20


def _nothing_around(source: str, fields: Mapping[str, str]) -> Surroundings:
    return NOTHING


@dataclass(frozen=True)
class Tools:
    """What the loop asks beside the model."""

    check: Check
    around: Around = _nothing_around
    doubt: str = ""
    """Why no score of this run may let a translation pass; empty: nothing is held against the judge."""


class Outcome(NamedTuple):
    """What came of one record."""

    translation: Translation | None
    refusal: str
    """Why there is none: short and countable."""
    detail: str
    stopped: str
    """Why the loop ended."""
    tally: Tally


class Version(NamedTuple):
    """A translation before it was judged."""

    texts: tuple[dict[str, str], ...]
    """By part, by piece name."""
    keys: tuple[str, ...]
    model: str


@dataclass
class _Case:
    """One record on its way through the loop."""

    item: Item
    settings: Settings
    tools: Tools
    seed: int
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.fields = item_fields(self.item)
        self.parts = cut(self.fields, self.source, self.settings.part_characters)

    @property
    def source(self) -> str:
        return self.item.language

    @property
    def target(self) -> str:
        return self.settings.target_language

    def around(self, part: Part) -> Surroundings:
        found = self.tools.around(self.source, part.fields)
        self.tally.counts["glossary terms shown"] += len(found.glossary)
        self.tally.counts["memory segments shown"] += len(found.memory)
        return Surroundings(part.before, part.after, found.glossary, found.memory)

    def joined(self, version: Version) -> dict[str, str]:
        return join(self.parts, version.texts, self.source, self.target)

    def as_item(self, fields: Mapping[str, str]) -> Item:
        return with_fields(
            self.item, fields, language=self.target, id=translated_id(self.item.id, self.target)
        )


def translate_item(item: Item, settings: Settings, tools: Tools, *, seed: int) -> Talk[Outcome]:
    """Translate one item, judge it, and revise it while that helps; the whole history is kept."""
    case = _Case(item, settings, tools, seed)
    if not case.fields:
        return Outcome(None, "no text to translate", "", "", case.tally)
    try:
        version = yield from _translate(case)
    except ReplyError as refusal:
        return Outcome(None, refusal.reason, str(refusal), "", case.tally)
    versions, attempts = [version], [(yield from _assess(case, version, 0))]
    while not (stopped := stop_reason(attempts, settings)):
        kept = best_of(attempts)
        try:
            version = yield from _revise(case, versions[kept], attempts[kept])
        except ReplyError as refusal:
            stopped = f"revision: {refusal.reason}"
            break
        if version.texts in [earlier.texts for earlier in versions]:
            stopped = "text repeated"
            break
        versions.append(version)
        attempts.append((yield from _assess(case, version, len(attempts))))
    return Outcome(_translation(case, attempts), "", "", stopped, case.tally)


def _translation(case: _Case, attempts: Sequence[Attempt]) -> Translation:
    best = best_of(attempts)
    read = (*case.fields.values(), *attempts[best].fields.values())
    flags = [INSTRUCTION] if instruction_signs(read) else []
    flags += [case.tools.doubt] if case.tools.doubt else []
    target = case.as_item(attempts[best].fields)
    routing = route_of(attempts[best], case.settings, id=target.id, seed=case.seed, flags=flags)
    return Translation(
        target.id, case.item, target, tuple(attempts), best,
        routing.route, routing.reasons, routing.inclusion_probability,
    )  # fmt: skip


def _translate(case: _Case) -> Talk[Version]:
    answers = yield from ask_all([partial(_ask_translation, case, part) for part in case.parts], case.tally)
    return _version(case, answers)


def _ask_translation(case: _Case, part: Part, sample: int) -> Ask[dict[str, str]]:
    messages = translate_messages(part.fields, case.source, case.target, case.around(part))
    return _ask_fields(case, part, messages, Job("translate", case.source, case.target, part.fields), sample)


def _revise(case: _Case, version: Version, attempt: Attempt) -> Talk[Version]:
    """Ask for a better version of the parts that have something wrong; the others stay as they are."""
    problems = [
        _problems(part, attempt, texts) for part, texts in zip(case.parts, version.texts, strict=True)
    ]
    if not any(problems):
        problems = [(_without_names(attempt),)] * len(case.parts)
    wrong = [at for at, found in enumerate(problems) if found]
    asks = [partial(_ask_revision, case, case.parts[at], version.texts[at], problems[at]) for at in wrong]
    answers = yield from ask_all(asks, case.tally)
    better = _version(case, answers)
    texts = list(version.texts)
    for at, text in zip(wrong, better.texts, strict=True):
        texts[at] = text
    return Version(tuple(texts), better.keys, better.model)


def _ask_revision(
    case: _Case, part: Part, current: Mapping[str, str], problems: tuple[str, ...], sample: int
) -> Ask[dict[str, str]]:
    around = case.around(part)
    messages = revise_messages(part.fields, current, problems, case.source, case.target, around)
    job = Job("revise", case.source, case.target, part.fields, dict(current), problems)
    return _ask_fields(case, part, messages, job, sample)


def _ask_fields(
    case: _Case, part: Part, messages: tuple[Message, ...], job: Job, sample: int
) -> Ask[dict[str, str]]:
    names, about = tuple(part.fields), text_id(case.source, case.target, part.fields)
    request = Request(
        messages, job.task, case.item.id, sample, _reply_tokens(part, case),
        case.settings.completer.temperature, fields_schema(names), structs.replace(job, echo={"id": about}),
    )  # fmt: skip

    def read(text: str) -> dict[str, str]:
        fields, rung = read_fields(text, names, about)
        case.tally.counts[f"read: {rung}"] += 1
        return fields

    return Ask(request, read)


def _reply_tokens(part: Part, case: _Case) -> int:
    """Bound the reply: about a token per character of spaced text, two where words are not spaced."""
    per_character = 1 if language(case.source).spaced else 2
    needed = 256 + per_character * sum(map(len, part.fields.values()))
    return max(case.settings.completer.max_new_tokens, needed)


def _version(case: _Case, answers: Sequence[Answer[dict[str, str]]]) -> Version:
    """Put the answers of all parts together.

    Raises:
        ReplyError: one part has none.
    """
    texts = []
    for answer in answers:
        if answer.value is None:
            raise answer.error or ReplyError("no reply")
        texts.append(answer.value)
    return Version(tuple(texts), tuple(key for answer in answers for key in answer.keys), answers[-1].model)


def _without_names(attempt: Attempt) -> str:
    return f"Readers gave it {attempt.score:g} of 100 and named no single error: make it clearer and closer."


def _problems(part: Part, attempt: Attempt, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Put into words what is wrong with one part: failed checks of its fields, spans quoted from it."""
    fields = {piece.field for piece in part.pieces}
    failed = [
        _told(f) for f in attempt.findings if f.severity != "hint" and (not f.field or f.field in fields)
    ]
    sides = {"source": "\n".join(part.fields.values()), "target": "\n".join(texts.values())}
    named = [_named(span) for span in attempt.spans if span.quote in sides[span.side]]
    return tuple([*failed, *named][:_MAX_PROBLEMS])


def _told(finding: Finding) -> str:
    return f"{finding.field}: {finding.explanation}" if finding.field else finding.explanation


def _named(span: ErrorSpan) -> str:
    where = "translation" if span.side == "target" else "original"
    return f'in the {where}, "{span.quote}": {span.severity} {span.category}. {span.why}'.strip()


def _assess(case: _Case, version: Version, round: int) -> Talk[Attempt]:
    """Run the checks and ask the judges about one version."""
    fields = case.joined(version)
    findings = case.tools.check(case.item, case.as_item(fields))
    asks = [
        partial(_ask_judgment, case, part, texts, number)
        for part, texts in zip(case.parts, version.texts, strict=True)
        for number in range(case.settings.judgments)
    ]
    answers = yield from ask_all(asks, case.tally)
    task = "revise" if round else "translate"
    read = [_of_part(answers, at, case.settings.judgments) for at in range(len(case.parts))]
    scores = _scores(read)
    return Attempt(
        round, fields, _score(read), scores, findings,
        tuple(span for judgments in read for span in standing_spans(judgments)),
        version.model, prompt_hash(task, case.source, case.target),
        (*version.keys, *(key for answer in answers for key in answer.keys)),
    )  # fmt: skip


def _ask_judgment(
    case: _Case, part: Part, texts: Mapping[str, str], number: int, tried: int
) -> Ask[Judgment]:
    sample = number + tried * case.settings.judgments
    return judgment(
        part.fields, texts, case.source, case.settings, case.tally,
        record_id=case.item.id, sample=sample, seed=case.seed,
    )  # fmt: skip


def _of_part(answers: Sequence[Answer[Judgment]], part: int, judgments: int) -> list[Judgment]:
    its = answers[part * judgments : (part + 1) * judgments]
    return [answer.value for answer in its if answer.value is not None]


def _score(read: Sequence[Sequence[Judgment]]) -> float | None:
    """Return the score of a version: of its weakest part, so that a bad page cannot hide among good ones."""
    medians = [median_score(judgments) for judgments in read]
    return None if None in medians else min(score for score in medians if score is not None)


def _scores(read: Sequence[Sequence[Judgment]]) -> tuple[float, ...]:
    """Return the single judgments; of a record in parts, each judge's lowest."""
    count = min(map(len, read))
    return tuple(min(judgments[at].score for judgments in read) for at in range(count))
