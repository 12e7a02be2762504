"""The plan of a recipe: the shipped one of the paper, the demo, and what is missing."""

from pathlib import Path

import pytest

from bimedix.errors import MissingError, UsageError
from bimedix.planned import plan_lines
from bimedix.recipe import read_recipe


def told(recipe: str | Path, *overrides: str, device: str = "h200", tokens: int | None = None) -> str:
    return "\n".join(plan_lines(read_recipe(Path(recipe), overrides), device, tokens))


def test_the_papers_recipe_is_planned_from_its_config_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights and no data are needed; the hours follow from the tokens that are asked about."""
    monkeypatch.delenv("BIMEDIX_DATA", raising=False)
    text = told("bimedix_en_ar", tokens=632_000_000)

    assert "46.70 B" in text
    assert "h on one device, estimated" in text


def test_each_phase_is_told_and_the_adapters_are_planned() -> None:
    text = told("tiny", device="a100-80")

    assert text.index("phase full:") < text.index("phase adapter:") < text.index("adapters on one a100-80:")


def test_full_training_alone_has_no_plan_of_adapters(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[train]\nphases = [{ mode = "full" }]\n')

    assert "adapters on one" not in told(path)


def test_a_recipe_without_training_or_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[mix]\n')

    with pytest.raises(UsageError, match=r"has no table \[train\]; it has: mix"):
        told(path)
    with pytest.raises(MissingError, match="no model folder"):
        told(path, "train.base=./nowhere")
