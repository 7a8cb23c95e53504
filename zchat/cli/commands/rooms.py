"""`zchat rooms`: the rooms of a broker."""

from __future__ import annotations

import sys

import click

from zchat.cli.connection import connect
from zchat.cli.options import connecting
from zchat.cli.text.columns import table, terminal_text, terminal_width
from zchat.cli.text.safe import named
from zchat.json_form import json_line

HELP = """List the rooms, including your direct rooms, with the numbers of their members and messages.

UNREAD counts the messages that are new to you, in rooms that you have read before.

\b
Examples:
  zchat rooms
  zchat rooms --json | jq -r .name
"""
"""What `zchat rooms --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: name, members, first, last, unread.")
@connecting
def rooms(url: str, user: str | None, as_json: bool) -> None:
    """Carry out `zchat rooms`."""
    with connect(url, user) as client:
        found = client.rooms()
    width = None if as_json else terminal_width(sys.stdout)
    if as_json:
        lines = [json_line(room._asdict()) for room in found]
    else:
        rows = [
            (named(room.name), str(room.members), str(room.last - room.first + 1), str(room.unread or ""))
            for room in found
        ]
        lines = table([("ROOM", "MEMBERS", "MESSAGES", "UNREAD"), *rows], width)
    click.echo(terminal_text(lines, width), nl=bool(lines))
