"""Reading what a model sent back: a ladder of three rungs, and nothing that guesses.

Whole reply, then the inside of one code fence, then the one balanced JSON object in the prose around it.
Two objects, doubled keys, NaN or a half reply are refused: a "repaired" id, key or answer would be an
error that nobody sees. Which rung was needed is counted, because a model that starts to need the lower
ones has changed. Source: data.md, section 1.4.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from bimedix.errors import BimedixError

Rung = Literal["whole", "fence", "prose"]
MAX_CHARACTERS = 1_000_000
_MAX_OBJECTS = 16
_FENCE = re.compile(r"```[A-Za-z]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class ReplyError(BimedixError):
    """A reply cannot be read; `reason` is short and countable, the message tells what was seen."""

    def __init__(self, reason: str, seen: str = "") -> None:
        super().__init__(f"{reason}: {seen[:160]}" if seen else reason)
        self.reason = reason


class Reading(NamedTuple):
    """A JSON object and how far down the ladder it was found."""

    value: dict[str, Any]
    rung: Rung


def read_object(text: str) -> Reading:
    """Return the one JSON object of a reply.

    A leading `<think>...</think>` block is set aside first.

    Raises:
        ReplyError: empty, too long, cut, not JSON, or more than one object.
    """
    if len(text) > MAX_CHARACTERS:
        raise ReplyError("reply too long", f"{len(text):,} characters")
    text = _THOUGHTS.sub("", text).strip()
    if not text:
        raise ReplyError("empty reply")
    whole = _parsed(text)
    if whole is not None:
        return Reading(whole, "whole")
    fences = _FENCE.findall(text)
    if len(fences) == 1 and (inside := _parsed(fences[0])) is not None:
        return Reading(inside, "fence")
    return Reading(_only_object(text), "prose")


def _only_object(text: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for candidate in _balanced(text):
        value = _parsed(candidate)
        if value is not None:
            found.append(value)
    if len(found) > 1:
        raise ReplyError("two objects in one reply", text)
    if not found:
        raise ReplyError("no JSON object in the reply", text)
    return found[0]


def _balanced(text: str) -> Iterator[str]:
    """Yield the outermost {...} stretches; braces inside strings do not count. Linear in the text."""
    depth, start, in_string, skip, count = 0, 0, False, False, 0
    for at, char in enumerate(text):
        if skip:
            skip = False
        elif in_string:
            skip, in_string = char == "\\", char != '"'
        elif char == '"' and depth:
            in_string = True
        elif char == "{":
            start, depth = (at if depth == 0 else start), depth + 1
        elif char == "}" and depth:
            depth -= 1
            if depth == 0:
                count += 1
                if count > _MAX_OBJECTS:
                    raise ReplyError("two objects in one reply", text)
                yield text[start : at + 1]
    if depth:
        raise ReplyError("reply is cut", text[-160:])


def _parsed(text: str) -> dict[str, Any] | None:
    """Return the object that the text is, or None; doubled keys, NaN and lone surrogates are refused."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ReplyError:
        raise
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ReplyError("doubled keys in the reply", next(key for key in keys if keys.count(key) > 1))
    return value


def _no_constant(name: str) -> Any:
    raise ReplyError("not a number in the reply", name)


def require_id(value: dict[str, Any], key: str, expected: str) -> None:
    """Refuse a reply that speaks of another text.

    Raises:
        ReplyError: `value[key]` is not `expected`.
    """
    if value.get(key) != expected:
        raise ReplyError(f"reply has another {key}", f"{value.get(key)!r} in place of {expected!r}")


def text_of(value: dict[str, Any], key: str, *, at_most: int = 4_000) -> str:
    """Return a text field of a reply, stripped and bounded; anything but a text is refused.

    Raises:
        ReplyError: the key is missing or no text.
    """
    text = value.get(key)
    if not isinstance(text, str):
        raise ReplyError(f"reply has no text under '{key}'", repr(text))
    return text.strip()[:at_most]
