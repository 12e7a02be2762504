"""What people made in a stage's folder: noticed, set aside with the folder, found again."""

from pathlib import Path

import pytest

from bimedix.aside import earlier, find_earlier, set_aside
from bimedix.files import hash_file, write_json, write_text


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A finished stage with one sheet."""
    folder = tmp_path / "05_review"
    sheet = folder / "sheets" / "sheet-001.csv"
    write_text(sheet, "id,decision\nq,\n")
    told = {"hash": hash_file(sheet), "bytes": sheet.stat().st_size}
    write_json(folder / "ledger.json", {"outputs": {"sheets/sheet-001.csv": told}})
    return folder


def test_a_stage_as_it_was_left_needs_no_care(stage: Path) -> None:
    sheet = stage / "sheets" / "sheet-001.csv"
    write_text(sheet, sheet.read_text())  # saved again, unchanged

    assert set_aside(stage) is None
    assert set_aside(stage.with_name("06_mix")) is None
    assert stage.exists()


@pytest.mark.parametrize("file", ["sheets/sheet-001.csv", "sheets/from-ward-3.csv"])
def test_a_filled_or_added_sheet_is_set_aside_with_its_folder(stage: Path, file: str) -> None:
    write_text(stage / file, "id,decision\nq,Y\n")
    kept = set_aside(stage)

    assert kept == stage.with_name("05_review.1")
    assert (kept / file).read_text().endswith("q,Y\n")
    assert not stage.exists()
    assert find_earlier(stage / file, stage) == kept / file


def test_a_sheet_changed_without_a_change_of_size_is_noticed(stage: Path) -> None:
    write_text(stage / "sheets" / "sheet-001.csv", "id,decision\nr,\n")

    assert set_aside(stage) is not None


def test_numbers_go_up_and_the_newest_is_found_first(stage: Path, tmp_path: Path) -> None:
    for number in (2, 10):
        write_text(tmp_path / f"05_review.{number}" / "notes.txt", str(number))
    write_text(tmp_path / "05_review.old" / "notes.txt", "mine")
    write_text(stage / "notes.txt", "11")
    set_aside(stage)

    assert [path.name for path in earlier(stage)] == ["05_review.11", "05_review.10", "05_review.2"]
    assert find_earlier(stage / "notes.txt", stage) == tmp_path / "05_review.11" / "notes.txt"
    assert find_earlier(stage / "nowhere.txt", stage) is None
    assert find_earlier(tmp_path / "elsewhere" / "notes.txt", stage) is None
