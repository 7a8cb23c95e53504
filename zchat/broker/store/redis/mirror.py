"""What a broker knows of the logs that the server keeps, without I/O: replies come in, reports and answers go out.

The server decides. A room's blocks are reported in their order, each once: a block that doesn't follow the last one
that was reported waits, with all that is about its room, until what lies between has been read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from zchat.broker.limits import USER_PRODUCERS, USER_READ_MARKS
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import (
    MAX_PRODUCERS,
    MAX_READ_MARKS,
    NEVER,
    Append,
    Appended,
    Duplicate,
    Failed,
    ForgottenProducer,
    Full,
    Imposed,
    Lifted,
    Marked,
    NotStored,
    OutOfSequence,
    RoomLog,
    Sanction,
    Stored,
    TooMany,
    Watcher,
)
from zchat.broker.store.epochs import Epochs
from zchat.broker.store.quotas import Quota
from zchat.broker.store.redis.attachment import RoomState, Snapshot
from zchat.broker.store.redis.forms import block_of, sanction_of
from zchat.broker.store.redis.partitions import partition_of
from zchat.broker.store.redis.requests import Call, Forget, Impose, Lift, Request, SetReadMark, Unmark, Write
from zchat.messages import Position
from zchat.names import fold
from zchat.wire.blocks import sender

LOST = Failed("the connection to the server was lost before the block could be read back")


class Pair(NamedTuple):
    """A producer in a room, and whose it is."""

    producer: bytes
    user: str
    room: str


class CatchUp(NamedTuple):
    """A request for a room's state, and its next blocks after a seq; `turn`: since which connection it is asked."""

    room: str
    after: int
    turn: int


class CaughtUp(NamedTuple):
    """What has been read of a room: its state, None if it has no log, and the next blocks."""

    asked: CatchUp
    state: RoomState | None
    blocks: list[Block]


class MirroredLog:
    """What was reported of a room's log: `last` is the last seq that was."""

    __slots__ = ("epochs", "first", "last", "maker", "name")

    def __init__(self, name: str, maker: str, first: int = 1) -> None:
        self.name = name
        self.maker = maker
        self.first = first
        self.last = first - 1
        self.epochs = Epochs()


