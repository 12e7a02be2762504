"""Drugs and terms by a glossary of the caller, and names with digits in them (B12, CD4, SARS-CoV-2)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bimedix.integrity.folding import fold
from bimedix.integrity.lexicon import Cue, Form, Matcher
from bimedix.integrity.numbers import Identifier
from bimedix.integrity.pair import Findings, Pair, Side
from bimedix.languages import language


@dataclass(frozen=True)
class Term:
    """One row of a glossary."""

    source: str
    targets: tuple[str, ...]
    """Every accepted form in the other language, brands and synonyms included."""
    category: str = ""
    """`drug`, `disease`, `anatomy`, ...; only within one category can a term become another."""


class Glossary:
    """Terms of a language pair, ready to be looked for. Build it once, use it for every pair.

    Terms that share a form in either language are one concept, so that a synonym is no error.
    """

    def __init__(
        self, terms: Iterable[Term], source_language: str = "en", target_language: str = "ar"
    ) -> None:
        self.terms = tuple(terms)
        self._concept = _concepts(self.terms)
        self._source = Matcher(source_language, self._forms(lambda term: (term.source,)))
        self._target = Matcher(target_language, self._forms(lambda term: (*term.targets, term.source)))

    @classmethod
    def of(
        cls,
        mapping: Mapping[str, str | Sequence[str]],
        source_language: str = "en",
        target_language: str = "ar",
        category: str = "drug",
    ) -> "Glossary":
        """Build a glossary from source form to target form or forms, all of one category."""
        rows = (
            Term(source, (target,) if isinstance(target, str) else tuple(target), category)
            for source, target in mapping.items()
        )
        return cls(rows, source_language, target_language)

    def _forms(self, texts: Callable[[Term], tuple[str, ...]]) -> Iterable[Form]:
        for index, term in enumerate(self.terms):
            for text in texts(term):
                folded = fold(text).lower.strip()
                if len(folded) > 1:
                    yield Form(folded, "term", str(index), inflected=len(folded) > 3)

    def concept(self, value: str) -> int:
        """Return the concept of a hit's value."""
        return self._concept[int(value)]

    def source_hits(self, side: Side) -> list[Cue]:
        """Return the terms in a source text, the longest where two overlap."""
        return self._source.cues(side.folded).get("term", [])

    def target_hits(self, side: Side) -> list[Cue]:
        """Return the terms in a translation; the source form counts too."""
        return self._target.cues(side.folded).get("term", [])


def _concepts(terms: Sequence[Term]) -> list[int]:
    """Number the concepts: terms that share a form have one number."""
    parent = list(range(len(terms)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: dict[str, int] = {}
    for index, term in enumerate(terms):
        for form in (f"s:{fold(term.source).lower}", *(f"t:{fold(target).lower}" for target in term.targets)):
            parent[root(index)] = root(seen.setdefault(form, index))
    return [root(index) for index in range(len(terms))]


DRUG = "drug"
"""The category whose names `drugs.py` looks for."""


def check_terms(pair: Pair) -> Findings:
    """Yield terms that may have become others (warning), and those of which no known form was found (hint).

    No errors: a verb, a plural or a synonym stands for a term too often.
    """
    glossary = pair.glossary
    if glossary is None:
        return
    mine, theirs = glossary.source_hits(pair.source), glossary.target_hits(pair.target)
    have = {glossary.concept(cue.value) for cue in mine}
    there = {glossary.concept(cue.value) for cue in theirs}
    strangers = [cue for cue in theirs if glossary.concept(cue.value) not in have]
    for cue in _first_of_each(mine, glossary):
        term = glossary.terms[int(cue.value)]
        if glossary.concept(cue.value) in there or term.category == DRUG:
            continue
        other = next((s for s in strangers if glossary.terms[int(s.value)].category == term.category), None)
        if other is None:
            yield pair.finding(
                "term",
                "hint",
                f"no known form of '{term.source}' is in the translation",
                [(cue.start, cue.end)],
            )
            continue
        strangers.remove(other)
        yield pair.finding(
            "term",
            "warning",
            f"'{term.source}' became '{glossary.terms[int(other.value)].source}'",
            [(cue.start, cue.end)],
            [(other.start, other.end)],
        )


def _first_of_each(cues: list[Cue], glossary: Glossary) -> list[Cue]:
    first: dict[int, Cue] = {}
    for cue in cues:
        first.setdefault(glossary.concept(cue.value), cue)
    return list(first.values())


_MOST = 400
"""Names with digits in both texts together above which they are not compared: lists of codes."""
_ACRONYM = re.compile(r"(?<![A-Za-z0-9-])[A-Z][A-Za-z]*[A-Z][A-Za-z]*(?![A-Za-z0-9])")


def check_identifiers(pair: Pair) -> Findings:
    """Yield names whose digits changed (CD4 to CD8), and acronyms that became others (MRI to CT).

    The letters of a name may be transliterated, its digits may stand alone (فيتامين ب 12).
    """
    mine, theirs = pair.source.identifiers, pair.target.identifiers
    if (mine or theirs) and len(mine) + len(theirs) <= _MOST:
        lost = [name for name in mine if not _held(name, pair.target)]
        new = [name for name in theirs if not _held(name, pair.source)]
        if lost and new:
            turned = {name.digits for name in lost}.isdisjoint(name.digits for name in new)
            yield pair.finding(
                "identifier",
                "error" if turned else "warning",  # ribose-5, ribosa-5; ICD-10, CIE-10
                f"{_names(pair.source, lost)} became {_names(pair.target, new)}",
                [(name.start, name.end) for name in lost],
                [(name.start, name.end) for name in new],
            )
        elif lost:
            yield pair.finding(
                "identifier",
                "hint",
                f"{_names(pair.source, lost)} is not in the translation",
                [(name.start, name.end) for name in lost],
            )
    if language(pair.target.code).script == "LATIN":
        return  # acronyms are translated there: WHO, OMS
    source, target = (set(_ACRONYM.findall(side.folded.cased)) for side in (pair.source, pair.target))
    new_acronyms = {name for name in target if name.lower() not in pair.source.folded.lower}
    lost_acronyms = {name for name in source if name.lower() not in pair.target.folded.lower}
    if new_acronyms and lost_acronyms:
        yield pair.finding(
            "identifier",
            "warning",
            f"{', '.join(sorted(lost_acronyms))} may have become {', '.join(sorted(new_acronyms))}",
        )


def _held(name: Identifier, other: Side) -> bool:
    if any(name.text == theirs.text for theirs in other.identifiers):
        return True
    alike = (theirs for theirs in other.identifiers if _alike(name, theirs))
    pool = {digit for theirs in alike for digit in theirs.digits}
    pool |= {str(value) for number in other.numbers for value in number.values}
    return all(digit.lstrip("0") in pool or digit in pool for digit in name.digits)


def _alike(name: Identifier, other: Identifier) -> bool:
    """Tell whether two names may be one: their scripts differ, or so do only hyphens and case."""
    if not name.text.isascii() or not other.text.isascii() or name.text == other.text:
        return True
    return sorted(name.text) == sorted(other.text) or other.text.endswith(name.text)


def _names(side: Side, names: list[Identifier]) -> str:
    return ", ".join(dict.fromkeys(side.folded.cased[name.start : name.end] for name in names))
