"""The labels of the published Arabic MMLU rows cover every row once, and hold no text."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "labels"


def labels(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def letters(text: str) -> str:
    """The text without Latin letters, spaces and signs."""
    return re.sub(r"[A-Za-z\W_]", "", text)


def test_counts_are_those_of_the_page() -> None:
    """The page's last row adds up from the file."""
    counts = Counter(row["label"] for row in labels("mmlu_ar.jsonl"))
    printed = re.search(r"\| together \|([ \d|]+)\|", (FOLDER / "README.md").read_text(encoding="utf-8"))

    assert printed is not None
    assert [int(n) for n in printed[1].split("|")] == [
        counts[label] for label in ("unrelated", "cut", "poor", "sound")
    ]


def test_rows_carry_an_address_and_a_label_only() -> None:
    """No text of the data set is kept."""
    assert {tuple(row) for row in labels("mmlu_ar.jsonl")} == {("file", "row", "label")}


def test_every_row_of_the_data_is_labelled_once(real_data: Path) -> None:
    """The rows of both languages, file by file."""
    labelled = Counter((row["file"], row["row"]) for row in labels("mmlu_ar.jsonl"))
    rows = set()
    for path in (real_data / "mmlu-medical" / "ar" / "test").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows |= {(path.name, number) for number, _ in enumerate(csv.reader(file), start=1)}

    assert set(labelled) == rows
    assert max(labelled.values()) == 1


def test_labels_carried_over_point_at_the_same_question(real_data: Path) -> None:
    """Each XMedBench row reads as the MMLU row it names, Latin letters aside, and has its label."""
    folder = real_data / "mmlu-medical"
    by_row = {(row["file"], row["row"]): row["label"] for row in labels("mmlu_ar.jsonl")}
    questions = {}
    for path in (folder / "ar" / "test").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            questions |= {(path.name, n): row[0] for n, row in enumerate(csv.reader(file), start=1)}
    items = json.loads((folder / "ar-xmedbench" / "ar.json").read_text(encoding="utf-8"))
    carried = labels("xmedbench_ar.jsonl")

    assert [row["row"] for row in carried] == list(range(1, len(items) + 1))
    for row in carried:
        key = (row["file"], row["mmlu_row"])
        assert row["label"] == by_row[key]
        assert letters(items[row["row"] - 1]["question"]) == letters(questions[key])
