"""How `zchat tail` reads a room: its history, and what arrives."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator

from zchat import Client, Room
from zchat.cli.failures import report
from zchat.cli.tail.output import Output
from zchat.cli.text.phrases import connection_text, gap_text
from zchat.errors import DeadlineExceeded
from zchat.events import Disconnected, Event, Gap, Reconnected
from zchat.messages import GapReason, Message

PAGE = 1000
"""Messages requested at once: few requests, and little memory for a long history."""

SILENCE = 5.0
"""Seconds that `--resume` without `-f` waits for the next of the messages that exist."""

POLL_SECONDS = 1.0
"""Seconds after which a quiet `-f` checks whether its output is still read."""


def write_history(client: Client, room: str, after: int, upto: int, output: Output, *, gap_matters: bool) -> None:
    """Write the messages after seq `after` up to `upto`.

    If messages at the front are no longer kept, that is reported only if `gap_matters`.
    """
    while after < upto:
        page = client.history(room, after=after, before=upto + 1, limit=PAGE)
        first = page[0].seq if page else upto + 1
        if first > after + 1 and gap_matters:
            report(gap_text(Gap(room, after, first - 1, GapReason.TRIMMED)))
        for message in page:
            output.write(message)
        output.flush()
        gap_matters = True
        after = page[-1].seq if page else upto


def follow(client: Client, output: Output) -> None:
    """Write messages as they arrive, until the client ends or nobody reads the output."""
    for number, message in enumerate(arriving(client), 1):
        if message is not None:
            output.write(message)
        if message is None or number % PAGE == 0:
            output.flush()
            _stop_if_nobody_reads()


def catch_up(client: Client, room: Room, end: int, output: Output) -> None:
    """Write what arrives until the room is read up to seq `end`.

    A log that ends before the room's position is another one: it owes a gap first.

    Raises:
        DeadlineExceeded: nothing arrived.
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
            raise DeadlineExceeded(f"the broker sent nothing from {room.name} for {SILENCE:g} s; try again")
    for event in client.events(timeout=0):  # a gap without length
        message = _message(event)
        if message is not None:
            output.write(message)
    output.flush()


def arriving(client: Client) -> Iterator[Message | None]:
    """Yield messages as they arrive, and None when there is none for the moment; report all else."""
    while True:
        yield from map(_message, client.events(timeout=0))
        yield None
        for event in client.events(timeout=POLL_SECONDS):
            yield _message(event)
            break


def _message(event: Event) -> Message | None:
    if isinstance(event, Message):
        return event
    if isinstance(event, Gap):
        report(gap_text(event))
    elif isinstance(event, (Disconnected, Reconnected)):
        report(connection_text(event))
    return None


def _stop_if_nobody_reads() -> None:
    if hasattr(select, "poll") and not sys.stdout.isatty():
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
            raise BrokenPipeError
