"""What a reader gets: messages, positions and rooms."""

from __future__ import annotations

from typing import Any, NamedTuple

from zchat.stats import BusyRoom as BusyRoom  # pickles of 0.1.0 look for these three here
from zchat.stats import Histogram as Histogram
from zchat.stats import Stats as Stats


class Position(NamedTuple):
    """Say how far a room's log has been read: everything up to `seq`, in the log's `epoch`.

    `Position(0, 0)` is the beginning of every log.
    """

    epoch: int
    seq: int


START = Position(0, 0)


class Message(NamedTuple):
    """Hold one message of a room's log.

    `seq` counts 1, 2, 3 … in its room; `timestamp` is when it was stored, in microseconds
    since 1970 (UTC); `body` is what was sent: text, or any other MessagePack value.

    A tuple, because readers get it by the million and a frozen dataclass takes several times as
    long to make (docs/benchmarks.md).
    """

    room: str
    seq: int
    timestamp: int
    user: str
    body: Any


class RoomInfo(NamedTuple):
    """Describe a room: distinct users in it, the first and last seq that can be read, and what is new there.

    An empty log has `first == last + 1`. `unread` counts the messages behind the own user's mark,
    as far as they can be read; None if the user has marked nothing there.
    """

    name: str
    members: int
    first: int
    last: int
    unread: int | None = None


class Member(NamedTuple):
    """Describe a user in a room: here since when (microseconds since 1970, UTC), read up to which seq, typing."""

    user: str
    since: int
    mark: int
    typing: bool


class GapReason:
    """Name why messages can't be had.

    `TRIMMED`: retention removed them. `RESET`: the room's log is another one than the one the
    position was in (a memory store restarted, a file restored from a backup). `TAIL_LOST`: the
    log lost its end after the position was given out.
    """

    TRIMMED = "trimmed"
    RESET = "reset"
    TAIL_LOST = "tail_lost"
