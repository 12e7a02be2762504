"""The safety screen: red flags in what a person writes; what the model answers is not screened yet.

Rules are data (safety.toml). A phrase counts at word borders, with clitic prefixes stripped, unless a
negation stands before it in the same clause: "I don't have chest pain" is no red flag. The screen acts
first: the advice is shown before any answer, in the language of the message.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bimedix.text import normalise, script_shares, words

_RULES = Path(__file__).with_name("safety.toml")


@dataclass(frozen=True)
class Screened:
    """What the screen saw."""

    language: str
    flags: tuple[str, ...]
    """Names of the rules, for the audit record; the text itself is not in it."""
    advice: str
    """What to show first; empty when there is no red flag."""


@cache
def rules() -> dict[str, Any]:
    """Return the rules file."""
    return tomllib.loads(_RULES.read_text(encoding="utf-8"))


@cache
def _compiled(code: str) -> tuple[dict[str, tuple[tuple[str, ...], ...]], tuple[tuple[str, ...], ...], str]:
    table = rules()["languages"][code]
    flags = {name: tuple(_fold(p, code) for p in phrases) for name, phrases in table["flags"].items()}
    negations = tuple(_fold(word, code) for word in table["negations"])
    ends = "|".join(
        re.escape(normalise(end)) if end.strip() == end else re.escape(end) for end in table["clause_ends"]
    )
    return flags, negations, ends


def _fold(text: str, code: str) -> tuple[str, ...]:
    prefixes = rules()["languages"][code]["prefixes"]
    return tuple(_strip(word, tuple(map(normalise, prefixes))) for word in words(normalise(text), code))


def _strip(word: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if word.startswith(prefix) and len(word) - len(prefix) >= 3:
            return word[len(prefix) :]
    return word


def message_language(text: str, fallback: str = "en") -> str:
    """Return the language a message is most likely in, by script: the reply and the notices follow it.

    Latin script says only that it is one of en, es, fr; those share `fallback`.
    """
    shares = script_shares(text)
    if not shares:
        return fallback
    match max(shares, key=lambda name: shares[name]):
        case "ARABIC":
            return "ar"
        case "CYRILLIC":
            return "ru"
        case "CJK":
            return "ja" if re.search("[\u3040-\u30ff]", text) else "zh"
    return fallback


def screen(text: str, region: str = "generic") -> Screened:
    """Look for red flags in a message, in every language that has rules."""
    found: dict[str, str] = {}
    for code in rules()["languages"]:
        flags, negations, ends = _compiled(code)
        for clause in re.split(ends, normalise(text)):
            seen = _fold(clause, code)
            for name, phrases in flags.items():
                if any(_stands(phrase, seen, negations) for phrase in phrases):
                    found.setdefault(name, code)
    if not found:
        return Screened(message_language(text), (), "")
    code = message_language(text)
    code = code if code in rules()["languages"] else next(iter(found.values()))
    number = rules()["regions"].get(region) or rules()["languages"][code]["number"]
    return Screened(code, tuple(found), rules()["languages"][code]["advice"].replace("{number}", number))


def _stands(phrase: tuple[str, ...], clause: tuple[str, ...], negations: tuple[tuple[str, ...], ...]) -> bool:
    for start in range(len(clause) - len(phrase) + 1):
        if clause[start : start + len(phrase)] == phrase:
            before = clause[:start]
            if not any(_occurs(negation, before) for negation in negations if negation):
                return True
    return False


def _occurs(phrase: tuple[str, ...], text: tuple[str, ...]) -> bool:
    return any(text[i : i + len(phrase)] == phrase for i in range(len(text) - len(phrase) + 1))
