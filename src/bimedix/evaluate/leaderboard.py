"""The four files that MMedBench's leaderboard takes (SubmissionTutorial.md), from predictions.

`multi_choice_results.csv` and `rationale_results.csv` hold Language, ModelInput, ModelOutput, GT_Answer;
`accuracy_metric.csv` and `rationale_similarity_metric.csv` hold the figures, in per cent. Every cell is
quoted; none is changed, so open them with a reader that runs no formulas.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from bimedix.benchmarks import MMEDBENCH
from bimedix.evaluate.items import Asked
from bimedix.evaluate.rationales import Rationale, Similarity
from bimedix.evaluate.table import Accuracy
from bimedix.files import write_text
from bimedix.languages import LANGUAGES
from bimedix.prompts.questions import question_message
from bimedix.records import Prediction

HEADER = ("Language", "ModelInput", "ModelOutput", "GT_Answer")
SIMILARITIES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-1", "ROUGE-2", "ROUGE-L")


def write_leaderboard(
    out: Path,
    answered: Sequence[tuple[Asked, Prediction]],
    rationales: Sequence[tuple[Asked, Rationale]],
    accuracies: Sequence[Accuracy],
    similarities: Sequence[Similarity],
) -> list[Path]:
    """Write the four files into a folder and return their paths.

    Args:
        out: the folder.
        answered: items with their generated predictions.
        rationales: items with generated and reference rationale.
        accuracies: cells of the same predictions.
        similarities: rows of the protocol `bimedix`.
    """
    files = {
        "multi_choice_results.csv": [HEADER, *(_choice_row(asked, row) for asked, row in answered)],
        "rationale_results.csv": [HEADER, *(_rationale_row(asked, pair) for asked, pair in rationales)],
        "accuracy_metric.csv": _accuracy_rows(accuracies),
        "rationale_similarity_metric.csv": _similarity_rows(similarities),
    }
    for name, rows in files.items():
        write_text(out / name, _csv(rows))
    return [out / name for name in files]


def _csv(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _name(code: str) -> str:
    return LANGUAGES[code].name if code in LANGUAGES else code


def _choice_row(asked: Asked, row: Prediction) -> tuple[str, ...]:
    letters = ",".join("ABCDEFGH"[index] for index in row.gold)
    return _name(row.language), question_message(asked.item).content, row.text or "", letters


def _rationale_row(asked: Asked, pair: Rationale) -> tuple[str, ...]:
    prompt = question_message(asked.item, with_rationale=True).content
    return _name(pair.language), prompt, pair.generated, pair.reference


def _order(code: str) -> tuple[int, str]:
    """MMedBench's languages in its table's order, then any others."""
    known = list(MMEDBENCH)
    return (known.index(code) if code in known else len(known), code)


def _accuracy_rows(cells: Sequence[Accuracy]) -> list[tuple[str, ...]]:
    codes = sorted({cell.language for cell in cells}, key=_order)
    pooled = {
        code: (
            sum(cell.right for cell in cells if cell.language == code),
            sum(cell.items for cell in cells if cell.language == code),
        )
        for code in codes
    }
    shares = [100 * right / items for right, items in pooled.values()]
    rows = [(_name(code), str(n), f"{100 * k / n:.2f}") for code, (k, n) in pooled.items()]
    mean = [("Average", str(sum(n for _, n in pooled.values())), f"{sum(shares) / len(shares):.2f}")]
    return [("Language", "Items", "Accuracy"), *rows, *(mean if shares else [])]


def _similarity_rows(rows: Sequence[Similarity]) -> list[tuple[str, ...]]:
    by = {(row.language, row.metric): row for row in rows}
    codes = sorted({row.language for row in rows} - {"mean"}, key=_order)
    if ("mean", SIMILARITIES[0]) in by:
        codes.append("mean")
    return [
        ("Language", "Items", *SIMILARITIES),
        *(
            (
                "Average" if code == "mean" else _name(code),
                str(by[code, SIMILARITIES[0]].items),
                *(f"{100 * by[code, metric].value:.2f}" for metric in SIMILARITIES),
            )
            for code in codes
        ),
    ]
