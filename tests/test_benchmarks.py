"""The register of test sets and the checker of published figures."""

from dataclasses import replace

import pytest

from bimedix.benchmarks import (
    MMEDBENCH,
    NINE,
    Cell,
    check_cells,
    check_published,
    comparable,
    expected_mismatches,
    macro4,
    macro9,
    micro,
    nearest_count,
    published,
    published_rows,
)
from bimedix.errors import UsageError


def test_register_adds_up_to_the_papers_totals() -> None:
    """7,045 questions of which 1,089 are MMLU; MMedBench 45,048 and 8,518."""
    assert sum(row.items for row in NINE.values()) == 7045
    assert sum(row.items for row in NINE.values() if row.group == "mmlu") == 1089
    assert (sum(a for a, _ in MMEDBENCH.values()), sum(b for _, b in MMEDBENCH.values())) == (45048, 8518)


def test_register_agrees_with_the_reference_tables() -> None:
    """Columns and sizes of the published tables are the register's."""
    for table in ("bimedix-2", "bimedix-3", "bimedix-4"):
        for row in published_rows(table):
            assert dict(zip(row.columns, row.items, strict=True)) == {n: r.items for n, r in NINE.items()}
    sizes = {row.model: tuple(row.values) for row in published_rows("mmedbench-sizes")}
    assert sizes == MMEDBENCH


def test_checker_finds_exactly_the_known_mismatches() -> None:
    """Four printed averages do not follow from their cells, and none is accused wrongly."""
    found = check_published()

    assert len(found) == 4
    assert sorted(found, key=repr) == sorted(expected_mismatches(), key=repr)


def test_checker_notices_any_changed_average() -> None:
    """A printed average moved by two tenths is found in every row that has one."""
    rows = [row for row in published() if row.printed_average is not None]
    moved = [replace(row, printed_average=row.average + 0.2) for row in rows if row.average is not None]

    assert len(moved) > 50
    assert len(check_published(moved)) == len(moved)


def test_cells_that_no_count_gives_are_listed() -> None:
    """The cells that the sources' notes call impossible, among them five of six MMLU cells of Meditron."""
    found = {(cell.table, cell.model, cell.column) for cell in check_cells()}
    meditron = {column for table, model, column in found if (table, model) == ("bimedix-4", "Meditron-70B")}

    assert ("bimedix-4", "Med42-70B", "clinical_knowledge") in found
    assert ("bimedix-4", "ClinicalCamel-70B", "college_medicine") in found
    assert ("bimedix-4", "ClinicalCamel-70B", "pubmedqa") in found
    assert len(meditron & {n for n, r in NINE.items() if r.group == "mmlu"}) == 5
    tuned = {m for t, m, _ in found if t == "mmedbench-accuracy"} - {"GPT-3.5", "GPT-4"}
    assert tuned == {"Llama-2-7B", "MedAlpaca-7B"}


def test_nearest_count_follows_the_printed_digits() -> None:
    assert nearest_count(72.91, 203, 2) == 148
    assert nearest_count(72.91, 199, 2) is None


def test_the_choice_of_average_flips_the_headline() -> None:
    """BiMediX leads Meditron by 4.1 as a plain mean of columns, and trails it by items."""
    rows = {row.model: row for row in published_rows("bimedix-4")}
    cells = {
        model: {
            c: Cell(round(v * 100 * n), n * 10_000)
            for c, v, n in zip(row.columns, row.values, row.items, strict=True)
        }
        for model, row in rows.items()
    }
    ours, theirs = cells["BiMediX-Eng"], cells["Meditron-70B"]

    assert 100 * (macro9(ours) - macro9(theirs)) == pytest.approx(4.1, abs=0.05)
    assert (100 * micro(ours), 100 * micro(theirs)) == (
        pytest.approx(66.41, abs=0.01),
        pytest.approx(66.56, abs=0.01),
    )
    assert micro(ours) < macro4(ours) < macro9(ours)


def test_averages_name_the_missing_column() -> None:
    with pytest.raises(UsageError, match=r"need .*pubmedqa"):
        macro9({name: Cell(1, 2) for name in NINE if name != "pubmedqa"})


def test_unlike_protocols_are_not_comparable() -> None:
    """Meditron's row is tuned per benchmark; the others are not."""
    rows = {row.model: row for row in published_rows("bimedix-4")}

    assert comparable(rows["Med42-70B"], rows["BiMediX-Eng"]) == ""
    assert comparable(rows["Meditron-70B"], rows["BiMediX-Eng"]).startswith("setting differs")
    with pytest.raises(UsageError, match="Did you mean 'bimedix-4'"):
        published_rows("bimedix4")
