"""The register of test sets, their averages, and the published figures with what is wrong in them.

The four English sets of BiMediX give nine columns (MMLU counts as six), each also in Arabic; MMedBench
has six languages. Published rows are in `data/reference-figures.toml`, with source, setting and protocol.
"""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from bimedix.errors import DataError, UsageError, did_you_mean


@dataclass(frozen=True)
class TestSet:
    """One column of a published table."""

    __test__ = False
    """Keeps pytest from collecting the class."""

    name: str
    """Name of the column in tables and settings."""
    title: str
    """As people call it."""
    items: int
    """Questions."""
    options: int
    """Options of a question."""
    group: str
    """pubmedqa, medmcqa, medqa or mmlu: the four sets that nine columns come from."""
    source: str


NINE: dict[str, TestSet] = {
    row.name: row
    for row in (
        TestSet("clinical_knowledge", "MMLU clinical knowledge", 265, 4, "mmlu", "MMLU test split"),
        TestSet("college_biology", "MMLU college biology", 144, 4, "mmlu", "MMLU test split"),
        TestSet("college_medicine", "MMLU college medicine", 173, 4, "mmlu", "MMLU test split"),
        TestSet("medical_genetics", "MMLU medical genetics", 100, 4, "mmlu", "MMLU test split"),
        TestSet("professional_medicine", "MMLU professional medicine", 272, 4, "mmlu", "MMLU test split"),
        TestSet("anatomy", "MMLU anatomy", 135, 4, "mmlu", "MMLU test split"),
        TestSet("medmcqa", "MedMCQA", 4183, 4, "medmcqa", "upstream dev split; test keys are private"),
        TestSet("medqa_usmle_4", "MedQA (USMLE, 4 options)", 1273, 4, "medqa", "test split"),
        TestSet("pubmedqa", "PubMedQA", 500, 3, "pubmedqa", "PQA-L test split, abstract given"),
    )
}
"""The nine columns of BiMediX's tables 2 to 4, in their order."""

MMEDBENCH: dict[str, tuple[int, int]] = {
    "en": (10178, 1273), "zh": (27400, 3426), "ja": (1590, 199),
    "fr": (2171, 622), "ru": (1052, 256), "es": (2657, 2742),
}  # fmt: skip
"""Questions to train and to test, by language; they add up to 45,048 and 8,518 (data card)."""


@dataclass(frozen=True)
class Registered:
    """A test set that nothing of may be trained on, and how its items are told from others."""

    name: str
    title: str
    items: int
    """Questions it was published with."""
    language: str
    """ISO 639-1."""
    places: tuple[tuple[str, str], ...]
    """Data set and split; one of several where the same questions are published twice."""
    subject: str = ""
    """Only items of this subject; empty: all."""

    def holds(self, dataset: str, split: str, subject: str | None) -> bool:
        """Tell whether an item with such an origin is one of this set, in whatever language."""
        return (dataset, split) in self.places and self.subject in ("", subject)


_PLACES = {
    "medmcqa": (("medmcqa", "validation"),),
    "medqa_usmle_4": (("medqa", "test"),),
    "pubmedqa": (("pubmedqa", "test"),),
}
_UPSTREAM = {
    "en": "medqa", "zh": "medqa", "ja": "igakuqa",
    "fr": "frenchmedmcqa", "ru": "rumeddanet", "es": "head_qa",
}  # fmt: skip
_MMLU = (("mmlu_medical", "test"),)

REGISTERED: dict[str, Registered] = {
    row.name: row
    for row in (
        *(
            Registered(
                n, t.title, t.items, "en", _PLACES.get(n, _MMLU), "" if n in _PLACES else n.replace("_", " ")
            )
            for n, t in NINE.items()
        ),
        *(
            Registered(
                f"mmedbench-{code}", f"MMedBench, {code}", tested, code,
                (("mmedbench", "test"), (_UPSTREAM[code], "test")),
            )
            for code, (_, tested) in MMEDBENCH.items()
        ),
    )
}  # fmt: skip
"""All test sets of both papers; the mix holds training data against them and names those that are absent."""


