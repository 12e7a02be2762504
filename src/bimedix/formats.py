"""The field's file formats and our records: one row in, one record out, and back.

| name        | row                                                                       | record         |
|-------------|---------------------------------------------------------------------------|----------------|
| messages    | {"messages": [{"role", "content"}]}                                        | Conversation   |
| sharegpt    | {"conversations": [{"from", "value"}]}                                     | Conversation   |
| mmedbench   | {question, options {A..}, answer, answer_idx "A" or "A,C", rationale, meta_info, human_checked, human_check_passed} | MultipleChoice |
| mcq         | {id, question, options [..], answer_idx, rationale, lang}                  | MultipleChoice |
| instruction | {instruction, input, output}                                               | OpenQuestion   |

A format has no place for everything a record holds. What is left over goes into one more key, `bimedix`,
so that writing and reading again gives the same record; trainers pass over keys they do not know. With
`bare=True` the key is left out and the row is exactly what others write. Rows without it are read with the
id, language and origin of their file.
"""  # noqa: E501

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from bimedix.errors import DataError, UsageError, did_you_mean
from bimedix.files import RecordWriter, Tally, read_lines
from bimedix.languages import language as language_row
from bimedix.records import (
    Conversation,
    Message,
    MultipleChoice,
    OpenQuestion,
    Origin,
    Role,
    content_id,
)

LETTERS = "ABCDEFGH"
SHAREGPT_ROLES: dict[str, Role] = {
    "human": "user", "user": "user", "gpt": "assistant", "ai": "assistant", "assistant": "assistant",
    "system": "system",
}  # fmt: skip
"""Who speaks in `conversations`, in lower case. Vicuna writes human and gpt, BiMediX human and AI."""
_SHAREGPT_NAME: dict[Role, str] = {"user": "human", "assistant": "gpt", "system": "system"}


@dataclass(frozen=True)
class Place:
    """What a row of somebody else's file does not say about itself."""

    language: str
    """ISO 639-1."""
    origin: Origin

    def id_of(self, *texts: str) -> str:
        """Return an id made from the content, for rows without a key."""
        return content_id(self.origin.dataset, *texts)


def letters_of(answers: Sequence[int]) -> str:
    """Return answer indexes as letters: (0, 2) is "A,C"; empty for a private key."""
    return ",".join(LETTERS[index] for index in answers)


def indexes_of(letters: str, options: int) -> tuple[int, ...]:
    """Read answer letters ("A", "A,C", "ac", "A; C") as ascending indexes; "" is a private key.

    Raises:
        ValueError: something else than letters, or a letter past the last option.
    """
    found = re.sub(r"[\s,;/|]+", "", letters).upper()
    known = LETTERS[:options]
    if bad := [char for char in found if char not in known]:
        raise ValueError(f"answer_idx {letters!r}: '{bad[0]}' is none of the letters {known}")
    return tuple(sorted({LETTERS.index(char) for char in found}))


def options_of(options: dict[str, str | None] | list[str | None]) -> tuple[str, ...]:
    """Return the option texts in order; empty ones at the end fall away, as in rows that end with E: null.

    Raises:
        ValueError: letters are missing in between, or an option in between is empty.
    """
    if isinstance(options, dict):
        letters = sorted(options)
        if letters != list(LETTERS[: len(letters)]):
            raise ValueError(f"options have the keys {letters}; A, B, C, ... are needed")
        options = [options[letter] for letter in letters]
    texts = list(options)
    while texts and not (texts[-1] or "").strip():
        texts.pop()
    if any(text is None for text in texts):
        raise ValueError("an option between others is null")
    return tuple(cast(list[str], texts))


class _Said(Struct, frozen=True):
    role: str
    content: str


class _ShareGptSaid(Struct, frozen=True, rename={"speaker": "from"}):
    speaker: str
    value: str


class _ConversationRest(Struct, frozen=True):
    id: str
    language: str
    origin: Origin
    type: Literal["qa", "mcqa", "chat"]
    parents: tuple[str, ...]


class _QuestionRest(Struct, frozen=True):
    id: str
    language: str
    origin: Origin
    context: str | None
    subject: str | None
    parents: tuple[str, ...]
    human_checked: bool | None
    human_check_passed: bool | None


class _OpenRest(Struct, frozen=True):
    id: str
    language: str
    origin: Origin
    subject: str | None
    parents: tuple[str, ...]


class MessagesRow(Struct, frozen=True):
    """A row of a `messages` file."""

    messages: tuple[_Said, ...]
    bimedix: _ConversationRest | UnsetType = UNSET


class ShareGptRow(Struct, frozen=True):
    """A row of a ShareGPT or Vicuna file."""

    conversations: tuple[_ShareGptSaid, ...]
    id: str | int | None = None
    bimedix: _ConversationRest | UnsetType = UNSET


