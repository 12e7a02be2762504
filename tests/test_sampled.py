"""`--sample`: rooms that draw by themselves, and lineages drawn for those that do not."""

from pathlib import Path

import pytest

from bimedix.errors import UsageError
from bimedix.files import read_any_records, write_records
from bimedix.recipe import Recipe, read_recipe
from bimedix.records import Origin, Passage
from bimedix.sampled import draw_lineages, sampled


@pytest.fixture
def recipe() -> Recipe:
    return read_recipe(Path("tiny"))


def passages(folder: Path) -> Path:
    """Twenty lineages of a passage and its translation."""
    rows = [Passage(f"p{n}{mark}", "en", Origin("t"), f"text {n}") for n in range(20) for mark in ("", "@ar")]
    return write_records(folder / "records.jsonl", rows).path


@pytest.mark.parametrize(("room", "setting"), [("translate", "sample"), ("synthesize", "count")])
def test_rooms_that_draw_by_themselves_are_told(
    recipe: Recipe, tmp_path: Path, room: str, setting: str
) -> None:
    """They read the same input, so that ids, draws and calls are those of the full run."""
    inputs = {"curate": (tmp_path, "records.jsonl")}
    told, same = sampled(recipe, room, inputs, tmp_path, 7)

    assert getattr(told.rooms[room], setting) == 7
    assert same is inputs


def test_other_rooms_get_whole_lineages(recipe: Recipe, tmp_path: Path) -> None:
    file = passages(tmp_path)
    same, inputs = sampled(recipe, "mix", {"curate": (file, "records.jsonl")}, tmp_path / "out", 5)
    ids = [record.id for record in read_any_records(inputs["curate"][0] / "records.jsonl")]

    assert same is recipe
    assert len({name.partition("@")[0] for name in ids}) == 5
    assert sorted(ids) == sorted(
        f"{name.partition('@')[0]}{mark}" for name in ids[::2] for mark in ("", "@ar")
    )


def test_a_larger_sample_holds_the_smaller_one(tmp_path: Path) -> None:
    passages(tmp_path)
    small, large = (
        {
            r.id
            for r in read_any_records(
                draw_lineages(tmp_path, "records.jsonl", tmp_path / f"{n}", n, 17) / "records.jsonl"
            )
        }
        for n in (3, 9)
    )

    assert small < large


def test_no_sample_changes_nothing_and_a_negative_one_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    inputs = {"curate": (tmp_path, "records.jsonl")}

    assert sampled(recipe, "mix", inputs, tmp_path, 0) == (recipe, inputs)
    with pytest.raises(UsageError, match="1 or more"):
        sampled(recipe, "mix", inputs, tmp_path, -1)
