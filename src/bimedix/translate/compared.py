"""What only the whole set shows: one output for many inputs, echoes, options that collapsed.

GPT-translated Arabic MMLU replaced a tenth of its questions by its prompt's example, and each of them looks
fine alone (data.md, section 2.2).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import structs

from bimedix.files import read_records, write_records
from bimedix.integrity.sets import check_set
from bimedix.prompts.translation import example
from bimedix.records import Finding, Item, Translation, item_fields
from bimedix.translate.routing import INSTRUCTION, NO_TRUST, route_of
from bimedix.translate.settings import Settings

_DRAFT = "drafts.jsonl"


def compared(
    translations: Iterable[Translation], out: Path, seed: int, settings: Settings
) -> Iterator[Translation]:
    """Yield the translations again, those that stand out among the others with findings and a new route.

    They wait in a file of the folder `out` until the last one is there.
    """
    drafts = out / _DRAFT
    write_records(drafts, translations)
    pairs = ((t.id, _text(t.source), _text(t.target)) for t in read_records(drafts, Translation) if t.target)
    shown = "\n".join(example(settings.target_language).fields.values())
    found = check_set(pairs, examples=[shown])
    for translation in read_records(drafts, Translation):
        findings = found.get(translation.id, ())
        yield with_findings(translation, findings, seed=seed, settings=settings) if findings else translation
    drafts.unlink()


def _text(item: Item) -> str:
    return "\n".join(item_fields(item).values())


def with_findings(
    translation: Translation, findings: Sequence[Finding], *, seed: int, settings: Settings
) -> Translation:
    """Return the translation with findings added to its best version, and routed by them too."""
    attempts = list(translation.attempts)
    best = attempts[translation.best]
    attempts[translation.best] = structs.replace(best, findings=(*best.findings, *findings))
    flags = tuple(reason for reason in translation.reasons if reason in (INSTRUCTION, NO_TRUST))
    routing = route_of(attempts[translation.best], settings, id=translation.id, seed=seed, flags=flags)
    return structs.replace(
        translation,
        attempts=tuple(attempts),
        route=routing.route,
        reasons=routing.reasons,
        inclusion_probability=routing.inclusion_probability,
    )
