"""Plots of values with their intervals, and of stated against true shares, as inline SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from bimedix.figures.plots import COLOURS, WIDTH, svg, text, tick

ROW, HEAD, FOOT = 15, 22, 40
SIDE = 360
"""Width and height of the square of a reliability plot."""


class Point(NamedTuple):
    """One value of a row of the plot."""

    series: str
    value: float
    low: float | None = None
    """Interval, in the unit of the value; None: the value has none, and is drawn hollow."""
    high: float | None = None
    name: str = ""
    """What it is called where it is pointed at; empty: the series."""


def intervals(
    rows: Mapping[str, Sequence[Point]],
    *,
    unit: str,
    lowest: float,
    highest: float,
    rules: Mapping[str, float] | None = None,
    rule: float | None = None,
    rtl: bool = False,
) -> str:
    """Draw values with intervals under one label per row, each series of a row on a line of its own.

    Args:
        rows: points by label, from top to bottom.
        unit: of the values.
        lowest: where the axis begins.
        highest: where it ends.
        rules: a grey mark per row, such as the accuracy of guessing.
        rule: a line through all rows, such as no difference.
        rtl: labels stand on the right, for a page that is read from there; values still grow to the right.
    """
    if not any(rows.values()):
        return ""
    series = list(dict.fromkeys(point.series for points in rows.values() for point in points))
    margin = min(250.0, 20 + 6.3 * max(map(len, rows)))
    left, right = (14.0, WIDTH - margin) if rtl else (margin, WIDTH - 14.0)
    scale = (right - left) / ((highest - lowest) or 1.0)
    parts, y = [], float(HEAD)
    for label, points in rows.items():
        lines = list(dict.fromkeys(point.series for point in points))
        tall = ROW * len(lines) + 6
        middle = y + tall / 2
        parts.append(
            text(WIDTH - 6 if rtl else left - 8, middle + 4, label, anchor="start" if rtl else "end", rtl=rtl)
        )
        parts.append(_line(left, y + tall, right, y + tall, opacity=0.15))
        if rules and label in rules:
            x = left + (rules[label] - lowest) * scale
            parts.append(_line(x, y + 2, x, y + tall - 2, opacity=0.6, dashed=True))
        for point in points:
            place = y + 3 + ROW * (lines.index(point.series) + 0.5)
            parts.append(_point(point, left, place, lowest, scale, COLOURS[series.index(point.series) % 6]))
        y += tall
    if rule is not None:
        x = left + (rule - lowest) * scale
        parts.append(_line(x, HEAD, x, y, opacity=0.7))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, value = left + (right - left) * share, lowest + (highest - lowest) * share
        parts.append(text(x, y + 14, tick(value), anchor="middle", size=10))
    parts.append(text(right, 12, unit, anchor="end", size=10))
    return svg(parts, series, y + FOOT)


def _point(point: Point, left: float, y: float, lowest: float, scale: float, colour: str) -> str:
    x = left + (point.value - lowest) * scale
    told = f"{point.name or point.series}: {point.value:.4g}"
    if point.low is None or point.high is None:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="none" stroke="{colour}" stroke-width="1.6">'
        return f"{shape}<title>{escape(told)}</title></circle>"
    low, high = (left + (value - lowest) * scale for value in (point.low, point.high))
    told += f" [{point.low:.4g}, {point.high:.4g}]"
    return (
        f'<g stroke="{colour}" stroke-width="1.6"><title>{escape(told)}</title>'
        f'<path d="M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 3:.1f}v6M{high:.1f} {y - 3:.1f}v6"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/></g>'
    )


def reliability(curves: Mapping[str, Sequence[tuple[float, float, int]]], *, x: str, y: str) -> str:
    """Draw true shares over stated ones: a dot per bin, its area by the items, beside the line of honesty.

    Args:
        curves: (stated share, true share, items) of each bin, by name; shares from 0 to 1.
        x: name of the horizontal axis.
        y: name of the vertical axis.
    """
    if not any(curves.values()):
        return ""
    left, top, base = 50.0, 22.0, 22.0 + SIDE
    parts = [
        _line(left, base, left + SIDE, base, opacity=0.45),
        _line(left, top, left, base, opacity=0.45),
        _line(left, base, left + SIDE, top, opacity=0.5, dashed=True),
        text(6, 12, y, size=10),
        text(left + SIDE, base + 28, x, anchor="end", size=10),
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(text(left + SIDE * share, base + 14, f"{share:g}", anchor="middle", size=10))
        parts.append(text(left - 6, base - SIDE * share + 4, f"{share:g}", anchor="end", size=10))
    for index, curve in enumerate(curves.values()):
        colour, whole = COLOURS[index % 6], sum(items for *_, items in curve)
        places = [(left + SIDE * stated, base - SIDE * true, items) for stated, true, items in curve]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _ in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" opacity=".6"/>')
        parts += [
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{2 + 9 * (items / whole) ** 0.5:.1f}" fill="{colour}" '
            f'fill-opacity=".7"><title>{items:,}</title></circle>'
            for px, py, items in places
        ]
    return svg(parts, list(curves), base + 52)


def _line(x1: float, y1: float, x2: float, y2: float, *, opacity: float, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="currentColor" opacity="{opacity}"'
        f' fill="none"{dashes}/>'
    )
