"""Signs that a record's text speaks to the model: the record goes to a person, and to nobody else's score.

Patterns run over the normalised text, so invisible characters, vowel signs and other digits hide nothing.
"""

import re
from collections.abc import Iterable

from bimedix.text import normalise

_VERBS = r"(?:give|assign|return|output|award|answer with|respond with|rate)"
_PATTERNS: dict[str, tuple[str, ...]] = {
    "asks to forget the instructions": (
        r"(?:ignore|disregard|forget) (?:all |any |the |your |these )*"
        r"(?:previous |above |prior |earlier |system )*(?:instructions|rules|prompt)\b",
        r"تجاهل (?:جميع |كل |اي )?(?:ال)?(?:تعليمات|اوامر|قواعد)",
        r"ignor\w* (?:todas )?(?:las )?instrucciones",
        r"ignor\w* (?:toutes )?les (?:instructions|consignes)",
        r"(?:игнорируй\w*|забудь\w*) (?:все )?(?:предыдущие )?(?:инструкции|указания)",
        r"忽略.{0,6}(?:指示|指令|说明)",
        r"(?:指示|命令)を?無視",
    ),
    "asks for a score": (
        rf"{_VERBS}[^.\n]{{0,60}}\bscore\b[^.\n]{{0,20}}\b100\b",
        rf"{_VERBS}[^.\n]{{0,30}}\b100\b[^.\n]{{0,20}}\bscore\b",
        r"(?:اعط|امنح)\S*[^.\n]{0,40}(?:درجه|تقييم)[^.\n]{0,20}100",
        r"(?:درجه|تقييم)[^.\n]{0,10}100 ?(?:من|/) ?100",
    ),
    "looks like a reply": (r'"(?:score|nonce|spans|fields)"\s*:',),
    "speaks as the system": (
        r"(?:^|\n| )(?:system|assistant) ?: ?you (?:are|must|will|should) ",
        r"<\|?(?:im_start|system|endoftext)\|?>",
        r"\[/?inst\]",
    ),
}
_SIGNS = {name: re.compile("|".join(patterns)) for name, patterns in _PATTERNS.items()}
_HIDING = re.compile("[\u202a-\u202e]")
"""Embeddings and overrides; isolates are harmless, and good Arabic text holds them."""


def instruction_signs(texts: Iterable[str]) -> tuple[str, ...]:
    """Return what in these texts speaks to the model, in words; empty for ordinary medical text."""
    found: dict[str, None] = {}
    for text in texts:
        plain = normalise(text)
        found |= {name: None for name, sign in _SIGNS.items() if sign.search(plain)}
        if _HIDING.search(text):
            found["hides direction controls"] = None
    return tuple(found)
