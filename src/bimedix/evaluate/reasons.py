"""The generated rationales of a run against the items' own: a file of single scores, and their means."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from bimedix.benchmarks import PublishedRow, published_rows
from bimedix.evaluate.cells import RATIONALES, Sheet, language_name, percent, with_interval
from bimedix.evaluate.items import Asked
from bimedix.evaluate.leaderboard import write_leaderboard
from bimedix.evaluate.rationales import (
    ItemScore,
    Protocol,
    Similarity,
    item_scores,
    paired,
    rationale_pairs,
    summarise,
)
from bimedix.evaluate.settings import GENERATION, Settings
from bimedix.evaluate.splitters import splitters_by_language
from bimedix.evaluate.table import Table
from bimedix.files import RecordWriter, write_json
from bimedix.records import Prediction
from bimedix.stage import Context

if TYPE_CHECKING:
    from bimedix.evaluate.bertscore import BertScorer

RATIONALES_FILE = "rationales.json"
RATIONALE_ITEMS = "rationales.jsonl"


class ModelScore(ItemScore, frozen=True, kw_only=True):
    """What one rationale of one model scored by one metric."""

    model: str


def compare_rationales(
    settings: Settings,
    context: Context,
    asked: Sequence[Asked],
    predictions: Sequence[Prediction],
    table: Table,
    out: Path,
) -> dict[str, list[Similarity]]:
    """Score the rationales of every model; write single scores, means and the leaderboard's files.

    Raises:
        MissingError: `bertscore` names no encoder, or a word splitter is not installed.
    """
    splitters, found = splitters_by_language(settings.word_splitters), {}
    scorer = _scorer(settings, context)
    with RecordWriter(out / RATIONALE_ITEMS) as file:
        for model in dict.fromkeys(row.model for row in predictions):
            answered = list(paired(asked, [row for row in predictions if row.model == model]))
            pairs = list(rationale_pairs(answered, unfiltered=settings.unfiltered_rationales))
            scores = [
                row
                for name in settings.rationale_protocols
                for row in item_scores(
                    [pair for _, pair in pairs], cast(Protocol, name), splitters=splitters, scorer=scorer
                )
            ]
            for row in scores:
                file.write(ModelScore(**msgspec.structs.asdict(row), model=model))
            found[model] = summarise(
                scores, how=scorer.signature if scorer else "", splitters=splitters, seed=context.seed,
                confidence=settings.confidence,
            )  # fmt: skip
            if settings.leaderboard:
                cells = [c for c in table.accuracies if (c.model, c.protocol) == (model, GENERATION)]
                ours = [row for row in found[model] if row.protocol == "bimedix"]
                write_leaderboard(out / "leaderboard", answered, pairs, cells, ours)
    write_json(out / RATIONALES_FILE, found)
    return found


def _scorer(settings: Settings, context: Context) -> "BertScorer | None":
    """Load the encoder once, for all models, protocols and languages."""
    if not settings.bertscore:
        return None
    import torch

    from bimedix.evaluate.bertscore import BertScorer

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return BertScorer(context.base / settings.bertscore, settings.bertscore_layer, device)


_PUBLISHED = {
    ("mmedbench_table", "BLEU-1"): "mmedbench-bleu1",
    ("mmedbench_table", "ROUGE-1"): "mmedbench-rouge1",
}
"""Published table of a metric, as it is headed."""


def rationale_sheets(found: dict[str, list[Similarity]]) -> list[Sheet]:
    """Return a sheet per protocol and metric: models by language, MMedBench's printed rows beside."""
    keys = dict.fromkeys((row.protocol, row.metric) for rows in found.values() for row in rows)
    return [_sheet(found, *key) for key in keys]


def _sheet(found: dict[str, list[Similarity]], protocol: str, metric: str) -> Sheet:
    mine = {
        (model, row.language): row
        for model, rows in found.items()
        for row in rows
        if (row.protocol, row.metric) == (protocol, metric)
    }
    codes = list(dict.fromkeys(code for _, code in mine))
    rows = tuple(
        (model, *(_cell(mine.get((model, code))) for code in codes))
        for model in dict.fromkeys(model for model, _ in mine)
    )
    items = tuple(f"{next(r.items for (_, c), r in mine.items() if c == code):,}" for code in codes)
    name = _PUBLISHED.get((protocol, metric), "")
    quoted = published_rows(name) if name else ()
    signatures = dict.fromkeys(row.signature for row in mine.values())
    return Sheet(
        f"Rationales: {metric}, protocol {protocol} (%)",
        ("model", *(language_name(code) for code in codes)),
        (*rows, ("items", *items)),
        tuple(_quoted(row, codes) for row in quoted),
        (*signatures, *(_note(row) for row in quoted[:1])),
        RATIONALES,
    )


def _cell(row: Similarity | None) -> str:
    return with_interval(row.value, row.low, row.high) if row else "–"


def _quoted(row: PublishedRow, codes: Sequence[str]) -> tuple[str, ...]:
    values = {code: percent(value / 100) for code, value in row.by_column.items() if value == value}
    if row.printed_average is not None:
        values["mean"] = percent(row.printed_average / 100)
    return (f"{row.model} (quoted)", *(values.get(code, "–") for code in codes))


def _note(row: PublishedRow) -> str:
    return (
        f"Quoted from {row.source}, under this head; the released script computes 4-gram BLEU and ROUGE-L "
        "instead (protocol mmedbench_code)."
    )
