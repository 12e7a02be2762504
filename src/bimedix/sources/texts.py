"""What the readers of texts share: records or drops from raw texts, roles from speaker tags, repeats."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from bimedix.errors import UsageError
from bimedix.languages import language as language_row
from bimedix.records import (
    Dialogue,
    Dropped,
    OpenQuestion,
    Origin,
    ParallelText,
    Passage,
    Role,
    Turn,
    content_id,
)
from bimedix.sources.base import Row, clean, drop

EMPTY_ANSWER = "empty answer"
EMPTY_QUESTION = "empty question"
EMPTY_TEXT = "empty text"
EMPTY_SEGMENT = "empty segment"
ONE_SPEAKER = "one speaker only"
NO_SPEAKER = "begins without a speaker"
NO_PATIENT = "no patient speaks"
NO_DOCTOR = "no doctor speaks"
UNKNOWN_LANGUAGE = "language not in the table"

_ROLES: dict[str, Role] = {
    "doctor": "assistant", "guest_clinician": "assistant", "clinician": "assistant", "nurse": "assistant",
    "patient": "user", "guest_family": "user", "guest": "user", "family": "user", "patient_guest": "user",
}  # fmt: skip


def open_question(
    row: Row,
    origin: Origin,
    language: str,
    question: str,
    answer: str,
    *,
    id: str = "",
    context: str | None = None,
    subject: str | None = None,
) -> OpenQuestion | Dropped:
    """Return the question, or a `Dropped` when one of its sides is empty; without `id`, of its content."""
    question, answer = clean(question), clean(answer)
    key = id or content_id(origin.dataset, question, answer, context or "")
    if not question:
        return drop(origin.dataset, row, EMPTY_QUESTION, id=key)
    if not answer:
        return drop(origin.dataset, row, EMPTY_ANSWER, id=key)
    return OpenQuestion(key, language, origin, question, answer, context or None, subject or None)


def passage(
    row: Row,
    origin: Origin,
    language: str,
    text: str,
    *,
    id: str = "",
    title: str | None = None,
    subject: str | None = None,
) -> Passage | Dropped:
    """Return the text, or a `Dropped` when it is empty."""
    text = clean(text)
    key = id or content_id(origin.dataset, text)
    if not text:
        return drop(origin.dataset, row, EMPTY_TEXT, id=key)
    return Passage(key, language, origin, text, title or None, subject or None)


def parallel(
    row: Row, origin: Origin, source: tuple[str, str], target: tuple[str, str], *, id: str = ""
) -> ParallelText | Dropped:
    """Return a pair from two (language, text), or a `Dropped` when a text is empty."""
    (code, text), (target_code, target_text) = source, target
    text, target_text = clean(text), clean(target_text)
    key = id or content_id(origin.dataset, code, text, target_code, target_text)
    if not text or not target_text:
        return drop(origin.dataset, row, EMPTY_SEGMENT, id=key)
    return ParallelText(key, code, origin, text, target_text, target_code)


def dialogue(
    row: Row,
    origin: Origin,
    language: str,
    said: Iterable[tuple[str, str]],
    *,
    id: str,
    subject: str | None = None,
) -> Dialogue | Dropped:
    """Return the talk made of (speaker tag or "", line), or a `Dropped` when one side does not speak."""
    said = list(said)
    turns = turns_of(said)
    roles = {turn.role for turn in turns}
    speakers = {tag.strip().lower() for tag, _ in said if tag and role_of(tag)}
    reason = ""
    if not turns:
        reason = NO_SPEAKER
    elif len(speakers) < 2:
        reason = ONE_SPEAKER
    elif "user" not in roles:
        reason = NO_PATIENT
    elif "assistant" not in roles:
        reason = NO_DOCTOR
    if reason:
        return drop(origin.dataset, row, reason, id=id)
    return Dialogue(id, language, origin, tuple(turns), subject or None)


def role_of(tag: str) -> Role | None:
    """Return the role of a speaker tag; numbers and slips of the pen are forgiven (`Docotr_2`).

    None: the word is no speaker, as in "Note: take it with food".
    """
    name = tag.strip().lower().replace(" ", "_").rstrip("0123456789").rstrip("_")
    near = get_close_matches(name, _ROLES, n=1, cutoff=0.8)
    return _ROLES[near[0]] if near else None


def lines_by_speaker(text: str, tagged: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Yield (speaker tag, what follows) per line; ("", whole line) where nobody new speaks.

    Args:
        tagged: matches a whole line; its groups are the tag and what follows.
    """
    for line in text.split("\n"):
        found = tagged.fullmatch(line)
        yield (found[1], found[2]) if found and role_of(found[1]) else ("", line)


def turns_of(said: Iterable[tuple[str, str]]) -> list[Turn]:
    """Join (speaker tag or "", line) to turns: a line without a speaker goes on with the turn before.

    Returns nothing when the talk begins without a speaker.
    """
    turns: list[Turn] = []
    for tag, line in said:
        role = role_of(tag) if tag else None
        if role is not None:
            turns.append(Turn(role, clean(line)))
        elif turns:
            turns[-1] = Turn(turns[-1].role, clean(f"{turns[-1].text}\n{line}"))
        elif line.strip():
            return []
    return [turn for turn in turns if turn.text]


def known_language(code: str) -> str:
    """Return the ISO 639-1 code of a regional or three-letter one; empty when it is not in the table."""
    code = _THREE_LETTERS.get(code.lower()[:3], code) if len(code.split("-")[0]) == 3 else code
    try:
        return language_row(code).code
    except UsageError:
        return ""


_THREE_LETTERS = {
    "ara": "ar", "eng": "en", "spa": "es", "fra": "fr", "fre": "fr", "rus": "ru", "zho": "zh", "chi": "zh",
    "cmn": "zh", "jpn": "ja",
}  # fmt: skip