class MMedBenchRow(Struct, frozen=True):
    """A row of MMedBench."""

    question: str
    options: dict[str, str | None] | list[str | None]
    answer_idx: str
    answer: str | list[str] | None = None
    rationale: str | None = None
    meta_info: Any = None
    human_checked: bool | int | None = None
    human_check_passed: bool | int | None = None
    bimedix: _QuestionRest | UnsetType = UNSET


class McqRow(Struct, frozen=True):
    """A plain multiple-choice row."""

    question: str
    options: dict[str, str | None] | list[str | None]
    answer_idx: str
    id: str | int | None = None
    rationale: str | None = None
    lang: str | None = None
    bimedix: _QuestionRest | UnsetType = UNSET


class InstructionRow(Struct, frozen=True):
    """A row of an Alpaca-like file; `input` is what the instruction is about."""

    instruction: str
    output: str
    input: str | None = None
    bimedix: _OpenRest | UnsetType = UNSET


def _conversation(
    messages: tuple[Message, ...], rest: _ConversationRest | UnsetType, place: Place, id: str = ""
) -> Conversation:
    if not any(message.role == "assistant" for message in messages):
        raise ValueError("no message of the assistant")
    if rest is not UNSET:
        return Conversation(
            rest.id, rest.language, rest.origin, messages, type=rest.type, parents=rest.parents
        )
    answers = sum(message.role == "assistant" for message in messages)
    made = id or place.id_of(*(message.content for message in messages))
    return Conversation(made, place.language, place.origin, messages, type="chat" if answers > 1 else "qa")


def _conversation_rest(record: Conversation, bare: bool) -> _ConversationRest | UnsetType:
    if bare:
        return UNSET
    return _ConversationRest(record.id, record.language, record.origin, record.type, record.parents)


def _from_messages(row: MessagesRow, place: Place) -> Conversation:
    roles = ("system", "user", "assistant")
    for said in row.messages:
        if said.role not in roles:
            raise ValueError(f"role {said.role!r} is none of {', '.join(roles)}")
    messages = tuple(Message(cast(Role, said.role), said.content) for said in row.messages)
    return _conversation(messages, row.bimedix, place)


def _to_messages(record: Conversation, bare: bool) -> MessagesRow:
    said = tuple(_Said(message.role, message.content) for message in record.messages)
    return MessagesRow(said, _conversation_rest(record, bare))


def _from_sharegpt(row: ShareGptRow, place: Place) -> Conversation:
    messages = []
    for said in row.conversations:
        role = SHAREGPT_ROLES.get(said.speaker.strip().lower())
        if role is None:
            raise ValueError(f"from {said.speaker!r} is none of human, user, gpt, AI, assistant, system")
        messages.append(Message(role, said.value))
    return _conversation(tuple(messages), row.bimedix, place, _key(row.id, place))


def _to_sharegpt(record: Conversation, bare: bool) -> ShareGptRow:
    said = tuple(_ShareGptSaid(_SHAREGPT_NAME[m.role], m.content) for m in record.messages)
    return ShareGptRow(said, record.id, _conversation_rest(record, bare))


def _key(id: str | int | None, place: Place) -> str:
    """Return an id from the row's own key; signs that mark a lineage are replaced."""
    if id is None or id == "":
        return ""
    return f"{place.origin.dataset}:{id}".replace("@", "_").replace("#", "_")


def _question(
    row: MMedBenchRow | McqRow, place: Place, id: str, language: str, **fields: Any
) -> MultipleChoice:
    options = options_of(row.options)
    answers = indexes_of(row.answer_idx, len(options))
    rest = row.bimedix
    if rest is not UNSET:
        fields = {
            "context": rest.context, "subject": rest.subject, "parents": rest.parents,
            "human_checked": rest.human_checked, "human_check_passed": rest.human_check_passed,
        }  # fmt: skip
        key, language, origin = rest.id, rest.language, rest.origin
    else:
        key, origin = id or place.id_of(row.question, *options), place.origin
    return MultipleChoice(
        key, language, origin, row.question, options, answers, rationale=row.rationale or None, **fields
    )


def _question_rest(record: MultipleChoice, bare: bool) -> _QuestionRest | UnsetType:
    if bare:
        return UNSET
    return _QuestionRest(
        record.id, record.language, record.origin, record.context, record.subject, record.parents,
        record.human_checked, record.human_check_passed,
    )  # fmt: skip


def _stem(record: MultipleChoice, bare: bool) -> str:
    """Return the question; in bare rows after the text it is about, which has no key there."""
    return f"{record.context}\n\n{record.question}" if bare and record.context else record.question


def _flag(value: bool | int | None) -> bool | None:
    return None if value is None else bool(value)


