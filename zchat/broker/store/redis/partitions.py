"""Where things lie in Redis: 64 partitions, fixed for ever, and the names of their keys.

A room lies in the partition of its folded name. All keys of a partition have the same hash tag, so that one script may
reach them all, in a cluster too; the tags are chosen so that their slots lie evenly among the 16,384 that it has.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import NamedTuple

# fmt: off
TAGS = (
    40821, 5469, 3017, 2113, 574, 18834, 8518, 26368, 18617, 19713, 47996, 39599, 13318, 40602, 7842, 6946,
    3124, 2020, 40912, 41816, 46782, 15298, 447, 17090, 48132, 49036, 4093, 5197, 7971, 6875, 16559, 40731,
    712, 21474, 22778, 29899, 1079, 69524, 3271, 2375, 41560, 4928, 11376, 10272, 18471, 931, 9859, 11998,
    11688, 9749, 621, 12584, 3342, 2246, 4638, 69417, 8280, 9384, 41453, 12149, 29789, 22868, 1587, 802,
)
# fmt: on
"""The hash tags of the partitions: the shortest decimals whose slots are 128, 384, 640 and so on."""

PARTITIONS = len(TAGS)


def partition_of(folded: str) -> int:
    """Return the partition of the room with a folded name."""
    return crc_hqx(folded.encode(), 0) % PARTITIONS


class Shelf(NamedTuple):
    """The keys of one partition, those of a room or of a producer apart.

    Integers in packed values are big-endian and have 64 bits; all stay below 2**53, which Lua's numbers hold exactly.
    """

    info: bytes
    """A hash: `run`, the server's run that the partition is attached to; `epoch`, the present one; `gens`, the last
    generation given out, and `g:` with a broker's id, the one that this has; `l` and `n`, how often logs and all
    else have changed; `copy`, the id of the copy that is being made. In partition 0 also `s`, the number of the last
    sanction."""
    ends: bytes
    """A hash: folded name to first seq, last seq, time of the last block and its epoch, packed."""
    names: bytes
    """A hash: folded name to the maker's folded name, NUL, and the room's name as it was spelt."""
    epochs: bytes
    """A hash: folded name to the last 1,000 epochs, each with its first seq, packed."""
    marks: bytes
    """A hash: folded name, NUL, folded user to the read mark's seq and the time at which it moved, packed."""
    producers: bytes
    """A sorted set: producer, folded user, NUL, folded name by the time of the last block."""
    feed: bytes
    """A channel: what has changed, told to all brokers; see `zchat.broker.store.redis.notices`."""


class Keys:
    """The keys of a store whose names all begin with `prefix`."""

    __slots__ = (
        *("bases", "brokers", "confirmed", "counts", "format", "holder", "old_senders", "pattern", "sanctions"),
        "shelves",
    )

    def __init__(self, prefix: str) -> None:
        self.bases = [f"{prefix}:{{{tag}}}:".encode() for tag in TAGS]
        """What the names of all keys of each partition begin with."""
        self.pattern = f"{prefix}:{{*".encode()
        """What SCAN finds all of them by, and hardly others."""
        self.shelves = [Shelf(*(base + kind.encode() for kind in Shelf._fields)) for base in self.bases]
        """The keys of each partition."""
        first = self.bases[0]
        self.format = first + b"format"
        """A string: the number of the format of all this; or `copying:` and an id, while it is made as a copy."""
        self.holder = first + b"holder"
        """A string that expires: the id of the broker that tends the store: it trims logs and forgets producers."""
        self.brokers = first + b"brokers"
        """A sorted set: the ids of the brokers by the time, in milliseconds, at which they last said that they are
        there."""
        self.confirmed = first + b"confirmed"
        """A string that says nothing: it is written when replicas are to be waited for."""
        self.sanctions = first + b"sanctions"
        """A hash: folded room, NUL, folded user, NUL, kind to number, folded moderator, NUL and the rest, packed."""
        self.counts = first + b"counts"
        """A hash: how many sanctions there are, by `room`, NUL and its folded name, and by `by`, NUL and the
        moderator's."""
        self.old_senders = first + b"senders"
        """A set: the users whose names break the rules for new ones, of a store that is older than the rules."""

    def log(self, partition: int, folded: bytes) -> bytes:
        """Return the key of a room's log.

        It is a stream: the id of each entry is a block's last seq, its field `h` the beginning of the block with its
        first seq and time, and `s` the rest, so that `h` and `s` together are the block as the protocol has it.
        """
        return b"%slog:%s" % (self.bases[partition], folded)

    def here(self, partition: int, broker: bytes) -> bytes:
        """Return the key of who is where by a broker's sessions.

        It is a hash: folded room, NUL, folded user to the time since when, and the room's maker, its name and the
        user's, packed. It goes with the broker.
        """
        return b"%shere:%s" % (self.bases[partition], broker)

    def seen(self, partition: int, producer: bytes, folded: bytes) -> bytes:
        """Return the key of what is remembered of a producer in a room.

        It is a hash: `n`, its last number; `c`, the greatest number of a connection; `u`, its folded user; `gone`, if
        it has said goodbye and is known for a while, for blocks that come late; and `r0` to `r15`, where its last 16
        blocks went: number, first seq, count, time and epoch, packed, and a digest.
        """
        return b"%sseen:%s%s" % (self.bases[partition], producer, folded)
