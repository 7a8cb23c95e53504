"""How `zchat tail` reads a room: its history, and what arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import NamedTuple

from zchat import Client, Room
from zchat.cli.failures import report
from zchat.cli.streams import READER_SECONDS, check_reader
from zchat.cli.tail.output import Output
from zchat.cli.text.phrases import connection_text, gap_text, removed_text
from zchat.cli.text.safe import named
from zchat.errors import DeadlineExceeded, ZchatError
from zchat.events import Disconnected, Event, Gap, Reconnected, Removed
from zchat.messages import SAME_LOG, GapReason, Message

PAGE = 1000
"""Messages requested at once: few requests, and little memory for a long history."""

MIN_PAGE = 50
"""The fewest messages requested at once, of each of many rooms."""

LAST = 10_000
"""Messages that are still written at the end: more than those that have come may be on their way."""

SILENCE = 5.0
"""Seconds that `--resume` without `-f` waits for the next of the messages that exist."""


class Stretch(NamedTuple):
    """A part of a room's log: the messages after seq `after` up to `upto`."""

    room: str
    after: int
    upto: int


def write_history(client: Client, stretches: list[Stretch], output: Output, *, gap_matters: bool) -> None:
    """Write parts of the logs of rooms, merged by time.

    If messages at the front are no longer kept, that is reported only if `gap_matters`.
    """
    page = max(PAGE // max(1, len(stretches)), MIN_PAGE)
    parts = [_messages(client, stretch, page, gap_matters) for stretch in stretches]
    for number, message in enumerate(merge(*parts, key=_timestamp), 1):
        output.write(message)
        if number % PAGE == 0:
            output.flush()
    output.flush()


def _messages(client: Client, stretch: Stretch, most: int, gap_matters: bool) -> Iterator[Message]:
    room, after, upto = stretch
    while after < upto:
        page = client.history(room, after=after, before=upto + 1, limit=most)
        first = page[0].seq if page else upto + 1
        if first > after + 1 and gap_matters:
            report(gap_text(Gap(room, after, first - 1, GapReason.TRIMMED)))
        yield from page
        gap_matters = True
        after = page[-1].seq if page else upto


def _timestamp(message: Message) -> int:
    return message.timestamp


def last_seq(client: Client, room: str) -> int:
    """Return the last seq of a room's log, 0 if that is empty."""
    return max((message.seq for message in client.history(room, limit=1)), default=0)


def seq_before(client: Client, room: str, end: int, since: int) -> int:
    """Return the seq after which all messages up to `end` are of the time `since` or later, by bisection."""
    after = 0
    while after < end:
        middle = (after + end) // 2
        page = client.history(room, after=middle, before=end + 1, limit=1)
        if page and page[0].timestamp < since:
            after = page[0].seq
        else:
            end = middle
    return after


def follow(client: Client, output: Output) -> None:
    """Write messages as they arrive, until the client ends or nobody reads the output.

    What has come by then in other rooms is written too, some of it with the next `flush`.

    Raises:
        ZchatError: the user is in one of the rooms no longer, or why the client has ended.
    """
    try:
        for number, message in enumerate(arriving(client, output), 1):
            if message is not None:
                output.write(message)
            if message is None or number % PAGE == 0:
                output.flush()
                check_reader()
    except ZchatError:
        with suppress(ZchatError):
            for event in islice(client.events(timeout=0), LAST):
                if isinstance(event, Message):
                    output.write(event)
        raise


def catch_up(client: Client, room: Room, end: int, output: Output) -> None:
    """Write what arrives until the room is read up to seq `end`.

    A log that ends before the room's position is another one: it owes a gap first.

    Raises:
        DeadlineExceeded: nothing arrived.
    """
    parted = room.position.seq > end
    while parted or room.position.seq < end:
        for event in client.events(timeout=SILENCE):
            message = _message(event, output)
            if message is not None:
                output.write(message)
                if message.seq < end or parted:
                    continue
            output.flush()
            if isinstance(event, Gap) and event.reason not in SAME_LOG:
                parted, end = False, last_seq(client, room.name)
            break
        else:
            raise DeadlineExceeded(f"the broker sent nothing from {named(room.name)} for {SILENCE:g} s; try again")
    for event in client.events(timeout=0):  # a gap without length
        message = _message(event, output)
        if message is not None:
            output.write(message)
    output.flush()


def arriving(client: Client, output: Output) -> Iterator[Message | None]:
    """Yield messages as they arrive, and None when there is none for the moment; report all else.

    What was to be written before that is written first.
    """
    while True:
        for event in client.events(timeout=0):
            yield _message(event, output)
        yield None
        for event in client.events(timeout=READER_SECONDS):
            yield _message(event, output)
            break


def _message(event: Event, output: Output) -> Message | None:
    if isinstance(event, Message):
        return event
    if isinstance(event, Gap | Disconnected | Reconnected | Removed):
        output.flush()
    if isinstance(event, Gap):
        report(gap_text(event))
    elif isinstance(event, (Disconnected, Reconnected)):
        report(connection_text(event))
    elif isinstance(event, Removed):
        raise ZchatError(removed_text(event, datetime.now()))
    return None
