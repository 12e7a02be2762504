"""Finding a text in a translation memory: exact, near, and term by term."""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from msgspec import Struct
from rapidfuzz import fuzz, process

from bimedix.completers.tmx import Term
from bimedix.languages import language
from bimedix.text import normalise

EXACT = 100.0
MOST_FUZZY = 94.0
"""A near match is never worth more, however small the difference: it may be a dose or a negation."""
CANDIDATES = 24
"""Segments that are compared letter by letter."""
LOOKED_AT = 1500
"""Entries of the word index that one search looks at, rarest words first."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Match(Struct, frozen=True):
    """A segment of the memory that was found."""

    source: str
    target: str
    score: float
    """0 to 100: 100 = the same text after `normalise`, else similarity of letters, at most `MOST_FUZZY`."""


class Segments:
    """The segments of one language pair, indexed for exact and near matches."""

    def __init__(self, pairs: Iterable[tuple[str, str]], source_language: str) -> None:
        self.spaced = language(source_language).spaced
        self.pairs: list[tuple[str, str]] = []
        self.forms: list[str] = []
        self._exact: dict[str, int] = {}
        for source, target in pairs:
            form = normalise(source)
            if form and form not in self._exact:
                self._exact[form] = len(self.pairs)
                self.pairs.append((source, target))
                self.forms.append(form)
        self._postings: dict[str, list[int]] | None = None

    def exact(self, text: str) -> Match | None:
        """Return the segment that is the same text after `normalise`."""
        index = self._exact.get(normalise(text))
        return None if index is None else Match(*self.pairs[index], EXACT)

    def near(self, text: str, threshold: float) -> Match | None:
        """Return the most similar segment at or above the threshold (0 to 100), the earliest of equals."""
        form = normalise(text)
        indexes = self._candidates(form, threshold)
        found = process.extractOne(
            form, [self.forms[index] for index in indexes], scorer=fuzz.ratio, score_cutoff=threshold
        )
        if found is None:
            return None
        return Match(*self.pairs[indexes[found[2]]], min(MOST_FUZZY, found[1]))

    def _candidates(self, form: str, threshold: float) -> list[int]:
        """Return the segments that share most of the text's rare words and have about its length."""
        postings = self._index()
        words = sorted(self._words(form) & postings.keys())  # sets have another order in every process
        lists = sorted((postings[word] for word in words), key=len)
        shared: Counter[int] = Counter()
        looked_at = 0
        for indexes in lists:
            if looked_at >= LOOKED_AT:
                break
            shared.update(indexes[: LOOKED_AT - looked_at])
            looked_at += len(indexes)
        least = threshold / (200 - threshold)
        size = len(form)
        fitting = (
            (-count, index)
            for index, count in shared.items()
            if min(size, len(self.forms[index])) >= least * max(size, len(self.forms[index]))
        )
        return [index for _, index in heapq.nsmallest(CANDIDATES, fitting)]

    def _index(self) -> dict[str, list[int]]:
        if self._postings is None:
            self._postings = defaultdict(list)
            for index, form in enumerate(self.forms):
                for word in self._words(form):
                    self._postings[word].append(index)
            self._postings = dict(self._postings)
        return self._postings

    def _words(self, form: str) -> set[str]:
        """Words with numbers masked, or pairs of characters where words are not spaced."""
        masked = _NUMBER.sub("0", form)
        if self.spaced:
            return set(masked.split())
        return {masked[index : index + 2] for index in range(max(1, len(masked) - 1))}


class Hit(Struct, frozen=True):
    """A glossary term in a text."""

    start: int
    end: int
    term: Term


class Terms:
    """The glossary of one language pair."""

    def __init__(self, terms: Iterable[Term], source_language: str) -> None:
        self.spaced = language(source_language).spaced
        by_form: dict[str, Term] = {}
        for term in terms:
            by_form.setdefault(_fold(term.source), term)
        self._terms = list(by_form.values())
        self._exact = {normalise(term.source): term for term in reversed(self._terms)}
        self._automaton: Any = None
        if by_form:
            from ahocorasick_rs import AhoCorasick, MatchKind

            self._automaton = AhoCorasick(list(by_form), matchkind=MatchKind.LeftmostLongest)

    def exact(self, text: str) -> Match | None:
        """Return the term that is the whole text."""
        term = self._exact.get(normalise(text))
        return None if term is None else Match(term.source, term.target, EXACT)

    def find(self, text: str) -> list[Hit]:
        """Return the terms in a text, longest first from the left, whole words only."""
        if self._automaton is None:
            return []
        folded = _fold(text)
        return [
            Hit(start, end, self._terms[which])
            for which, start, end in self._automaton.find_matches_as_indexes(folded)
            if not self.spaced or (_is_edge(folded, start - 1, start) and _is_edge(folded, end, end - 1))
        ]


def _fold(text: str) -> str:
    """Lower-case a text without changing the place of any character."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _is_edge(text: str, outside: int, inside: int) -> bool:
    """Tell whether no word runs across the border between two neighbouring places."""
    if not 0 <= outside < len(text):
        return True
    return not (text[outside].isalnum() and text[inside].isalnum())
