"""Language packs: how each language puts a question and words an answer, as text files beside this module.

A pack (`questions/ar.txt`, ...) has `[section]` heads. Sections that hold a frame are one text with
slots (`{context}`, `{question}`, `{options}`, `{instruction}`, `{words}`, `{answer}`); all others are lists,
one entry a line. Lines before the first section are a comment.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

from bimedix.errors import DataError
from bimedix.languages import Language, language
from bimedix.records import content_hash
from bimedix.text import normalise

_SLOT = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class Pack:
    """One language's frames and word lists."""

    language: Language
    frames: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    hash: str
    """32 hex digits over the file and the language's letters and yes / no / maybe words."""

    @cached_property
    def yes_no_maybe(self) -> tuple[tuple[str, ...], ...]:
        """All spellings of yes, of no and of maybe; the first of each is the one that prompts show."""
        return tuple(
            (word, *self.lists[name])
            for word, name in zip(self.language.yes_no_maybe, ("yes", "no", "maybe"), strict=True)
        )

    @cached_property
    def spellings(self) -> tuple[tuple[str, ...], ...]:
        """The same, normalised: what options and replies are compared with."""
        return tuple(tuple(map(normalise, words)) for words in self.yes_no_maybe)


@cache
def pack(code: str) -> Pack:
    """Return the pack of a language.

    Raises:
        UsageError: the language is not in the table.
        DataError: its pack is missing or lacks a section.
    """
    row = language(code)
    place = files("bimedix.prompts").joinpath("questions", f"{row.code}.txt")
    if not place.is_file():
        raise DataError(
            f"{place}: no question pack for {row.name}.\n  Copy questions/en.txt and translate it."
        )
    text = place.read_text("utf-8")
    frames, lists = _sections(text)
    english = _sections(files("bimedix.prompts").joinpath("questions", "en.txt").read_text("utf-8"))
    missing = (set(english[0]) - set(frames)) | (set(english[1]) - set(lists))
    if missing:
        raise DataError(f"{place}: lacks [{'], ['.join(sorted(missing))}], which questions/en.txt has.")
    return Pack(row, frames, lists, content_hash([text, row.option_letters, row.yes_no_maybe]))


_FRAMES = (
    "frame", "open_frame", "answer_line",
    "ask_letter", "ask_letter_with_rationale", "ask_word", "ask_word_with_rationale",
)  # fmt: skip


def _sections(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    parts = re.split(r"^\[([a-z_]+)\]\n", text, flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    frames = {name: body.strip() for name, body in bodies.items() if name in _FRAMES}
    lists = {name: tuple(body.split("\n")[:-1]) for name, body in bodies.items() if name not in _FRAMES}
    return frames, {name: tuple(entry for entry in entries if entry) for name, entries in lists.items()}


def fill(frame: str, values: Mapping[str, str]) -> str:
    """Put values into the slots of a frame, in one pass: braces inside a value are text and stay.

    A paragraph of the frame whose slot is empty is left out.
    """
    kept = [part for part in frame.split("\n\n") if all(values.get(name) for name in _SLOT.findall(part))]
    return _SLOT.sub(lambda slot: values[slot[1]], "\n\n".join(kept))