class Mirror:
    """What this broker has reported of what the server keeps.

    `ask` sends a request for something that nobody waits for; `catch_up` has what a room has after a seq read. Rooms
    and users are named by folded names.
    """

    def __init__(self, ask: Callable[[Request], None], catch_up: Callable[[CatchUp], None], *, quotas: bool) -> None:
        self._ask = ask
        self._catch_up = catch_up
        self.logs: dict[str, MirroredLog] = {}
        self.read_marks: dict[tuple[str, str], tuple[int, int]] = {}
        """By room and user the seq, and the time at which it moved."""
        self.sanctions: dict[int, Sanction] = {}
        """The sanctions by their numbers, in their order."""
        self.forgot = 0
        """Producers forgotten for others of their users since this was last set to 0."""
        self._turn = 0
        """How often the server was reached again: what was read before is not what it has now."""
        self._waiting: dict[str, deque[tuple[Call, Any]]] = {}
        """Replies about rooms that are being caught up with."""
        self._seen: dict[Pair, int] = {}
        """The time of each known producer's last block."""
        self._pairs_of: dict[bytes, set[Pair]] = {}
        self._producers_of: Quota[Pair] | None = Quota(USER_PRODUCERS) if quotas else None
        self._read_marks_of: Quota[tuple[str, str]] | None = Quota(USER_READ_MARKS) if quotas else None

    def open(
        self,
        snapshots: Iterable[Snapshot],
        producers: Iterable[tuple[bytes, str, str, int]],
        sanctions: Iterable[Sanction],
    ) -> list[RoomLog]:
        """Take over what there is at the opening of the store, and return the logs."""
        self._recover(sanctions)
        marks: list[tuple[int, tuple[str, str], int]] = []
        for snapshot in snapshots:
            for room, state in snapshot.rooms.items():
                self.logs[room] = _mirrored(state)
            marks += ((moved, mark, seq) for mark, (seq, moved) in snapshot.marks.items())
        for moved, mark, seq in sorted(marks):
            self._keep_mark(mark, seq, moved)
        for producer, user, room, seen in producers:
            self._used(Pair(producer, user, room), seen)
        return [RoomLog(log.name, log.first, log.last, tuple(log.epochs), log.maker) for log in self.logs.values()]

    # -- before something is asked for -------------------------------------------------------------

    def is_crowded(self, append: Append) -> bool:
        """Return whether no producer may be remembered beside those that are."""
        if append.number != 1 or len(self._seen) < MAX_PRODUCERS:
            return False
        return self._producers_of is None or self._producers_of.displaced(fold(append.user)) is None

    def is_full_of_marks(self, room: str, user: str) -> bool:
        """Return whether no read mark may be kept beside those that are."""
        if len(self.read_marks) < MAX_READ_MARKS:
            return False
        return self._read_marks_of is None or self._read_marks_of.displaced(user) is None

    def forget(self, producer: bytes) -> None:
        """Have a producer forgotten in all rooms in which this broker knows it."""
        for pair in list(self._pairs_of.get(producer, ())):
            self._forget(pair, NEVER)

    # -- what has come -----------------------------------------------------------------------------

    def replied(self, call: Call, reply: Any, watcher: Watcher) -> None:
        """Report and answer what came of a request: a script's reply, or why there is none."""
        request = call.request
        waiting = self._waiting.get(request.room)
        if waiting is not None:
            waiting.append((call, reply))
        elif isinstance(reply, Full | Failed):
            if call.done is not None:
                call.done(reply)
        elif isinstance(request, Write):
            self._written(call, request, reply, watcher)
        elif isinstance(request, SetReadMark):
            self._marked(call, request, reply, watcher)
        elif isinstance(request, Impose):
            self._imposed(call, request, reply, watcher)
        elif isinstance(request, Lift):
            self._lifted(call, reply, watcher)

    def trimmed(self, room: str, first: int, watcher: Watcher) -> None:
        """Report that a room's log begins at `first`."""
        log = self.logs[room]
        if first > log.first:
            log.first = first
            log.last = max(log.last, first - 1)
        watcher.trimmed(log.name, first)

    def attached(self, snapshots: dict[int, Snapshot], sanctions: list[Sanction], watcher: Watcher) -> None:
        """Report what has changed in partitions while there was no connection, and which sanctions there are."""
        self._turn += 1
        lost = {room for room in self.logs if self._is_lost(room, snapshots)}
        for room in lost:
            self._part(room, snapshots[partition_of(room)].rooms.get(room), watcher)
        for pair in [pair for pair in self._seen if pair.room in lost]:
            self.forgotten(pair)
        for snapshot in snapshots.values():
            for room, state in snapshot.rooms.items():
                self._compare(room, state, watcher)
            for mark, (seq, moved) in snapshot.marks.items():
                if seq != self.read_marks.get(mark, (None, 0))[0]:
                    self._keep_mark(mark, seq, moved)
                    watcher.marked(self.logs[mark[0]].name, mark[1], seq)
        for room, waiting in self._waiting.items():
            self._give_up(waiting)
            self._catch_up(CatchUp(room, self._last(room), self._turn))
        self._recover(sanctions)
        watcher.recovered(sanctions)

    def _give_up(self, waiting: deque[tuple[Call, Any]]) -> None:
        """Fail the blocks that wait with a place in the log: the server that gave it may have lost it since."""
        for _ in range(len(waiting)):
            call, reply = waiting.popleft()
            if call.done is not None and type(call.request) is Write:
                call.done(reply if isinstance(reply, Full | Failed) else LOST)
            else:
                waiting.append((call, reply))

    def _is_lost(self, room: str, snapshots: dict[int, Snapshot]) -> bool:
        """Return whether a log is no longer what was reported of it."""
        snapshot = snapshots.get(partition_of(room))
        if snapshot is None:
            return False
        state, log = snapshot.rooms.get(room), self.logs[room]
        if state is None:
            return True
        return Epochs(state.epochs).parted(Position(log.epochs.current, log.last), state.ends.last) is not None

    def _part(self, room: str, state: RoomState | None, watcher: Watcher) -> None:
        """Report that a log is no longer what was reported, and take over what there is of it."""
        log = self.logs.pop(room)
        now = RoomLog(log.name, 1, 0, (), log.maker)
        if state is not None:
            now = RoomLog(state.name, state.ends.first, state.ends.last, state.epochs, state.maker)
            self.logs[room] = _mirrored(state)
        for mark in [mark for mark in self.read_marks if mark[0] == room]:
            del self.read_marks[mark]
            if self._read_marks_of is not None:
                self._read_marks_of.remove(mark[1], mark)
            watcher.marked(log.name, mark[1], 0)
        watcher.parted(now)

    def _recover(self, sanctions: Iterable[Sanction]) -> None:
        self.sanctions = {sanction.number: sanction for sanction in sanctions}

    def caught_up(self, read: CaughtUp, watcher: Watcher) -> None:
        """Report what was read of a room, and then what has waited for it."""
        room, state = read.asked.room, read.state
        if read.asked.turn != self._turn:
            return
        if state is not None:
            log = self.logs.setdefault(room, MirroredLog(state.name, state.maker, state.ends.first))
            epochs = Epochs(state.epochs)
            for block in read.blocks:
                if block.first > log.last + 1:  # what lay between was trimmed
                    self.trimmed(room, block.first, watcher)
                if block.last > log.last:
                    self._grow(log, block, epochs.at(block.first), sender(block.data), watcher)
            if not read.blocks and state.ends.first > log.last:
                self.trimmed(room, state.ends.first, watcher)
            if log.last < state.ends.last:
                self._catch_up(CatchUp(room, log.last, self._turn))
                return
        waiting = self._waiting.pop(room, deque())
        while waiting:
            self.replied(*waiting.popleft(), watcher)
            if room in self._waiting:
                self._waiting[room] += waiting
                return

    def close(self, reason: Failed) -> None:
        """Answer what still waits."""
        for waiting in self._waiting.values():
            for call, _ in waiting:
                if call.done is not None:
                    call.done(reason)
        self._waiting.clear()

    # -- blocks ------------------------------------------------------------------------------------

    def _written(self, call: Call, request: Write, reply: Any, watcher: Watcher) -> None:
        append, room = request.append, request.room
        word, *rest = reply
        answer: Appended
        if word in (b"stored", b"duplicate"):
            if word == b"stored":
                first, timestamp, epoch, _ = rest
                count = append.count
            else:
                first, count, timestamp, epoch = rest
            log = self.logs.get(room)
            if log is None:
                log = self.logs[room] = MirroredLog(append.room, append.maker)
            answer = Duplicate(first, count, timestamp, epoch)
            if first > log.last:  # else it was read when this broker caught up
                if first > log.last + 1 or not append.count:
                    self._wait(room)
                    self._waiting[room].append((call, reply))
                    return
                self._grow(log, block_of(append, request.suffix, first, timestamp), epoch, append.user, watcher)
            if (word == b"stored" or call.again) and append.count:
                answer = Stored(block_of(append, request.suffix, first, timestamp), epoch)
                self._count(request, timestamp)
        elif word in (b"order", b"taken"):
            answer = OutOfSequence(rest[0])
        elif word == b"forgotten":
            answer = ForgottenProducer()
        elif word == b"absent":
            answer = NotStored()
        elif word == b"crowded":
            answer = Full(f"{MAX_PRODUCERS} producers are remembered, and there is no place for another")
        elif word == b"fenced":
            answer = Failed("its client has gone on over a later connection")
        else:
            answer = Full("the room has no number left for this; use another room")
        assert call.done is not None
        call.done(answer)

    def _grow(self, log: MirroredLog, block: Block, epoch: int, user: str, watcher: Watcher) -> None:
        log.epochs.begin(epoch, block.first)
        log.last = block.last
        watcher.grew(log.name, block, epoch, user)

    def _wait(self, room: str) -> None:
        """Have all that is about a room wait until what it has after what was reported is read."""
        if room not in self._waiting:
            self._waiting[room] = deque()
            self._catch_up(CatchUp(room, self._last(room), self._turn))

    def _last(self, room: str) -> int:
        log = self.logs.get(room)
        return 0 if log is None else log.last

    def _compare(self, room: str, state: RoomState, watcher: Watcher) -> None:
        """Compare what was reported of a room with what there is."""
        log = self.logs.get(room)
        if log is None:
            log = self.logs[room] = MirroredLog(state.name, state.maker, state.ends.first)
            watcher.appeared(RoomLog(log.name, log.first, log.last, (), log.maker))
        if state.ends.first > log.first:
            self.trimmed(room, state.ends.first, watcher)
        if state.ends.last > log.last and room not in self._waiting:
            self._waiting[room] = deque()  # `attached` has all such rooms read

    # -- producers ---------------------------------------------------------------------------------

    def _count(self, request: Write, seen: int) -> None:
        """Note that a producer has stored a block: a further one of its user may be one too many."""
        append, quota = request.append, self._producers_of
        if append.number != 1 and quota is None:
            return
        pair = Pair(append.producer, fold(append.user), request.room)
        if quota is not None and pair not in self._seen and (displaced := quota.displaced(pair.user)) is not None:
            self._forget(displaced, self._seen[displaced])
            self.forgot += 1
        self._used(pair, seen)

    def _used(self, pair: Pair, seen: int) -> None:
        self._seen[pair] = seen
        self._pairs_of.setdefault(pair.producer, set()).add(pair)
        if self._producers_of is not None:
            self._producers_of.used(pair.user, pair)

    def _forget(self, pair: Pair, until: int) -> None:
        self._ask(Forget(pair.room, pair.producer, pair.user, until))
        self.forgotten(pair)

    def forgotten(self, pair: Pair) -> None:
        """Note that a producer is forgotten in a room."""
        if self._seen.pop(pair, None) is None:
            return
        pairs = self._pairs_of[pair.producer]
        pairs.remove(pair)
        if not pairs:
            del self._pairs_of[pair.producer]
        if self._producers_of is not None:
            self._producers_of.remove(pair.user, pair)

    # -- read marks --------------------------------------------------------------------------------

    def _marked(self, call: Call, request: SetReadMark, reply: Any, watcher: Watcher) -> None:
        assert call.done is not None
        word, *rest = reply
        if word == b"none":
            call.done(Full("the room has no log yet, so there is nothing to mark as read"))
            return
        if word == b"crowded":
            call.done(Full(f"{MAX_READ_MARKS} read marks are kept, and there is no place for another"))
            return
        seq = rest[0]
        mark = request.room, request.user
        displaced = None
        known = self.read_marks.get(mark)
        if word == b"marked":
            if known is None and self._read_marks_of is not None:
                displaced = self._displace(request.user)
            self._keep_mark(mark, seq, rest[1])
        name = self.logs[request.room].name
        if known is None or known[0] != seq:
            watcher.marked(name, request.user, seq)
        gone = None
        if displaced is not None:
            gone = self.logs[displaced[0]].name, displaced[1]
            watcher.marked(*gone, 0)
        call.done(Marked(seq, gone))

    def _displace(self, user: str) -> tuple[str, str] | None:
        """Return the mark that goes if a user gets a further one, once it is on its way out; None if none does."""
        assert self._read_marks_of is not None
        displaced = self._read_marks_of.displaced(user)
        if displaced is not None:
            self._read_marks_of.remove(displaced[1], displaced)
            _, moved = self.read_marks.pop(displaced)
            self._ask(Unmark(*displaced, moved))
        return displaced

    def _keep_mark(self, mark: tuple[str, str], seq: int, moved: int) -> None:
        self.read_marks[mark] = seq, moved
        if self._read_marks_of is not None:
            self._read_marks_of.used(mark[1], mark)

    # -- sanctions ---------------------------------------------------------------------------------

    def _imposed(self, call: Call, request: Impose, reply: Any, watcher: Watcher) -> None:
        assert call.done is not None
        word, *rest = reply
        if word == b"crowded":
            full, count = rest
            sanction, places = request.sanction, request.places
            whose, most = {
                b"room": (f"{sanction.room or 'the broker as a whole'} has", places.room),
                b"moderator": ("you have imposed", places.moderator),
                b"all": ("the broker has", places.all),
            }[full]
            call.done(TooMany(f"{whose} {count:,} sanctions, and none of yours is kept beyond {most:,}; lift others"))
            return
        number, value, _ = rest
        imposed = request.sanction._replace(number=number)
        replaced = None if value is None else sanction_of(value)
        if replaced is not None:
            self.sanctions.pop(replaced.number, None)
        self.sanctions[number] = imposed
        watcher.imposed(imposed)
        call.done(Imposed(imposed, replaced))

    def _lifted(self, call: Call, reply: Any, watcher: Watcher) -> None:
        assert call.done is not None
        word, *rest = reply
        sanction: Sanction | None = None
        if word == b"lifted":
            sanction = sanction_of(rest[0])
            self.sanctions.pop(sanction.number, None)
            watcher.lifted(sanction)
        call.done(Lifted(sanction))


def _mirrored(state: RoomState) -> MirroredLog:
    """Return a log of which all was reported that it has."""
    log = MirroredLog(state.name, state.maker, state.ends.first)
    log.last = state.ends.last
    log.epochs = Epochs(state.epochs)
    return log
