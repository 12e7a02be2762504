"""The records: what every room reads and writes, one JSON object a line.

All are frozen `msgspec` structs with a `kind` tag. Every field is always written, in a fixed order, so
that `datasets.load_dataset("json")` sees one schema a file and the same record always gives the same
bytes. A file holds records of one kind, unless its reader says otherwise.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, structs

Role = Literal["system", "user", "assistant"]
Route = Literal["accepted", "review", "audit"]


class Origin(Struct, frozen=True):
    """Where a record comes from."""

    dataset: str
    """Name of the source, as `bimedix ls sources` prints it, or the file's own name."""
    row: str = ""
    """Key within the data set, or `file:line`."""
    revision: str = ""
    """Commit, version, or hash of the file that was read."""
    licence: str = ""
    """SPDX identifier where one exists, else the publisher's words."""
    split: str = ""
    """train, validation, test, or empty when the source does not say."""


class _Base(Struct, frozen=True, tag_field="kind"):
    """What all items share."""

    id: str
    """Stable: the source's own key where it has one, else a hash of the content."""
    language: str
    """ISO 639-1."""
    origin: Origin


class MultipleChoice(_Base, frozen=True, tag="multiple_choice"):
    """A question with 2 to 8 options, of which one or several are right."""

    question: str
    options: tuple[str, ...]
    answers: tuple[int, ...]
    """Indexes of the right options, from 0, ascending; empty when the source keeps them private."""
    context: str | None = None
    """Text that has to be read first, such as an abstract."""
    rationale: str | None = None
    """Why the answer is right, in the item's language."""
    subject: str | None = None
    parents: tuple[str, ...] = ()
    """Ids of the records this one was made from (translation, synthesis): its lineage."""
    human_checked: bool | None = None
    """A person has looked at it; None when the source does not say."""
    human_check_passed: bool | None = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= 8:
            raise ValueError(f"{len(self.options)} options; a multiple-choice record has 2 to 8")
        if self.answers and not 0 <= min(self.answers) <= max(self.answers) < len(self.options):
            raise ValueError(f"answers {list(self.answers)} point outside the {len(self.options)} options")
        if any(a >= b for a, b in zip(self.answers, self.answers[1:], strict=False)):
            raise ValueError(f"answers {list(self.answers)} are not ascending or repeat")

    @property
    def answer_texts(self) -> tuple[str, ...]:
        """The texts of the right options."""
        return tuple(self.options[index] for index in self.answers)


class OpenQuestion(_Base, frozen=True, tag="open_question"):
    """A question answered in free text."""

    question: str
    answer: str
    context: str | None = None
    subject: str | None = None
    parents: tuple[str, ...] = ()


class Turn(Struct, frozen=True):
    """One message of a dialogue."""

    role: Role
    text: str


class Dialogue(_Base, frozen=True, tag="dialogue"):
    """A talk between a patient (`user`) and a doctor (`assistant`)."""

    turns: tuple[Turn, ...]
    subject: str | None = None
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(turn.role == "assistant" for turn in self.turns):
            raise ValueError("a dialogue needs at least one assistant turn")


class Passage(_Base, frozen=True, tag="passage"):
    """Running text: a page, an article, a chapter."""

    text: str
    title: str | None = None
    subject: str | None = None
    parents: tuple[str, ...] = ()


class Message(Struct, frozen=True):
    """One chat message, with the field names that every trainer and endpoint uses."""

    role: Role
    content: str


class Conversation(_Base, frozen=True, tag="conversation"):
    """An item laid out as chat messages: what training reads. Loss falls on assistant messages only."""

    messages: tuple[Message, ...]
    type: Literal["qa", "mcqa", "chat"]
    """Type of sample, as BiMediX counts them (its Fig. 3)."""
    parents: tuple[str, ...] = ()


class ParallelText(_Base, frozen=True, tag="parallel_text"):
    """A segment and its translation, as a TMX file holds it; `language` is the source's."""

    source: str
    target: str
    target_language: str


