"""The table for other programs: a page of its own, lm-eval's results file, a model card's front matter."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bimedix.benchmarks import NINE
from bimedix.evaluate.cells import Sheet
from bimedix.evaluate.settings import LETTERS, OPTIONS_PER_CHARACTER
from bimedix.evaluate.sheets import sheets
from bimedix.evaluate.table import Accuracy, Table
from bimedix.languages import LANGUAGES
from bimedix.text import block_direction

_STYLE = """
body { font-family: system-ui, sans-serif; margin-block: 2rem; margin-inline: auto; max-inline-size: 80rem;
  padding-inline: 1rem; color: #1c2733; background: #fff; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-block: .5rem; }
th, td { padding: .3rem .7rem; text-align: end; border-block-end: 1px solid #d5dce3; white-space: nowrap; }
th:first-child, td:first-child { text-align: start; }
thead th { border-block-end: 2px solid #1c2733; }
tr.quoted td { color: #4a5a6a; font-style: italic; }
td.best { font-weight: 700; }
.notes { color: #4a5a6a; font-size: .9rem; }
@media (prefers-color-scheme: dark) { body { color: #e6ebf0; background: #14191f; }
  tr.quoted td, .notes { color: #a9b6c3; } th, td { border-color: #33404d; } }
"""


_BEST, _QUOTED = ' class="best"', ' class="quoted"'


def render_html(table: Table, *, quote: Sequence[str] = (), title: str = "Results") -> str:
    """Return one page without any outside file; every cell has its own direction."""
    body = "\n".join(_html_sheet(sheet) for sheet in sheets(table, quote=quote))
    return (
        '<!doctype html>\n<html lang="en" dir="ltr">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _html_sheet(sheet: Sheet) -> str:
    head = "".join(f'<th scope="col"{_direction(name)}>{html.escape(name)}</th>' for name in sheet.header)
    rows = [_html_row(row, number, sheet) for number, row in enumerate(sheet.rows)]
    quoted = [_html_row(row, -1, sheet) for row in sheet.quoted]
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in sheet.notes)
    return (
        f'<h2>{html.escape(sheet.title)}</h2>\n<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{chr(10).join([*rows, *quoted])}\n</tbody>\n</table></div>\n"
        + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
    )


def _html_row(row: Sequence[str], number: int, sheet: Sheet) -> str:
    """Return a row; number -1 is a quoted one."""
    cells = [
        f"<td{_BEST * ((number, column) in sheet.best)}{_direction(cell)}>{html.escape(cell)}</td>"
        for column, cell in enumerate(row)
    ]
    return f"<tr{_QUOTED * (number < 0)}>{''.join(cells)}</tr>"


def _direction(text: str) -> str:
    """Return the attributes of a cell: its own direction, and Arabic said to be so."""
    return ' dir="rtl" lang="ar"' if block_direction(text) == "rtl" else ' dir="ltr"'


def lm_eval_results(table: Table, model: str) -> dict[str, Any]:
    """Return one model's accuracies in the shape of lm-eval's results file.

    Names carry the language; `acc` is the first protocol's, `acc_norm` that of `options_per_character`. The
    standard error is that of a share, as lm-eval's.
    """
    results: dict[str, dict[str, Any]] = {}
    for row in _single_rows(table, model):
        entry = results.setdefault(_task_name(row), {"alias": _task_name(row)})
        name = "acc_norm" if row.protocol == OPTIONS_PER_CHARACTER else "acc"
        if f"{name},none" not in entry:
            share = row.accuracy
            entry[f"{name},none"] = share
            entry[f"{name}_stderr,none"] = math.sqrt(share * (1 - share) / max(row.items - 1, 1))
            entry["sample_len"] = row.items
    return {
        "results": results,
        "n-shot": dict.fromkeys(results, table.about.get("shots", 0)),
        "n-samples": {
            name: {"original": entry["sample_len"], "effective": entry["sample_len"]}
            for name, entry in results.items()
        },
        "higher_is_better": {name: {"acc": True, "acc_norm": True} for name in results},
        "config": {"model": model, **table.about},
    }


def _single_rows(table: Table, model: str) -> list[Accuracy]:
    return [row for row in table.accuracies if row.model == model and "@" not in row.protocol]


def _task_name(row: Accuracy) -> str:
    return f"bimedix_{row.benchmark}_{row.language}"


def model_index(table: Table, model: str, *, name: str) -> str:
    """Return the front matter of a model card: its results as the hub's `model-index`, in YAML.

    Args:
        table: the results.
        model: whose rows to take.
        name: what the model is called on its card.
    """
    level = f"{100 * float(str(table.about.get('confidence', 0.95))):.0f} % interval"
    entries = [_index_entry(row, level) for row in _single_rows(table, model)]
    languages = sorted({row.language for row in _single_rows(table, model)})
    front: Mapping[str, Any] = {"language": languages, "model-index": [{"name": name, "results": entries}]}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]
    return "\n".join(["---", *lines, "---", ""])


def _index_entry(row: Accuracy, level: str) -> dict[str, Any]:
    title = NINE[row.benchmark].title if row.benchmark in NINE else row.benchmark
    language = LANGUAGES[row.language].name if row.language in LANGUAGES else row.language
    how = "log-probability of letters" if row.protocol == LETTERS else row.protocol.replace("_", " ")
    return {
        "task": {"type": "multiple-choice", "name": f"{title}, {language}"},
        "dataset": {"name": f"{title} ({row.items:,} items)", "type": row.benchmark, "config": row.language},
        "metrics": [
            {
                "type": "accuracy",
                "value": round(100 * row.accuracy, 2),
                "name": f"accuracy, {how}, {level} {100 * row.low:.1f} to {100 * row.high:.1f}",
            }
        ],
    }
