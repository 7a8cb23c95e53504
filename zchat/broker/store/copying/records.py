"""What a store keeps, one record after the other, and by which it is told whether two stores keep the same.

A room comes first, and then what it has: read marks, producers, and its blocks in their order; the next room after
that, and what is of no room last. Rooms come in any order, and so does what they have besides blocks.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from zchat.broker.store.contract import Sanction
from zchat.broker.store.epochs import Epoch
from zchat.errors import StoreError
from zchat.wire.values import pack

FINGERPRINT_BYTES = 16
"""Bytes of the digests that two stores are compared by: no two of as many records as there can be have the same."""


class RoomRecord(NamedTuple):
    """A room, and the ends of its log: an empty one has `first == last + 1`."""

    name: str
    maker: str
    first: int
    last: int
    timestamp: int
    """The time of its last block, whether that is still there or not."""
    epochs: tuple[Epoch, ...]


class ReadMarkRecord(NamedTuple):
    """How far a user, by folded name, has read the room, and when that mark moved, 0 if that is not known."""

    user: str
    seq: int
    moved: int


class Result(NamedTuple):
    """Where one block of a producer went."""

    first: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    timestamp: int
    epoch: int
    digest: bytes = b""
    """A digest of its bodies, which not every store has; b"" for none."""


class ProducerRecord(NamedTuple):
    """What is remembered of a producer in the room: its last number, and the results of its last blocks."""

    producer: bytes
    user: str
    """Whose it is, by folded name, "" if that is not known."""
    last: int
    seen: int
    results: tuple[Result, ...]
    connection: int = 0
    """The greatest number of a connection that its blocks came over, which not every store has."""


class BlockRecord(NamedTuple):
    """A block of the room."""

    first: int
    last: int
    timestamp: int
    producer: bytes
    suffix: bytes
    """The block, as the protocol has it, after its time."""


class OldSender(NamedTuple):
    """A user whose name breaks the rules for new ones; see `Store.old_senders`."""

    user: str


Record: TypeAlias = RoomRecord | ReadMarkRecord | ProducerRecord | BlockRecord | Sanction | OldSender


class Tally:
    """How many records of each kind a store has, and their fingerprint, whatever order their rooms come in.

    `place` is where the store is, for errors.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._room: RoomRecord | None = None
        self._due = 1
        """The first seq of the room's next block."""
        self._fingerprint = 0
        self.rooms = 0
        self.messages = 0
        self.newest = 0
        """When the newest message was stored, in microseconds since 1970; 0 without any."""
        self.read_marks = 0
        self.producers = 0
        self.sanctions = 0

    def add(self, record: Record) -> None:
        """Count one more record.

        Raises:
            StoreError: the blocks of a room are not all there.
        """
        of_room = True
        what: tuple[object, ...] = record
        if isinstance(record, BlockRecord):
            if record.first != self._due:
                self._refuse()
            self._due = record.last + 1
            self.messages += record.last - record.first + 1
        elif isinstance(record, RoomRecord):
            self._end_room()
            self._room, self._due = record, record.first
            self.rooms += 1
            self.newest = max(self.newest, record.timestamp)
        elif isinstance(record, ReadMarkRecord):
            self.read_marks += 1
        elif isinstance(record, ProducerRecord):
            what = (*record[:4], [result[:3] for result in record.results])  # what every store has
            self.producers += 1
        else:
            of_room = False
            self.sanctions += isinstance(record, Sanction)
        room = self._room.name if of_room and self._room is not None else ""
        digest = blake2b(pack((type(record).__name__, room, what)), digest_size=FINGERPRINT_BYTES).digest()
        self._fingerprint = (self._fingerprint + int.from_bytes(digest)) % (1 << 8 * FINGERPRINT_BYTES)

    def end(self) -> None:
        """See that all has come, after the last record; raises StoreError."""
        self._end_room()

    def is_like(self, other: Tally) -> bool:
        """Return whether another store keeps the same."""
        return self._fingerprint == other._fingerprint

    def _end_room(self) -> None:
        if self._room is not None and self._due != self._room.last + 1:
            self._refuse()

    def _refuse(self) -> None:
        assert self._room is not None
        raise StoreError(
            f"{self.place} is damaged: of the room {self._room.name!a} there is no message {self._due}; "
            "restore a backup"
        )
