"""Glossary terms and memory segments that belong to a text: they go into its prompt."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from bimedix.completers.exchange import read_memory, read_term_list
from bimedix.completers.matches import Segments, Terms
from bimedix.files import require_file
from bimedix.prompts.translation import NOTHING, Pairs, Surroundings
from bimedix.text import sentences
from bimedix.translate.settings import Settings

_MAX_TERMS = 30
_LEAST_LIKENESS = 55.0
"""Likeness of letters, 0 to 100, below which a segment says something else."""


def hints(settings: Settings, base: Path) -> Callable[[str, Mapping[str, str]], Surroundings]:
    """Return the function that finds terms and segments for texts; files are read once a source language."""
    known: dict[str, tuple[Terms, Segments]] = {}

    def around(source: str, fields: Mapping[str, str]) -> Surroundings:
        if not settings.glossary and not settings.memory:
            return NOTHING
        if source not in known:
            known[source] = _read(settings, base, source)
        terms, segments = known[source]
        texts = [s.strip() for text in fields.values() for s in sentences(text, source)]
        return Surroundings(
            glossary=_terms(terms, fields), memory=_nearest(segments, texts, settings.memory_segments)
        )

    return around


def _terms(terms: Terms, fields: Mapping[str, str]) -> Pairs:
    found = {hit.term.source: hit.term.target for text in fields.values() for hit in terms.find(text)}
    return tuple(list(found.items())[:_MAX_TERMS])


def _nearest(segments: Segments, texts: Iterable[str], count: int) -> Pairs:
    """Return the segments nearest to the sentences, at most one a sentence, best first."""
    near = [segments.exact(text) or segments.near(text, _LEAST_LIKENESS) for text in texts if text]
    best = sorted((match for match in near if match), key=lambda match: -match.score)
    return tuple(list(dict.fromkeys((match.source, match.target) for match in best))[:count])


def _read(settings: Settings, base: Path, source: str) -> tuple[Terms, Segments]:
    target = settings.target_language
    rows = read_term_list(require_file(base / settings.glossary), source, target) if settings.glossary else []
    pairs = read_pairs(base / settings.memory, source, target) if settings.memory else iter(())
    return Terms(rows, source), Segments(pairs, source)


def read_pairs(path: Path, source: str, target: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a memory in one direction.

    Raises:
        UsageError: no kind of file that holds a memory.
        MissingError, DataError: it is not there, or broken; names the line.
    """
    for unit in read_memory(require_file(path)):
        if source in unit.texts and target in unit.texts:
            yield unit.texts[source], unit.texts[target]
