"""`zchat tail`: read a room."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterator
from functools import partial

import click

from zchat import Client, Room
from zchat.cli.connection import connect
from zchat.cli.failures import interruptible, room_named, tell
from zchat.cli.options import check_room, connecting
from zchat.cli.tail.output import Output
from zchat.cli.tail.resume import Resume
from zchat.cli.text.phrases import connection_text, gap_text
from zchat.errors import DeadlineExceeded
from zchat.events import Disconnected, Event, Gap, Reconnected
from zchat.messages import GapReason, Message, Position
from zchat.names import fold
from zchat.wire.limits import MAX_INT

PAGE = 1000
"""Messages asked for at once: few requests, and little memory for a long history."""

SILENCE = 5.0
"""Seconds that `--resume` without `-f` waits for the next of the messages that are there."""

LOOK = 1.0
"""Seconds after which a quiet `-f` looks whether anyone still reads its output."""


@click.command(short_help="Show the end of a room, and what comes.")
@click.argument("room", callback=check_room)
@click.option(
    "-n", "count", type=click.IntRange(min=0), metavar="N", help="Begin with the last N messages.  [default: 10]"
)
@click.option(
    "--after", type=click.IntRange(0, MAX_INT), metavar="SEQ", help="Begin behind message SEQ (0: at the start)."
)
@click.option("--unread", is_flag=True, help="Begin with what is new to you, and mark as read what is shown.")
@click.option("--resume", metavar="FILE", help="Go on where the last run ended, which FILE keeps.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is said from now on, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: room, seq, timestamp, user, body.")
@connecting
def tail(
    url: str,
    user: str | None,
    room: str,
    count: int | None,
    after: int | None,
    unread: bool,
    resume: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the end of what was said in ROOM, which must exist.

    \b
    Examples:
      zchat tail General                      the last 10 messages
      zchat tail -n 0 -f Builds | grep FAIL   what comes, filtered
      zchat tail --after 0 --json General     everything, for a program
      zchat tail --unread General             what you have not read yet
      zchat tail -f --resume seen General     go on where the last run ended

    In JSON, timestamp is in microseconds since 1970 (UTC), and a body that is no text keeps
    its form; what JSON lacks becomes {"$bytes": base64}, {"$float": "NaN"},
    {"$timestamp": nanoseconds}, {"$ext": [type, base64]} or {"$map": [[key, value], ...]}.
    Messages that are no longer kept are told on standard error, and so is a lost connection:
    -f goes on once there is a broker again.
    """
    if (count is not None) + (after is not None) + unread > 1:
        raise click.UsageError("-n, --after and --unread exclude each other; leave all but one out")
    if resume is not None and unread:
        raise click.UsageError("--resume and --unread exclude each other; leave one of them out")
    output = Output(as_json)
    if resume is not None:
        last = 10 if count is None else count
        _resumed(
            url,
            user,
            room,
            lambda end: max(0, end - last) if after is None else min(after, end),
            after is not None,
            follow,
            resume,
            output,
        )
        return
    with connect(url, user) as client:
        with room_named(room):
            followed = client.join(room, create=False) if follow else None
            newest = client.history(room, limit=1)
        end = newest[-1].seq if newest else 0
        if followed:  # what is behind its position comes by itself
            end = followed.position.seq
        if unread:
            after = _read_upto(client, room)
            output.written = followed.mark_read if followed else partial(client.mark_read, room)
        start = max(0, end - (10 if count is None else count)) if after is None else after
        _history(client, room, start, end, asked=after is not None and not unread, output=output)
        if followed:
            _follow(client, output)


def _resumed(
    url: str,
    user: str | None,
    room: str,
    begin: Callable[[int], int],
    asked: bool,
    follow: bool,
    path: str,
    output: Output,
) -> None:
    """Go on behind the position that a file keeps; if it keeps none, behind `begin` of the log's end.

    `asked`: whoever runs it said where to begin, and is told if that isn't kept any more.
    """
    with connect(url, user) as client, Resume(path, room, client.user) as resume, interruptible():
        kept = resume.position
        with room_named(room):
            joined = client.join(room, after=kept, create=False)
            newest = client.history(room, limit=1)
        start = joined.position
        output.last = start.seq if kept else begin(start.seq)
        output.where = lambda: Position(start.epoch, output.last)
        output.resume = resume
        try:
            if kept is None:
                _history(client, room, output.last, start.seq, asked=asked, output=output)
            output.where = lambda: joined.position
            output.flush()
            if follow:
                _follow(client, output)
            elif kept is not None:
                _catch_up(client, joined, newest[-1].seq if newest else 0, output)
        finally:
            output.close()


def _read_upto(client: Client, room: str) -> int:
    """Return the seq behind which everything in a room is new to the user; 0 if it never was read."""
    for info in client.rooms():
        if fold(info.name) == fold(room) and info.unread is not None:
            return info.last - info.unread
    return 0


def _history(client: Client, room: str, after: int, upto: int, asked: bool, output: Output) -> None:
    """Write what lies after `after` up to `upto`; tell a gap at the front only if its start was `asked` for."""
    while after < upto:
        page = client.history(room, after=after, before=upto + 1, limit=PAGE)
        first = page[0].seq if page else upto + 1
        if first > after + 1 and asked:
            tell(gap_text(Gap(room, after, first - 1, GapReason.TRIMMED)))
        for message in page:
            output.write(message)
        output.flush()
        asked = True
        after = page[-1].seq if page else upto


def _follow(client: Client, output: Output) -> None:
    for number, message in enumerate(_coming(client), 1):
        if message is not None:
            output.write(message)
        if message is None or number % PAGE == 0:
            output.flush()
            _stop_if_nobody_reads()


def _catch_up(client: Client, room: Room, end: int, output: Output) -> None:
    """Write what comes until the room is read up to `end`; a log that ends before the position owes a gap first.

    Raises:
        DeadlineExceeded: nothing came.
    """
    parted = room.position.seq > end
    while parted or room.position.seq < end:
        for event in client.events(timeout=SILENCE):
            message = _message(event)
            if message is not None:
                output.write(message)
                if message.seq < end or parted:
                    continue
            output.flush()
            if isinstance(event, Gap) and event.reason != GapReason.TRIMMED:
                parted, end = False, max((each.seq for each in client.history(room.name, limit=1)), default=0)
            break
        else:
            raise DeadlineExceeded(f"the broker sent nothing of {room.name} for {SILENCE:g} s; try again")
    for event in client.events(timeout=0):  # a gap that is of no length
        message = _message(event)
        if message is not None:
            output.write(message)
    output.flush()


def _coming(client: Client) -> Iterator[Message | None]:
    """Yield messages as they come, and None when there is none for the moment; tell of all else."""
    while True:
        yield from map(_message, client.events(timeout=0))
        yield None
        for event in client.events(timeout=LOOK):
            yield _message(event)
            break


def _message(event: Event) -> Message | None:
    if isinstance(event, Message):
        return event
    if isinstance(event, Gap):
        tell(gap_text(event))
    elif isinstance(event, (Disconnected, Reconnected)):
        tell(connection_text(event))
    return None


def _stop_if_nobody_reads() -> None:
    if hasattr(select, "poll") and not sys.stdout.isatty():
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            raise BrokenPipeError
