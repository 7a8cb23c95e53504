"""What every store decides the same way: numbers, times, epochs, and which blocks are duplicates."""

from __future__ import annotations

import random
import time
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import TypeAlias

from zchat.broker.limits import CLOCK_JUMP, MAX_REQUESTS, USER_PRODUCERS, USER_READ_MARKS
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import (
    MAX_PRODUCERS,
    MAX_READ_MARKS,
    TRIM_BLOCKS,
    Append,
    Duplicate,
    Failed,
    ForgottenProducer,
    Full,
    Imposed,
    Lifted,
    Marked,
    NotStored,
    OutOfSequence,
    Places,
    RoomLog,
    Sanction,
    Stored,
    TooMany,
)
from zchat.broker.store.epochs import Epoch, Epochs
from zchat.broker.store.quotas import Quota
from zchat.names import fold
from zchat.wire.blocks import encode_block

MAX_SEQ = (1 << 40) - 1
"""The last seq that a room can have: a key of SQLite's holds it beside 22 bits for the room."""

MAX_ROOMS = (1 << 22) - 1
"""Rooms that a store can number in those 22 bits; a broker's own limit is far below."""

MAX_EPOCH = (1 << 53) - 1
"""The greatest epoch: every language's numbers hold it exactly, JavaScript's too."""

EXPIRED_AT_ONCE = 256
"""Producers forgotten in one call at most: a millisecond of a commit, and more than are made in a second."""

JUMP = int(CLOCK_JUMP * 1_000_000)
"""Microseconds that a room's newest message may be ahead of the clock: what is further was dated by a wrong one."""

_RESULTS = 3 * MAX_REQUESTS
"""Numbers that are remembered of a producer's last blocks, three each."""

AHEAD_BLOCKS = 10_000
"""Blocks ahead of the clock that trimming passes over at most: some milliseconds. A room with more keeps them."""

Decided: TypeAlias = Stored | Duplicate | OutOfSequence | ForgottenProducer | NotStored | Full

ReadMarkDecided: TypeAlias = Marked | Full | Failed

SanctionDecided: TypeAlias = Imposed | Lifted | TooMany

Pair: TypeAlias = tuple[bytes, str]
"""A producer and the name of a room."""

MarkOf: TypeAlias = tuple[str, str]
"""The name of a room and a folded user."""

_stored: Callable[[tuple[Block, int]], Stored] = partial(tuple.__new__, Stored)  # `_make`, without a call of Python's
_block: Callable[[tuple[int, int, int, bytes, bytes]], Block] = partial(tuple.__new__, Block)

_random = random.SystemRandom()


