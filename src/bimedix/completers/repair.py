"""Mending a near match: numbers and terms in which the source differs from the matched segment.

Only what can be aligned without doubt is exchanged; everything else stays as the memory has it, for the
checks and the reviewers to see.
"""

import re
from collections import Counter

from msgspec import Struct

from bimedix.completers.matches import Hit, Match, Terms
from bimedix.text import digits_to_ascii

_NUMBER = re.compile(
    r"(?<![A-Za-z\u0400-\u04ff\u0620-\u065f\u066e-\u06ef])(?<![A-Za-z\u0620-\u065f]-)\d+(?:[.,٫٬]\d+)*"
)
"""Numbers that stand alone: not those of B12 or COVID-19."""
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Mended(Struct, frozen=True):
    """A near match after mending."""

    target: str
    source: str
    """The text that was looked up, with the matched segment's numbers and terms where they were exchanged:
    what is still different from the segment was not mended."""


def mend(text: str, match: Match, terms: Terms) -> Mended:
    """Exchange numbers and terms in the target of a near match for those of the text."""
    numbers = _number_changes(text, match)
    mended = Mended(match.target, text)
    if numbers:
        mended = Mended(_put_numbers(match.target, numbers), _undo_numbers(text, match.source))
    return _mend_terms(mended, text, match, terms)


def value(number: str) -> str:
    """Return a number in one spelling: ASCII digits, point, no groups."""
    plain = digits_to_ascii(number)
    return plain.replace(",", "") if _GROUPED.fullmatch(plain) else plain.replace(",", ".")


def _number_changes(text: str, match: Match) -> dict[str, tuple[str, str]]:
    """Return {old value: (old number in the segment, new number)}; empty when places cannot be aligned.

    Both sides need the same count of numbers; an old value has one new value everywhere, and occurs in
    the target as often as in the segment's source.
    """
    new, old = _NUMBER.findall(text), _NUMBER.findall(match.source)
    if len(new) != len(old):
        return {}
    in_target = Counter(map(value, _NUMBER.findall(match.target)))
    in_source = Counter(map(value, old))
    changes: dict[str, tuple[str, str]] = {}
    for before, after in zip(old, new, strict=True):
        known = changes.setdefault(value(before), (before, after))
        if value(known[1]) != value(after):
            return {}
    changes = {key: pair for key, pair in changes.items() if key != value(pair[1])}
    return changes if all(in_target[key] == in_source[key] for key in changes) else {}


def _put_numbers(target: str, changes: dict[str, tuple[str, str]]) -> str:
    def put(found: re.Match[str]) -> str:
        before, after = changes.get(value(found.group()), ("", ""))
        return _in_script_of(found.group(), before, after) if after else found.group()

    return _NUMBER.sub(put, target)


def _in_script_of(old_target: str, old_source: str, new_source: str) -> str:
    """Write a number with the digits and separators that the target uses."""
    new = re.sub(r"\d", lambda digit: str(int(digit.group())), new_source).translate({0x66B: ".", 0x66C: ","})
    zero = next(ord(char) - int(char) for char in old_target if char.isdecimal())
    if zero == ord("0"):
        swaps = "," in old_target and "." in old_source and "," not in old_source
        return new.replace(".", ",") if swaps else new
    marks = {".": "٫", ",": "٬"} if zero in (0x660, 0x6F0) else {}
    return "".join(chr(zero + int(char)) if char.isdecimal() else marks.get(char, char) for char in new)


def _undo_numbers(text: str, segment: str) -> str:
    old = iter(_NUMBER.findall(segment))
    return _NUMBER.sub(lambda _: next(old), text)


def _mend_terms(mended: Mended, text: str, match: Match, terms: Terms) -> Mended:
    """Exchange terms that only the text has for those that only the segment has, pair by pair in order."""
    here, there = terms.find(text), terms.find(match.source)
    new, old = _only_in(here, there), _only_in(there, here)
    if len(new) != len(old):
        return mended
    target, source = mended.target, mended.source
    for before, after in zip(old, new, strict=True):
        count = sum(hit.term == before.term for hit in there)
        places = [found.start() for found in re.finditer(re.escape(before.term.target), target)]
        if before.term.category != after.term.category or len(places) != count:
            return mended
        target = target.replace(before.term.target, after.term.target)
        source = re.sub(re.escape(after.term.source), lambda _: before.term.source, source, flags=re.I)  # noqa: B023
    return Mended(target, source)


def _only_in(here: list[Hit], there: list[Hit]) -> list[Hit]:
    """Return the terms of one list that the other lacks, each once, in order."""
    known = {hit.term for hit in there}
    only: dict[object, Hit] = {}
    for hit in here:
        if hit.term not in known:
            only.setdefault(hit.term, hit)
    return list(only.values())
