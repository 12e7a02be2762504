"""The path: what is kept, what goes on, what is redone."""

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bimedix import path as paths
from bimedix import recipe as recipes
from bimedix.errors import BimedixError, UsageError
from bimedix.path import locked, run_path, stage_folder
from bimedix.recipe import read_recipe
from bimedix.records import Origin, Passage
from bimedix.stage import Context, StageWriter, Summary


@dataclass(frozen=True)
class Settings:
    text: str = "a"
    file: Path | None = None


RAN: list[str] = []
FAIL: set[str] = set()


def fake_room(name: str) -> types.ModuleType:
    def run(settings: Settings, inputs: dict[str, Path], out: Path, context: Context) -> Summary:
        RAN.append(name)
        (out / "progress.txt").write_text("half")
        if name in FAIL:
            raise BimedixError("stopped")
        with StageWriter(out, name) as stage:
            before = "".join((folder / "records.jsonl").read_text() for folder in inputs.values())
            stage.write(Passage(name, "en", Origin("t"), settings.text + str(len(before))))
            stage.drop(None, "too short", id="x")
        return stage.summary(1)

    module = types.ModuleType(f"bimedix.{name}.room")
    module.run = run  # type: ignore[attr-defined]
    return module


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> Any:
    RAN.clear()
    FAIL.clear()
    for name in paths.STAGES:
        settings = types.ModuleType(f"bimedix.{name}.settings")
        settings.Settings = Settings  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"bimedix.{name}.settings", settings)
        monkeypatch.setitem(sys.modules, f"bimedix.{name}.room", fake_room(name))
    recipes.settings_class.cache_clear()
    yield
    recipes.settings_class.cache_clear()


def recipe(tmp_path: Path, *overrides: str, text: str = "") -> recipes.Recipe:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[sources]\n[curate]\n[translate]\n[mix]\n' + text)
    return read_recipe(path, overrides)


def test_finished_stages_are_kept(tmp_path: Path) -> None:
    run_path(recipe(tmp_path), tmp_path / "run")
    RAN.clear()

    again = run_path(recipe(tmp_path), tmp_path / "run")

    assert RAN == []
    assert {r.state for r in again} == {"kept"}
    assert again[0].summary.dropped == {"too short": 1}


def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    run_path(recipe(tmp_path), tmp_path / "run")
    RAN.clear()

    run_path(recipe(tmp_path, "translate.text=longer"), tmp_path / "run")

    assert RAN == ["translate", "mix"]


def test_a_stage_whose_output_came_out_equal_stops_the_chain(tmp_path: Path) -> None:
    """The mix reads outputs, not settings: equal bytes before it leave it as it is."""
    run_path(recipe(tmp_path), tmp_path / "run")
    RAN.clear()

    run_path(recipe(tmp_path, "translate.text=b"), tmp_path / "run")

    assert RAN[:1] == ["translate"]


def test_a_changed_file_that_settings_name_redoes_its_stage(tmp_path: Path) -> None:
    (tmp_path / "terms.csv").write_text("a")
    read = recipe(tmp_path, "curate.file=terms.csv")
    run_path(read, tmp_path / "run")
    RAN.clear()
    (tmp_path / "terms.csv").write_text("b")

    run_path(read, tmp_path / "run")

    assert RAN[0] == "curate"
    assert "sources" not in RAN


def test_a_stage_that_was_cut_off_finds_what_it_had(tmp_path: Path) -> None:
    FAIL.add("translate")
    with pytest.raises(BimedixError):
        run_path(recipe(tmp_path), tmp_path / "run")
    assert (stage_folder(tmp_path / "run", "translate") / "progress.txt").exists()
    FAIL.clear()
    RAN.clear()

    results = run_path(recipe(tmp_path), tmp_path / "run")

    assert RAN == ["translate", "mix"]
    assert [r.state for r in results] == ["kept", "kept", "continued", "done"]


def test_a_stage_that_was_cut_off_under_other_settings_begins_anew(tmp_path: Path) -> None:
    FAIL.add("translate")
    with pytest.raises(BimedixError):
        run_path(recipe(tmp_path), tmp_path / "run")
    FAIL.clear()

    results = run_path(recipe(tmp_path, "translate.text=other"), tmp_path / "run")

    assert results[2].state == "done"


def test_a_damaged_output_is_made_again(tmp_path: Path) -> None:
    run_path(recipe(tmp_path), tmp_path / "run")
    (stage_folder(tmp_path / "run", "curate") / "records.jsonl").unlink()
    RAN.clear()

    run_path(recipe(tmp_path), tmp_path / "run")

    assert RAN == ["curate"]


def test_a_room_is_redone_on_request_and_equal_output_keeps_the_rest(tmp_path: Path) -> None:
    run_path(recipe(tmp_path), tmp_path / "run")
    RAN.clear()

    run_path(recipe(tmp_path), tmp_path / "run", redo=["curate"])

    assert RAN == ["curate"]
    with pytest.raises(UsageError, match="no stage 'train'"):
        run_path(recipe(tmp_path), tmp_path / "run", redo=["train"])


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(UsageError, match="is working in this folder"):
        run_path(recipe(tmp_path), tmp_path / "run")


def test_until_stops_and_a_wrong_room_is_told(tmp_path: Path) -> None:
    run_path(recipe(tmp_path), tmp_path / "run", until="curate")

    assert RAN == ["sources", "curate"]
    with pytest.raises(UsageError, match="sources, curate, translate, mix"):
        run_path(recipe(tmp_path), tmp_path / "run", until="train")


def test_rooms_are_given_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder of the run is not sought below the data folder, from which recipes' paths start."""
    monkeypatch.chdir(tmp_path)
    results = run_path(recipe(tmp_path), Path("run"), until="curate")

    assert [result.folder for result in results] == [tmp_path / "run/01_sources", tmp_path / "run/02_curate"]


def test_what_people_made_in_a_stage_is_set_aside_when_it_is_redone(tmp_path: Path) -> None:
    """A sheet that was filled in where it lies makes the stage new; the old folder stays beside it."""
    told = recipe(tmp_path, text="[review]\n")
    run_path(told, tmp_path / "run")
    (stage_folder(tmp_path / "run", "review") / "progress.txt").write_text("filled in by hand")

    results = run_path(told, tmp_path / "run")

    assert (tmp_path / "run" / "05_review.1" / "progress.txt").read_text() == "filled in by hand"
    assert {result.room: result.state for result in results}["review"] == "done"
    assert not (tmp_path / "run" / "05_review.2").exists()


def test_stages_that_people_do_not_work_in_are_not_kept_twice(tmp_path: Path) -> None:
    run_path(recipe(tmp_path), tmp_path / "run")
    (stage_folder(tmp_path / "run", "translate") / "progress.txt").write_text("longer than it was")

    run_path(recipe(tmp_path), tmp_path / "run")

    assert not (tmp_path / "run" / "04_translate.1").exists()
