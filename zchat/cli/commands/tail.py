"""`zchat tail`: read a room."""

from __future__ import annotations

from functools import partial

import click

from zchat import Client
from zchat.cli.connection import connect
from zchat.cli.failures import room_named
from zchat.cli.options import check_room, connecting
from zchat.cli.tail.output import Output, ResumableOutput
from zchat.cli.tail.reading import catch_up, follow, write_history
from zchat.cli.tail.resume import ResumeFile
from zchat.names import fold
from zchat.wire.limits import MAX_INT

COUNT = 10
"""Messages shown unless something else is asked for."""


@click.command()
@click.argument("room", callback=check_room)
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Begin with the last N messages.  [default: {COUNT}]",
)
@click.option("--after", type=click.IntRange(0, MAX_INT), metavar="SEQ", help="Begin after message SEQ (0: the start).")
@click.option("--unread", is_flag=True, help="Begin with your unread messages, and mark as read what is shown.")
@click.option("--resume", metavar="FILE", help="Continue where the last run ended, as recorded in FILE.")
@click.option("-f", "--follow", "following", is_flag=True, help="Continue with new messages, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line: room, seq, timestamp, user, body.")
@connecting
def tail(
    url: str,
    user: str | None,
    room: str,
    count: int | None,
    after: int | None,
    unread: bool,
    resume: str | None,
    following: bool,
    as_json: bool,
) -> None:
    """Show the latest messages of ROOM, which must exist.

    \b
    Examples:
      zchat tail General                      the last 10 messages
      zchat tail -n 0 -f Builds | grep FAIL   new messages, filtered
      zchat tail --after 0 --json General     everything, for a program
      zchat tail --unread General             what you have not read yet
      zchat tail -f --resume seen General     continue where the last run ended

    In JSON, timestamp is in microseconds since 1970 (UTC), and a body that is not text is
    written as JSON; what JSON lacks becomes {"$bytes": base64}, {"$float": "NaN"},
    {"$timestamp": nanoseconds}, {"$ext": [type, base64]} or {"$map": [[key, value], ...]}.
    Messages that are no longer kept and a lost connection are reported on standard error;
    -f continues once the broker is back.
    """
    if (count is not None) + (after is not None) + unread > 1:
        raise click.UsageError("use only one of -n, --after and --unread")
    if resume is not None and unread:
        raise click.UsageError("use only one of --resume and --unread")
    if resume is None:
        _show(url, user, room, count, after, unread, following, as_json)
    else:
        _resume(url, user, room, count, after, resume, following, as_json)


def _show(
    url: str,
    user: str | None,
    room: str,
    count: int | None,
    after: int | None,
    unread: bool,
    following: bool,
    as_json: bool,
) -> None:
    with connect(url, user) as client:
        with room_named(room):
            joined = client.join(room, create=False) if following else None
            newest = client.history(room, limit=1)
        end = newest[-1].seq if newest else 0
        if joined is not None:  # what comes after its position arrives by itself
            end = joined.position.seq
        if unread:
            start = _read_upto(client, room)
            output = Output(as_json, joined.mark_read if joined is not None else partial(client.mark_read, room))
        else:
            start = _start(end, count, after)
            output = Output(as_json)
        write_history(client, room, start, end, output, gap_matters=after is not None)
        if following:
            follow(client, output)


def _resume(
    url: str,
    user: str | None,
    room: str,
    count: int | None,
    after: int | None,
    path: str,
    following: bool,
    as_json: bool,
) -> None:
    """Go on after the position that a file keeps; if it keeps none yet, begin like `_show`."""
    with connect(url, user) as client, ResumeFile(path, room, client.user) as resume:
        kept = resume.position
        with room_named(room):
            joined = client.join(room, after=kept, create=False)
            newest = client.history(room, limit=1)
        end = joined.position.seq
        output = ResumableOutput(as_json, resume, joined, _start(end, count, after) if kept is None else end)
        try:
            if kept is None:
                write_history(client, room, output.last, end, output, gap_matters=after is not None)
            output.follow()
            if following:
                follow(client, output)
            elif kept is not None:
                catch_up(client, joined, newest[-1].seq if newest else 0, output)
        finally:
            output.close()


def _start(end: int, count: int | None, after: int | None) -> int:
    """Return the seq after which to begin in a log that ends at `end`."""
    if after is not None:
        return min(after, end)
    return max(0, end - (COUNT if count is None else count))


def _read_upto(client: Client, room: str) -> int:
    """Return the seq after which everything in a room is unread; 0 if the user never read it."""
    for info in client.rooms():
        if fold(info.name) == fold(room) and info.unread is not None:
            return info.last - info.unread
    return 0
