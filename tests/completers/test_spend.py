"""What a stage has spent: over all starts, and in this one."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from stub import read_ledger
from talks import ended_by_kill, run, start_in_a_child

from bimedix.cli import cli
from bimedix.completers.endpoint import BudgetError
from bimedix.spend import Spend, spend_lines

SAMPLES = Path(__file__).parents[2] / "samples" / "tiny"


def spent(texts: Sequence[str], address: str, ledger: Path) -> dict[str, dict[str, float]]:
    """Run a stage and return its figures of spend."""
    spend = Spend(ledger, "demo")
    run(texts, address, ledger)
    return dict(spend.figures()["spend"])


def test_the_whole_run_is_told_apart_from_this_start(address: str, tmp_path: Path) -> None:
    """To the token of the endpoint's bill, with an empty answer, an error and a repeat among the attempts."""
    texts = [f"spend {number} {'word ' * 30}" for number in range(20)]
    first = spent([*texts[:10], "spend [[empty 500]]"], address, tmp_path / "a")
    bill = read_ledger(address)
    second = spent([*texts, "spend [[empty 500]]"], address, tmp_path / "a")
    whole = read_ledger(address)

    assert first["whole_run"] == first["this_start"]
    assert (first["whole_run"]["calls"], first["whole_run"]["attempts"]) == (11, 13)
    assert second["this_start"]["calls"] == second["this_start"]["attempts"] == 10
    assert [second["whole_run"]["tokens_in"], second["whole_run"]["tokens_out"]] == whole["tokens"]
    assert second["this_start"]["tokens_in"] == whole["tokens"][0] - bill["tokens"][0]
    assert second["whole_run"]["cost_usd"] == pytest.approx(
        first["whole_run"]["cost_usd"] + second["this_start"]["cost_usd"], abs=2e-6
    )


def test_attempts_that_a_kill_cut_off_stay_in_the_total(address: str, tmp_path: Path) -> None:
    """Possibly billed: told apart from the cost, at their highest price."""
    child = start_in_a_child(lambda: run(["spend [[hang]]"], address, tmp_path / "a"))
    while read_ledger(address)["attempts"] < 1:
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert ended_by_kill(child)
    told = spent(["spend [[hang]]", "other"], address, tmp_path / "a")
    lines = list(spend_lines({"spend": told}))

    assert (told["whole_run"]["attempts_lost"], told["this_start"]["attempts_lost"]) == (1, 0)
    assert told["whole_run"]["possibly_more_usd"] > 0
    assert "1 attempts lost by a kill" in lines[0]
    assert lines[1].startswith("this start: 2 calls in 2 attempts")


def test_a_budget_counts_what_earlier_starts_have_spent(address: str, tmp_path: Path) -> None:
    """Started again under the same budget, a run that has used it up sends nothing more."""
    texts = [f"purse {number} {'word ' * 20}" for number in range(40)]
    for _ in range(3):
        with pytest.raises(BudgetError):
            run(texts, address, tmp_path / "a", budget_usd=0.002)
        sent = read_ledger(address)["attempts"]
    with pytest.raises(BudgetError):
        run(texts, address, tmp_path / "a", budget_usd=0.002)

    assert read_ledger(address)["attempts"] == sent


def test_a_room_prints_both_figures(tmp_path: Path) -> None:
    """Translated by the memory: everything comes from the ledger the second time."""
    words = ["translate", str(SAMPLES / "questions.en.jsonl"), str(tmp_path / "out"), "--sample", "3", "-q"]
    first, second = (CliRunner().invoke(cli, words).output for _ in range(2))

    assert "whole run:" in first
    assert "this start:" not in first
    assert "this start: 0 calls in 0 attempts" in second
    assert first.split("whole run:")[1].splitlines()[0] == second.split("whole run:")[1].splitlines()[0]
