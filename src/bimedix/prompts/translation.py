"""Prompts that translate and revise a record's fields, and the readers of their replies."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import msgspec

from bimedix.languages import language
from bimedix.prompts.data import data_block, fill, has_prompt, prompt_text
from bimedix.prompts.replies import ReplyError, Rung, read_object, require_id
from bimedix.records import Message, content_hash

FOLDER = "translation"
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Surroundings:
    """What is shown beside the fields, to be read but not translated."""

    before: str = ""
    """Original text just before a part of a long record."""
    after: str = ""
    glossary: Pairs = ()
    """Terms that occur in the fields, with their translations."""
    memory: Pairs = ()
    """Segments near to the fields that were approved earlier."""

    def shown(self) -> dict[str, Any]:
        """Return the keys that hold something."""
        keys = {"before": self.before, "after": self.after, "glossary": self.glossary, "memory": self.memory}
        return {key: value for key, value in keys.items() if value}


NOTHING = Surroundings()


class Example(NamedTuple):
    """What the prompt shows of a language: one exam question, the same in all languages."""

    canary: str
    """Words of it that no medical text holds: an exact search finds them wherever the example leaked."""
    fields: dict[str, str]


class ReadFields(NamedTuple):
    """The texts of a reply, and how far down the ladder it was found."""

    fields: dict[str, str]
    rung: Rung


def text_id(source: str, target: str, *texts: Mapping[str, str]) -> str:
    """Return the id under which a reply has to speak of these texts: a hash of them, never a record's id."""
    return content_hash([source, target, *map(dict, texts)])[:12]


def translate_messages(
    fields: Mapping[str, str], source: str, target: str, around: Surroundings = NOTHING
) -> tuple[Message, ...]:
    """Build the messages that ask for a translation of the fields from language `source` into `target`."""
    data = {"fields": dict(fields), **around.shown()}
    return _messages("translate", source, target, text_id(source, target, fields), data)


def revise_messages(
    fields: Mapping[str, str],
    current: Mapping[str, str],
    problems: tuple[str, ...],
    source: str,
    target: str,
    around: Surroundings = NOTHING,
) -> tuple[Message, ...]:
    """Build the messages that ask for a better translation, given what is wrong with the current one."""
    data = {"fields": dict(fields), "current": dict(current), "problems": problems, **around.shown()}
    return _messages("revise", source, target, text_id(source, target, fields), data)


@cache
def example(code: str) -> Example:
    """Return the example in a language, from `translation/example.CODE.txt`: canary, question, options."""
    canary, question, *options = prompt_text(FOLDER, f"example.{language(code).code}").splitlines()
    return Example(canary, {"question": question} | {f"options.{n}": o for n, o in enumerate(options)})


def _messages(task: str, source: str, target: str, id: str, data: Mapping[str, Any]) -> tuple[Message, ...]:
    system = fill(_system(task, source, target), {"id": id})
    return Message("system", system), Message("user", data_block(dict(data)))


@cache
def _system(task: str, source: str, target: str) -> str:
    names = {"source_name": language(source).name, "target_name": language(target).name}
    pair = fill(prompt_text(FOLDER, _pair_file(source, target)), names)
    shown = {"example_source": _shown(source), "example_target": _shown(target)}
    return fill(prompt_text(FOLDER, task), {**names, **shown, "pair": pair, "id": "$id"})


def _shown(code: str) -> str:
    return msgspec.json.encode(example(code).fields).decode()


def _pair_file(source: str, target: str) -> str:
    pair = f"{source}-{target}"
    return pair if has_prompt(FOLDER, pair) else "any"


@cache
def prompt_hash(task: str, source: str, target: str) -> str:
    """Return the hash of the prompt text of a task (`translate`, `revise`) and a pair of languages."""
    return content_hash(_system(task, source, target))


def fields_schema(names: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON Schema of a reply, for endpoints that can enforce one."""
    texts = {name: {"type": "string"} for name in names}
    inner = {"type": "object", "properties": texts, "required": list(names), "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"id": {"type": "string"}, "fields": inner},
        "required": ["id", "fields"],
        "additionalProperties": False,
    }


def read_fields(text: str, names: tuple[str, ...], id: str = "") -> ReadFields:
    """Read `{"fields": {name: text}}`: all names there, none besides, no text empty.

    Args:
        text: the reply.
        names: of the fields that were sent.
        id: what the reply has to be about; a reply may leave it out, but not name another.

    Raises:
        ReplyError: with a countable reason.
    """
    value, rung = read_object(text)
    if id and "id" in value:
        require_id(value, "id", id)
    fields = value.get("fields")
    if not isinstance(fields, dict):
        raise ReplyError("reply has no 'fields'", text)
    if missing := [name for name in names if name not in fields]:
        raise ReplyError("fields are missing from the reply", ", ".join(missing))
    if extra := [name for name in fields if name not in names]:
        raise ReplyError("reply has fields that were not sent", ", ".join(extra))
    for name, translated in fields.items():
        if not isinstance(translated, str):
            raise ReplyError("a field of the reply is no text", f"{name}: {translated!r}")
        if not translated.strip():
            raise ReplyError("a field of the reply is empty", name)
    return ReadFields({name: fields[name] for name in names}, rung)
