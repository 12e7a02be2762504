"""The one home of how an item becomes chat messages, and of how its answer is read.

Training, evaluation and serving all build their messages here, so a model is asked in the words it was
taught with. The frames are data (`questions/*.txt`, see `packs`); texts of records are put into them in one
pass and never interpreted.
"""

from bimedix.errors import DataError
from bimedix.prompts.answers import read_answer, split_reply, yes_no_maybe_indexes
from bimedix.prompts.packs import Pack, fill, pack
from bimedix.records import Dialogue, Message, MultipleChoice, OpenQuestion

__all__ = [
    "answer_text", "is_yes_no_maybe", "option_labels", "option_lines", "pack_hash", "question_message",
    "read_answer", "split_reply", "to_messages",
]  # fmt: skip


def pack_hash(code: str) -> str:
    """Return the hash of a language's frames and words; reports print it beside every number."""
    return pack(code).hash


def is_yes_no_maybe(item: MultipleChoice) -> bool:
    """Tell whether the options are the language's yes, no and (or without) maybe: answered by the word."""
    return yes_no_maybe_indexes(item) is not None


def option_labels(item: MultipleChoice) -> tuple[str, ...]:
    """Return what an answer names an option by: the language's letters, or the words of a yes/no item."""
    if is_yes_no_maybe(item):
        return item.options
    return pack(item.language).language.option_letters[: len(item.options)]


def option_lines(item: MultipleChoice) -> tuple[str, ...]:
    """Return each option as prompts and answers show it: `أ. text`, or the bare word of a yes/no item."""
    if is_yes_no_maybe(item):
        return item.options
    return tuple(f"{label}. {text}" for label, text in zip(option_labels(item), item.options, strict=True))


def _talk_messages(item: Dialogue) -> tuple[Message, ...]:
    joined: list[Message] = []
    for turn in item.turns:
        if joined and joined[-1].role == turn.role:
            joined[-1] = Message(turn.role, f"{joined[-1].content}\n{turn.text}")
        elif joined or turn.role != "assistant":
            joined.append(Message(turn.role, turn.text))
    while joined and joined[-1].role != "assistant":
        joined.pop()
    if not any(message.role == "user" for message in joined):
        raise DataError(
            f"{item.id}: nobody answers the patient, so there is nothing to learn from.\n"
            "  Leave such talks out of training sets."
        )
    return tuple(joined)


def question_message(item: MultipleChoice | OpenQuestion, *, with_rationale: bool = False) -> Message:
    """Return the user's turn: instruction, context, question, options one a line; all in the item's language.

    The instruction comes first: all questions of a test set then share it, and it is scored once.

    Args:
        item: the question.
        with_rationale: ask for the reason first and the answer on the last line (multiple choice only).
    """
    words = pack(item.language)
    if isinstance(item, OpenQuestion):
        values = {"context": item.context or "", "question": item.question}
        return Message("user", fill(words.frames["open_frame"], values))
    values = {
        "context": item.context or "",
        "question": item.question,
        "options": "" if is_yes_no_maybe(item) else "\n".join(option_lines(item)),
        "instruction": _instruction(item, words, with_rationale),
    }
    return Message("user", fill(words.frames["frame"], values))


def _instruction(item: MultipleChoice, words: Pack, with_rationale: bool) -> str:
    asked = "ask_word" if is_yes_no_maybe(item) else "ask_letter"
    frame = words.frames[asked + "_with_rationale" if with_rationale else asked]
    return fill(frame, {"words": " / ".join(item.options)})


def answer_text(item: MultipleChoice | OpenQuestion) -> str:
    """Return the right answer as the assistant words it: `أ. text`, several joined by `; `, or the free text.

    Raises:
        DataError: the item's answers are not known (some test sets keep them private).
    """
    if isinstance(item, OpenQuestion):
        return item.answer
    if not item.answers:
        raise DataError(
            f"{item.id}: has no answer key, so no answer can be written for it.\n"
            "  Leave such items out of training sets; they can only be predicted on."
        )
    lines = option_lines(item)
    return "; ".join(lines[index] for index in item.answers)


def to_messages(
    item: MultipleChoice | OpenQuestion | Dialogue, *, with_rationale: bool = False
) -> tuple[Message, ...]:
    """Lay an item out as chat messages that end with the assistant.

    Args:
        item: a question, or a dialogue. Of a dialogue, neighbouring turns of one side are joined; what the
            doctor says before the patient has spoken, and a last word that nobody answers, are left out,
            because chat templates open with the user and loss falls on answers.
        with_rationale: put the rationale before the answer, as MMedBench does; items that have none are
            laid out without.

    Raises:
        DataError: a multiple-choice item has no answer key, or nobody answers the patient.
    """
    if isinstance(item, Dialogue):
        return _talk_messages(item)
    answer = answer_text(item)
    rationale = item.rationale if with_rationale and isinstance(item, MultipleChoice) else None
    if rationale:
        line = fill(pack(item.language).frames["answer_line"], {"answer": answer})
        answer = f"{rationale}\n\n{line}"
    return question_message(item, with_rationale=bool(rationale)), Message("assistant", answer)