Item: TypeAlias = MultipleChoice | OpenQuestion | Dialogue | Passage
"""What a translation takes and gives."""


class Finding(Struct, frozen=True):
    """What an integrity check saw, with the spans (start, end in code points) on both sides."""

    check: str
    severity: Literal["error", "warning", "hint"]
    explanation: str
    field: str = ""
    """Where: `question`, `options.2`, `turns.4`, ...; empty for the whole record."""
    source_spans: tuple[tuple[int, int], ...] = ()
    target_spans: tuple[tuple[int, int], ...] = ()


class ErrorSpan(Struct, frozen=True):
    """A translation error that a judge named."""

    quote: str
    side: Literal["source", "target"]
    category: str
    """MQM category, or number, dose, drug, negation, laterality, option."""
    severity: Literal["critical", "major", "minor", "punctuation"]
    why: str = ""


class Attempt(Struct, frozen=True):
    """One version of a translation and what was thought of it."""

    round: int
    """0 = first translation, then one more per revision."""
    fields: dict[str, str]
    """The translated texts by field name."""
    score: float | None
    """0 to 100, median of the judgments; None when no judgment could be read."""
    scores: tuple[float, ...] = ()
    """The single judgments, 0 to 100."""
    findings: tuple[Finding, ...] = ()
    spans: tuple[ErrorSpan, ...] = ()
    completer: str = ""
    """Name of the completer and model that wrote it."""
    prompt_hash: str = ""
    calls: tuple[str, ...] = ()
    """Keys of the calls in the ledger, translation first, then judgments."""


class Translation(Struct, frozen=True, tag_field="kind", tag="translation"):
    """An item, its best translation, and the whole history."""

    id: str
    source: Item
    target: Item | None
    """The best version; None when no attempt gave a readable one."""
    attempts: tuple[Attempt, ...]
    best: int
    """Index of the kept attempt; -1 when there is none."""
    route: Route
    reasons: tuple[str, ...] = ()
    """Why it goes to review; empty when accepted."""
    inclusion_probability: float = 1.0
    """With which probability this record was sent where it went: the audit share for audits."""


class Verdict(Struct, frozen=True, tag_field="kind", tag="verdict"):
    """What a reviewer said of one version of a translation."""

    id: str
    """Id of the translation."""
    version: str
    """`content_hash` of the target that was shown."""
    reviewer: str
    decision: Literal["approve", "fix", "reject"]
    target: Item | None = None
    """The corrected item when the decision is `fix`."""
    reason: str = ""
    seconds: float | None = None
    severity: Literal["", "minor", "major", "critical"] = ""
    """The gravest error found, as MQM grades it; empty with `fix` or `reject` counts as major."""


class Approval(Struct, frozen=True):
    """That a record came out of the review as it is; a later change of its text voids it."""

    id: str
    version: str
    """`content_hash` of the record as it was written."""
    state: Literal["unread", "waiting", "approved", "corrected"]
    """unread: nobody had to read it; waiting: not all of its reviewers did."""


class Prediction(Struct, frozen=True, tag_field="kind", tag="prediction"):
    """What a model answered to one question."""

    id: str
    language: str
    benchmark: str
    model: str
    protocol: str
    """log-probability of letters, of option texts, or generation."""
    options: int
    gold: tuple[int, ...]
    chosen: tuple[int, ...]
    """Indexes; empty when the answer could not be read."""
    correct: bool
    log_probabilities: tuple[float, ...] = ()
    """Natural logarithm, one per option; empty for generation."""
    text: str | None = None
    """The generated answer; None for log-probability."""


class Dropped(Struct, frozen=True, tag_field="kind", tag="dropped"):
    """A record that a room left out, and why."""

    id: str
    room: str
    reason: str
    """Short and countable; what is special to this record goes into `detail`."""
    place: str = ""
    """file:line, or the id of the record it repeats."""
    detail: str = ""
    record: str = ""
    """The record as JSON text, whole, so that it can be restored."""


