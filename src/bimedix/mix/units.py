"""Numbers with their unit, written by code: a hand-set "131.8K" for 131.8 M is how tables go wrong."""

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))


def with_unit(value: float) -> str:
    """Return `131.8 M`, `423.8 K`, `812`; one decimal, and what rounds up to 1000 takes the next unit."""
    for size, unit in _UNITS:
        if round(abs(value) / size, 1) >= 1.0 and abs(value) >= 0.99995 * size:
            return f"{value / size:,.1f} {unit}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"
