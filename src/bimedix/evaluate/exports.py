"""The table for other programs: lm-eval's results file, a model card's front matter."""

import json
import math
from collections.abc import Mapping
from typing import Any

from bimedix.benchmarks import NINE
from bimedix.evaluate.settings import LETTERS, OPTIONS_PER_CHARACTER
from bimedix.evaluate.table import Accuracy, Table
from bimedix.languages import LANGUAGES


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
