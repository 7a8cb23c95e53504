"""`zchat top`: a live view of the broker."""

from __future__ import annotations

import os
import sys

import click

from zchat.cli.connection import connect
from zchat.cli.options import connecting, seconds
from zchat.cli.streams import check_reader, has_keys
from zchat.cli.text.columns import terminal_text, terminal_width
from zchat.cli.top.dashboard import Dashboard
from zchat.cli.top.polling import samples

EVERY = 2.0
"""Seconds between two samples: short enough to see a change, long enough to read it."""

MIN_EVERY = 0.2
"""The fewest seconds that can be asked for: nobody reads five samples a second, and each costs the broker."""

MAX_EVERY = 3600.0
"""The most seconds that can be asked for: an hour."""

WIDTH = 80
"""Columns of the output where there is no terminal."""


HELP = """Show a live view of the broker: rates, the busiest rooms, and the members furthest behind.

\b
Examples:
  zchat top
  zchat top --every 10
  zchat top --every 60 -n 60 >>hour.txt

On a terminal it takes the full screen; q or Ctrl-C ends it. Elsewhere it writes the samples
one after another. The first sample shows averages since the broker's start. The line
commits ends with the mean time and size of a commit; the line turns with the mean time of
a turn and the share of time for which the broker's loop was busy.
"""
"""What `zchat top --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@seconds("--every", EVERY, MIN_EVERY, MAX_EVERY, f"Seconds between two samples, {MIN_EVERY:g} to {MAX_EVERY:g}.")
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help="End after N samples.  [default: never]")
@connecting
def top(url: str, user: str | None, every: float, count: int | None) -> None:
    """Carry out `zchat top`."""
    with connect(url, user) as client:
        dashboard = Dashboard(client.url)
        if has_keys() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            from zchat.cli.top import screen  # takes long to load

            screen.run(client, dashboard, every, count)
            if count is not None:
                size = screen.size()
                _write(dashboard, size.columns, size.rows - 1)  # the shell's prompt takes one
            return
        for number, sample in enumerate(samples(client, every, check_reader), 1):
            dashboard.add(sample)
            _write(dashboard, terminal_width(sys.stdout) or WIDTH, 1 if isinstance(sample, str) else None)
            click.echo()
            if number == count:
                return


def _write(dashboard: Dashboard, width: int, height: int | None = None) -> None:
    click.echo(terminal_text([line.text for line in dashboard.lines(width, height)], terminal_width(sys.stdout)))
