"""Chat layout and loss mask, built once for training, evaluation and serving.

A conversation becomes pieces; each piece is encoded on its own, so that no merge of the tokenizer reaches
over the border between prompt and reply and shifts the mask. Markers (`<s>`, `</s>`) are ids, never text:
a record that contains the characters `</s>` gives ordinary tokens and cannot end a turn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from bimedix import tokens
from bimedix.errors import DataError, UsageError, did_you_mean
from bimedix.records import Message

Marker = Literal["begin", "end"]
TOKENIZER = "tokenizer"
"""Name of the template that the tokenizer itself carries."""
MAX_TEMPLATE_CHARS = 64 * 1024
MAX_RENDERED_CHARS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Piece:
    """A run of a laid out conversation that is encoded on its own."""

    text: str
    supervised: bool
    """Loss falls on its tokens: replies of the assistant with their stop token."""
    marker: Marker | None = None
    """`begin` or `end`: the piece is this one token of the tokenizer, and `text` is empty."""


Layout: TypeAlias = Callable[[Sequence[Message]], tuple[Piece, ...]]
_BEGIN = Piece("", False, "begin")
_STOP = Piece("", True, "end")


class Encoder(Protocol):
    """What the layout needs of a tokenizer."""

    begin_id: int | None
    """Id of the token that opens a document; None when the model has none."""
    end_id: int
    """Id of the stop token."""

    def encode(self, text: str) -> list[int]:
        """Return ids of plain text: no markers are added, and none are read from the text."""
        ...


class MixtralPieces:
    """Mixtral's own sentencepiece model, without torch or transformers."""

    begin_id: int | None = 1
    end_id: int = 2

    def encode(self, text: str) -> list[int]:
        """Return ids of plain text."""
        return tokens.encode(text)


class HubTokenizer:
    """A tokenizer of transformers, with markers switched off inside texts."""

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise UsageError("the tokenizer has no end-of-sequence token; a reply could never stop.")
        self.begin_id: int | None = tokenizer.bos_token_id
        self.end_id: int = tokenizer.eos_token_id
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return ids of plain text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids


def encoder(tokenizer: Any) -> Encoder:
    """Return an `Encoder` for an encoder (itself) or a tokenizer of transformers."""
    return tokenizer if hasattr(tokenizer, "end_id") else HubTokenizer(tokenizer)


def _turns(messages: Sequence[Message], template: str) -> tuple[str, Sequence[Message]]:
    """Return (system text, the other messages), which have to take turns and begin with the user."""
    has_system = bool(messages) and messages[0].role == "system"
    system, turns = (messages[0].content, messages[1:]) if has_system else ("", messages)
    wanted = ("user", "assistant")
    for index, message in enumerate(turns):
        if message.role != wanted[index % 2]:
            raise DataError(
                f"messages.{index + len(messages) - len(turns)}: role '{message.role}' where the template "
                f"'{template}' needs '{wanted[index % 2]}'.\n"
                "  Roles take turns, user first, after at most one system message at the top."
            )
    if not turns:
        raise DataError(f"the template '{template}' needs at least one user message.")
    return system, turns


def _mixtral(messages: Sequence[Message]) -> tuple[Piece, ...]:
    """`<s>[INST] user [/INST]reply</s>...`, as Mixtral-8x7B-Instruct and mistral-common v1 write it.

    The system text stands before the first user text, with a blank line between.
    """
    system, turns = _turns(messages, "mixtral")
    pieces = [_BEGIN]
    for index, message in enumerate(turns):
        if message.role == "assistant":
            pieces += [Piece(message.content, True), _STOP]
        else:
            text = f"{system}\n\n{message.content}" if system and index == 0 else message.content
            pieces.append(Piece(f"[INST] {text} [/INST]", False))
    return tuple(pieces)


VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def _vicuna(messages: Sequence[Message]) -> tuple[Piece, ...]:
    """`system USER: text ASSISTANT: reply</s>USER: ...`, Vicuna v1.1 (FastChat), which BiMediX names."""
    system, turns = _turns(messages, "vicuna")
    pieces = [_BEGIN]
    for index, message in enumerate(turns):
        if message.role == "assistant":
            pieces += [Piece(message.content, True), _STOP]
        else:
            head = f"{system or VICUNA_SYSTEM} " if index == 0 else ""
            pieces.append(Piece(f"{head}USER: {message.content} ASSISTANT:", False))
    return tuple(pieces)


TEMPLATES: Mapping[str, Layout] = {"mixtral": _mixtral, "vicuna": _vicuna}


def layout(messages: Sequence[Message], template: str, open_reply: bool = False) -> tuple[Piece, ...]:
    """Lay out a conversation as pieces, the stop token within the supervised ones.

    Args:
        messages: at most one system message, then user and assistant by turns.
        template: a key of `TEMPLATES`.
        open_reply: the last message is the user's and the assistant's reply comes next.

    Raises:
        UsageError: the template is not known.
        DataError: the roles do not take turns, or the last one does not fit `open_reply`.
    """
    if template not in TEMPLATES:
        raise UsageError(
            f"chat template '{template}' is not known.{did_you_mean(template, [*TEMPLATES, TOKENIZER])}\n"
            f"  Known: {', '.join(TEMPLATES)}, and '{TOKENIZER}' for the one the tokenizer carries."
        )
    pieces = TEMPLATES[template](messages)
    if open_reply and messages[-1].role != "user":
        raise DataError("an open reply needs the user's message last; the last one is the assistant's.")
    return pieces


