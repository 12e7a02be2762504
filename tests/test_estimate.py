"""What all records would take, told from a sample."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bimedix.cli import cli
from bimedix.errors import DataError
from bimedix.estimate import estimate_lines

SAMPLES = Path(__file__).parents[1] / "samples" / "tiny"
FIGURES = {
    "calls_unpriced": 0, "calls_from_ledger": 0,
    "expected_for_all": {
        "records": 1000, "sample": 50, "tokens_in": [5e6, 4e6, 6e6], "tokens_out": [1e6, 9e5, 1.1e6],
        "cost_usd": [12.5, 10.0, 15.0],
    },
}  # fmt: skip


def told(seconds: float = 30.0, **more: object) -> str:
    return "\n".join(estimate_lines({**FIGURES, **more}, seconds))


def test_tokens_cost_and_time_are_told_with_their_intervals() -> None:
    """Time by the pace of the sample: 30 s for 50 are 10 minutes for 1,000."""
    text = told()

    assert "all 1,000 records, from 50 of them" in text
    assert "5,000,000 (4,000,000 to 6,000,000)" in text
    assert "$12.50 ($10.00 to $15.00)" in text
    assert "10 min" in text
    assert "60 s" in told(3.0)
    assert "16.7 h" in told(3000.0)


def test_a_price_that_is_not_known_is_said_to_be_so() -> None:
    assert "$" not in told(calls_unpriced=3)
    assert "not known" in told(calls_unpriced=3)


def test_answers_that_were_there_already_are_mentioned() -> None:
    assert "40 answers were there already" in told(calls_from_ledger=40)


def test_nothing_drawn_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to estimate from"):
        told(expected_for_all=None)


def test_the_command_translates_a_sample_and_tells(tmp_path: Path) -> None:
    words = ["translate", str(SAMPLES / "questions.en.jsonl"), str(tmp_path / "out"), "--estimate", "6", "-q"]
    result = CliRunner().invoke(cli, words)

    assert result.exit_code == 0
    assert "6 records written" in result.output
    assert "Expected for all 92 records, from 6 of them" in result.output
    assert "$0.00" in result.output
