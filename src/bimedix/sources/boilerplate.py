"""What consultation sites add to every answer, and what ChatDoctor put in place of names."""

import re

from bimedix.records import OpenQuestion
from bimedix.sources.base import Given

_URL = r"(?:https?://|www\.)\S+"
_ARROW = r"(?:-{1,3}\s*>|→|»)"
_ADVERT = re.compile(
    r"[ \t]*(?:For (?:more|further|any)[^.\n]{0,60}?|(?:Please )?(?:Consult|Ask)|Revert)[^.\n]{0,80}?"
    rf"\bonline\b[^\n]{{0,20}}?(?:{_ARROW}[ \t]*(?:{_URL})?|{_URL})",
    re.IGNORECASE,
)
_LEFT_URL = re.compile(rf"[ \t]*{_ARROW}[ \t]*{_URL}")
_SUBSTITUTE = re.compile(r"chat\s?doctor", re.IGNORECASE)


def without_boilerplate(text: str) -> str:
    """Cut advertisements of the site: "For more information consult a ... online --> https://...".

    Addresses that the doctor gives as a source stay.
    """
    return _LEFT_URL.sub("", _ADVERT.sub("", text)).strip()


def substituted_names(record: Given) -> int:
    """Count the substitutions in a question and its answer."""
    return substitutions(f"{record.question}\n{record.answer}") if isinstance(record, OpenQuestion) else 0


def substitutions(text: str) -> int:
    """Count where "Chat Doctor" stands for a name that ChatDoctor's authors took out.

    The name cannot be brought back; a record with many of them reads badly and may be left out.
    """
    return len(_SUBSTITUTE.findall(text))
