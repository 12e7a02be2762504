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
        parts.append(text(middle, HEIGHT - BOTTOM + 16, group, anchor="middle"))
    return svg(parts, series, HEIGHT)


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
    parts.append(text(LEFT, HEIGHT - BOTTOM + 16, f"{left:,.0f}"))
    parts.append(text(WIDTH - RIGHT, HEIGHT - BOTTOM + 16, f"{right:,.0f} {x}", anchor="end"))
    return svg(parts, list(series), HEIGHT)


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
    return shape + text(x + wide / 2, y - 3, f"{value:,.4g}", anchor="middle", size=10)


def _axis(low: float, high: float, unit: str) -> str:
    base, top = HEIGHT - BOTTOM, TOP
    rule = f'<path d="M{LEFT} {top}V{base}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" opacity=".45"/>'
    ticks = []
    for share in (0.0, 0.5, 1.0):
        y = base - (base - top) * share
        ticks.append(text(LEFT - 6, y + 4, f"{low + (high - low) * share:,.3g}", anchor="end", size=10))
    return rule + "".join(ticks) + text(LEFT - 44, 12, unit, size=10)


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 11, rtl: bool = False) -> str:
    """Return words at a place; `rtl`: they begin at the right, and the anchor `start` is their right end."""
    direction = ' direction="rtl"' if rtl else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="currentColor"'
        f"{direction}>{escape(words)}</text>"
    )


def tick(value: float) -> str:
    """Return the number at a tick: three digits, never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def svg(parts: Sequence[str], names: Sequence[str], tall: float) -> str:
    """Return the drawing with its key below, where there is more than one series."""
    lines_of_key = _key(names) if len(names) > 1 else []
    tall += 18 * max(0, len(lines_of_key) - 1)
    key = ""
    for line, entries in enumerate(reversed(lines_of_key)):
        y = tall - 9 - 18 * line
        for x, name in entries:
            colour = COLOURS[names.index(name) % len(COLOURS)]
            key += f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{colour}"/>'
            key += text(x + 14, y, name)
    return (
        f'<svg viewBox="0 0 {WIDTH} {tall:.0f}" role="img" direction="ltr" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}{key}</svg>'
    )


def _key(names: Sequence[str]) -> list[list[tuple[float, str]]]:
    """Return the key as lines of (x, name), broken where a name does not fit."""
    out: list[list[tuple[float, str]]] = [[]]
    x = float(LEFT)
    for name in names:
        wide = 26 + 6.6 * len(name)
        if out[-1] and x + wide > WIDTH:
            out.append([])
            x = float(LEFT)
        out[-1].append((x, name))
        x += wide
    return out
