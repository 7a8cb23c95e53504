"""`zchat stats`: the figures of a broker."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from zchat.broker.figures.stats import METRICS
from zchat.cli.connection import connect
from zchat.cli.options import connecting
from zchat.cli.text.columns import cells, cut, table, terminal_text, terminal_width, wrapped
from zchat.cli.text.phrases import local_time
from zchat.cli.text.safe import named, safe
from zchat.json_form import json_line
from zchat.stats import Histogram, OverallStats, Stats

GAP = 2
"""Columns between two cells of a table."""

ID_SHOWN = 8
"""Characters of a broker's id that are shown: enough to tell some apart."""

HALF, MOST = 0.5, 0.99
"""Shares of the values of a histogram for which the bounds are shown."""


MEANINGS = {
    "turn": "How long turns of the broker's loop took: so much of them up to this time.",
    "commit": "How long commits of the store took, likewise; none with memory:.",
    "commit bytes": "How many bytes of blocks were in the commits, likewise.",
    "refused": "Commands and sessions refused with this code of an error.",
    "behind": "By how many messages this member was behind in the latest sample; the ten furthest are listed.",
}
"""What the figures that are no counts mean, by the beginning of their lines."""

BUSIEST = "Stored, and sent to members, a second, between the last two samples; the twenty busiest, no direct rooms."


HELP = """Show the broker's figures: counts since its start, what it holds, timings, and the busiest rooms.

\b
Examples:
  zchat stats
  zchat stats --explain
  zchat stats --all
  zchat stats --json | jq .counts.deferred
"""
"""What `zchat stats --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: counts, refused and so on.")
@click.option("--all", "overall", is_flag=True, help="Those of all brokers that share the store, and of each.")
@click.option("--explain", is_flag=True, help="Say under each figure what it means.")
@connecting
def stats(url: str, user: str | None, as_json: bool, overall: bool, explain: bool) -> None:
    """Carry out `zchat stats`."""
    if explain and as_json:
        raise click.UsageError("use only one of --explain and --json")
    if explain and overall:
        raise click.UsageError("use only one of --explain and --all")
    width = terminal_width(sys.stdout)
    with connect(url, user) as client:
        if overall:
            of_all = client.overall_stats()
            fields, lines = _overall_fields(of_all), shown_overall(of_all, width or 0)
        else:
            found = client.stats()
            fields, lines = _fields(found), (explained if explain else shown)(found, width or 0)
    click.echo(json_line(fields) if as_json else terminal_text(lines, width))


def shown(found: Stats, width: int) -> list[str]:
    """Return the figures as lines of `width` columns at most; 0: as long as they are."""
    lines = _two_columns(_rows(found), width)
    return wrapped([*lines, "", *_busiest(found, width)] if found.busiest else lines, width or None)


def shown_overall(found: OverallStats, width: int) -> list[str]:
    """Return the figures over all brokers as `shown`, and below what each has."""
    rows: list[tuple[str, ...]] = [("BROKER", "SESSIONS", "USERS", "STORED", "SENT")]
    for broker in found.brokers:
        numbers = (f"{broker.counts.get(name, 0):,}" for name in ("sessions", "users", "messages", "deliveries"))
        rows.append((safe(broker.id)[:ID_SHOWN] or "this one", *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = ((row[0], *map(str.rjust, row[1:], widths[1:])) for row in rows)
    return wrapped([*_two_columns(_count_rows(found.counts), width), "", *table(right)], width or None)


def explained(found: Stats, width: int) -> list[str]:
    """Return the figures as `shown`, with what each means below it."""
    meanings = {name: metric.help for name, metric in METRICS.items()} | MEANINGS
    rows = list(_rows(found))
    lines = []
    for (name, _), line in zip(rows, _two_columns(rows, width), strict=True):
        count = name.replace(" ", "_")
        key = count if count in meanings else name.partition(":")[0].partition(" in ")[0]
        lines += [line, f"    {meanings.get(key, 'A newer broker counts this.')}"]
    busiest = ["", *_busiest(found, width), f"    {BUSIEST}"] if found.busiest else []
    return wrapped([*lines, *busiest], width or None)


def _fields(found: Stats) -> dict[str, object]:
    return {
        "counts": found.counts,
        "refused": found.refused,
        "lagging": [{"room": room, "user": who, "messages": messages} for room, who, messages in found.lagging],
        "times": {name: histogram._asdict() for name, histogram in found.times.items()},
        "busiest": [
            {"room": name, "members": members, "messages": messages, "deliveries": deliveries}
            for name, members, messages, deliveries in found.busiest
        ],
    }


def _overall_fields(found: OverallStats) -> dict[str, object]:
    return {"counts": found.counts, "brokers": [broker._asdict() for broker in found.brokers]}


def _count_rows(counts: dict[str, int]) -> Iterable[tuple[str, str]]:
    for name, number in counts.items():
        yield safe(name).replace("_", " "), _count(name, number)


def _rows(found: Stats) -> Iterable[tuple[str, str]]:
    yield from _count_rows(found.counts)
    for name, histogram in found.times.items():
        for share in (HALF, MOST):
            yield f"{safe(name).replace('_', ' ')}: {share:.0%} up to", _bound(name, histogram, share)
    for code, number in sorted(found.refused.items()):
        yield f"refused: {safe(code)}", f"{number:,}"
    for room, who, messages in found.lagging:
        yield f"behind in {named(room)}: {named(who)}", f"{messages:,}"


def _count(name: str, number: int) -> str:
    if name == "started":
        return local_time(number)
    if name in ("uptime", "interval"):
        return f"{number / 1_000_000:,.1f} s"
    return f"{number:,}"


def _bound(name: str, histogram: Histogram, share: float) -> str:
    bound = histogram.quantile(share)
    unit = "" if name.endswith("_bytes") else " µs"
    if bound is None:
        return f"over {histogram.bounds[-1]:,}{unit}" if histogram.total and histogram.bounds else "-"
    return f"{bound:,}{unit}"


def _two_columns(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Return lines with names at the left and values at the right edge; a name is cut only for its own value."""
    rows = list(rows)
    whole = max(cells(name) for name, _ in rows) + GAP + max(len(value) for _, value in rows) if rows else 0
    edge = min(width or whole, whole)
    lines = []
    for name, value in rows:
        left = cut(name, edge - GAP - len(value))
        lines.append(left + " " * (edge - cells(left) - len(value)) + value)
    return lines


def _busiest(found: Stats, width: int) -> list[str]:
    seconds = max(found.counts.get("interval", 0) / 1_000_000, 0.001)
    rows = [("MEMBERS", "STORED/S", "SENT/S")]
    rows += [
        (f"{room.members:,}", f"{room.messages / seconds:,.1f}", f"{room.deliveries / seconds:,.1f}")
        for room in found.busiest
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = width - sum(widths) - GAP * len(widths)
    names = ["ROOM", *(_fitting(named(room.name), left, width) for room in found.busiest)]
    numbers = ([cell.rjust(most) for cell, most in zip(row, widths, strict=True)] for row in rows)
    return table((name, *row) for name, row in zip(names, numbers, strict=True))


def _fitting(name: str, left: int, width: int) -> str:
    """Return a name cut to the columns that are left; whole if the width isn't known (0)."""
    return cut(name, left) if width else name
