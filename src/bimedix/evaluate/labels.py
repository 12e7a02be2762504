"""Headings and notes of reports in other languages; English is the key.

`data/labels.ar.toml` holds one line per text. `{}` stands for a part that is looked up itself, so that
"Accuracy, {}, by {} (%)" covers every language and protocol. A text that is not listed stays English.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bimedix.errors import UsageError
from bimedix.languages import language

LABELLED = ("en", "ar")
"""Languages that a page can be had in."""


@dataclass(frozen=True)
class Told:
    """Looks labels up in one language."""

    code: str
    words: dict[str, str]
    patterns: Sequence[tuple[re.Pattern[str], str]] = ()

    def __call__(self, text: str) -> str:
        """Return a text in the language; itself where it is not listed."""
        if not self.words or (found := self.words.get(text)) is None:
            return self._by_pattern(text) if self.words else text
        return found

    def _by_pattern(self, text: str) -> str:
        for pattern, target in self.patterns:
            if match := pattern.fullmatch(text):
                return target.format(*map(self, match.groups()))
        return text

    @property
    def direction(self) -> str:
        """Direction of a page in this language."""
        return language(self.code).direction

    @property
    def comma(self) -> str:
        """Return the comma of lists, with its space."""
        return "، " if self.direction == "rtl" else ", "


@cache
def labels(code: str) -> Told:
    """Return the labels of a language.

    Raises:
        UsageError: there are none.
    """
    if code == "en":
        return Told(code, {})
    if code not in LABELLED:
        raise UsageError(f"no labels in '{code}'.\n  Pages can be had in: {', '.join(LABELLED)}.")
    words: dict[str, str] = tomllib.loads(
        files("bimedix").joinpath("data", f"labels.{code}.toml").read_text("utf-8")
    )["labels"]
    patterns = [
        (re.compile("(.+?)".join(map(re.escape, source.split("{}"))), re.DOTALL), target)
        for source, target in words.items()
        if "{}" in source
    ]
    return Told(code, {s: t for s, t in words.items() if "{}" not in s}, patterns)
