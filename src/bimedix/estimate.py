"""`bimedix translate --estimate N`: what all records would take, told from a sample that was translated."""

from collections.abc import Iterator, Mapping
from typing import Any

from bimedix.errors import DataError


def estimate_lines(figures: Mapping[str, Any], seconds: float) -> Iterator[str]:
    """Yield lines of text, each with its 95 % interval over the records that were drawn.

    Args:
        figures: of the summary of a room `translate` that worked on a sample.
        seconds: that the sample took.

    Raises:
        DataError: nothing was drawn, so nothing can be told.
    """
    expected = figures.get("expected_for_all")
    if not expected:
        raise DataError("no record was translated, so there is nothing to estimate from.")
    records, taken = expected["records"], expected["sample"]
    yield f"\nExpected for all {records:,} records, from {taken:,} of them (95 % intervals):"
    yield f"  tokens in    {_counts(expected['tokens_in'])}"
    yield f"  tokens out   {_counts(expected['tokens_out'])}"
    yield f"  cost         {_cost(figures, expected['cost_usd'])}"
    yield f"  time         {_time(seconds * records / taken)} at the pace of the sample"
    if reused := figures.get("calls_from_ledger"):
        yield f"  {reused:,} answers were there already: they cost and took nothing now, all would more."


def _counts(values: list[float]) -> str:
    mean, low, high = values
    return f"{mean:,.0f} ({low:,.0f} to {high:,.0f})"


def _cost(figures: Mapping[str, Any], values: list[float]) -> str:
    if figures.get("calls_unpriced"):
        return "not known: the model's price is not in the table; set it in the completer"
    mean, low, high = values
    return f"${mean:,.2f} (${low:,.2f} to ${high:,.2f})"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
