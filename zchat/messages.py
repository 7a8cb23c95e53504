"""Messages, positions, rooms and members, as a reader receives them."""

from __future__ import annotations

from typing import Any, NamedTuple

from zchat.stats import BusyRoom as BusyRoom  # pickles written by version 0.1.0 name these three here
from zchat.stats import Histogram as Histogram
from zchat.stats import Stats as Stats


class Position(NamedTuple):
    """How far a room's log has been read: everything up to `seq`, in the log's `epoch`."""

    epoch: int
    seq: int


START = Position(0, 0)
"""The beginning of every log."""


class Message(NamedTuple):
    """One message of a room's log.

    A tuple, because readers receive it by the million and a frozen dataclass takes several times as
    long to make (docs/benchmarks.md).
    """

    room: str
    seq: int
    """Its number in the room: 1, 2, 3 …"""
    timestamp: int
    """When it was stored, in microseconds since 1970 (UTC)."""
    user: str
    body: Any
    """What was sent: text, or any other MessagePack value."""


class RoomInfo(NamedTuple):
    """A room in the list of rooms."""

    name: str
    members: int
    """How many distinct users are in it."""
    first: int
    """The first seq that can be read; `last + 1` if there is none."""
    last: int
    """The last seq of the log."""
    unread: int | None = None
    """How many messages after the user's read mark can be read; None if the user has no mark there."""


class Member(NamedTuple):
    """A user in a room."""

    user: str
    since: int
    """When the user joined, in microseconds since 1970 (UTC)."""
    mark: int
    """The seq up to which the user has marked the room as read; 0 if not at all."""
    typing: bool
    """True if the user is typing."""


class GapReason:
    """Why messages are not available."""

    TRIMMED = "trimmed"
    """Retention removed them."""
    RESET = "reset"
    """The room's log is not the one that the position belongs to: a memory store was restarted, a file restored."""
    TAIL_LOST = "tail_lost"
    """The log lost its end after the position was given out."""
    WITHHELD = "withheld"
    """They are from before the user joined, and the broker's rules don't let the user read these."""


SAME_LOG = frozenset((GapReason.TRIMMED, GapReason.WITHHELD))
"""The reasons of a gap after which reading continues in the log that it began in."""
