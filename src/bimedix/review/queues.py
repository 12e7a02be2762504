"""Who reads what: a risk queue that finds errors, an audit queue that measures, and sheets that show neither.

The two queues never mix in the figures, but they do on the sheets: a reviewer who knew that an item was an
audit would read it otherwise. Source: data.md, section 4.2.
"""

from collections.abc import Sequence
from sys import intern
from typing import Literal

from msgspec import Struct

from bimedix.draws import uniform_draw
from bimedix.records import Item, Route, Translation, content_hash

QueueName = Literal["risk", "audit"]


class Entry(Struct, frozen=True):
    """What the queues need to know of a translation."""

    id: str
    version: str
    """`content_hash` of the target; empty when there is none."""
    route: Route
    errors: int
    """Failed integrity checks."""
    score: float | None
    inclusion_probability: float
    stratum: str = ""
    """The traits that the audit is split by, in words."""


class Place(Struct, frozen=True):
    """An item of a queue and where it is shown; stays with those who run the review."""

    id: str
    version: str
    queue: QueueName
    sheet: int
    """From 1; 0 while it waits for a sheet."""
    inclusion_probability: float


def entry_of(translation: Translation, strata: Sequence[str] = ()) -> Entry:
    """Return what the queues need to know.

    Args:
        strata: traits to split the audit by: `kind`, `dataset` or `language` of the source, `score`.
    """
    best = translation.attempts[translation.best] if translation.best >= 0 else None
    failed = sum(finding.severity == "error" for finding in best.findings) if best else 0
    version = content_hash(translation.target) if translation.target is not None else ""
    return Entry(
        translation.id, version, translation.route, failed, best.score if best else None,
        translation.inclusion_probability,
        _stratum(translation.source, best.score if best else None, strata) if strata else "",
    )  # fmt: skip


def _stratum(source: Item, score: float | None, strata: Sequence[str]) -> str:
    band = "none" if score is None else f"{10 * min(9, int(score // 10))}+"
    kind = str(source.__struct_config__.tag)
    traits = {"kind": kind, "dataset": source.origin.dataset, "language": source.language, "score": band}
    return intern(" · ".join(traits[name] for name in strata))


def risk_queue(entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Return everything that has to be read, the riskiest first: failed checks, then low or no score."""
    risky = [entry for entry in entries if entry.route == "review" and entry.version]
    return sorted(risky, key=lambda e: (-e.errors, _score(e), uniform_draw(seed, "risk", e.id)))


def _score(entry: Entry) -> float:
    return -1.0 if entry.score is None else entry.score


def audit_queue(entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Return the audited items in the order drawn: a uniform sample of the accepted ones, smallest first."""
    drawn = [entry for entry in entries if entry.route == "audit" and entry.version]
    return sorted(drawn, key=lambda e: uniform_draw(seed, "audit", e.id))


def fill_sheets(
    risk: Sequence[Entry], audit: Sequence[Entry], *, items: int, sheets: int, seed: int
) -> list[Place]:
    """Lay the queues out on sheets, each with its share of both, in an order that tells nothing.

    Args:
        items: per sheet, at least 2.
        sheets: at most; items beyond stay without a sheet.
    """
    total = max(len(risk) + len(audit), 1)
    of_audit = round(items * len(audit) / total)
    of_audit = min(max(of_audit, 1 if audit else 0), items - 1 if risk else items)
    sizes: dict[QueueName, int] = {"risk": items - of_audit, "audit": of_audit}
    needed = [
        -(-len(queue) // size) for queue, size in ((risk, sizes["risk"]), (audit, sizes["audit"])) if queue
    ]
    count = min(sheets, max(needed, default=0))
    queues: tuple[tuple[QueueName, Sequence[Entry]], ...] = (("risk", risk), ("audit", audit))
    places = [
        Place(entry.id, entry.version, queue, _sheet(at, sizes[queue], count), entry.inclusion_probability)
        for queue, entries in queues
        for at, entry in enumerate(entries)
    ]
    return sorted(places, key=lambda p: (p.sheet or count + 1, uniform_draw(seed, "sheet", p.id)))


def _sheet(at: int, size: int, count: int) -> int:
    sheet = at // size + 1
    return sheet if sheet <= count else 0
