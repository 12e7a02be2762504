"""Plots as inline SVG: no network, no script, text set by the browser (so Arabic is shaped right)."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 46
COLOURS = ("#1f6f8b", "#d9822b", "#5b8c5a", "#8b5fbf", "#b0413e", "#6b7280")


def bars(groups: Mapping[str, Mapping[str, float]], *, unit: str, top: float | None = None) -> str:
    """Draw grouped bars: one group per key, one bar per series; values are printed above the bars.

    Args:
        groups: series name → value, by group name.
        unit: of the values; stands beside the axis.
        top: highest value of the axis; the largest value when not given.
    """
    series = list(dict.fromkeys(name for values in groups.values() for name in values))
    high = top or max((v for values in groups.values() for v in values.values()), default=1.0) or 1.0
    wide = (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    bar = min(54.0, wide * 0.8 / max(len(series), 1))
    parts = [_axis(0.0, high, unit)]
    for position, (group, values) in enumerate(groups.items()):
        middle = LEFT + wide * (position + 0.5)
        start = middle - bar * len(series) / 2
        for index, name in enumerate(series):
            if name in values:
                parts.append(
                    _bar(start + bar * index, bar, values[name], high, COLOURS[index % len(COLOURS)])
                )
        parts.append(_text(middle, HEIGHT - BOTTOM + 16, group, anchor="middle"))
    return _svg(parts, series)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str) -> str:
    """Draw one line per series over (x, y) points.

    Args:
        series: points by name.
        x: name and unit of the horizontal axis.
        y: name and unit of the vertical axis.
    """
    points = [p for line in series.values() for p in line]
    if not points:
        return ""
    left, right = min(p[0] for p in points), max(p[0] for p in points)
    low, high = min(0.0, min(p[1] for p in points)), max(p[1] for p in points) or 1.0
    across = (WIDTH - LEFT - RIGHT) / ((right - left) or 1.0)
    up = (HEIGHT - TOP - BOTTOM) / ((high - low) or 1.0)
    parts = [_axis(low, high, y)]
    for index, line in enumerate(series.values()):
        path = " ".join(
            f"{LEFT + (px - left) * across:.1f},{HEIGHT - BOTTOM - (py - low) * up:.1f}" for px, py in line
        )
        colour = COLOURS[index % len(COLOURS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    parts.append(_text(LEFT, HEIGHT - BOTTOM + 16, f"{left:,.0f}"))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - BOTTOM + 16, f"{right:,.0f} {x}", anchor="end"))
    return _svg(parts, list(series))


def histogram(series: Mapping[str, Sequence[float]], *, edges: Sequence[float], unit: str) -> str:
    """Draw counts of values per bin, one bar per series; the last bin includes its upper edge."""
    groups: dict[str, dict[str, float]] = {}
    for low, high in pairwise(edges):
        last = high == edges[-1]
        groups[f"{low:g}–{high:g}"] = {
            name: float(sum(low <= v < high or (last and v == high) for v in values))
            for name, values in series.items()
        }
    return bars(groups, unit=unit)


def _bar(x: float, wide: float, value: float, high: float, colour: str) -> str:
    tall = (HEIGHT - TOP - BOTTOM) * min(value / high, 1.0)
    y = HEIGHT - BOTTOM - tall
    shape = f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{wide - 2:.1f}" height="{tall:.1f}" fill="{colour}"/>'
    return shape + _text(x + wide / 2, y - 3, f"{value:,.4g}", anchor="middle", size=10)


def _axis(low: float, high: float, unit: str) -> str:
    base, top = HEIGHT - BOTTOM, TOP
    rule = f'<path d="M{LEFT} {top}V{base}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" opacity=".45"/>'
    ticks = []
    for share in (0.0, 0.5, 1.0):
        y = base - (base - top) * share
        ticks.append(_text(LEFT - 6, y + 4, f"{low + (high - low) * share:,.3g}", anchor="end", size=10))
    return rule + "".join(ticks) + _text(LEFT - 44, 12, unit, size=10)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="currentColor">'
        f"{escape(text)}</text>"
    )


def _svg(parts: Sequence[str], series: Sequence[str]) -> str:
    keys = ""
    if len(series) > 1:
        for index, name in enumerate(series):
            x = LEFT + index * (WIDTH - LEFT - RIGHT) / len(series)
            colour = COLOURS[index % len(COLOURS)]
            keys += f'<rect x="{x:.1f}" y="{HEIGHT - 18}" width="10" height="10" fill="{colour}"/>'
            keys += _text(x + 14, HEIGHT - 9, name)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" direction="ltr" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(parts)}{keys}</svg>"
    )
