"""Self-contained HTML pages of records: right-to-left text that stays in order, with spans drawn as marks.

Record text is always escaped and never obeyed: direction controls in it are shown, not followed. Direction
is set per block by its letters (`text.block_direction`), and every run against it, such as a drug name or a
dose, stands in `<bdi>`. Spans count code points of the text as it is stored. Source: data.md, section 4.4;
evaluate-serve.md, section 9.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Literal, NamedTuple

from bimedix.languages import language
from bimedix.text import block_direction, opposite_runs

Level = Literal["error", "warning", "hint", "same"]


SIDE_BY_SIDE = "side_by_side.html"
"""Page of a few dozen records, drawn, that rooms write for people to judge by eye."""
SHOWN = 50
"""Records on it."""


class Mark(NamedTuple):
    """A stretch to draw attention to, in code points, with the words that explain it."""

    start: int
    end: int
    level: Level
    why: str = ""


_CONTROLS = {
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2066: "LRI", 0x2067: "RLI",
    0x2068: "FSI", 0x2069: "PDI", 0x200E: "LRM", 0x200F: "RLM", 0x061C: "ALM", 0x200B: "ZWSP", 0xFEFF: "BOM",
}  # fmt: skip


def inline(text: str, marks: Sequence[Mark] = (), *, direction: Literal["ltr", "rtl"]) -> str:
    """Return escaped HTML of a text: isolated opposite runs, marks, controls made visible."""
    runs = opposite_runs(text, direction)
    opener = f'<bdi dir="{"ltr" if direction == "rtl" else "rtl"}">'
    out, at = [], 0
    for start, end in runs:
        out += [_drawn(text, at, start, marks), opener, _drawn(text, start, end, marks), "</bdi>"]
        at = end
    return "".join([*out, _drawn(text, at, len(text), marks)])


def _drawn(text: str, start: int, end: int, marks: Sequence[Mark]) -> str:
    """Draw one stretch; a mark that crosses its border is drawn in pieces, so tags always nest."""
    inside = [mark for mark in marks if mark.start < end and mark.end > start]
    cuts = sorted({start, end, *(min(max(p, start), end) for m in inside for p in (m.start, m.end))})
    return "".join(
        _marked(_visible(text[a:b]), next((m for m in inside if m.start <= a and m.end >= b), None))
        for a, b in pairwise(cuts)
    )


def _marked(html: str, mark: Mark | None) -> str:
    if mark is None:
        return html
    return f'<mark class="{mark.level}" title="{escape(mark.why)}">{html}</mark>'


_HIDDEN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\ud800-\\udfff" + "".join(map(chr, _CONTROLS)) + "]"
)


def _visible(text: str) -> str:
    """Escape a text and show what would steer it, or not show at all, as a label."""
    return _HIDDEN.sub(_label, escape(text))


def _label(found: re.Match[str]) -> str:
    point = ord(found.group())
    return f'<span class="control">{_CONTROLS.get(point, f"U+{point:04X}")}</span>'


def block(text: str, code: str, marks: Sequence[Mark] = ()) -> str:
    """Return a text in language `code` as paragraphs, each with its own direction; marks span all of it."""
    out, at = [], 0
    for line in text.split("\n"):
        direction = block_direction(line, language(code).direction)
        here = [
            Mark(max(m.start - at, 0), min(m.end - at, len(line)), m.level, m.why)
            for m in marks
            if m.start < at + len(line) and m.end > at
        ]
        out.append(
            f'<p dir="{direction}" lang="{escape(code)}">{inline(line, here, direction=direction)}</p>'
            if line.strip()
            else ""
        )
        at += len(line) + 1
    return "".join(out)


def two_columns(rows: Iterable[tuple[str, str, str]], left: str, right: str) -> str:
    """Return a table of (label, left cell, right cell), cells being HTML, under headings in text."""
    body = "".join(
        f"<tr><th scope=row>{escape(label)}</th><td>{a}</td><td>{b}</td></tr>" for label, a, b in rows
    )
    head = f"<tr><th></th><th scope=col>{escape(left)}</th><th scope=col>{escape(right)}</th></tr>"
    return f'<table class="pair"><thead>{head}</thead><tbody>{body}</tbody></table>'


def article(title: str, note: str, body: str) -> str:
    """Return one record of a page: its name, a line about it, and its HTML."""
    return f'<article><h2>{escape(title)}</h2><p class="note">{escape(note)}</p>{body}</article>'


_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.6 system-ui, "Noto Sans", "Noto Naskh Arabic", "Noto Sans CJK SC", sans-serif;
       max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 0; }
article { border: 1px solid #8886; border-radius: 6px; padding: .8rem 1rem; margin: 1rem 0;
          break-inside: avoid; }
table.pair { width: 100%; border-collapse: collapse; table-layout: fixed; }
table.pair th[scope=row] { width: 6.5rem; text-align: start; font-weight: 500; color: #777; }
table.pair thead th:first-child { width: 6.5rem; }
table.pair td { vertical-align: top; padding: .2rem .6rem; border-top: 1px solid #8883; }
p { margin: .15rem 0; text-align: start; overflow-wrap: anywhere; }
p[dir=rtl] { font-size: 1.08em; }
mark { border-radius: 3px; padding: 0 .1em; color: inherit; }
mark.error { background: #f8717180; outline: 1px solid #dc2626; }
mark.warning { background: #fbbf2470; outline: 1px dashed #b45309; }
mark.hint, mark.same { background: #60a5fa45; }
.control { font: 10px/1 monospace; border: 1px solid #dc2626; color: #dc2626; padding: 0 2px; margin: 0 1px; }
.note { color: #777; font-size: .9rem; } ul { margin: .3rem 0; padding-inline-start: 1.3rem; }
.figures td, .figures th { padding: .1rem .8rem .1rem 0; text-align: start; }
@media print { body { margin: 0; max-width: none; } }
"""


def page(title: str, body: str, *, code: str = "en") -> str:
    """Return a whole HTML document that loads nothing from elsewhere and runs no script."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="{escape(code)}" dir="{language(code).direction}">\n<head>'
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
