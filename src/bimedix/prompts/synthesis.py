"""Prompts that make dialogues and rationales from exam items and check them, and readers of their replies.

Options are spoken of by ids that hash their text: no letter, no place in the list, so nothing depends on an
order and a shuffle changes no reply. Source: BiMediX, section 3.1.1; data.md, section 3.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from bimedix.languages import language
from bimedix.prompts.data import data_block, fill, has_prompt, prompt_text
from bimedix.prompts.replies import ReplyError, Rung, read_object, require_id, text_of
from bimedix.records import Message, MultipleChoice, Role, Turn, content_hash

FOLDER = "synthesis"
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_ROLES: dict[str, Role] = {"patient": "user", "doctor": "assistant"}
_MAX_TURNS = 60


class Prompt(NamedTuple):
    """Messages and the id that the reply has to name when it names one."""

    messages: tuple[Message, ...]
    id: str


class Rationale(NamedTuple):
    """What a reply says of the options."""

    answers: frozenset[str]
    """Ids of the options it holds for right."""
    options: dict[str, str]
    """Why, by option id."""
    conclusion: str
    rung: Rung


def option_ids(item: MultipleChoice) -> tuple[str, ...]:
    """Return an id of four letters per option, a hash of its text; equal texts get ids of their own."""
    ids: list[str] = []
    for text in item.options:
        salt = 0
        while (code := content_hash([text, salt])[:4].translate(_LETTERS)) in ids:
            salt += 1
        ids.append(code)
    return tuple(ids)


def gold_ids(item: MultipleChoice) -> frozenset[str]:
    """Return the ids of the right options."""
    ids = option_ids(item)
    return frozenset(ids[index] for index in item.answers)


def _options(item: MultipleChoice, order: Sequence[int] | None = None) -> list[dict[str, str]]:
    ids = option_ids(item)
    return [{"id": ids[index], "text": item.options[index]} for index in order or range(len(ids))]


def _material(item: MultipleChoice) -> dict[str, Any]:
    texts = {"context": item.context, "question": item.question, "rationale": item.rationale}
    shown: dict[str, Any] = {name: text for name, text in texts.items() if text}
    return shown | {"options": _options(item), "answers": sorted(gold_ids(item))}


@cache
def _style(code: str) -> str:
    name = f"style.{code}" if has_prompt(FOLDER, f"style.{code}") else "style.any"
    return fill(prompt_text(FOLDER, name), {"language_name": language(code).name})


@cache
def prompt_hash(task: str, code: str) -> str:
    """Return the hash of the prompt text of `dialogue`, `check` or `rationale` in a language."""
    return content_hash([prompt_text(FOLDER, task), _style(code)])


def _prompt(task: str, data: dict[str, Any], **blanks: str) -> Prompt:
    about = content_hash([task, data])[:12]
    system = fill(prompt_text(FOLDER, task), {"id": about, **blanks})
    return Prompt((Message("system", system), Message("user", data_block(data))), about)


def dialogue_prompt(item: MultipleChoice, exchanges: int) -> Prompt:
    """Ask for a talk of about `exchanges` turns of each side that comes to the right answer."""
    blanks = {"language_name": language(item.language).name, "style": _style(item.language)}
    data = _material(item) | {"exchanges": exchanges}
    return _prompt("dialogue", data, exchanges=str(exchanges), **blanks)


def rationale_prompt(item: MultipleChoice) -> Prompt:
    """Ask why each option is right or wrong."""
    data = _material(item)
    data.pop("rationale", None)
    return _prompt("rationale", data, language_name=language(item.language).name, style=_style(item.language))


def check_prompt(item: MultipleChoice, text: str, order: Sequence[int], what: str) -> Prompt:
    """Ask which options a text comes to; the key, the question and the context are not shown.

    Args:
        order: of the options, as indexes.
        what: the text is, such as "a talk between a patient and a doctor".
    """
    return _prompt("check", {"text": text, "options": _options(item, order)}, what=what)


def as_script(turns: Sequence[Turn]) -> str:
    """Return a dialogue as lines of `patient:` and `doctor:`."""
    names = {role: name for name, role in _ROLES.items()}
    return "\n".join(f"{names[turn.role]}: {turn.text}" for turn in turns if turn.role in names)


def read_dialogue(text: str, id: str = "") -> tuple[Turn, ...]:
    """Read `{"turns": [{"role", "text"}, ...]}`.

    Raises:
        ReplyError: no turns, a role besides patient and doctor, or an empty turn.
    """
    value, _ = _object_about(text, id)
    turns = value.get("turns")
    if not isinstance(turns, list) or not turns or len(turns) > _MAX_TURNS:
        raise ReplyError("reply has no usable 'turns'", text)
    return tuple(_turn(turn) for turn in turns)


def _turn(value: Any) -> Turn:
    if not isinstance(value, dict) or value.get("role") not in _ROLES:
        raise ReplyError("a turn is neither the patient's nor the doctor's", repr(value))
    words = text_of(value, "text")
    if not words:
        raise ReplyError("a turn is empty", repr(value))
    return Turn(_ROLES[value["role"]], words)


def read_answers(text: str, item: MultipleChoice, id: str = "") -> frozenset[str]:
    """Read `{"answers": [option ids]}`.

    Raises:
        ReplyError: no list, or an id that none of the options has.
    """
    value, _ = _object_about(text, id)
    return _answers(value, item)


def _answers(value: dict[str, Any], item: MultipleChoice) -> frozenset[str]:
    answers = value.get("answers")
    if not isinstance(answers, list):
        raise ReplyError("reply has no 'answers'", repr(value))
    known = option_ids(item)
    if unknown := [answer for answer in answers if answer not in known]:
        raise ReplyError("reply names an option that does not exist", repr(unknown[0]))
    return frozenset(answers)


def read_rationale(text: str, item: MultipleChoice, id: str = "") -> Rationale:
    """Read a rationale: every option by its id, none besides, a conclusion.

    Raises:
        ReplyError: an option is missing, unknown or without a word.
    """
    value, rung = _object_about(text, id)
    options, ids = value.get("options"), option_ids(item)
    if not isinstance(options, dict) or set(options) != set(ids):
        raise ReplyError("rationale does not address every option", repr(options))
    why = {option: text_of(options, option) for option in ids}
    conclusion = text_of(value, "conclusion")
    if not all(why.values()) or not conclusion:
        raise ReplyError("a part of the rationale is empty", text)
    return Rationale(_answers(value, item), why, conclusion, rung)


def rationale_text(item: MultipleChoice, rationale: Rationale) -> str:
    """Return a rationale as text that names options by what they say, in the item's order."""
    lines = [
        f"{option}: {rationale.options[code]}"
        for code, option in zip(option_ids(item), item.options, strict=True)
    ]
    return "\n".join([*lines, rationale.conclusion])


def _object_about(text: str, id: str) -> tuple[dict[str, Any], Rung]:
    reading = read_object(text)
    if id and "id" in reading.value:
        require_id(reading.value, "id", id)
    return reading
