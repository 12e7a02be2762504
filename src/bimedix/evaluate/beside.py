"""What stands beside accuracy in a report, read back from the files of an evaluation's folder."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from bimedix.evaluate.cells import EFFICIENCY, Sheet
from bimedix.evaluate.efficiency import EFFICIENCY_FILE, Speed, efficiency_plot, efficiency_sheets
from bimedix.evaluate.graded import RATINGS_FILE, RUBRICS_FILE, RubricReport
from bimedix.evaluate.labels import Told
from bimedix.evaluate.ratings import Rated, rating_sheets
from bimedix.evaluate.rationales import Similarity
from bimedix.evaluate.reasons import RATIONALES_FILE, rationale_sheets
from bimedix.evaluate.rubric import rubric_sheets
from bimedix.files import read_json


def sheets_beside(out: Path) -> list[Sheet]:
    """Return the sheets of all files that are there."""
    found: list[Sheet] = []
    if (speed := _speed(out)) is not None:
        found += efficiency_sheets(speed)
    if (out / RATIONALES_FILE).is_file():
        rows = msgspec.convert(read_json(out / RATIONALES_FILE), dict[str, list[Similarity]])
        found += rationale_sheets(rows)
    if (out / RUBRICS_FILE).is_file():
        report = msgspec.convert(read_json(out / RUBRICS_FILE), RubricReport)
        found += rubric_sheets(report.scores, report.agreement)
    if (out / RATINGS_FILE).is_file():
        found += rating_sheets(msgspec.convert(read_json(out / RATINGS_FILE), Rated))
    return [sheet for sheet in found if sheet.rows or sheet.quoted]


def plots_beside(out: Path) -> Mapping[str, Callable[[Told], str]]:
    """Return what draws the plots of these files, by part of the page."""
    speed = _speed(out)
    return {} if speed is None else {EFFICIENCY: lambda told: efficiency_plot(speed.measured, told)}


def _speed(out: Path) -> Speed | None:
    path = out / EFFICIENCY_FILE
    return msgspec.convert(read_json(path), Speed) if path.is_file() else None
