"""Tables in the form one needs: terminal, Markdown, LaTeX or JSON, all from the same sheets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import msgspec

from bimedix.evaluate.cells import Sheet
from bimedix.evaluate.quoted import check_sheets, rank, unexpected_mismatches
from bimedix.evaluate.sheets import sheets
from bimedix.evaluate.table import Table

__all__ = ["escape_latex", "rank", "read_table", "render", "render_check", "sheets"]

Form = Literal["terminal", "markdown", "latex", "json"]
WIDE_COLUMNS = 8
"""A terminal shows wider sheets turned: models as columns."""


def render(table: Table, form: Form, *, quote: Sequence[str] = (), more: Sequence[Sheet] = ()) -> str:
    """Return all sheets in one form, those of `more` last; ends with a line break.

    Raises:
        UsageError: a published table is not known.
    """
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(table), indent=2).decode() + "\n"
    found = [*sheets(table, quote=quote), *more]
    if form == "terminal":
        return _terminal(found)
    return "\n".join((_markdown if form == "markdown" else _latex)(sheet) for sheet in found)


def render_check(form: Literal["terminal", "markdown", "latex"] = "terminal") -> tuple[str, bool]:
    """Return what is wrong in the published figures, and whether it is exactly what the file lists."""
    found, unexpected = check_sheets(), unexpected_mismatches()
    text = (
        _terminal(found)
        if form == "terminal"
        else "\n".join((_markdown if form == "markdown" else _latex)(sheet) for sheet in found)
    )
    return text + "".join(f"{line}\n" for line in unexpected), not unexpected


def _terminal(found: Sequence[Sheet]) -> str:
    from io import StringIO

    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    stream = StringIO()
    console = Console(file=stream, width=240, no_color=True, highlight=False)
    for sheet in map(_turned, found):
        console.print(Text(sheet.title, style="bold"))
        shown = RichTable()
        for index, name in enumerate(sheet.header):
            shown.add_column(Text(name), justify="left" if index == 0 else "right")
        for number, row in enumerate(sheet.rows):
            last = number == len(sheet.rows) - 1 and bool(sheet.quoted)
            shown.add_row(*(Text(text) for text in _starred(sheet, number, row)), end_section=last)
        for row in sheet.quoted:
            shown.add_row(*(Text(text) for text in row))
        console.print(shown)
        for note in sheet.notes:
            console.print(Text(f"  {note}"))
        console.print()
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _turned(sheet: Sheet) -> Sheet:
    """Turn a wide sheet, so that models are columns and test sets rows; quoted rows become columns too."""
    if len(sheet.header) <= WIDE_COLUMNS or not sheet.title.startswith("Accuracy"):
        return sheet
    lines = (sheet.header, *sheet.rows, *sheet.quoted)
    header, *rows = zip(*lines, strict=True)
    best = frozenset((column - 1, row + 1) for row, column in sheet.best)
    return replace(sheet, header=tuple(header), rows=tuple(map(tuple, rows)), quoted=(), best=best)


def _starred(sheet: Sheet, number: int, row: Sequence[str]) -> list[str]:
    return [f"{text} *" if (number, column) in sheet.best else text for column, text in enumerate(row)]


def _markdown(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_plain_cell(cell) for cell in cells) + " |"

    rows = [
        [f"**{text}**" if (number, column) in sheet.best else text for column, text in enumerate(row)]
        for number, row in enumerate(sheet.rows)
    ]
    parts = [
        f"### {sheet.title}",
        "",
        line(sheet.header),
        "|" + "|".join([" --- ", *[" ---: "] * (len(sheet.header) - 1)]) + "|",
        *map(line, rows),
        *(line([f"*{row[0]}*", *row[1:]]) for row in sheet.quoted),
        "",
        *(f"- {_plain_cell(note)}" for note in sheet.notes),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _plain_cell(text: str) -> str:
    """Keep a cell one cell: no bars, line breaks or markup from names."""
    return re.sub(r"[\r\n]+", " ", text).replace("|", "\\|").replace("<", "&lt;")


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Return text with everything that LaTeX would act on made plain."""
    return "".join(_LATEX.get(char, char) for char in re.sub(r"[\r\n]+", " ", text))


def _latex(sheet: Sheet) -> str:
    """Return a booktabs table; notes stand below it."""

    def line(cells: Sequence[str]) -> str:
        return "  " + " & ".join(cells) + r" \\"

    rows = [
        [
            rf"\textbf{{{escape_latex(text)}}}" if (number, column) in sheet.best else escape_latex(text)
            for column, text in enumerate(row)
        ]
        for number, row in enumerate(sheet.rows)
    ]
    parts = [
        r"\begin{table}",
        rf"  \caption{{{escape_latex(sheet.title)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(sheet.header) - 1)}}}",
        r"  \toprule",
        line([escape_latex(name) for name in sheet.header]),
        r"  \midrule",
        *map(line, rows),
        *([r"  \midrule"] if sheet.quoted else []),
        *(line([rf"\emph{{{escape_latex(row[0])}}}", *map(escape_latex, row[1:])]) for row in sheet.quoted),
        r"  \bottomrule",
        r"  \end{tabular}",
        *(rf"  \par\footnotesize {escape_latex(note)}" for note in sheet.notes),
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def read_table(value: Mapping[str, object]) -> Table:
    """Return the table of a `table.json`."""
    return msgspec.convert(value, Table)
