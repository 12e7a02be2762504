"""Rooms and tools on the command line: `evaluate`, `train --plan`, `--sample`."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from bimedix import cli as commands
from bimedix import examine as examining
from bimedix.cli import cli
from bimedix.completers.tmx import read_glossary, read_units
from bimedix.evaluate import quoted
from bimedix.evaluate.table import make_table
from bimedix.records import Prediction
from bimedix.stage import Summary

SAMPLES = Path(__file__).parents[1] / "samples" / "tiny"


def bimedix(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_published_figures_differ_where_it_is_listed_and_nowhere_else() -> None:
    result = bimedix("evaluate", "--check-published")

    assert result.exit_code == 0
    assert "57.34" in result.output
    assert result.output.endswith("Exactly the averages that are listed as not agreeing do not agree.\n")


def test_a_published_figure_that_differs_unlisted_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bimedix.evaluate.tables.unexpected_mismatches", lambda: ["one more"])
    result = bimedix("evaluate", "--check-published")

    assert "one more" in result.output
    assert "in other places than are listed" in str(result.exception)
    assert quoted.unexpected_mismatches() == []


def test_evaluate_takes_model_items_and_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The words are passed on in order; the table and what was asked are printed."""
    asked: dict[str, Any] = {}

    def examine(
        recipe: Any, model: str, items: Any, out: Path, progress: Any, published: Any, **flags: bool
    ) -> Any:
        asked.update(model=model, items=items, out=out, published=published, flags=flags)
        asked["settings"] = recipe.rooms["evaluate"]
        row = Prediction("q", "en", "exam", "tuned", "letters", 2, (0,), (0,), True, (0.0, -1.0))
        return Summary(1, 1), make_table([row], {}, draws=10)

    monkeypatch.setattr(examining, "examine", examine)
    result = bimedix(
        "evaluate", "runs/tiny", "a.jsonl", "b.jsonl", "out", "--nine", "--set", "evaluate.orders=2"
    )

    assert result.exit_code == 0
    assert asked["flags"] == {"efficiency": False, "nine": True}
    assert asked["model"] == "runs/tiny"
    assert asked["items"] == [Path("a.jsonl"), Path("b.jsonl")]
    assert asked["settings"].orders == 2
    assert "tuned" in result.output
    assert result.output.endswith("1 items asked; predictions, page and tables: out\n")


def test_too_few_words_are_told_with_an_example() -> None:
    assert "MODEL ITEMS... OUT" in str(bimedix("evaluate", "runs/tiny").exception)
    assert "train takes SOURCE OUT" in str(bimedix("train").exception)


def test_train_can_tell_its_plan_and_train_nothing() -> None:
    """Overrides count, and so does the device."""
    words = ("--set", "train.tiny.hidden=256", "--device", "a100-80", "--tokens", "1000000")
    result = bimedix("train", "--plan", "tiny", *words)

    assert result.exit_code == 0
    assert "adapters on one a100-80:" in result.output
    assert "h on one device" in result.output
    assert result.output != bimedix("train", "--plan", "tiny", *words[2:]).output


def test_a_sample_is_translated_and_its_page_named(tmp_path: Path) -> None:
    result = bimedix("translate", SAMPLES / "questions.en.jsonl", tmp_path / "out", "--sample", "4", "-q")
    records = (tmp_path / "out" / "records.jsonl").read_bytes().splitlines()

    assert len(records) == 4
    assert result.output.splitlines()[-1] == f"Side by side: {tmp_path / 'out' / 'side_by_side.html'}"
    assert (tmp_path / "out" / "side_by_side.html").exists()


def test_a_sample_is_mixed_as_whole_lineages(tmp_path: Path) -> None:
    words = ("--set", "mix.ratio=[0, 1]", "--set", "mix.validation_share=0.0")
    result = bimedix("mix", SAMPLES / "answers.en.jsonl", tmp_path / "out", "--sample", "6", "-q", *words)
    kept = (tmp_path / "out" / "train.jsonl").read_bytes().splitlines()

    assert result.exit_code == 0
    assert len({msgspec.json.decode(line)["id"] for line in kept}) == 6


def test_help_names_every_room() -> None:
    """Also the ones that need torch, which no help may import."""
    told = bimedix("--help").output

    assert all(f"\n  {room} " in told for room in (*commands.SLOTS, "evaluate", "check", "sources"))


def test_memories_and_glossaries_change_their_form(tmp_path: Path) -> None:
    """The memory of the demo goes to XLIFF and back to records, its glossary to TBX and back, whole."""
    memory, glossary = SAMPLES / "memory.en-ar.tmx", SAMPLES / "glossary.en-ar.csv"
    told = bimedix("convert", memory, tmp_path / "m.xlf").output
    bimedix("convert", tmp_path / "m.xlf", tmp_path / "m.jsonl")
    bimedix("convert", glossary, tmp_path / "g.tbx")
    bimedix("convert", tmp_path / "g.tbx", tmp_path / "g.csv")
    rows = [msgspec.json.decode(line) for line in (tmp_path / "m.jsonl").read_bytes().splitlines()]

    assert [(r["id"], r["source"]) for r in rows] == [(u.id, u.texts["en"]) for u in read_units(memory)]
    assert told.startswith(f"{len(rows):,} pairs of en and ar written")
    assert read_glossary(tmp_path / "g.csv", "en", "ar") == read_glossary(glossary, "en", "ar")
    assert "one is not made of the other" in str(bimedix("convert", memory, tmp_path / "g.tbx").exception)
