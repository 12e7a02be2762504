"""What has to hold before a mix is written: test sets that are there, licences allowed, approvals not void.

One pass over the inputs before the first record is laid out; whoever is refused finds nothing written.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bimedix.benchmarks import REGISTERED
from bimedix.errors import BimedixError, MissingError
from bimedix.files import read_any_records, read_records
from bimedix.mix.inputs import Given, Mixed, is_held_out, objection, read_inputs, test_files
from bimedix.mix.settings import Settings
from bimedix.overlap.contamination import TestIndex
from bimedix.records import Approval, content_hash
from bimedix.stage import APPROVALS

LEAST_SHARE = 0.9
"""Share of its published questions from which a test set counts as there; a few fall out as unreadable."""
_NAMED = 5


@dataclass
class Survey:
    """What one look at all inputs and test files found."""

    tests: TestIndex = field(default_factory=TestIndex)
    indexed: Counter[str] = field(default_factory=Counter)
    """Questions by registered test set."""
    licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Records to be mixed by (source, licence)."""
    void: list[str] = field(default_factory=list)
    """Ids of reviewed records that are not what was approved."""
    approved: int | None = None
    """Reviewed records whose approval was checked; None when the review left no list of approvals."""

    def test(self, item: Mixed) -> None:
        """Index a test item and count it for the test sets that it belongs to."""
        self.tests.add(item)
        at = item.origin
        for name, row in REGISTERED.items():
            here = row.holds(at.dataset, at.split, getattr(item, "subject", None))
            self.indexed[name] += here and item.language == row.language

    @property
    def absent(self) -> list[str]:
        """Registered test sets of which no question was seen."""
        return [name for name in REGISTERED if not self.indexed[name]]

    @property
    def incomplete(self) -> list[str]:
        """Registered test sets of which only a part was seen."""
        return [
            f"{name} ({self.indexed[name]:,} of {row.items:,})"
            for name, row in REGISTERED.items()
            if 0 < self.indexed[name] < LEAST_SHARE * row.items
        ]

    def figures(self) -> dict[str, Any]:
        """Return what the report of decontamination says of test sets."""
        return {
            "registered": {
                name: {"questions": row.items, "indexed": self.indexed[name]}
                for name, row in REGISTERED.items()
            },
            "registered_absent": self.absent,
            "registered_incomplete": self.incomplete,
        }


def survey(inputs: Mapping[str, Path], settings: Settings, base: Path) -> Survey:
    """Read everything once: index test items, count licences, hold reviewed records to their approvals."""
    found = Survey()
    approvals = _approvals(inputs)
    found.approved = None if approvals is None else 0
    for given in read_inputs(inputs, settings):
        item = given.item
        if approvals is not None and given.room == "review":
            _compare(found, given, approvals)
        if item is None:
            continue
        if is_held_out(item.origin, settings.held_out):
            found.test(item)
        elif not objection(item, settings):
            found.licences[item.origin.dataset, item.origin.licence] += 1
    for path in test_files(settings, base):
        for record in read_any_records(path):
            if isinstance(record, Mixed):
                found.test(record)
    return found


def _approvals(inputs: Mapping[str, Path]) -> dict[str, str] | None:
    """Return the hash of each reviewed record as the review wrote it."""
    file = inputs["review"] / APPROVALS if "review" in inputs else None
    if file is None or not file.exists():
        return None
    return {approval.id: approval.version for approval in read_records(file, Approval)}


def _compare(found: Survey, given: Given, approvals: Mapping[str, str]) -> None:
    found.approved = (found.approved or 0) + 1
    if given.item is None or approvals.get(given.item.id) != content_hash(given.item):
        found.void.append(given.id)


def check_gates(found: Survey, settings: Settings) -> None:
    """Refuse the mix for what the survey found.

    Raises:
        MissingError: registered test sets are absent or incomplete and the settings ask for all of them.
        BimedixError: a licence is not allowed, or a reviewed record is not the one that was approved.
    """
    lacking = [*found.absent, *found.incomplete]
    if settings.decontaminate and settings.registered == "refuse" and lacking:
        raise MissingError(
            f"mix: {len(lacking)} registered test sets are not there to hold the data against: "
            f"{_listed(lacking, len(lacking))}.\n"
            "  Read them along as a source (their splits never enter), name their records in `tests`, or\n"
            '  set `registered = "report"` to go on without them; decontamination.json then names them.'
        )
    if settings.other_licences == "refuse" and (pairs := other_licences(found.licences, settings)):
        told = [f"{source}: '{licence}' ({found.licences[source, licence]:,})" for source, licence in pairs]
        raise BimedixError(
            f"mix: allow_licences does not name the licences of {len(pairs)} sources.\n"
            f"  {_listed(told, 20, '; ')}\n"
            '  Allow them, or set `other_licences = "drop"` to leave those records out.'
        )
    if found.void:
        raise BimedixError(
            f"mix: {len(found.void):,} reviewed records are not what the review let through: "
            f"{_listed(found.void, _NAMED)}.\n"
            "  They were changed or added after it, so their approval is void. Run the review again."
        )


def other_licences(pairs: Iterable[tuple[str, str]], settings: Settings) -> list[tuple[str, str]]:
    """Return the (source, licence) pairs that are not allowed; none where every licence is."""
    return sorted(pair for pair in pairs if settings.allow_licences and not allowed(pair[1], settings))


def allowed(licence: str, settings: Settings) -> bool:
    """Tell whether records under a licence may be mixed."""
    return not settings.allow_licences or licence in settings.allow_licences


def _listed(names: list[str], most: int, between: str = ", ") -> str:
    more = f"{between}and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more