@dataclass(frozen=True)
class Cell:
    """What a model scored on one column."""

    right: int
    items: int

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.right / self.items


def macro9(cells: Mapping[str, Cell]) -> float:
    """Return the plain mean of the nine columns, BiMediX's AVG: small MMLU sets weigh as much as MedMCQA."""
    return _mean([_nine(cells)[name].accuracy for name in NINE])


def macro4(cells: Mapping[str, Cell]) -> float:
    """Return the plain mean of the four sets, the six MMLU columns pooled by items."""
    groups: dict[str, list[Cell]] = {}
    for name, row in NINE.items():
        groups.setdefault(row.group, []).append(_nine(cells)[name])
    return _mean([pool(group).accuracy for group in groups.values()])


def micro(cells: Mapping[str, Cell]) -> float:
    """Return the share of right answers over all items of the nine columns."""
    return pool(list(_nine(cells).values())).accuracy


def pool(cells: Sequence[Cell]) -> Cell:
    """Add cells up, item by item."""
    return Cell(sum(cell.right for cell in cells), sum(cell.items for cell in cells))


def has_nine(cells: Mapping[str, Cell]) -> bool:
    """Tell whether all nine columns are there."""
    return NINE.keys() <= cells.keys()


def _nine(cells: Mapping[str, Cell]) -> dict[str, Cell]:
    if missing := [name for name in NINE if name not in cells]:
        raise UsageError(
            f"the nine-column averages need {', '.join(missing)} too.\n"
            f"  Seen: {', '.join(cells) or 'nothing'}.{did_you_mean(missing[0], cells)}"
        )
    return {name: cells[name] for name in NINE}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table, with what it needs to be compared at all."""

    table: str
    model: str
    columns: tuple[str, ...]
    values: tuple[float, ...]
    """As printed; nan where the source prints none."""
    items: tuple[int, ...]
    """Questions per column; empty when the table names none."""
    metric: str
    decimals: int
    average_decimals: int
    average_columns: tuple[str, ...]
    """The columns that the printed average is of; empty when there is none."""
    printed_average: float | None
    language: str
    setting: str
    """0-shot, tuned on what, ..."""
    protocol: str
    origin: str
    """quoted or derived."""
    source: str
    note: str

    @property
    def by_column(self) -> dict[str, float]:
        """Printed values by column name."""
        return dict(zip(self.columns, self.values, strict=True))

    @property
    def average(self) -> float | None:
        """Mean of the cells that the printed average is of, recomputed; None when a cell is missing."""
        values = [self.by_column[name] for name in self.average_columns]
        return _mean(values) if values and not any(map(math.isnan, values)) else None

    def counts(self) -> tuple[int | None, ...]:
        """Return k of n per column: the one count that a cell can stand for; None where no k / n gives it.

        Where several counts round to the cell, the nearest is returned.
        """
        return tuple(
            nearest_count(value, n, self.decimals) for value, n in zip(self.values, self.items, strict=False)
        )


class Mismatch(msgspec.Struct, frozen=True):
    """A printed average that its own cells do not give."""

    table: str
    model: str
    printed: float
    recomputed: float
    """Rounded to two decimals."""


def nearest_count(percent: float, n: int, decimals: int) -> int | None:
    """Return k so that k / n rounds to the printed percentage, or None: then the cell is no k of n."""
    if math.isnan(percent):
        return None
    k = round(percent / 100 * n)
    return k if abs(100 * k / n - percent) <= 0.5 * 10**-decimals + 1e-9 else None


@cache
def _reference() -> dict[str, Any]:
    text = files("bimedix").joinpath("data", "reference-figures.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def published() -> tuple[PublishedRow, ...]:
    """Return every published row, in the file's order."""
    return tuple(_row(table | row, table) for table in _reference()["table"] for row in table["rows"])


