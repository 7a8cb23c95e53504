"""What a store is: the contract that every implementation keeps.

A store holds the rooms' logs. The loop thread calls it; no call blocks on a disk or a network.
`append`, `mark`, `read`, `trim` and `forget` are carried out in the order of their calls, each kind
for itself, and end by calling their `done` once, in the loop thread: at once, within the call, or
later within `poll`. When something waits for `poll`, the store calls the `wake` that it was
opened with (from any thread).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from zchat.broker.store.blocks import Block
from zchat.broker.store.epochs import Epoch

RESULTS = 16
"""Results remembered a producer and room: as many blocks as a session may have unanswered."""

MAX_PRODUCERS = 100_000
"""Pairs of producer and room remembered: 60 to 100 MB; a new one beyond it is told to try later."""

PRODUCER_DAY = 86_400 * 1_000_000
"""Microseconds after its last block at which a producer is forgotten: longer than any outage."""

MAX_MARKS = 100_000
"""Read marks kept, one a room and user: 25 MB, 0.3 s of an opening; a new one beyond it is refused, others move."""

CLOSE_SECONDS = 1.5
"""Seconds that closing may block unless told otherwise: several commits of a slow disk."""

TRIM_BLOCKS = 64
"""Blocks that one trim removes at most: 64 of 85 KB each take SQLite 10 to 20 ms, in which no commit runs."""


class Append(NamedTuple):
    """Ask to store one block: its producer's number for the room, who sends, and the checked bodies."""

    room: str
    producer: bytes
    number: int
    user: str
    bodies: bytes
    count: int  # type: ignore[assignment]  # a tuple has a method of that name


class Stored(NamedTuple):
    """Answer that the block is stored and safe, in `epoch`."""

    block: Block
    epoch: int


class Duplicate(NamedTuple):
    """Answer that the producer's block of that number is stored already, and where."""

    first: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    timestamp: int


class OutOfSequence(NamedTuple):
    """Answer that another number is due: go back to `expected`."""

    expected: int


class ForgottenProducer(NamedTuple):
    """Answer that the producer goes on numbering but isn't known (any more)."""


class Marked(NamedTuple):
    """Answer that a user's mark in a room is stored and safe, and where it now stands."""

    seq: int


class Full(NamedTuple):
    """Answer that a bound of the store is reached; `reason` says which."""

    reason: str


class Failed(NamedTuple):
    """Answer that the store could not do it; `reason` says why, in the words of the disk."""

    reason: str


class Page(NamedTuple):
    """Answer a read: whole blocks in order; none if there is nothing behind the position."""

    blocks: list[Block]


class Trimmed(NamedTuple):
    """Answer a trim: the first seq that the room now has, and whether more is to be trimmed."""

    first: int
    more: bool


class Commit(NamedTuple):
    """Tell of one commit: how many microseconds it took, and how many bytes of blocks are in it."""

    microseconds: int
    size: int


class RoomLog(NamedTuple):
    """Describe a room's log at the opening of the store. An empty log has `first == last + 1`."""

    name: str
    first: int
    last: int
    epochs: tuple[Epoch, ...]


Appended: TypeAlias = Stored | Duplicate | OutOfSequence | ForgottenProducer | Full | Failed


class Store(ABC):
    """Keep the logs of rooms. Every method belongs to the loop thread."""

    @abstractmethod
    def open(self, wake: Callable[[], None]) -> list[RoomLog]:
        """Make the store ready and return the rooms that have a log; may block.

        `wake` is called, from any thread, whenever `poll` has something to do.

        Raises:
            StoreError: it can't be opened: the place, another program's file, a newer schema,
                another broker.
        """

    @abstractmethod
    def append(self, append: Append, done: Callable[[Appended], None]) -> None:
        """Store one block: number its messages, give it its time, know duplicates, in one step.

        The producer's next number is stored; one that is remembered is a `Duplicate`; one
        below what is remembered, or above the next, is `OutOfSequence`; one other than 1 of
        an unknown producer is a `ForgottenProducer`. A block that isn't stored uses up no
        number. The first block of a room since the opening, or since a failure, begins an epoch,
        a random number.
        `Stored` comes when the block is as safe as the store makes it, and not before can it
        be read. After a failure everything that was waiting behind it fails too, in order.
        """

    @abstractmethod
    def mark(self, room: str, user: str, seq: int, done: Callable[[Marked | Full | Failed], None]) -> None:
        """Store how far `user`, a folded name, has read a room that has a log.

        A mark never goes back: a lower `seq` is answered with the mark that stands; and never
        beyond the room's last seq, which a higher one becomes. The room's trimming doesn't move it.
        `Marked` comes when the mark is as safe as the store makes it, and after every block
        that was appended before. `Failed`: the room has no log, or as with `append`.
        """

    @abstractmethod
    def marks(self) -> list[tuple[str, str, int]]:
        """Return every mark: room, folded user, seq. To be asked once, right after `open`."""

    @abstractmethod
    def read(
        self, room: str, after: int, upto: int, max_bytes: int, done: Callable[[Page | Full | Failed], None]
    ) -> None:
        """Read whole blocks from the one that holds `after` + 1 (or the first kept behind it) on.

        The first comes however large, more as long as all have `max_bytes` at most, none that
        begins behind `upto`. `Full`: too many reads are waiting.
        """

    @abstractmethod
    def trim(self, room: str, keep: int, before: int, done: Callable[[Trimmed | Failed], None]) -> None:
        """Remove a room's oldest whole blocks, a bounded number in one call.

        A block goes if at least `keep` messages follow it (0: no such rule), or if it was
        stored before `before`, in microseconds since 1970 (0: no such rule).
        """

    @abstractmethod
    def forget(self, producer: bytes) -> None:
        """Forget the numbers and results of a producer that said goodbye."""

    @abstractmethod
    def poll(self) -> None:
        """Call what is done, in the loop thread; returns soon, and calls `wake` if more waits for another call.

        Raises:
            StoreError: the store has failed for good and will answer no more; close it.
        """

    @abstractmethod
    def trimmed(self) -> list[tuple[str, int]]:
        """Return rooms that the store trimmed by itself since the last call, with their new first seq."""

    def commits(self) -> list[Commit]:
        """Return the commits that were told of since the last call, in order; a store that makes none has none."""
        return []

    @abstractmethod
    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Finish what was appended, call what is done, and let go of everything; may block for `seconds`."""
