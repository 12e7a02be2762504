"""Signs that a record's text speaks to the model, and signs that the prompt's example got into a translation.

Both run over the normalised text, so invisible characters, vowel signs and other digits hide nothing.
"""

import re
from collections.abc import Iterable, Iterator

from bimedix.prompts.translation import example
from bimedix.records import Finding, Item, item_fields
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
        r"(?:asign|otorg|da|donne|attribue)\w*[^.\n]{0,40}\b(?:puntuación|note|score)\b[^.\n]{0,20}\b100\b",
        r"(?:постав|присво|дай)\w*[^.\n]{0,40}(?:оцен|балл)\w*[^.\n]{0,20}\b100\b",
        r"(?:给|打|评)[^。\n]{0,12}100 ?分(?!钟)",
        r"100 ?点[をの]?(?:付け|つけ|与え|評価)",
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


def leaks(source: Item, target: Item) -> Iterator[Finding]:
    """Yield fields of a translation with the canary of the prompt's example, unless the source has it too.

    GPT-translated Arabic MMLU replaced a tenth of its questions by its prompt's example, and nobody saw it
    (data.md, section 2.2).
    """
    canaries = {example(code).canary for code in (source.language, target.language)}
    known = normalise("\n".join(item_fields(source).values()))
    for canary in sorted(canary for canary in canaries if normalise(canary) not in known):
        for name, text in item_fields(target).items():
            if normalise(canary) in normalise(text):
                at = text.find(canary)
                spans = ((at, at + len(canary)),) if at >= 0 else ()
                yield Finding("leak", "error", "an example of the prompt stands here", name, (), spans)
