"""The lines of `zchat top`: the figures of one screen, fitted to its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from zchat.cli.text.columns import cells, cut, padded
from zchat.cli.text.phrases import counted
from zchat.cli.text.safe import named, safe
from zchat.cli.top.rates import Rates

LABEL, RATE, EXTRA = 10, 12, 16
"""Columns of a figure: what it is, how many per second, and how many in total or what one took."""

GAP = 3
"""Columns between two figures side by side: 80 columns hold two, and 40 one."""

NUMBER = 11
"""Columns of a number in a table."""

NAME = 16
"""Columns that a room's name has at least; where there are fewer, a table leaves out its first numbers."""

NOTHING = "–"
"""What stands for a figure that the broker doesn't report, or that nothing happened for."""


class Line(NamedTuple):
    """A line of the screen."""

    text: str
    heading: bool = False
    """True if it is the heading of the lines below."""


def lines(url: str, rates: Rates | None, trouble: str, width: int, height: int | None = None) -> list[Line]:
    """Return the lines to show, each of `width` columns at most, and `height` lines at most (None: all).

    `rates`: None if there is no sample yet. `trouble`: why there is no newer one, "" for no reason.
    """
    if rates is None:
        found = _sides(safe(url), trouble or "waiting for the broker", width)
    else:
        found = _sides(safe(url), trouble or f"up {age(rates.uptime)}", width)
        found += map(Line, _flowing(_held(rates), width))
        found += _figures(rates, width)
        found += _tables(rates, width, None if height is None else height - len(found))
    return [Line(cut(text, width).rstrip(), heading) for text, heading in found[:height]]


def _sides(left: str, right: str, width: int) -> list[Line]:
    """Return a line with texts at both ends, or two lines if it is too narrow for that."""
    space = width - cells(left) - cells(right)
    whole = [f"{left}{' ' * space}{right}"] if space >= GAP else [left, right]
    return [Line(text, heading=True) for text in whole]


def _flowing(parts: list[str], width: int) -> list[str]:
    """Return parts one after the other, on as few lines as possible."""
    found: list[str] = []
    for part in parts:
        if found and cells(found[-1]) + GAP + cells(part) <= width:
            found[-1] += " " * GAP + part
        else:
            found.append(part)
    return found


def _held(rates: Rates) -> list[str]:
    held = (("sessions", "session"), ("rooms", "room"), ("memberships", "member"))
    totals = [(rates.total(name), noun) for name, noun in held]
    parts = [counted(number, noun) for number, noun in totals if number is not None]
    behind = rates.total("lagging")
    return [*parts, f"{behind:,} behind"] if behind is not None else parts


def _figures(rates: Rates, width: int) -> list[Line]:
    """Return the figures under their heading, in as many columns as fit, filled one after the other."""
    every = "per second since start" if rates.since_start else "per second"
    heading = f"{every:>{LABEL + RATE}}{'total':>{EXTRA}}"
    figures = [f"{label:<{LABEL}}{_right(rate, RATE)}{_right(extra, EXTRA)}" for label, rate, extra in _figure(rates)]
    columns = min(len(figures), max(1, (width + GAP) // (cells(heading) + GAP)))
    most = -(-len(figures) // columns)
    parts = [[heading, *figures[start : start + most]] for start in range(0, len(figures), most)]
    rows = [(" " * GAP).join(row) for row in zip_longest(*parts, fillvalue="")]
    return _headed(rows)


def _headed(rows: list[str]) -> list[Line]:
    return [Line(text, heading=index == 0) for index, text in enumerate(rows)]


def _figure(rates: Rates) -> Iterator[tuple[str, str, str]]:
    for name in ("messages", "deliveries", "pushes"):
        yield name, number(rates.rate(name)), total(rates.total(name))
    for name, label in (("received_bytes", "bytes in"), ("sent_bytes", "bytes out")):
        yield label, size(rates.rate(name)), size(rates.total(name))
    for name in ("deferred", "retried", "failed", "refused", "gaps"):
        yield name, number(rates.rate(name)), total(rates.total(name))
    commits = rates.timing("commit")
    yield "commits", number(commits.rate), f"{span(commits.mean)}, {size(rates.commit_size)}"
    turns = rates.timing("turn")
    yield "turns", number(turns.rate), f"{span(turns.mean)}, {share(turns.share)}"


def _tables(rates: Rates, width: int, height: int | None) -> list[Line]:
    """Return the busiest rooms and the members furthest behind, each with the lines that it needs, or half of all."""
    busiest = _busiest(rates, width)
    furthest = _furthest(rates, width)
    if height is None:
        return [*busiest, *furthest]
    half = height // 2
    first = min(len(busiest), max(height - half, height - len(furthest)))
    return [*busiest[:first], *furthest[: height - first]]


def _busiest(rates: Rates, width: int) -> list[Line]:
    rows = [(named(room), [total(members, NUMBER), *map(number, each)]) for room, members, *each in rates.busiest]
    rows = [("busiest (per s)", ["members", "messages", "deliveries"]), *rows]
    while NUMBER * len(rows[0][1]) > width - NAME and len(rows[0][1]) > 1:
        rows = [(name, numbers[1:]) for name, numbers in rows]
    left = width - NUMBER * len(rows[0][1])
    return _headed([padded(name, left) + "".join(_right(each, NUMBER) for each in numbers) for name, numbers in rows])


def _furthest(rates: Rates, width: int) -> list[Line]:
    rows = [(named(room), named(user), total(messages, NUMBER)) for room, user, messages in rates.stats.lagging]
    rows = [("behind in", "user", "messages"), *rows]
    left = width - NUMBER
    half = max(0, left // 2 - 2)
    return _headed(
        [f"{padded(room, half)}  {padded(user, left - half - 2)}{_right(each, NUMBER)}" for room, user, each in rows]
    )


def _right(text: str, columns: int) -> str:
    """Return text at the right edge of so many columns."""
    return " " * (columns - cells(text)) + text


def number(value: float | None) -> str:
    """Return a rate with as many digits as matter."""
    if value is None:
        return NOTHING
    if 0 < value < 0.05:
        return "<0.1"
    if value >= 1e8:
        return f"{value:.3e}"
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def total(value: int | None, columns: int = EXTRA) -> str:
    """Return a total in fewer than `columns` columns."""
    if value is None:
        return NOTHING
    text = f"{value:,}"
    return text if len(text) < columns else f"{value:.3e}"


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    """Return a value in the unit, of those from the smallest on, in which it has three digits at most."""
    scale, unit = next((each for each in units if value < 999.5 * each[0]), units[-1])
    value /= scale
    return f"{value:,.0f} {unit}" if value >= 9.95 or value == int(value) else f"{value:.1f} {unit}"


def size(value: float | None) -> str:
    """Return bytes in the unit that fits."""
    units = [(1024.0**power, unit) for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))]
    return NOTHING if value is None else _scaled(value, units)


def span(seconds: float | None) -> str:
    """Return a short time in the unit that fits."""
    return NOTHING if seconds is None else _scaled(seconds, ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s")))


def share(part: float | None) -> str:
    """Return a share in percent."""
    return NOTHING if part is None else f"{part:.0%}".replace("%", " %")


def age(seconds: float | None) -> str:
    """Return a long time in its two largest units."""
    if seconds is None:
        return NOTHING
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
