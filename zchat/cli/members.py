"""`zchat members`: who is in a room."""

from __future__ import annotations

import click

from zchat.cli.connection import connect
from zchat.cli.options import check_names, connecting
from zchat.cli.show import clock, harmless_name, json_line, table
from zchat.errors import NoSuchRoom


@click.command(short_help="List who is in a room.")
@click.argument("room", callback=check_names("room"))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: user, since, mark.")
@connecting
def members(url: str, user: str | None, room: str, as_json: bool) -> None:
    """List who is in ROOM, which must exist, and since when. It brings nobody into it.

    \b
    Examples:
      zchat members General
      zchat members --json General | jq -r .user

    In JSON, since is in microseconds since 1970 (UTC), and mark is the last message that they
    have marked as read, 0 for none.
    """
    with connect(url, user) as client:
        try:
            found = client.members(room)
        except NoSuchRoom as error:
            raise NoSuchRoom(f"there is no room {room}; zchat rooms lists those that there are") from error
    if as_json:
        lines = [json_line(member._asdict()) for member in found]
    else:
        lines = table([("USER", "SINCE"), *((harmless_name(each.user), clock(each.since)) for each in found)])
    click.echo("\n".join(lines), nl=bool(lines))
