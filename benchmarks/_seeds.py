"""Errors seeded into real human translations: what a careless translator or a model does to a right text.

The words are those of a grammar, not of the checks' own tables: what is measured here may not be read from
what is measured. All draws come from the segment's id.
"""

import re
from collections.abc import Iterable, Iterator
from random import Random

Pair = tuple[str, str, str]
"""Id, source, target."""

_NEGATED = re.compile(r"\b(?:not|no|never|without|cannot|neither|nor|none)\b|n['’]t\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.,٬-])\d{2,}(?![\w.,٬-])")
DROPPED = {
    "ar": r"(?<!\w)و?(?:لا|لم|لن|ليس|ليست|ليسوا) (?!سيما|يزال|تزال|يقل|تقل|شك|بد|حصر|الحصر|فقط)"
    r"|(?<!\w)(?:ب|ل)?(?:غير|عدم) |(?<!\w)(?:بدون|بلا|دون) ",
    "es": r"\b(?:no|nunca|sin) (?!embargo|duda|s[oó]lo|obstante)(?!.{0,60}\b(?:ni|ning|nada|nadie|tampoco))",
    "fr": r"\b(?:ne |n['’])(?P<verb>.{1,25}?) (?:pas|jamais|plus|aucune?|rien)\b(?! seulement)|\bsans ",
    "ru": r"(?<!\w)(?:не|без|нет) (?!только|менее|более|позднее|позже)(?!.{0,80}\bни(?:\b|как|кто|чего))",
    "zh": r"没有|尚未|未(?!来|成年)|无(?!论|菌|疑)"
    r"|不(?!仅|同|过|但|断|良|足|论|管|少|久|明|适|便|幸|等|一|安|慎|得不)",
}
"""What a negation is written with, to be left out; `verb` stays."""
ADDED = {
    "ar": (r"(?<!\w)(?=(?:يمكن|يجب|ينبغي|يؤدي|تؤدي|يسبب|تسبب|يوجد|توجد|تشمل|يعتمد|تنتشر) )", "لا "),
    "es": (r"\b(?=(?:es|son|puede|pueden|ha|han|debe|deben|fue|fueron|tiene|tienen|está|están|hay) )", "no "),
    "fr": (r"\b(?:(?P<verb>peut|peuvent|doit|doivent|sont|sera|seront|fut|furent)) ", "ne {verb} pas "),
    "ru": (r"(?<!\w)(?=(?:может|могут|является|являются|был|была|было|были|следует|имеет) )", "не "),
    "zh": (r"(?=(?:可能|可以|应该|需要|能够|会))(?<!不)(?<!没)(?<!未)(?<!才)", "不"),
}  # fmt: skip
"""Where a negation can be put in, and the words."""


def seeded(pairs: Iterable[Pair], code: str) -> Iterator[tuple[str, str, str]]:
    """Give (class, source, damaged target) for correct pairs of English and another language."""
    for key, source, target in pairs:
        random = Random(key)
        numbers = list(_NUMBER.finditer(target))
        if numbers:
            found = random.choice(numbers)
            before, digits, after = target[: found.start()], found.group(), target[found.end() :]
            wrong = digits[:-1] + str((int(digits[-1]) + random.randint(1, 8)) % 10)
            yield "number digit", source, before + wrong + after
            yield "number tenfold", source, before + digits + "0" + after
        words = target.split(" ") if code != "zh" else list(target)
        if len(words) > (8 if code != "zh" else 20):
            space = " " if code != "zh" else ""
            yield "cut in half", source, space.join(words[: len(words) // 2])
            yield "cut at three quarters", source, space.join(words[: int(len(words) * 0.75)])
        signs = list(re.finditer(DROPPED[code], target, re.IGNORECASE))
        if signs and _NEGATED.search(source):
            yield "negation dropped", source, _without(target, random.choice(signs))
        places = list(re.finditer(ADDED[code][0], target))
        if places and not signs and not _NEGATED.search(source):
            place = random.choice(places)
            verb = place.groupdict().get("verb") or ""
            added = ADDED[code][1].format(verb=verb)
            yield "negation added", source, target[: place.start()] + added + target[place.end() :]


def _without(target: str, sign: re.Match[str]) -> str:
    return target[: sign.start()] + (sign.groupdict().get("verb") or "") + target[sign.end() :]
