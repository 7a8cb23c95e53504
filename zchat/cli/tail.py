"""`zchat tail`: read a room."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterator
from functools import partial

import click

from zchat import Client
from zchat.cli.connection import connect
from zchat.cli.failures import room_named, tell
from zchat.cli.options import check_room, connecting
from zchat.cli.show import Display, gap_text, json_line, link_text
from zchat.events import Disconnected, Event, Gap, Reconnected
from zchat.messages import GapReason, Message
from zchat.names import fold
from zchat.wire import MAX_INT

PAGE = 1000
"""Messages asked for at once: few requests, and little memory for a long history."""

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

    In JSON, timestamp is in microseconds since 1970 (UTC), and a body that is no text keeps
    its form; what JSON lacks becomes {"$bytes": base64}, {"$float": "NaN"},
    {"$timestamp": nanoseconds}, {"$ext": [type, base64]} or {"$map": [[key, value], ...]}.
    Messages that are no longer kept are told on standard error, and so is a lost connection:
    -f goes on once there is a broker again.
    """
    if (count is not None) + (after is not None) + unread > 1:
        raise click.UsageError("-n, --after and --unread exclude each other; leave all but one out")
    output = _Output(as_json)
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


class _Output:
    """Write messages to standard output, whole batches at a time.

    `written` is called with the seq of the last message of each batch that was written.
    """

    written: Callable[[int], object] | None = None

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._display = Display()
        self._clean = True
        self._last = 0

    def write(self, message: Message) -> None:
        line = json_line(message._asdict()) if self._as_json else self._display.message(message)
        sys.stdout.write(line + "\n")
        self._clean = False
        self._last = message.seq

    def flush(self) -> None:
        if not self._clean:
            sys.stdout.flush()
            self._clean = True
            if self.written is not None:
                self.written(self._last)


def _read_upto(client: Client, room: str) -> int:
    """Return the seq behind which everything in a room is new to the user; 0 if it never was read."""
    for info in client.rooms():
        if fold(info.name) == fold(room) and info.unread is not None:
            return info.last - info.unread
    return 0


def _history(client: Client, room: str, after: int, upto: int, asked: bool, output: _Output) -> None:
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


def _follow(client: Client, output: _Output) -> None:
    for message in _coming(client):
        if message is None:
            output.flush()
            _stop_if_nobody_reads()
        else:
            output.write(message)


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
        tell(link_text(event))
    return None


def _stop_if_nobody_reads() -> None:
    if hasattr(select, "poll") and not sys.stdout.isatty():
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            raise BrokenPipeError