def _row(fields: Mapping[str, Any], table: Mapping[str, Any]) -> PublishedRow:
    names = tuple(table["columns"])
    average = table.get("average_from", [])
    if len(fields["values"]) != len(names):
        raise DataError(
            f"reference-figures.toml: {table['id']}, {fields['model']}: {len(names)} values wanted"
        )
    return PublishedRow(
        table=table["id"],
        model=fields["model"],
        columns=names,
        values=tuple(map(float, fields["values"])),
        items=tuple(table.get("items", ())),
        metric=table["metric"],
        decimals=table["decimals"],
        average_decimals=table.get("average_decimals", table["decimals"]),
        average_columns=names if average == "columns" else tuple(average),
        printed_average=fields.get("printed_average"),
        language=fields.get("language", ""),
        setting=fields.get("setting", ""),
        protocol=fields.get("protocol", ""),
        origin=fields.get("origin", _reference()["defaults"]["origin"]),
        source=fields.get("source", ""),
        note=fields.get("note", ""),
    )


def published_rows(table: str) -> tuple[PublishedRow, ...]:
    """Return the rows of one published table.

    Raises:
        UsageError: there is no such table.
    """
    rows = tuple(row for row in published() if row.table == table)
    if not rows:
        known = sorted({row.table for row in published()})
        raise UsageError(
            f"no published table '{table}'.{did_you_mean(table, known)}\n  Known: {', '.join(known)}."
        )
    return rows


def check_published(rows: Sequence[PublishedRow] | None = None) -> list[Mismatch]:
    """Recompute every printed average and return those that do not follow from their cells.

    A printed average agrees when it lies within half a unit of its last digit plus half a unit of the cells'
    last digit.
    """
    found = []
    for row in published() if rows is None else rows:
        if row.printed_average is None or row.average is None:
            continue
        allowed = 0.5 * 10**-row.average_decimals + 0.5 * 10**-row.decimals
        if abs(row.average - row.printed_average) > allowed + 1e-9:
            found.append(Mismatch(row.table, row.model, row.printed_average, round(row.average, 2)))
    return found


def expected_mismatches() -> list[Mismatch]:
    """Return the mismatches that the reference file itself lists: what a checker has to find, no more."""
    return [msgspec.convert(entry, Mismatch) for entry in _reference()["expected_mismatches"]]


class ImpossibleCell(msgspec.Struct, frozen=True):
    """A printed accuracy that no whole number of right answers gives."""

    table: str
    model: str
    column: str
    printed: float
    items: int


def check_cells(rows: Sequence[PublishedRow] | None = None) -> list[ImpossibleCell]:
    """Return the quoted accuracy cells that are not k of n: means over seeds, or another denominator."""
    return [
        ImpossibleCell(row.table, row.model, name, value, n)
        for row in (published() if rows is None else rows)
        if row.origin == "quoted" and row.metric == "accuracy_percent" and row.language != "en+ar"
        for name, value, n in zip(row.columns, row.values, row.items, strict=False)
        if not math.isnan(value) and nearest_count(value, n, row.decimals) is None
    ]


def comparable(first: PublishedRow, second: PublishedRow) -> str:
    """Return why two rows must not be ranked together, or an empty string when nothing speaks against it."""
    for what in ("metric", "language", "setting", "protocol"):
        a, b = getattr(first, what), getattr(second, what)
        if a != b:
            return f"{what} differs: {first.model}: {a or 'not stated'}; {second.model}: {b or 'not stated'}"
    return ""


Average = Callable[[Mapping[str, Cell]], float]
AVERAGES: dict[str, Average] = {"macro-9": macro9, "macro-4": macro4, "micro": micro}
"""The three ways to one number; they can rank the same models differently, so all are printed."""