Record: TypeAlias = (
    MultipleChoice
    | OpenQuestion
    | Dialogue
    | Passage
    | Conversation
    | ParallelText
    | Translation
    | Verdict
    | Prediction
    | Dropped
)
R = TypeVar("R", bound=Struct)

KINDS: dict[str, type[Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        MultipleChoice, OpenQuestion, Dialogue, Passage, Conversation, ParallelText,
        Translation, Verdict, Prediction, Dropped,
    )
}  # fmt: skip

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")


def encode(record: Struct) -> bytes:
    """Return the record as one line of JSON, without the line break."""
    return _encoder.encode(record)


def content_hash(value: Any) -> str:
    """Return 32 hex digits: blake2b-128 of the canonical JSON (sorted keys, UTF-8) of any record or value."""
    return hashlib.blake2b(_canonical.encode(value), digest_size=16).hexdigest()


def content_id(dataset: str, *parts: str) -> str:
    """Return an id for a record whose source has no key: `dataset:` and 16 hex digits of the texts."""
    digest = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return f"{dataset}:{digest.hexdigest()}"


def item_fields(item: Item) -> dict[str, str]:
    """Return the texts of an item by field name, in reading order: what a translation works on.

    Names: `context`, `question`, `options.0` ..., `rationale`, `answer`, `turns.0` ..., `title`, `text`.
    Keys, ids, roles and language are not among them and so never pass through a model.
    """
    fields: dict[str, str | None]
    match item:
        case MultipleChoice():
            fields = {"context": item.context, "question": item.question}
            fields |= {f"options.{index}": text for index, text in enumerate(item.options)}
            fields["rationale"] = item.rationale
        case OpenQuestion():
            fields = {"context": item.context, "question": item.question, "answer": item.answer}
        case Dialogue():
            fields = {f"turns.{index}": turn.text for index, turn in enumerate(item.turns)}
        case Passage():
            fields = {"title": item.title, "text": item.text}
    return {name: text for name, text in fields.items() if text}


def with_fields(item: Item, fields: Mapping[str, str], *, language: str, id: str) -> Item:
    """Return the item with other texts, language and id; its parent is the old item.

    Fields that `item_fields` did not give stay empty; the answer key, roles and origin are kept.

    Raises:
        KeyError: a field of the item has no text in `fields`.
    """
    texts = {name: fields[name] for name in item_fields(item)}
    shared: dict[str, Any] = {"id": id, "language": language, "parents": (item.id,)}
    match item:
        case MultipleChoice():
            return structs.replace(
                item,
                context=texts.get("context"),
                question=texts["question"],
                options=tuple(texts.get(f"options.{index}", "") for index in range(len(item.options))),
                rationale=texts.get("rationale"),
                human_checked=None,
                human_check_passed=None,
                **shared,
            )
        case OpenQuestion():
            return structs.replace(
                item,
                context=texts.get("context"),
                question=texts["question"],
                answer=texts["answer"],
                **shared,
            )
        case Dialogue():
            turns = tuple(
                Turn(turn.role, texts.get(f"turns.{index}", "")) for index, turn in enumerate(item.turns)
            )
            return structs.replace(item, turns=turns, **shared)
        case Passage():
            return structs.replace(item, title=texts.get("title"), text=texts["text"], **shared)


def translated_id(id: str, language: str) -> str:
    """Return the id of the translation of record `id` into `language`: `id@ar`."""
    return f"{id}@{language}"


def root_id(id: str) -> str:
    """Return the id of the record at the head of a lineage: `medqa:1#chat@ar` gives `medqa:1`.

    `@language` marks a translation, `#kind` a synthesis; neither sign occurs in an id of a source.
    """
    return id.split("@", 1)[0].split("#", 1)[0]
