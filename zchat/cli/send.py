"""`zchat send`: say something in a room."""

from __future__ import annotations

import click

from zchat.cli.connection import connect
from zchat.cli.lines import stdin_lines
from zchat.cli.options import check_room, connecting


@click.command(short_help="Say one thing, or every line of the input.")
@click.argument("room", callback=check_room)
@click.argument("text", nargs=-1)
@connecting
def send(url: str, user: str | None, room: str, text: tuple[str, ...]) -> None:
    """Send TEXT to ROOM as one message, its words joined by blanks.

    Without TEXT every line of standard input is a message, empty ones too. The command ends
    when all of them are stored, or says how many are. A room that doesn't exist is made.
    Bytes that are no text in the terminal's encoding become U+FFFD.

    \b
    Examples:
      zchat send General hello, everyone
      zchat send General -- --not an option
      make 2>&1 | zchat send Builds
      zchat send --user cron General "backup done"
    """
    with connect(url, user) as client:
        target = client.join(room)
        if text:
            target.send(_clean(" ".join(text)))
        else:
            target.send_many(stdin_lines())


def _clean(argument: str) -> str:
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
