"""A page of a few dozen exam items beside what was made of them: to judge by eye before more is paid for."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from html import escape
from pathlib import Path

from bimedix.draws import uniform_draw
from bimedix.files import read_any_records
from bimedix.languages import language
from bimedix.pages import SHOWN, article, block, page, two_columns
from bimedix.records import Dialogue, MultipleChoice, item_fields
from bimedix.stage import RECORDS


def draw_made(out: Path, seed: int) -> list[Dialogue | MultipleChoice]:
    """Draw records of a finished room uniformly by (seed, id)."""
    made = (r for r in read_any_records(out / RECORDS) if isinstance(r, Dialogue | MultipleChoice))
    return nsmallest(SHOWN, made, key=lambda record: (uniform_draw(seed, "sample", record.id), record.id))


def side_by_side(made: Iterable[Dialogue | MultipleChoice], items: Path) -> str:
    """Return a self-contained HTML page: the item with its right answers ticked, and what was made of it."""
    shown = list(made)
    wanted = {_item_id(record) for record in shown}
    found = {
        item.id: item
        for item in read_any_records(items)
        if item.id in wanted and isinstance(item, MultipleChoice)
    }
    return page("Items and what was made of them", "\n".join(_articles(shown, found)))


def _item_id(record: Dialogue | MultipleChoice) -> str:
    return record.parents[0] if isinstance(record, Dialogue) else record.id


def _articles(
    shown: Iterable[Dialogue | MultipleChoice], found: Mapping[str, MultipleChoice]
) -> Iterator[str]:
    for record in shown:
        item = found[_item_id(record)]
        kind = "talk" if isinstance(record, Dialogue) else "rationale"
        table = two_columns([("", _item_cell(item), _made_cell(record))], "item", kind)
        yield article(record.id, f"{item.origin.dataset} · {item.subject or 'no subject'}", table)


def _item_cell(item: MultipleChoice) -> str:
    right = {f"options.{index}" for index in item.answers}
    texts = ((name, text) for name, text in item_fields(item).items() if name != "rationale")
    return "".join(
        _labelled(f"{name} ✓" if name in right else name, text, item.language) for name, text in texts
    )


def _made_cell(record: Dialogue | MultipleChoice) -> str:
    if isinstance(record, MultipleChoice):
        return block(record.rationale or "", record.language)
    row = language(record.language)
    names = {"user": row.patient, "assistant": row.doctor}
    return "".join(_labelled(names.get(t.role, t.role), t.text, record.language) for t in record.turns)


def _labelled(label: str, text: str, code: str) -> str:
    return f'<p class="note">{escape(label)}</p>{block(text, code)}'
