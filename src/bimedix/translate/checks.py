"""The integrity checks of a run: which of them count, and the glossary they go by."""

from collections.abc import Iterable
from pathlib import Path

from bimedix.completers.exchange import read_term_list
from bimedix.errors import RecipeError, did_you_mean
from bimedix.files import require_file
from bimedix.integrity.checks import CHECKS, check_pair
from bimedix.integrity.terms import Glossary, Term
from bimedix.records import Finding, Item
from bimedix.translate.guard import leaks
from bimedix.translate.settings import Settings

_OF_RECORDS = ("key", "option", "structure", "unit", "leak")
"""Names under which checks of records and the guard report, and units, which are read with the numbers."""


class Checks:
    """Compares an item with its translation; glossaries are read once a source language."""

    def __init__(self, settings: Settings, base: Path) -> None:
        known = {*CHECKS, *_OF_RECORDS}
        for name in settings.checks:
            if name not in known:
                listed = ", ".join(sorted(known))
                raise RecipeError(
                    f"[translate] checks: no check '{name}'.{did_you_mean(name, known)}\n  Known: {listed}."
                )
        self._wanted = frozenset(settings.checks) or None
        self._target = settings.target_language
        self._path = require_file(base / settings.glossary) if settings.glossary else None
        self._glossaries: dict[str, Glossary] = {}

    def __call__(self, source: Item, target: Item) -> tuple[Finding, ...]:
        """Return what the chosen checks find."""
        found = (*check_pair(source, target, self._glossary(source.language)), *leaks(source, target))
        return tuple(finding for finding in found if self._wanted is None or finding.check in self._wanted)

    def _glossary(self, source: str) -> Glossary | None:
        if self._path is None:
            return None
        if source not in self._glossaries:
            self._glossaries[source] = read_terms(self._path, source, self._target)
        return self._glossaries[source]


def read_terms(path: Path, source: str, target: str) -> Glossary:
    """Return a glossary CSV as the checks take it."""
    rows: Iterable[Term] = (
        Term(row.source, (row.target,), row.category) for row in read_term_list(path, source, target)
    )
    return Glossary(rows, source, target)
