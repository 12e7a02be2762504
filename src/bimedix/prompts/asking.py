"""Asking within a talk: side by side, again when a reply cannot be read, never again when it was refused.

Rules of data.md, section 1.4: an unreadable reply is asked again with the next `sample`; a refusal, a reply
that stays cut or empty (the completers' desk has asked again by then) is final. Every reply is counted, also
those that could not be read.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from bimedix.completers.base import Reply, Request, Talk
from bimedix.prompts.replies import ReplyError

T = TypeVar("T")
REFUSED = "refused by the model"
FAILED = "the endpoint would not take it"
CUT = "reply is cut"


class Ask(NamedTuple, Generic[T]):
    """A request and the reader of its reply, which raises `ReplyError`."""

    request: Request
    read: Callable[[str], T]


class Answer(NamedTuple, Generic[T]):
    """What came of a question: a value, or why there is none."""

    value: T | None
    error: ReplyError | None
    keys: tuple[str, ...]
    """Of all calls made for it, in order."""
    model: str


@dataclass
class Tally:
    """What the questions of one talk took."""

    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    """Calls whose price is not known."""
    counts: Counter[str] = field(default_factory=Counter)
    """Rungs of the reading ladder, reasons of unreadable replies, and what readers add."""

    def add(self, reply: Reply) -> None:
        """Count one reply."""
        self.calls += 1
        self.cached += reply.cached
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        self.unpriced += reply.cost_usd is None
        self.cost_usd += reply.cost_usd or 0.0

    def merge(self, other: "Tally") -> None:
        """Add another talk's figures."""
        for name in ("calls", "cached", "tokens_in", "tokens_out", "cost_usd", "unpriced"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.counts.update(other.counts)


@dataclass
class _Open(Generic[T]):
    """A question that has no answer yet."""

    make: Callable[[int], Ask[T]]
    """Builds the request for try 0, 1, ..."""
    tries: int
    ask: Ask[T]
    tried: int = 1
    keys: tuple[str, ...] = ()


def ask_all(
    questions: Sequence[Callable[[int], Ask[T]]], tally: Tally, *, tries: int = 3
) -> Talk[list[Answer[T]]]:
    """Ask all questions side by side until each is answered or given up.

    Args:
        questions: each builds its request for try 0, 1, ...; later tries need another `sample`.
        tally: counts what was used.
        tries: how often one question may be asked when its replies cannot be read.
    """
    answers: dict[int, Answer[T]] = {}
    waiting = {at: _Open(make, tries, make(0)) for at, make in enumerate(questions)}
    while waiting:
        replies = yield tuple(question.ask.request for question in waiting.values())
        for (at, question), reply in zip(list(waiting.items()), replies, strict=True):
            tally.add(reply)
            answer = _settle(question, reply, tally)
            if answer is not None:
                answers[at] = answer
                del waiting[at]
    return [answers[at] for at in range(len(questions))]


def ask_once(ask: Ask[T], tally: Tally) -> Talk[Answer[T]]:
    """Ask one question one time."""
    (answer,) = yield from ask_all([lambda _: ask], tally, tries=1)
    return answer


def _settle(question: _Open[T], reply: Reply, tally: Tally) -> Answer[T] | None:
    """Return the answer, or None after the question was made ready to be asked again."""
    question.keys += (reply.key,) if reply.key else ()
    try:
        value = _read(question.ask, reply)
    except ReplyError as error:
        tally.counts[f"unreadable: {error.reason}"] += 1
        if _ask_again(question, reply):
            return None
        return Answer(None, error, question.keys, reply.model)
    return Answer(value, None, question.keys, reply.model)


def _read(ask: Ask[T], reply: Reply) -> T:
    match reply.finish:
        case "refusal":
            raise ReplyError(REFUSED, reply.text)
        case "error":
            raise ReplyError(FAILED, reply.error)
        case "length":
            raise ReplyError(CUT, reply.text[-160:])
    return ask.read(reply.text)


def _ask_again(question: _Open[T], reply: Reply) -> bool:
    if reply.finish != "stop" or not reply.text.strip() or question.tried >= question.tries:
        return False
    question.ask, question.tried = question.make(question.tried), question.tried + 1
    return True
