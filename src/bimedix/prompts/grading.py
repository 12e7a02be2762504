"""The prompts that grade an answer by a criterion or on a scale, and the readers of their replies."""

from collections.abc import Mapping, Sequence
from typing import Any

from bimedix.completers.base import Request
from bimedix.prompts.asking import Ask
from bimedix.prompts.data import data_block, fill, prompt_text
from bimedix.prompts.replies import ReplyError, read_object, require_id
from bimedix.records import Message, content_hash

MAX_NEW_TOKENS = 400
"""One sentence and a verdict."""


def ask_criterion(
    conversation: Sequence[Message], answer: str, criterion: str, *, record_id: str, sample: int = 0
) -> Ask[bool]:
    """Ask whether an answer meets a criterion."""
    talk = [{"role": turn.role, "content": turn.content} for turn in conversation]
    data = {"conversation": talk, "answer": answer, "criterion": criterion}
    return _ask("criterion", data, {}, _read_met, _MET, record_id, sample)


def ask_rating(
    question: str, reference: str, answer: str, *, highest: int, record_id: str, sample: int = 0
) -> Ask[int]:
    """Ask for a rating from 1 to `highest`."""

    def read(value: dict[str, Any]) -> int:
        found = value.get("rating")
        if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= highest:
            raise ReplyError(f"rating is no whole number from 1 to {highest}", repr(found))
        return found

    data = {"question": question, "reference": reference, "answer": answer}
    schema = {"type": "integer", "minimum": 1, "maximum": highest}
    return _ask("rating", data, {"highest": str(highest)}, read, ("why", "rating", schema), record_id, sample)


_MET = ("explanation", "criteria_met", {"type": "boolean"})


def _read_met(value: dict[str, Any]) -> bool:
    found = value.get("criteria_met")
    if not isinstance(found, bool):
        raise ReplyError("criteria_met is neither true nor false", repr(found))
    return found


def _ask(
    name: str, data: Mapping[str, Any], blanks: Mapping[str, str], read: Any,
    fields: tuple[str, str, dict[str, Any]], record_id: str, sample: int,
) -> Ask[Any]:  # fmt: skip
    """Build a request under an id and a nonce that no text can know, and the reader of its reply."""
    about = content_hash(data)[:16]
    nonce = content_hash([name, about, sample])[:12]
    why, verdict, kind = fields
    names = ("id", "nonce", why, verdict)
    texts = {field: {"type": "string"} for field in names[:3]}
    schema = {
        "type": "object", "properties": {**texts, verdict: kind}, "required": list(names),
        "additionalProperties": False,
    }  # fmt: skip
    system = fill(prompt_text("grading", name), {"id": about, "nonce": nonce, **blanks})
    messages = (Message("system", system), Message("user", data_block({"nonce": nonce, **data})))
    request = Request(
        messages, f"grade-{name}", record_id, sample, max_new_tokens=MAX_NEW_TOKENS, schema=schema
    )

    def read_reply(text: str) -> Any:
        value, _ = read_object(text)
        require_id(value, "id", about)
        require_id(value, "nonce", nonce)
        return read(value)

    return Ask(request, read_reply)