def now() -> int:
    """Return the time in microseconds since 1970, 0 for any before: no block has such a one."""
    return max(0, time.time_ns() // 1000)


def random_epoch() -> int:
    """Return a number for a new epoch, 1 to 2**53 - 1."""
    return _random.randint(1, MAX_EPOCH)


class LogEnds:
    """The ends of a room's log: an empty one has `first == last + 1`.

    `epoch` is the epoch of this opening and `began` its first seq, both 0 before there is one.
    """

    __slots__ = ("began", "epoch", "epochs", "first", "id", "last", "maker", "name", "timestamp")

    def __init__(
        self,
        id: int,
        name: str,
        first: int = 1,
        last: int = 0,
        timestamp: int = 0,
        epochs: Iterable[Epoch] = (),
        maker: str = "",
    ) -> None:
        self.id = id
        self.name = name
        self.first = first
        self.last = last
        self.timestamp = timestamp
        self.epochs = Epochs(epochs)
        self.maker = maker
        self.epoch = 0
        self.began = 0

    def log(self) -> RoomLog:
        """Return what the room's log is now."""
        return RoomLog(self.name, self.first, self.last, tuple(self.epochs), self.maker)


class Producer:
    """A producer's last number in one room, and where its last blocks went.

    `results` are the last 16 blocks' first seq, count and timestamp one after the other, in
    one array: a third of what tuples take. `user` is whose it is, by folded name, "" if that is not known.
    """

    __slots__ = ("last", "results", "seen", "user")

    def __init__(self, last: int = 0, results: Iterable[int] = (), seen: int = 0, user: str = "") -> None:
        self.user = user
        self.last = last
        self.results = array("q", results)
        self.seen = seen

    def answer(self, number: int, epochs: Epochs) -> Duplicate | OutOfSequence:
        """Answer a number that is not the next one; `epochs` are those of the room."""
        start = len(self.results) - 3 * (self.last - number + 1)
        if 0 <= start < len(self.results):
            first, count, timestamp = self.results[start : start + 3]
            return Duplicate(first, count, timestamp, epochs.at(first))
        return OutOfSequence(self.last + 1)


class Ledger:
    """The books of all logs, by which appends, read marks and sanctions are decided, without I/O, one step each.

    `clock` returns the microseconds since 1970. `rooms` are the rooms by their exact names,
    `last_id` the greatest number of one, and `read_marks` the seqs by room and folded user. Not thread-safe: it
    belongs to one thread at a time.
    """

    def __init__(self, clock: Callable[[], int] = now, new_epoch: Callable[[], int] = random_epoch) -> None:
        self.rooms: dict[str, LogEnds] = {}
        self.read_marks: dict[MarkOf, int] = {}
        self.displaced: list[Pair] = []
        """Producers forgotten to make room for others of the same users; the caller that records them empties this."""
        self._sanctions: dict[tuple[str, str, str], Sanction] = {}
        """By folded room, folded user and kind, in the order of their numbers."""
        self._sanctions_of: Counter[tuple[str, str]] = Counter()
        """How many there are, by `room` and its folded name, and by `by` and the moderator's."""
        self._last_sanction = 0
        self._producers_of: Quota[Pair] | None = None
        self._read_marks_of: Quota[MarkOf] | None = None
        self._clock = clock
        self._new_epoch = new_epoch
        self.last_id = 0
        self._producers: OrderedDict[Pair, Producer] = OrderedDict()  # the one idle for longest first
        self._rooms_of: dict[bytes, set[str]] = {}

    def keep_quotas(self) -> None:
        """Bound what each user has, as `Store.open` says of `quotas`; to be called while it is empty."""
        self._producers_of = Quota(USER_PRODUCERS)
        self._read_marks_of = Quota(USER_READ_MARKS)

    def restore_room(self, room: LogEnds) -> None:
        """Take over a room that was kept."""
        self.rooms[room.name] = room
        self.last_id = max(self.last_id, room.id)

    def restore_producer(self, pair: Pair, producer: Producer) -> None:
        """Take over a producer that was kept; they come in the order in which they were seen."""
        self._producers[pair] = producer
        self._rooms_of.setdefault(pair[0], set()).add(pair[1])
        if self._producers_of is not None:
            self._producers_of.used(producer.user, pair)

    def restore_read_mark(self, room: LogEnds, user: str, seq: int) -> None:
        """Take over a mark that was kept, back to the room's last seq if its log has lost what was read.

        They come in the order in which they moved.
        """
        self.read_marks[room.name, user] = min(seq, room.last)
        if self._read_marks_of is not None:
            self._read_marks_of.used(user, (room.name, user))

    def logs(self) -> list[RoomLog]:
        """Return what all rooms' logs are now."""
        return [room.log() for room in self.rooms.values()]

    def all_read_marks(self) -> list[tuple[str, str, int]]:
        """Return all marks: room, folded user, seq."""
        return [(room, user, seq) for (room, user), seq in self.read_marks.items()]

    def producer(self, pair: Pair) -> Producer:
        """Return what is remembered of a producer; KeyError if nothing is."""
        return self._producers[pair]

    def append(self, append: Append) -> Decided:
        """Decide one append as `Store.append` says; only `Stored` changes anything."""
        now = self._clock()
        displaced = None
        pair = (append.producer, append.room)
        producer = self._producers.get(pair)
        if producer is None:
            if append.number != 1:
                return ForgottenProducer()
            producer = Producer(user=fold(append.user))
            if self._producers_of is not None:
                displaced = self._producers_of.displaced(producer.user)
            if displaced is None and len(self._producers) >= MAX_PRODUCERS:
                return Full(f"{MAX_PRODUCERS} producers are remembered, and there is no place for another")
        elif append.number != producer.last + 1:
            return producer.answer(append.number, self.rooms[append.room].epochs)
        room = self.rooms.get(append.room) or LogEnds(self.last_id + 1, append.room, maker=append.maker)
        first = room.last + 1
        last = room.last + append.count
        if last < first:
            return NotStored()
        if last > MAX_SEQ or room.id > MAX_ROOMS:
            return Full("the store has no number left for this; use another room or a new store")
        if not room.last:
            self.restore_room(room)
        if not room.epoch:
            room.epoch = self._new_epoch()
            room.began = first
            room.epochs.begin(room.epoch, first)
        timestamp = room.timestamp if now < room.timestamp <= now + JUMP else now
        room.last = last
        room.timestamp = timestamp
        if displaced is not None:
            self._drop(displaced)
            self.displaced.append(displaced)
        producer.last += 1
        producer.seen = now
        results = producer.results
        results.extend((first, append.count, timestamp))
        if len(results) > _RESULTS:
            del results[:-_RESULTS]
        if producer.last == 1 or self._producers_of is not None:
            self.restore_producer(pair, producer)
        self._producers.move_to_end(pair)
        data = encode_block(first, timestamp, append.user, append.producer, append.bodies)
        return _stored((_block((first, last, timestamp, append.producer, data)), room.epoch))

    def set_read_mark(self, name: str, user: str, seq: int) -> ReadMarkDecided:
        """Decide one mark as `Store.set_read_mark` says; it changes something if `read_marks` then has another seq."""
        room = self.rooms.get(name)
        if room is None:
            return Full("the room has no log yet, so there is nothing to mark as read")
        mark = name, user
        stands = self.read_marks.get(mark)
        displaced = None
        if stands is None:
            if self._read_marks_of is not None:
                displaced = self._read_marks_of.displaced(user)
            if displaced is not None:
                self._remove_read_mark(displaced)
            elif len(self.read_marks) >= MAX_READ_MARKS:
                return Full(f"{MAX_READ_MARKS} read marks are kept, and there is no place for another")
        if stands is None or seq > stands:
            self.restore_read_mark(room, user, seq)
        return Marked(self.read_marks[mark], displaced)

    def _remove_read_mark(self, mark: MarkOf) -> None:
        del self.read_marks[mark]
        assert self._read_marks_of is not None
        self._read_marks_of.remove(mark[1], mark)

    def restore_sanction(self, sanction: Sanction) -> Sanction | None:
        """Take over a sanction that was kept, in the order of their numbers; return the one that it replaces."""
        key = _key_of(sanction)
        replaced = self._sanctions.pop(key, None)
        self._sanctions[key] = sanction
        if replaced is not None:
            self._count(replaced, -1)
        self._count(sanction, 1)
        self._last_sanction = sanction.number
        return replaced

    def sanctions(self) -> list[Sanction]:
        """Return all sanctions in the order of their numbers."""
        return list(self._sanctions.values())

    def impose(self, sanction: Sanction, places: Places) -> SanctionDecided:
        """Decide one sanction as `Store.impose` says; only `Imposed` changes anything."""
        of_room, of_moderator = (self._sanctions_of[kind] for kind in _counted(sanction))
        replaced = self._sanctions.get(_key_of(sanction))
        where = sanction.room or "the broker as a whole"
        counts = [
            (f"{where} has", of_room, places.room),
            ("you have imposed", of_moderator, places.moderator),
            ("the broker has", len(self._sanctions), places.all),
        ]
        if replaced is not None:
            counts = [] if fold(replaced.by) == fold(sanction.by) else counts[1:2]
        for whose, count, most in counts:
            if count >= most:
                return TooMany(f"{whose} {count:,} sanctions, and none of yours is kept beyond {most:,}; lift others")
        numbered = sanction._replace(number=self._last_sanction + 1)
        return Imposed(numbered, self.restore_sanction(numbered))

    def lift(self, room: str, user: str, kind: str, number: int) -> Lifted:
        """Decide the end of one sanction as `Store.lift` says."""
        key = fold(room), fold(user), kind
        found = self._sanctions.get(key)
        if found is None or (number and found.number != number):
            return Lifted(None)
        del self._sanctions[key]
        self._count(found, -1)
        return Lifted(found)

    def _count(self, sanction: Sanction, change: int) -> None:
        for kind in _counted(sanction):
            self._sanctions_of[kind] += change
            if not self._sanctions_of[kind]:
                del self._sanctions_of[kind]

    def forget(self, producer: bytes) -> list[Pair]:
        """Forget a producer in all rooms; returns the pairs that were remembered."""
        pairs = [(producer, room) for room in self._rooms_of.get(producer, ())]
        for pair in pairs:
            self._drop(pair)
        return pairs

    def forget_others(self, ledger: Ledger) -> list[Pair]:
        """Forget the pairs that `ledger` doesn't remember; returns them."""
        pairs = [pair for pair in self._producers if pair not in ledger._producers]
        for pair in pairs:
            self._drop(pair)
        return pairs

    def expire(self, before: int, now: int) -> list[Pair]:
        """Forget a bounded number of producers as `Store.expire` says; returns them."""
        expired = []
        ahead = now + JUMP
        for _ in range(EXPIRED_AT_ONCE):
            pair = next(iter(self._producers), None)
            if pair is None:
                break
            seen = self._producers[pair].seen
            if seen > ahead:  # by a clock that was wrong: those that are idle for longest come first again
                self._producers.move_to_end(pair)
            elif seen > before:
                break
            else:
                self._drop(pair)
                expired.append(pair)
        return expired

    def _drop(self, pair: Pair) -> None:
        producer = self._producers.pop(pair)
        if self._producers_of is not None:
            self._producers_of.remove(producer.user, pair)
        rooms = self._rooms_of[pair[0]]
        rooms.remove(pair[1])
        if not rooms:
            del self._rooms_of[pair[0]]


def _key_of(sanction: Sanction) -> tuple[str, str, str]:
    return fold(sanction.room), fold(sanction.user), sanction.kind


def _counted(sanction: Sanction) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return by what a sanction is counted: its room, and who has imposed it."""
    return ("room", fold(sanction.room)), ("by", fold(sanction.by))


def count_old(blocks: Iterable[tuple[int, int]], end: int, keep: int, before: int, ahead: int) -> int:
    """Return how many of a room's oldest blocks `Store.trim` removes, as far as one call may.

    `blocks` are the last seqs and times of blocks, the oldest first, `end` is the room's last seq. A block whose time
    is after `ahead` was dated by a wrong clock: it goes with the next one that goes.
    """
    old = 0
    for count, (last, timestamp) in enumerate(islice(blocks, AHEAD_BLOCKS), 1):
        if timestamp < before or (keep > 0 and end - last >= keep):
            old = count
            if old > TRIM_BLOCKS:
                break
        elif timestamp <= ahead:
            break
    return old
