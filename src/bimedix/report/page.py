"""A self-contained HTML page: escaped text, tables, direction per block, no network and no script."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bimedix.languages import Direction
from bimedix.text import block_direction, opposite_runs, strip_controls

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def block(text: str, direction: Direction | None = None) -> str:
    """Escape one block of text and isolate the runs that go against its direction."""
    text = strip_controls(text)
    direction = direction or block_direction(text)
    out, at = [], 0
    for start, end in opposite_runs(text, direction):
        out += [escape(text[at:start]), "<bdi>", escape(text[start:end]), "</bdi>"]
        at = end
    return "".join([*out, escape(text[at:])])


def paragraphs(text: str, language: str = "") -> str:
    """Return a text as paragraphs, each with its own direction."""
    lang = f' lang="{escape(language)}"' if language else ""
    return "".join(
        f'<p dir="{block_direction(part)}"{lang}>{block(part)}</p>'
        for part in re.split(r"\n+", text)
        if part.strip()
    )


def cell(value: Any) -> str:
    """Return one table cell: numbers to the end, text in its own direction."""
    if isinstance(value, Markup):
        return f"<td>{value.html}</td>"
    if isinstance(value, bool) or value is None:
        return f"<td>{'' if value is None else 'yes' if value else 'no'}</td>"
    if isinstance(value, int):
        return f'<td class="n">{value:,}</td>'
    if isinstance(value, float):
        return f'<td class="n">{value:,.4g}</td>'
    text = str(value)
    numeric = re.fullmatch(r"[−\-+]?[\d.,]+\s?(?:%|[KM]|±.*|\[.*\]|\(.*\))?.{0,22}", text) is not None
    kind = ' class="n"' if numeric and len(text) < 30 else ""
    return f'<td{kind} dir="{block_direction(text)}">{block(text)}</td>'


class Markup:
    """HTML that was built here and is not escaped again."""

    def __init__(self, html: str) -> None:
        self.html = html


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], quoted: frozenset[int] = frozenset()) -> str:
    """Return a table; rows whose index is in `quoted` are set apart as figures of other people."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr{' class=quoted' if index in quoted else ''}>{''.join(map(cell, row))}</tr>"
        for index, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def page(title: str, body: str, language: str = "en") -> str:
    """Return the whole page."""
    return (
        f'<!doctype html><html lang="{language}" dir="ltr"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
