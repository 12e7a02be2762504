"""The prompt that judges a translation, the reader of its reply, and what several judgments add up to.

Error spans with an MQM category and severity, and a score from 0 to 100 beside them (data.md, section 2.3;
GEMBA-MQM, arXiv 2310.13988, and its severity weights 25 / 5 / 1 / 0.1). A bare score is the weakest form.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Struct, structs

from bimedix.languages import language
from bimedix.prompts.data import data_block, fill, prompt_text
from bimedix.prompts.replies import ReplyError, Rung, read_object, require_id
from bimedix.prompts.translation import text_id
from bimedix.records import ErrorSpan, Message, content_hash
from bimedix.text import normalise

CATEGORIES = (
    "mistranslation", "omission", "addition", "untranslated", "terminology", "fluency", "register", "locale",
    "number", "dose", "drug", "negation", "laterality", "option", "other",
)  # fmt: skip
"""MQM's, and those that decide in medicine."""
SEVERITY_WEIGHTS: dict[str, float] = {"critical": 25, "major": 5, "minor": 1, "punctuation": 0.1}
"""GEMBA-MQM v2."""
_SEVERITIES = get_args(structs.fields(ErrorSpan)[3].type)
_MAX_SPANS = 100


class Judgment(Struct, frozen=True):
    """One reading of one translation."""

    score: float
    """0 to 100."""
    spans: tuple[ErrorSpan, ...]
    quotes_not_found: int = 0
    """Spans dropped because their quote is not in the text."""
    spans_refused: int = 0
    """Spans dropped because side or severity is none of ours."""
    rung: Rung = "whole"


class Question(NamedTuple):
    """A judgment that is asked for: the messages, and what the reply has to name."""

    messages: tuple[Message, ...]
    id: str
    nonce: str


def ask_judge(
    source_fields: Mapping[str, str],
    target_fields: Mapping[str, str],
    source: str,
    target: str,
    *,
    salt: str,
    sample: int = 0,
) -> Question:
    """Build the question for the judgment number `sample` of one translation.

    The id is a hash of the texts and the nonce a keyed hash of (salt, texts, sample): equal texts give equal
    prompts, which are paid once, and no text can know its own nonce. Every second sample shows the
    translation first.
    """
    about = text_id(source, target, source_fields, target_fields)
    nonce = _nonce(salt, about, sample)
    blanks = {"id": about, "nonce": nonce, "categories": ", ".join(CATEGORIES)}
    blanks |= {"source_name": language(source).name, "target_name": language(target).name}
    sides = [("source", dict(source_fields)), ("target", dict(target_fields))]
    data = data_block({"nonce": nonce, **dict(sides[::-1] if sample % 2 else sides)})
    system = fill(prompt_text("judging", "judge"), blanks)
    return Question((Message("system", system), Message("user", data)), about, nonce)


def _nonce(salt: str, id: str, sample: int) -> str:
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    return hashlib.blake2b(f"{id}:{sample}".encode(), key=key, digest_size=6).hexdigest()


def judge_prompt_hash() -> str:
    """Return the hash of the judge's prompt text."""
    return content_hash(prompt_text("judging", "judge"))


JUDGMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "nonce": {"type": "string"},
        "spans": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "quote": {"type": "string"},
                    "side": {"enum": ["source", "target"]},
                    "category": {"enum": list(CATEGORIES)},
                    "severity": {"enum": list(_SEVERITIES)},
                    "why": {"type": "string"},
                },
                "required": ["quote", "side", "category", "severity", "why"],
                "additionalProperties": False,
            },
        },
        "score": {"type": "number"},
    },
    "required": ["id", "nonce", "spans", "score"],
    "additionalProperties": False,
}


def read_judgment(
    text: str, question: Question, source_fields: Mapping[str, str], target_fields: Mapping[str, str]
) -> Judgment:
    """Read a judgment; a score counts only under the right id and nonce.

    Raises:
        ReplyError: another id or nonce, no score, a score that is no number or outside 0 to 100.
    """
    value, rung = read_object(text)
    require_id(value, "id", question.id)
    require_id(value, "nonce", question.nonce)
    score = _score(value.get("score"))
    spans = value.get("spans")
    if not isinstance(spans, list):
        raise ReplyError("judgment has no 'spans'", text)
    sides = {"source": _joined(source_fields), "target": _joined(target_fields)}
    read = [_span(span) for span in spans[:_MAX_SPANS]]
    known = [span for span in read if span is not None]
    found = [span for span in known if _is_quoted(span.quote, sides[span.side])]
    return Judgment(score, tuple(found), len(known) - len(found), len(spans) - len(known), rung)


def _score(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReplyError("score is no number", repr(value))
    if not 0 <= value <= 100:
        raise ReplyError("score outside 0 to 100", repr(value))
    return float(value)


def _span(value: Any) -> ErrorSpan | None:
    if not isinstance(value, dict) or not isinstance(value.get("quote"), str):
        return None
    category = value.get("category") if value.get("category") in CATEGORIES else "other"
    why = value["why"][:400] if isinstance(value.get("why"), str) else ""
    span = {**value, "quote": value["quote"].strip()[:400], "category": category, "why": why}
    try:
        return msgspec.convert(span, ErrorSpan)
    except msgspec.ValidationError:
        return None


def _joined(fields: Mapping[str, str]) -> str:
    return "\n".join(fields.values())


def _is_quoted(quote: str, text: str) -> bool:
    """Tell whether the quote stands in the text; vowel signs, forms of alef and spaces may differ."""
    plain = normalise(quote)
    return bool(plain) and (quote in text or plain in normalise(text))


def mqm_penalty(spans: Iterable[ErrorSpan]) -> float:
    """Return the sum of severity weights: 0 is clean, 25 one critical error."""
    return sum(SEVERITY_WEIGHTS[span.severity] for span in spans)


def median_score(judgments: Sequence[Judgment]) -> float | None:
    """Return the median score, 0 to 100; None when no judgment could be read."""
    return median(judgment.score for judgment in judgments) if judgments else None


def standing_spans(judgments: Sequence[Judgment]) -> tuple[ErrorSpan, ...]:
    """Return the spans that at least two judges name; those of a single judge all stand.

    Two spans are the same error when they are on one side and one quote holds the other. The longest quote
    with the worst severity is kept.
    """
    if len(judgments) < 2:
        return tuple(span for judgment in judgments for span in judgment.spans)
    groups: list[tuple[ErrorSpan, set[int]]] = []
    for judge, judgment in enumerate(judgments):
        for span in judgment.spans:
            _join_group(groups, span, judge)
    return tuple(span for span, judges in groups if len(judges) >= 2)


def _join_group(groups: list[tuple[ErrorSpan, set[int]]], span: ErrorSpan, judge: int) -> None:
    for at, (kept, judges) in enumerate(groups):
        if kept.side == span.side and (kept.quote in span.quote or span.quote in kept.quote):
            worst = max((kept, span), key=lambda s: (SEVERITY_WEIGHTS[s.severity], len(s.quote)))
            quote = max(kept.quote, span.quote, key=len)
            groups[at] = (structs.replace(worst, quote=quote), judges | {judge})
            return
    groups.append((span, {judge}))
