"""What a stage has spent: in the whole run, over all its starts, and in this start alone.

Rooms count the replies that their records used. That is no bill: answers from the ledger cost nothing now and
did once, and attempts that failed, were repeated or were lost by a kill cost money and gave no reply. The
call ledger has them all.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bimedix.completers.ledger import Totals, last_attempt, read_totals


class Spend:
    """Opened when a stage starts, asked when it has ended."""

    def __init__(self, calls: Path, stage: str) -> None:
        self.calls, self.stage = calls, stage
        self._begun_after = last_attempt(calls)

    def figures(self) -> dict[str, Any]:
        """Return figures for the stage's summary; empty for a stage that has never asked anyone."""
        if not self.calls.exists():
            return {}
        whole = read_totals(self.calls, self.stage)
        if not whole.attempts:
            return {}
        start = read_totals(self.calls, self.stage, after=self._begun_after)
        told = {"whole_run": _told(whole), "this_start": _told(start)}
        sums = ("calls", "tokens_in", "tokens_out", "cost_usd")
        return {"spend": told} | {name: told["whole_run"][name] for name in sums}


def _told(totals: Totals) -> dict[str, Any]:
    return {
        "calls": totals.calls,
        "attempts": totals.attempts,
        "attempts_without_answer": totals.unanswered,
        "attempts_lost": totals.lost,
        "tokens_in": totals.tokens_in,
        "tokens_out": totals.tokens_out,
        "cost_usd": round(totals.cost_usd, 6),
        "possibly_more_usd": round(totals.possibly_usd, 6),
        "attempts_unpriced": totals.unpriced,
    }


def spend_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line of text for the whole run and one for this start; none for a stage that asked nobody."""
    told = figures.get("spend")
    if told:
        whole, start = told["whole_run"], told["this_start"]
        yield f"whole run:  {_line(whole)}"
        if start != whole:
            yield f"this start: {_line(start)}"


def _line(told: Mapping[str, Any]) -> str:
    parts = [f"{told['calls']:,} calls in {told['attempts']:,} attempts", f"${told['cost_usd']:,.4f}"]
    if told["attempts_lost"]:
        parts.append(f"{told['attempts_lost']:,} attempts lost by a kill")
    if told["possibly_more_usd"]:
        parts.append(f"at most ${told['possibly_more_usd']:,.4f} more for attempts that may have been billed")
    if told["attempts_unpriced"]:
        parts.append(f"{told['attempts_unpriced']:,} attempts at a price that is not known")
    return ", ".join(parts)