def encode_pieces(pieces: Sequence[Piece], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Return (ids, supervised) of laid out pieces, each encoded on its own."""
    into = encoder(tokenizer)
    ids: list[int] = []
    supervised: list[bool] = []
    for piece in pieces:
        if piece.marker is None:
            found = into.encode(piece.text)
        else:
            marker = into.begin_id if piece.marker == "begin" else into.end_id
            found = [] if marker is None else [marker]
        ids += found
        supervised += [piece.supervised] * len(found)
    return ids, supervised


def encode_conversation(
    messages: Sequence[Message], tokenizer: Any, template: str
) -> tuple[list[int], list[bool]]:
    """Return (ids, supervised) of a whole conversation: loss falls where `supervised` is true.

    Raises:
        DataError: there is no assistant message to learn from, or its tokens cannot be told apart.
    """
    if not any(message.role == "assistant" for message in messages):
        raise DataError("the conversation has no assistant message, so there is nothing to learn from.")
    if template == TOKENIZER:
        return _encode_by_own_template(messages, tokenizer)
    return encode_pieces(layout(messages, template), tokenizer)


def encode_prompt(messages: Sequence[Message], tokenizer: Any, template: str) -> list[int]:
    """Return the ids after which the assistant's next reply begins."""
    if template == TOKENIZER:
        text = _render(messages, tokenizer, open_reply=True)
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids
    return encode_pieces(layout(messages, template, open_reply=True), tokenizer)[0]


def encode_reply(text: str, tokenizer: Any) -> list[int]:
    """Return the ids of a reply without its stop token, encoded as its own piece."""
    return encoder(tokenizer).encode(text)


def _render(messages: Sequence[Message], tokenizer: Any, *, open_reply: bool) -> str:
    """Fill the tokenizer's own Jinja template, in a sandbox, with limits on its size and its output."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    source = getattr(tokenizer, "chat_template", None)
    if not isinstance(source, str) or len(source) > MAX_TEMPLATE_CHARS:
        seen = "none" if not isinstance(source, str) else f"one of {len(source):,} characters"
        raise UsageError(
            f"template '{TOKENIZER}' needs a chat template in the tokenizer; it carries {seen} "
            f"(limit {MAX_TEMPLATE_CHARS:,}).\n  Choose one of: {', '.join(TEMPLATES)}."
        )
    _refuse_markers(messages, tokenizer)

    def refuse(message: str) -> None:
        raise DataError(f"the tokenizer's chat template refuses the conversation: {message}")

    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    sandbox.globals["raise_exception"] = refuse
    try:
        text = sandbox.from_string(source).render(
            messages=[{"role": m.role, "content": m.content} for m in messages],
            add_generation_prompt=open_reply,
            bos_token=tokenizer.bos_token or "",
            eos_token=tokenizer.eos_token or "",
        )
    except TemplateError as error:
        raise DataError(f"the tokenizer's chat template failed: {error}") from error
    if len(text) > MAX_RENDERED_CHARS:
        raise DataError(f"the tokenizer's chat template gave {len(text):,} characters for one conversation.")
    return text


def _refuse_markers(messages: Sequence[Message], tokenizer: Any) -> None:
    """Raise when a text contains a marker of the tokenizer, which its own template would let through."""
    for index, message in enumerate(messages):
        for marker in tokenizer.all_special_tokens:
            if marker and marker in message.content:
                raise DataError(
                    f"messages.{index}: the text contains the tokenizer's marker '{marker}', which its own "
                    "template would read as a marker.\n  Use the template 'mixtral' or 'vicuna', or clean it."
                )


def _encode_by_own_template(messages: Sequence[Message], tokenizer: Any) -> tuple[list[int], list[bool]]:
    """Encode with the tokenizer's template and find the replies, each from its open prompt to its end.

    A reply's span is what the template adds when the open prompt before it becomes an answered one; a
    template for which that does not hold gives an error, never a mask of ones.
    """
    text = _render(messages, tokenizer, open_reply=False)
    spans = []
    for index, message in enumerate(messages):
        if message.role == "assistant":
            before = _render(messages[:index], tokenizer, open_reply=True)
            after = _render(messages[: index + 1], tokenizer, open_reply=False)
            if not (text.startswith(after) and after.startswith(before) and message.content.strip() in after):
                raise DataError(
                    f"messages.{index}: the tokenizer's chat template rewrites earlier turns, so that the "
                    "reply's tokens cannot be told from the prompt's.\n"
                    "  Use the template 'mixtral' or 'vicuna'."
                )
            spans.append((len(before), len(after)))
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = coded["input_ids"]
    offsets: list[tuple[int, int]] = coded["offset_mapping"]
    supervised = [
        end > begin and any(start <= begin and end <= stop for start, stop in spans) for begin, end in offsets
    ]
    if not any(supervised) or all(supervised):
        found = "every" if any(supervised) else "no"
        raise DataError(
            f"the tokenizer's chat template makes {found} token one of a reply, so that prompts cannot be "
            "told apart.\n  Use the template 'mixtral' or 'vicuna'."
        )
    return ids, supervised
