"""A small writer of charts as SVG: lines, bars and ranges, 700 pixels wide, for light and dark pages.

Marks and their labels stand side by side, so that no colour has to be matched with a legend. Background, text and grid
follow the reader's colour scheme; the colours of the marks are read on both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

WIDTH = 700

COLOURS = ("#2f81f7", "#d1622b", "#2da06b", "#b5549d", "#a8861a", "#1f9fb5", "#8a6de0", "#c2484f", "#6b8e3d", "#8b949e")
"""Of the marks, the first one for what the chart is about."""

_STYLE = """<style>
text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
.head { font-size: 14px; font-weight: 600 } .note { font-size: 11px; fill: #57606a } .main { font-weight: 600 }
.page { fill: #ffffff } .grid { stroke: #d8dee4 } .lead { stroke: #8b949e; stroke-width: 0.7 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9198a1 } .page { fill: #0d1117 } .grid { stroke: #30363d }
}
</style>"""

_TOP, _BOTTOM, _LEFT, _RIGHT = 62, 44, 56, 180
_APART = 15  # of labels below each other
_ROW = 22  # of bars


def lines(
    title: str,
    note: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    across: Mapping[float, str],
    *,
    logarithmic: bool = True,
) -> str:
    """Return a chart of lines over labelled places, its heights logarithmic.

    Args:
        title: What it shows.
        note: How that was measured, below the title.
        series: The points of each line, by its label: the main one first, the one to compare with at the end.
        across: The labels on the horizontal axis, by place.
        logarithmic: Whether the places are spread by their logarithms too.
    """
    height = 360
    found = [height for points in series.values() for _, height in points]
    round_ones = [factor * 10.0**power for power in range(-4, 10) for factor in (1, 2, 5)]
    low = max(each for each in round_ones if each <= min(found))
    high = min(each for each in round_ones if each > max(found))
    spread: Callable[[float], float] = math.log10 if logarithmic else float
    first, last = spread(min(across)), spread(max(across))

    def x(place: float) -> float:
        return _LEFT + (spread(place) - first) / ((last - first) or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return height - _BOTTOM - math.log(value / low) / math.log(high / low) * (height - _TOP - _BOTTOM)

    parts = [_rule(_LEFT, y(value), WIDTH - _RIGHT, y(value)) for value in _ticks(low, high)]
    parts += [_text(_LEFT - 8, y(value) + 4, short(value), anchor="end") for value in _ticks(low, high)]
    parts += [_text(x(place), height - _BOTTOM + 20, label, anchor="middle") for place, label in across.items()]
    ends = {label: y(points[-1][1]) for label, points in series.items()}
    labelled = dict(
        zip(sorted(ends, key=ends.__getitem__), _apart(sorted(ends.values()), height - _BOTTOM), strict=True)
    )
    for number, (label, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS) if number < len(series) - 1 else -1]
        path = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in points)
        width = 1.7 if number else 3
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        parts += [_dot(x(place), y(value), colour, width + 1.3) for place, value in points]
        parts.append(
            f'<line class="lead" x1="{x(points[-1][0]) + 6:.1f}" y1="{y(points[-1][1]):.1f}" '
            f'x2="{WIDTH - _RIGHT + 14}" y2="{labelled[label]:.1f}"/>'
        )
        parts.append(_dot(WIDTH - _RIGHT + 20, labelled[label], colour, 4))
        parts.append(_text(WIDTH - _RIGHT + 28, labelled[label] + 4, label, main=not number))
    return _page(title, note, height, parts)


def bars(title: str, note: str, values: Mapping[str, float], ours: str) -> str:
    """Return a chart of bars, each with its label and its value; those whose labels begin with `ours` stand out."""
    left, most = _room(values), max(values.values())
    parts = []
    for number, (label, value) in enumerate(values.items()):
        top = _TOP + number * _ROW
        long = max(1.0, value / most * (WIDTH - left - 80))
        main = label.startswith(ours)
        colour = COLOURS[0 if main else -1]
        parts.append(_text(left - 8, top + 14, label, anchor="end", main=main))
        parts.append(f'<rect x="{left}" y="{top + 3}" width="{long:.1f}" height="15" rx="2" fill="{colour}"/>')
        parts.append(_text(left + long + 6, top + 14, short(value), main=main))
    return _page(title, note, _TOP + len(values) * _ROW + 14, parts)


def ranges(title: str, note: str, values: Mapping[str, Mapping[str, float]], ours: str) -> str:
    """Return a chart of several values a row, along a logarithmic axis: a smaller dot for each further one."""
    left, step = _room(values), _ROW + 6
    found = [value for row in values.values() for value in row.values()]
    low, high = min(found) / 1.3, max(found) * 1.3
    bottom = _TOP + len(values) * step

    def x(value: float) -> float:
        return left + math.log(value / low) / math.log(high / low) * (WIDTH - left - 30)

    parts = []
    for tick in _ticks(low, high):
        parts.append(_rule(x(tick), _TOP, x(tick), bottom))
        parts.append(_text(x(tick), bottom + 16, short(tick), anchor="middle"))
    for number, (label, row) in enumerate(values.items()):
        middle = _TOP + 14 + number * step
        places = [x(value) for value in row.values()]
        main = label.startswith(ours)
        colour = COLOURS[0 if main else -1]
        parts.append(_text(left - 8, middle + 4, label, anchor="end", main=main))
        parts.append(
            f'<line x1="{places[0]:.1f}" y1="{middle}" x2="{places[-1]:.1f}" y2="{middle}" '
            f'stroke="{colour}" stroke-width="3" stroke-opacity="0.45"/>'
        )
        parts += [_dot(place, middle, colour, 6.5 - 1.8 * order) for order, place in enumerate(places)]
    return _page(title, note, bottom + 30, parts)


def short(value: float) -> str:
    """Return a number in at most three digits, with k or M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{value / size:.3g}{unit}" if value < size * 999.5 else f"{value / size:,.0f}{unit}"
    return f"{value:.3g}"


def _ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten from `low` to `high`, with 2 and 5 times each where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low > 10_000 else (1, 2, 5) if high / low < 200 else (1, 3)
    return [
        tick for power in powers for factor in factors if low * 0.999 <= (tick := factor * 10.0**power) <= high * 1.001
    ]


def _apart(places: Sequence[float], bottom: float) -> list[float]:
    """Return places in their order, moved as far as needed to be apart and above `bottom`."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + _APART if found else _TOP))
    for number in reversed(range(len(found))):
        found[number] = min(found[number], found[number + 1] - _APART if number + 1 < len(found) else bottom)
    return found


def _room(labels: Iterable[str]) -> int:
    return 24 + int(7.2 * max(map(len, labels)))


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(x: float, y: float, colour: str, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", main: bool = False) -> str:
    kind = ' class="main"' if main else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _page(title: str, note: str, height: int, parts: Sequence[str]) -> str:
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        _STYLE,
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="head" x="16" y="25">{escape(title)}</text>',
        f'<text class="note" x="16" y="44">{escape(note)}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])
