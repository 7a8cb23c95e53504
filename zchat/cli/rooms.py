"""`zchat rooms`: what rooms there are."""

from __future__ import annotations

import click

from zchat.cli.connection import connect
from zchat.cli.options import connecting
from zchat.cli.show import harmless, json_line, table


@click.command(short_help="List the rooms.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: name, members, first, last, unread.")
@connecting
def rooms(url: str, user: str | None, as_json: bool) -> None:
    """List the rooms, how many people are in them, how many messages can be read, and how many are new to you.

    What is new is known of rooms that you have marked as read, as zchat client and tail --unread do.

    \b
    Examples:
      zchat rooms
      zchat rooms --json | jq -r .name
    """
    with connect(url, user) as client:
        found = client.rooms()
    if as_json:
        lines = [json_line(room._asdict()) for room in found]
    else:
        rows = [
            (harmless(room.name), str(room.members), str(room.last - room.first + 1), str(room.unread or ""))
            for room in found
        ]
        unread = "UNREAD" if any(room.unread for room in found) else ""
        lines = table([("ROOM", "MEMBERS", "MESSAGES", unread), *rows])
    click.echo("\n".join(lines), nl=bool(lines))
