"""Any model on any files of questions: what is taken for a model, and what for a test set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bimedix.errors import MissingError, UsageError
from bimedix.examine import examine
from bimedix.files import write_json, write_records
from bimedix.progress import Progress
from bimedix.recipe import Recipe, read_recipe
from bimedix.records import MultipleChoice, Origin


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    path.write_text('name = "r"\n[evaluate]\nbootstrap_draws = 50\nverify = 2\n')
    return read_recipe(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, mixtral: Any, tokenizer: Any) -> Path:
    """The folder of a run with a trained base and no adapter."""
    from bimedix.model.load import save_model

    folder = tmp_path_factory.mktemp("run")
    save_model(mixtral, folder / "07_train" / "base", tokenizer)
    write_json(folder / "07_train" / "chat.json", {"template": "vicuna"})
    return folder


@pytest.fixture
def files(tmp_path: Path, items: Callable[..., list[MultipleChoice]]) -> list[Path]:
    """A file of questions, and the folder of a stage that holds some."""
    write_records(tmp_path / "exam.jsonl", items("en", 5))
    write_records(tmp_path / "05_review" / "records.jsonl", items("ar", 4))
    return [tmp_path / "exam.jsonl", tmp_path / "05_review"]


@pytest.mark.parametrize("place", ["", "07_train", "07_train/base"])
def test_a_run_a_stage_and_a_model_are_all_models(
    recipe: Recipe, run: Path, files: list[Path], tmp_path: Path, place: str
) -> None:
    """Files are rows of the table by name; a stage was taught with its own template."""
    summary, table = examine(recipe, str(run / place), files, tmp_path / "out", Progress())

    assert summary.read == 9
    assert {(row.benchmark, row.language, row.items) for row in table.accuracies} == {
        ("exam", "en", 5), ("05_review", "ar", 4),
    }  # fmt: skip
    assert table.about["template"] == ("mixtral" if place.endswith("base") else "vicuna")


def test_files_of_one_test_set_in_two_languages_are_paired(
    recipe: Recipe, run: Path, tmp_path: Path, items: Callable[..., list[MultipleChoice]]
) -> None:
    """The language in a file's name says that both are one test set."""
    for code in ("en", "ar"):
        write_records(tmp_path / f"exam.{code}.jsonl", items(code, 5))
    paths = [tmp_path / "exam.en.jsonl", tmp_path / "exam.ar.jsonl"]
    _, table = examine(recipe, str(run), paths, tmp_path / "out", Progress())

    assert [(pair.benchmark, pair.items) for pair in table.pairs] == [("exam", 5)]


def test_items_are_sorted_into_the_nine_columns(
    recipe: Recipe, run: Path, tmp_path: Path, items: Callable[..., list[MultipleChoice]]
) -> None:
    """By data set, split and subject, from one file; what belongs to no column is left alone."""

    def placed(dataset: str, split: str, subject: str | None, name: str, code: str = "en") -> MultipleChoice:
        origin = Origin(dataset, split=split)
        return structs.replace(items(code, 1, name=name)[0], origin=origin, subject=subject)

    rows = [
        placed("mmlu_medical", "test", "college biology", "a"),
        placed("mmlu_medical", "test", "college biology", "a", "ar"),
        placed("mmlu_medical", "validation", "anatomy", "b"),
        placed("medmcqa", "validation", None, "c"),
        placed("medmcqa", "train", None, "d"),
        placed("head_qa", "test", None, "e"),
    ]
    write_records(tmp_path / "all.jsonl", rows)
    _, table = examine(recipe, str(run), [tmp_path / "all.jsonl"], tmp_path / "out", Progress(), nine=True)

    assert [(row.benchmark, row.language, row.items) for row in table.accuracies] == [
        ("college_biology", "en", 1), ("college_biology", "ar", 1), ("medmcqa", "en", 1),
    ]  # fmt: skip
    with pytest.raises(MissingError, match="no item of the nine columns"):
        write_records(tmp_path / "none.jsonl", rows[-1:])
        examine(recipe, str(run), [tmp_path / "none.jsonl"], tmp_path / "out", Progress(), nine=True)


def test_relative_paths_start_where_the_command_was_given(
    recipe: Recipe, run: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the recipe's folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").symlink_to(run)
    examine(recipe, "mine", [Path("exam.jsonl")], Path("out"), Progress())

    assert (tmp_path / "out" / "table.md").exists()


def test_what_is_no_model_and_no_test_set_is_told(
    recipe: Recipe, run: Path, files: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"

    with pytest.raises(MissingError, match="holds no model"):
        examine(recipe, str(tmp_path), files, out, Progress())
    with pytest.raises(MissingError, match=r"nowhere\.jsonl: no such file"):
        examine(recipe, str(run), [tmp_path / "nowhere.jsonl"], out, Progress())
    with pytest.raises(UsageError, match="two files of items are called 'exam'"):
        examine(recipe, str(run), [files[0], files[0]], out, Progress())
    with pytest.raises(UsageError, match="no file of items"):
        examine(recipe, str(run), [], out, Progress())
    with pytest.raises(UsageError, match="no model is named"):
        examine(recipe, "", files, out, Progress())
