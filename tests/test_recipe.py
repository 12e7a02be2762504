"""Recipes: strict reading, places of errors, overrides, schema."""

import sys
import tomllib
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from bimedix import recipe as recipes
from bimedix.errors import MissingError, RecipeError
from bimedix.recipe import json_schema, locate_keys, read_recipe


@dataclass(frozen=True)
class Part:
    path: Path
    """Where it lies."""
    limit: int = 0


@dataclass(frozen=True)
class Settings:
    """The table [curate] of these tests."""

    ratio: float = 0.5
    """Share of the whole."""
    mode: Literal["fast", "exact"] = "fast"
    epochs: int = 1
    names: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    inner: Part | None = None
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; at least 1 is needed")


@pytest.fixture(autouse=True)
def one_room(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("bimedix.curate.settings")
    module.Settings = Settings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bimedix.curate.settings", module)
    monkeypatch.setattr(recipes, "ROOMS", ("curate",))
    recipes.settings_class.cache_clear()
    yield
    recipes.settings_class.cache_clear()


GOOD = """\
name = "demo"
seed = 3

[curate]
ratio = 1
mode = "exact"
names = ["a", "b"]

[[curate.parts]]
path = "x.jsonl"

[[curate.parts]]
path = "y.jsonl"
limit = 5

[curate.weights]
qa = 1
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.toml"
    path.write_text(text)
    return path


def test_a_recipe_becomes_frozen_settings(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))

    room = recipe.rooms["curate"]
    assert (recipe.name, recipe.seed, room.ratio, room.mode) == ("demo", 3, 1.0, "exact")
    assert room.parts == (Part(Path("x.jsonl")), Part(Path("y.jsonl"), 5))
    assert room.weights == {"qa": 1.0}


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("ratio = 1", "ration = 1", 5, "Did you mean 'ratio'"),
        ("ratio = 1", 'ratio = "1"', 5, "a number is needed"),
        ("ratio = 1", "ratio = true", 5, "a number is needed"),
        ('mode = "exact"', 'mode = "exat"', 6, "Did you mean 'exact'"),
        ('names = ["a", "b"]', 'names = "a"', 7, "a list is needed"),
        ('names = ["a", "b"]', 'names = ["a", 2]', 7, "a text in quotes"),
        ("limit = 5", "limits = 5", 14, "Did you mean 'limit'"),
        ("limit = 5", "limit = 5.5", 14, "a whole number"),
        ('path = "y.jsonl"', "", 12, "needs the key path"),
        ("qa = 1", 'qa = "x"', 17, "a number is needed"),
        ("seed = 3", 'seed = "3"', 2, "a whole number"),
        ("[curate]", "[currate]", 4, "Did you mean 'curate'"),
        ("seed = 3", "sede = 3", 2, "Did you mean 'seed'"),
        ("[curate]\n", "[curate]\nepochs = 0\n", 4, "at least 1"),
        ("seed = 3", "seed = ", 2, "not TOML"),
    ],
)
def test_a_wrong_recipe_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, told: str
) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))

    with pytest.raises(RecipeError) as caught:
        read_recipe(path)

    assert f"r.toml:{line}:" in str(caught.value)
    assert told in str(caught.value)


def test_overrides_reach_every_level(tmp_path: Path) -> None:
    recipe = read_recipe(
        write(tmp_path, GOOD),
        [
            "curate.ratio=0.25",
            "curate.mode=fast",
            "curate.parts.1.limit=9",
            "seed=8",
            "curate.weights.chat=2",
        ],
    )

    room = recipe.rooms["curate"]
    assert (room.ratio, room.mode, room.parts[1].limit, recipe.seed) == (0.25, "fast", 9, 8)
    assert room.weights == {"qa": 1.0, "chat": 2.0}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("curate.ration=1", "--set curate.ration=1.*Did you mean 'ratio'"),
        ("curate.ratio=x", "--set curate.ratio=x.*a number"),
        ("curate.ratio", "room.key=value"),
        ("curate.parts.7.limit=1", "no entry"),
        ("name.x=1", "is a value"),
    ],
)
def test_a_wrong_override_is_told(tmp_path: Path, override: str, told: str) -> None:
    with pytest.raises(RecipeError, match=f"(?s){told}"):
        read_recipe(write(tmp_path, GOOD), [override])


def test_a_data_folder_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = read_recipe(write(tmp_path, 'data = "${SOME_DATA}/x"\n' + GOOD))
    monkeypatch.delenv("SOME_DATA", raising=False)
    with pytest.raises(MissingError, match="SOME_DATA"):
        _ = recipe.base
    monkeypatch.setenv("SOME_DATA", "/tmp")

    assert recipe.base == Path("/tmp/x").resolve()


def test_an_unknown_recipe_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="Did you mean 'tiny'"):
        read_recipe(tmp_path / "tinny")


def test_keys_are_found_in_multi_line_texts_and_tables() -> None:
    lines = locate_keys('a = """\nb = 1\n"""\n[t]\n"c d" = 1\ne.f = 2\n[[t.l]]\nx = 1\n[[t.l]]\nx = 2\n')

    assert ("b",) not in lines
    assert (lines[("t", "c d")], lines[("t", "e", "f")], lines[("t", "l", 1, "x")]) == (5, 6, 10)


def test_keys_are_found_in_inline_tables_and_lists_over_several_lines() -> None:
    """Each entry has its own line, whatever signs its texts hold."""
    text = (
        'a = [  # one, [two\n  { b = "x = [1, {", c = 1 },\n\n'
        "  { b = 'y', c = { d = 2,\n e = [3,\n 4] } },\n]\n"
        "f = 1979-05-27 07:32:00\ng = -1.5e3 # h = 1\nh = true\n"
    )
    lines = locate_keys(text)

    assert [lines["a", 0, "b"], lines["a", 1, "b"], lines["a", 1, "c", "d"]] == [2, 4, 4]
    assert [lines["a", 1, "c", "e", 1], lines["f",], lines["g",], lines["h",]] == [6, 8, 9, 10]


def test_every_key_that_tomllib_reads_is_found() -> None:
    """On our own recipes: the walk and tomllib agree on all keys."""
    for path in recipes.shipped_recipes().values():
        text = path.read_text()

        assert all_keys(tomllib.loads(text)) == set(locate_keys(text)), path.name


def all_keys(value: object, key: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {key} if key else set()
    return found.union(*(all_keys(part, (*key, name)) for name, part in pairs))


def test_the_schema_forbids_unknown_keys_and_carries_the_notes() -> None:
    schema = json_schema()

    room = schema["properties"]["curate"]
    assert room["additionalProperties"] is False
    assert room["properties"]["ratio"] == {"type": "number", "description": "Share of the whole."}
    assert room["properties"]["mode"] == {"enum": ["fast", "exact"]}
    assert room["properties"]["parts"]["items"]["required"] == ["path"]