def _from_mmedbench(row: MMedBenchRow, place: Place) -> MultipleChoice:
    subject = row.meta_info if isinstance(row.meta_info, str) else ""
    question = _question(
        row, place, "", place.language, subject=subject or None,
        human_checked=_flag(row.human_checked), human_check_passed=_flag(row.human_check_passed),
    )  # fmt: skip
    if isinstance(row.answer, str) and len(question.answers) == 1:
        marked = question.answer_texts[0]
        if row.answer.strip() and row.answer.strip() != marked.strip() and row.answer in question.options:
            raise ValueError(f"answer_idx {row.answer_idx} is {marked!r}, and answer is {row.answer!r}")
    return question


def _to_mmedbench(record: MultipleChoice, bare: bool) -> MMedBenchRow:
    texts: list[str] = list(record.answer_texts)
    return MMedBenchRow(
        _stem(record, bare),
        dict(zip(LETTERS, record.options, strict=False)),
        letters_of(record.answers),
        answer=",".join(texts),
        rationale=record.rationale,
        meta_info=record.subject or "",
        human_checked=record.human_checked,
        human_check_passed=record.human_check_passed,
        bimedix=_question_rest(record, bare),
    )


def _from_mcq(row: McqRow, place: Place) -> MultipleChoice:
    language = language_row(row.lang).code if row.lang else place.language
    return _question(row, place, _key(row.id, place), language)


def _to_mcq(record: MultipleChoice, bare: bool) -> McqRow:
    return McqRow(
        _stem(record, bare), list(record.options), letters_of(record.answers), id=record.id,
        rationale=record.rationale, lang=record.language, bimedix=_question_rest(record, bare),
    )  # fmt: skip


def _from_instruction(row: InstructionRow, place: Place) -> OpenQuestion:
    rest = row.bimedix
    context = row.input or None
    if rest is not UNSET:
        return OpenQuestion(
            rest.id, rest.language, rest.origin, row.instruction, row.output, context,
            rest.subject, rest.parents,
        )  # fmt: skip
    key = place.id_of(row.instruction, row.input or "", row.output)
    return OpenQuestion(key, place.language, place.origin, row.instruction, row.output, context)


def _to_instruction(record: OpenQuestion, bare: bool) -> InstructionRow:
    rest: _OpenRest | UnsetType = UNSET
    if not bare:
        rest = _OpenRest(record.id, record.language, record.origin, record.subject, record.parents)
    return InstructionRow(record.question, record.answer, record.context or "", rest)


S = TypeVar("S", bound=Struct)
T = TypeVar("T", Conversation, MultipleChoice, OpenQuestion)


@dataclass(frozen=True)
class Format(Generic[S, T]):
    """One row of the table above."""

    name: str
    row: type[S]
    record: type[T]
    from_row: Callable[[S, Place], T]
    """Raises ValueError with a short reason when the row cannot be a record."""
    to_row: Callable[[T, bool], S]
    """Takes the record and `bare`."""

    def read(self, path: Path, *, language: str, origin: Origin | None = None) -> Iterator[T]:
        """Yield the records of a JSON Lines file (plain or zstd).

        Args:
            path: the file.
            language: ISO 639-1 code of rows that do not name theirs.
            origin: of rows that do not carry one; the file's name when not given.

        Raises:
            DataError: a row is not of this format; names file:line, the key and what was seen.
        """
        decode = msgspec.json.Decoder(self.row).decode
        origin = origin or Origin(path.name.split(".")[0])
        for number, line in read_lines(path):
            place = Place(language, msgspec.structs.replace(origin, row=f"{path.name}:{number}"))
            try:
                yield self.from_row(decode(line), place)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError, UsageError) as error:
                shown = line[:160].decode("utf-8", "replace")
                raise DataError(
                    f"{path}:{number}: not a row of the format '{self.name}': {error}.\n  Seen: {shown}"
                ) from error

    def write(self, path: Path, records: Iterable[T], *, bare: bool = False) -> Tally:
        """Write records as JSON Lines (zstd when the name ends in .zst); the file appears when whole."""
        with RecordWriter(path) as out:
            for record in records:
                out.write(self.to_row(record, bare))
        return out.tally


MESSAGES = Format("messages", MessagesRow, Conversation, _from_messages, _to_messages)
SHAREGPT = Format("sharegpt", ShareGptRow, Conversation, _from_sharegpt, _to_sharegpt)
MMEDBENCH = Format("mmedbench", MMedBenchRow, MultipleChoice, _from_mmedbench, _to_mmedbench)
MCQ = Format("mcq", McqRow, MultipleChoice, _from_mcq, _to_mcq)
INSTRUCTION = Format("instruction", InstructionRow, OpenQuestion, _from_instruction, _to_instruction)

FORMATS: dict[str, Format[Any, Any]] = {
    known.name: known for known in (MESSAGES, SHAREGPT, MMEDBENCH, MCQ, INSTRUCTION)
}


def format_named(name: str) -> Format[Any, Any]:
    """Return the format of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        raise UsageError(
            f"format '{name}' is not known.{did_you_mean(name, FORMATS)}\n  Known: {', '.join(FORMATS)}."
        )
    return FORMATS[name]
