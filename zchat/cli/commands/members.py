"""`zchat members`: the members of a room."""

from __future__ import annotations

import sys

import click

from zchat.cli.completion import complete_rooms
from zchat.cli.connection import connect
from zchat.cli.failures import hinting_at_rooms
from zchat.cli.options import check_room, connecting
from zchat.cli.text.columns import table, terminal_text, terminal_width
from zchat.cli.text.iso import iso_time
from zchat.cli.text.phrases import local_time
from zchat.cli.text.safe import named
from zchat.json_form import json_line

HELP = """List the members of ROOM, which must exist, and since when each has been there.

Asking doesn't make you a member.

\b
Examples:
  zchat members General
  zchat members @bob                    your direct room with bob
  zchat members General --json | jq -r .user

Times are local; in JSON, since is in microseconds since 1970 (UTC), since_time the same as
text, and typing is true or false.
"""
"""What `zchat members --help` says: no docstring, as `python -OO` leaves those out."""


@click.command(help=HELP)
@click.argument("room", callback=check_room, shell_complete=complete_rooms)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: user, since, since_time, typing.")
@connecting
def members(url: str, user: str | None, room: str, as_json: bool) -> None:
    """Carry out `zchat members`."""
    with connect(url, user) as client, hinting_at_rooms(room):
        found = client.members(room)
    width = None if as_json else terminal_width(sys.stdout)
    if as_json:
        lines = [
            json_line(
                {"user": each.user, "since": each.since, "since_time": iso_time(each.since), "typing": each.typing}
            )
            for each in found
        ]
    else:
        rows = [(named(each.user), local_time(each.since)) for each in found]
        lines = table([("USER", "SINCE"), *rows], width)
    click.echo(terminal_text(lines, width), nl=bool(lines))
