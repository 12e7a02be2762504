"""A self-contained HTML page: escaped text, tables, direction per block, no network and no script."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bimedix.languages import language
from bimedix.pages import inline
from bimedix.text import block_direction

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def block(text: str) -> str:
    """Return one escaped block of text in which opposite runs are isolated."""
    return inline(text, direction=block_direction(text))


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
    kind = ' class="n"' if _NUMBER.fullmatch(text) else ""
    return f'<td{kind} dir="{block_direction(text)}">{block(text)}</td>'


_NUMBER = re.compile(r"[−\-+]?[\d.,]+ ?(?:%|[KM]|s)?(?: ?[\[(][^\])]*[\])])?")


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


def page(title: str, body: str, code: str = "en") -> str:
    """Return the whole page in a language; its direction is that language's."""
    return (
        f'<!doctype html><html lang="{code}" dir="{language(code).direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
