"""Messages, positions, rooms and members, as a reader receives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, TypeVar

from zchat.stats import BusyRoom as BusyRoom  # pickles written by version 0.1.0 name these three here
from zchat.stats import Histogram as Histogram
from zchat.stats import Stats as Stats

T = TypeVar("T")


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


new_message: Callable[[tuple[str, int, int, str, Any]], Message] = partial(tuple.__new__, Message)
"""As `Message._make`, without a call of Python's."""


def messages_from(
    room: str, seqs: Iterable[int], timestamps: Iterable[int], users: Iterable[str], bodies: Iterable[Any]
) -> Iterator[Message]:
    """Return the messages of these columns, each made as it is taken; as many as the shortest column has."""
    return map(new_message, zip(repeat(room), seqs, timestamps, users, bodies, strict=False))


class Batch:
    """Messages of a room that came together, one at least, as `Room.batches` and `Client.history_batch` give them.

    `len(batch)` counts them. Iteration gives each as a `Message`, made as it is taken, as often as it
    is asked for. The columns `bodies`, `seqs`, `users` and `timestamps` are lists in the same order, made when
    they are first asked for and kept; no `Message` is made for them, and the batch doesn't change with them.
    Nothing here waits, and nothing fails. Any thread.
    """

    __slots__ = ("_bodies", "_columns", "_seqs", "_timestamps", "_users", "position", "room")

    def __init__(
        self,
        room: str,
        position: Position,
        seqs: Sequence[int],
        timestamps: Sequence[int],
        users: Sequence[str],
        bodies: list[Any],
    ) -> None:
        self.room = room
        """The room's name, as `Message.room`."""
        self.position = position
        """The position after its last message: kept once the batch is handled, it is where to join again."""
        self._seqs = seqs  # the last ones are the bodies', as in the next two
        self._timestamps = timestamps
        self._users = users
        self._bodies = bodies
        self._columns: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def __iter__(self) -> Iterator[Message]:
        begin = -len(self._bodies)
        return messages_from(self.room, self._seqs[begin:], self._timestamps[begin:], self._users[begin:], self._bodies)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.room!r}: {self.first} to {self.last}>"

    @property
    def first(self) -> int:
        """Return the seq of the first message."""
        return self._seqs[-len(self._bodies)]

    @property
    def last(self) -> int:
        """Return the seq of the last message; between the two, this client's own may be missing."""
        return self._seqs[-1]

    @property
    def bodies(self) -> list[Any]:
        """Return what was sent: texts, or any other MessagePack values."""
        return self._column("bodies", self._bodies)

    @property
    def seqs(self) -> list[int]:
        """Return the numbers in the room, which grow."""
        return self._column("seqs", self._seqs)

    @property
    def users(self) -> list[str]:
        """Return who has sent each."""
        return self._column("users", self._users)

    @property
    def timestamps(self) -> list[int]:
        """Return when each was stored, in microseconds since 1970 (UTC)."""
        return self._column("timestamps", self._timestamps)

    def _column(self, name: str, values: Sequence[T]) -> list[T]:
        made = self._columns.get(name)
        if made is None:
            own = values[-len(self._bodies) :]  # a copy already, if it is a list
            made = own if isinstance(own, list) else list(own)
            made = self._columns.setdefault(name, made)  # of several threads' the first one counts
        return made


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


class Sanction(NamedTuple):
    """A ban or a mute of a user, or the closing of a room, that is in force."""

    room: str | None
    """The room; None for the broker as a whole."""
    user: str
    """The user; "" if the room is closed."""
    kind: str
    """`ban`, `mute` or `closed`."""
    until: float | None
    """When it ends by itself, in seconds since 1970; None if it doesn't."""
    by: str
    """The moderator who made it."""
    at: float
    """When it was made, in seconds since 1970."""
    reason: str
    """Why, in the moderator's words; "" for none."""


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
