"""A page of a few dozen items of a mix, each with its other language: what the model will read."""

from collections.abc import Mapping, Sequence

from bimedix.languages import LANGUAGES
from bimedix.mix.select import Candidates, Column
from bimedix.pages import article, block, page, two_columns
from bimedix.records import Conversation


def drawn_pairs(candidates: Candidates, kept: Column, count: int) -> dict[int, list[Conversation]]:
    """Return the pair hashes of `count` kept items, pairs first, each with room for its records."""
    import numpy as np

    keys, versions = np.unique(candidates.values("pair")[kept], return_counts=True)
    return {int(keys[at]): [] for at in np.lexsort((keys, versions < 2))[:count]}


def side_by_side(drawn: Mapping[int, Sequence[Conversation]], source_language: str) -> str:
    """Return a self-contained HTML page: items in the source language on the left, another on the right."""
    shown = [sorted(records, key=lambda r: r.language != source_language) for records in drawn.values()]
    return page("Conversations side by side", "\n".join(_article(records) for records in shown if records))


def _article(records: Sequence[Conversation]) -> str:
    first, other = records[0], records[-1] if len(records) > 1 else None
    names = [LANGUAGES[r.language].own_name if r else "no pair in the mix" for r in (first, other)]
    rows = [
        (
            message.role,
            block(message.content, first.language),
            block(other.messages[at].content, other.language) if other and at < len(other.messages) else "",
        )
        for at, message in enumerate(first.messages)
    ]
    note = f"{first.type} · {first.origin.dataset} · {first.origin.licence or 'licence not stated'}"
    made = f" · from {', '.join(first.parents)}" if first.parents else ""
    return article(" and ".join(r.id for r in records), note + made, two_columns(rows, names[0], names[1]))
