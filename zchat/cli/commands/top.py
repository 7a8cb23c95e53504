"""`zchat top`: a broker's figures, again and again."""

from __future__ import annotations

import os
import sys

import click

from zchat.cli.connection import connect
from zchat.cli.options import check_between, connecting
from zchat.cli.top.dashboard import Watched
from zchat.cli.top.polling import looks

EVERY = 2.0
"""Seconds between two looks: short enough to see a change, long enough to read it."""

MIN_EVERY = 0.2
"""Seconds that can be asked for: at five looks a second nobody reads them any more, and each costs the broker."""

MAX_EVERY = 3600.0
"""Seconds that can be asked for: an hour; what isn't a number falls out too."""

WIDTH = 80
"""Columns of what is written where there is no terminal."""


@click.command(short_help="Watch what the broker does.")
@click.option(
    "--every",
    type=float,
    default=EVERY,
    callback=check_between(MIN_EVERY, MAX_EVERY, "seconds"),
    metavar="SECONDS",
    show_default=True,
    help=f"Seconds between two looks, {MIN_EVERY:g} to {MAX_EVERY:g}.",
)
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help="End after N looks.  [default: go on]")
@connecting
def top(url: str, user: str | None, every: float, count: int | None) -> None:
    """Watch what a broker does: how much a second, in which rooms, and who is furthest behind.

    \b
    Examples:
      zchat top
      zchat top --every 10
      zchat top --every 60 -n 60 >>hour.txt

    On a terminal it has a screen of its own; q or Ctrl-C ends it. Elsewhere it writes a
    look below the other. The first one shows averages since the broker's start. Behind commits
    stands what one took: its time and size; behind turns the time of one, and which
    part of all time the broker's loop was at work.
    """
    with connect(url, user) as client:
        watched = Watched(client.url)
        if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            from zchat.cli.top import screen  # takes long to load

            screen.run(client, watched, every, count)
            if count is not None:
                columns, rows = os.get_terminal_size()
                _write(watched, columns, rows - 1)  # the shell's prompt takes one
            return
        for number, found in enumerate(looks(client, every), 1):
            watched.take(found)
            _write(watched, WIDTH, 1 if isinstance(found, str) else None)
            click.echo()
            if number == count:
                return


def _write(watched: Watched, width: int, height: int | None = None) -> None:
    click.echo("\n".join(line.text for line in watched.lines(width, height)))
