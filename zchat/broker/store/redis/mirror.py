"""What a broker knows of the logs that the server keeps, without I/O: replies come in, reports and answers go out.

The server decides, for this broker and others. A room's blocks are reported in their order, each once: a block that
doesn't follow the last one that was reported waits, with all that is about its room, until what lies between has been
read. That another broker has stored a block is told by a notice, which has none of it: it is read too.

Replies, notices, snapshots and pages come over several connections, in any order. Each is of an epoch of its partition;
while that lasts, a log only grows at its end and is trimmed at its beginning, so that what is older than what is known
changes nothing. A new epoch is taken over by `attached` alone, which compares: before that, what is of another epoch
than is known is left alone, and the partition is looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import (
    MAX_PRODUCERS,
    NEVER,
    Append,
    Appended,
    Duplicate,
    Failed,
    Fenced,
    ForgottenProducer,
    Full,
    NotStored,
    OutOfSequence,
    RoomLog,
    Sanction,
    Stored,
    Watcher,
)
from zchat.broker.store.epochs import Epochs
from zchat.broker.store.redis.attachment import RoomState, Snapshot
from zchat.broker.store.redis.forms import block_of
from zchat.broker.store.redis.marks import MirroredMarks
from zchat.broker.store.redis.mirrored_log import LOST, CatchUp, CaughtUp, Claim, MirroredLog, doubt, mirrored
from zchat.broker.store.redis.notices import Notice
from zchat.broker.store.redis.partitions import partition_of
from zchat.broker.store.redis.presence import MirroredPresence
from zchat.broker.store.redis.producers import Pair, Producers
from zchat.broker.store.redis.requests import LATE_MS, Call, Forget, Here, Impose, Lift, Request, SetReadMark, Write
from zchat.broker.store.redis.sanctions import MirroredSanctions
from zchat.names import fold
from zchat.wire.blocks import sender


class Mirror:
    """What this broker has reported of what the server keeps.

    `ask` sends a request for something that nobody waits for; `catch_up` has what a room has after a seq read; `look`
    has a partition looked at as a whole, soon, and `doubt` this broker attached anew, whose id is `broker`. Rooms and
    users are named by folded names.
    """

    def __init__(
        self,
        ask: Callable[[Request], None],
        catch_up: Callable[[CatchUp], None],
        look: Callable[[int], None],
        doubt: Callable[[], None],
        broker: bytes,
        *,
        quotas: bool,
    ) -> None:
        self._ask = ask
        self._catch_up = catch_up
        self._look = look
        self._doubt = doubt
        self._odd: set[int] = set()
        """The partitions that were in another epoch than is known when they were last looked at."""
        self._epochs: dict[int, int] = {}
        """The epoch of each partition: what is of another is of another run of the server."""
        self._followed: set[str] = set()
        """The rooms in which this broker has members."""
        self.logs: dict[str, MirroredLog] = {}
        self._marks = MirroredMarks(ask, quotas=quotas)
        self._sanctions = MirroredSanctions(look)
        self.presence = MirroredPresence(ask, look, broker)
        self.forgot = 0
        """Producers forgotten for others of their users since this was last set to 0."""
        self._turn = 0
        """How often the server was reached again: what was read before is not what it has now."""
        self._waiting: dict[str, deque[tuple[Call | Notice, Any]]] = {}
        """Replies and notices about rooms that are being caught up with."""
        self._told: dict[str, int] = {}
        """Of such rooms the last seq that is known of, if it is after what was asked for."""
        self._locating: dict[str, deque[Callable[[], None]]] = {}
        """By room whom to call once it was caught up with: there is a request for each."""
        self._producers = Producers(quotas=quotas)

    def open(self, snapshots: dict[int, Snapshot], producers: Iterable[tuple[bytes, str, str, int]]) -> list[RoomLog]:
        """Take over what there is at the opening of the store, and return the logs."""
        marks = [(moved, mark, seq) for each in snapshots.values() for mark, (seq, moved) in each.marks.items()]
        for partition, snapshot in snapshots.items():
            self._epochs[partition] = snapshot.changes.epoch
            if snapshot.sanctions is not None:
                self._sanctions.take_over(snapshot, anew=True)
            for room, state in snapshot.rooms.items():
                self.logs[room] = mirrored(state)
        for moved, mark, seq in sorted(marks):
            self._marks.keep(mark, seq, moved)
        for producer, user, room, seen in producers:
            self._producers.used(Pair(producer, user, room), seen)
        return [RoomLog(log.name, log.first, log.last, tuple(log.epochs), log.maker) for log in self.logs.values()]

    def read_marks(self) -> list[tuple[str, str, int]]:
        """Return every read mark: the room's name, folded user, seq."""
        return [(self.logs[room].name, user, seq) for (room, user), (seq, _) in self._marks.kept.items()]

    @property
    def sanctions(self) -> list[Sanction]:
        """Return the sanctions in the order of their numbers."""
        return list(self._sanctions.kept.values())

    # -- before something is asked for -------------------------------------------------------------

    def follow(self, room: str, wanted: bool) -> None:
        """See `Store.follow`."""
        if wanted:
            self._followed.add(room)
        else:
            self._followed.discard(room)

    def locate(self, room: str, done: Callable[[], None]) -> None:
        """See `Store.locate`."""
        self._locating.setdefault(room, deque()).append(done)
        self._read(room, locating=True)

    def is_crowded(self, append: Append) -> bool:
        """Return whether no producer may be remembered beside those that are."""
        if append.number != 1 or len(self._producers) < MAX_PRODUCERS:
            return False
        return self._producers.displaced(fold(append.user)) is None

    def is_full_of_marks(self, room: str, user: str) -> bool:
        """Return whether no read mark may be kept beside those that are."""
        return self._marks.is_full(user)

    def forget(self, producer: bytes) -> None:
        """Have a producer forgotten in all rooms in which this broker knows it."""
        for pair in self._producers.of(producer):
            self._forget(pair, NEVER, LATE_MS)

    def expire(self, before: int) -> None:
        """Forget some of the producers that are idle since a time, which another broker has forgotten."""
        self._producers.expire(before)

    # -- what has come -----------------------------------------------------------------------------

    def replied(self, call: Call, reply: Any, watcher: Watcher) -> None:
        """Report and answer what came of a request: a script's reply, or why there is none."""
        request = call.request
        waiting = self._waiting.get(request.room)
        if isinstance(request, Here):
            self.presence.replied(request, reply)
        elif waiting is not None:
            waiting.append((call, reply))
        elif isinstance(reply, Full | Failed):
            if call.done is not None:
                call.done(reply)
        elif isinstance(request, Write):
            self._written(call, request, reply, watcher)
        elif isinstance(request, SetReadMark):
            if reply[0] in (b"marked", b"stands") and reply[1] > self._last(request.room):
                self._wait(request.room)  # what is marked as read is not reported yet
                self._waiting[request.room].append((call, reply))
                return
            self._marks.replied(call, request, reply, self.logs, watcher)
        elif isinstance(request, Impose):
            self._sanctions.imposed(call, request, reply, watcher)
        elif isinstance(request, Lift):
            self._sanctions.lifted(call, reply, watcher)

    def heard(self, notice: Notice, watcher: Watcher) -> None:
        """Report what another broker has changed, or have it read first."""
        partition, kind = notice.partition, notice.kind
        if notice.epoch != self._epochs[partition]:
            self._look(partition)
        elif kind in (b"I", b"X"):
            self._sanctions.heard(notice, watcher)
        elif kind in (b"H", b"G"):
            self.presence.heard(notice, watcher)
        else:
            room, _, user = notice.fields[0].decode().partition("\0")
            log = self.logs.get(room)
            if kind == b"L":
                self._grew_elsewhere(room, notice.fields[1])
            elif room in self._waiting:
                self._waiting[room].append((notice, None))
            elif log is None:
                self._look(partition)
            elif kind == b"R":
                self.trimmed(room, notice.fields[1], watcher)
            elif kind == b"M" and notice.fields[1] > log.last:
                self._wait(room)  # the notice of what it covers was lost, or dropped
                self._waiting[room].append((notice, None))
            else:
                self._marks.heard(kind, (room, user), notice.fields[1:], log.name, watcher)

    def wanted(self, room: str) -> CatchUp | None:
        """Return what is to be read at once of a room that has grown; None if it can wait. Any thread."""
        turn, log = self._turn, self.logs.get(room)  # in this order, as the turn comes before another log
        wanted = log is not None and room in self._followed and room not in self._waiting
        return CatchUp(room, log.last, turn, blocks=True) if log is not None and wanted else None

    def found(self, read: CaughtUp, watcher: Watcher) -> None:
        """Report what was read at once, unless more is known by now: then the room is caught up with."""
        (room, after, turn, *_), state = read.asked, read.state
        known = turn == self._turn and read.epoch == self._epochs[partition_of(room)] and after <= self._last(room)
        if known and room not in self._waiting:
            self._waiting[room] = deque()
            self.caught_up(read, watcher)
        elif state is not None:
            self._grew_elsewhere(room, state.ends.last)

    def looked(self, snapshots: dict[int, Snapshot], watcher: Watcher) -> None:
        """Report what other brokers have changed, as partitions show that were looked at."""
        for partition, snapshot in snapshots.items():
            if snapshot.changes.epoch == self._epochs[partition]:
                self._take_over(partition, snapshot, watcher, anew=False)
            elif partition in self._odd:
                self._odd.clear()
                self._doubt()
            else:  # this broker may be about to attach in that epoch
                self._odd.add(partition)
                self._look(partition)

    def trimmed(self, room: str, first: int, watcher: Watcher) -> None:
        """Report that a room's log begins at `first`."""
        log = self.logs[room]
        if first > log.last + 1:  # of what is not reported yet, which is not to be had any more
            self._wait(room)
        elif first > log.first:
            log.first = first
            watcher.trimmed(log.name, first)

    def attached(self, snapshots: dict[int, Snapshot], watcher: Watcher) -> None:
        """Report what has changed in partitions while there was no connection."""
        self._turn += 1
        self._odd.clear()
        begun = [room for room in self.logs if self._is_anew(partition_of(room), snapshots)]
        lost = [room for room in begun if self.logs[room].is_lost(snapshots[partition_of(room)].rooms.get(room))]
        for room in lost:
            self._part(room, snapshots[partition_of(room)].rooms.get(room), watcher)
        self._producers.forget_rooms(set(lost))
        for room, waiting in self._waiting.items():
            doubt(waiting, lost=room in lost, anew=self._is_anew(partition_of(room), snapshots))
            self._read(room)
        for room, located in self._locating.items():
            for _ in located:
                self._read(room, locating=True)
        for partition, snapshot in snapshots.items():
            anew = self._is_anew(partition, snapshots)
            self._epochs[partition] = snapshot.changes.epoch
            self._take_over(partition, snapshot, watcher, anew=anew)

    def _take_over(self, partition: int, snapshot: Snapshot, watcher: Watcher, *, anew: bool) -> None:
        """Report what a partition has that was not reported; `anew`: in another epoch than was known."""
        for room, state in snapshot.rooms.items():
            self._compare(room, state, watcher)
        for mark, (seq, moved) in snapshot.marks.items():
            if seq > self._last(mark[0]):  # what it covers is being read
                fields = "\0".join(mark).encode(), seq, moved
                notice = Notice(partition, b"M", b"", snapshot.changes.epoch, 0, fields)
                self._waiting[mark[0]].append((notice, None))
                continue
            self._marks.compare(mark, seq, moved, self.logs[mark[0]].name, watcher, anew=anew)
        if anew:  # the server may have lost marks of logs that it has kept
            self._marks.retain(partition, snapshot.marks, self.logs, watcher)
        if snapshot.sanctions is not None and self._sanctions.take_over(snapshot, anew=anew):
            watcher.recovered(snapshot.sanctions)
        self.presence.take_over(partition, snapshot, watcher, anew=anew)

    def _is_anew(self, partition: int, snapshots: dict[int, Snapshot]) -> bool:
        """Return whether a partition is in another epoch than is known."""
        snapshot = snapshots.get(partition)
        return snapshot is not None and snapshot.changes.epoch != self._epochs[partition]

    def _part(self, room: str, state: RoomState | None, watcher: Watcher) -> None:
        """Report that a log is no longer what was reported, and take over what there is of it."""
        log = self.logs.pop(room)
        now = RoomLog(log.name, 1, 0, (), log.maker)
        if state is not None:
            now = RoomLog(state.name, state.ends.first, state.ends.last, state.epochs, state.maker)
            self.logs[room] = mirrored(state)
        for mark in [mark for mark in self._marks.kept if mark[0] == room]:
            self._marks.remove(mark, log.name, watcher)
        watcher.parted(now)

    def caught_up(self, read: CaughtUp, watcher: Watcher) -> None:
        """Report what was read of a room, and then what has waited for it."""
        asked, state = read.asked, read.state
        room = asked.room
        if asked.turn != self._turn:  # it was asked for again
            return
        if state is not None:
            if read.epoch != self._epochs[partition_of(room)]:  # it will be, once this broker has attached
                self._look(partition_of(room))
                return
            log = self._log_of(room, state, watcher)
            for _, reply in self._waiting.get(room, ()):
                if isinstance(reply, Claim):
                    reply.look(read.blocks)
            if asked.blocks:
                self._report(room, log, state, read.blocks, watcher)
            else:
                self._reach(room, log, state, watcher)
            if log.last < state.ends.last:
                self._read(room, locating=asked.locating)
                return
        if asked.locating:
            located = self._locating[room]
            located.popleft()()
            if not located:
                del self._locating[room]
        waiting = self._waiting.pop(room, deque())
        while waiting:
            what, reply = waiting.popleft()
            if isinstance(what, Call):
                if isinstance(reply, Claim):
                    self._settle(what, reply)
                else:
                    self.replied(what, reply, watcher)
            else:
                self.heard(what, watcher)
            if room in self._waiting:
                self._waiting[room] += waiting
                return
        if self._told.pop(room, 0) > self._last(room):
            self._wait(room)

    def _report(self, room: str, log: MirroredLog, state: RoomState, blocks: list[Block], watcher: Watcher) -> None:
        """Report blocks that were read of a room."""
        epochs = Epochs(state.epochs)
        for block in blocks:
            if block.first > log.last + 1:  # what lay between was trimmed
                self._skip(log, block.first, state, watcher)
            if block.last > log.last:
                self._appear(log, watcher)
                self._grow(log, block, epochs.at(block.first), sender(block.data), watcher)
        if state.ends.first > log.last + 1 and not blocks:
            self._skip(log, state.ends.first, state, watcher)
        elif log.first < state.ends.first <= log.last + 1:
            self.trimmed(room, state.ends.first, watcher)

    def _skip(self, log: MirroredLog, first: int, state: RoomState, watcher: Watcher) -> None:
        """Report that a log goes on at `first`, and what was before was trimmed: some of it has never been reported."""
        self._appear(log, watcher)
        log.first, log.last = first, first - 1
        log.epochs = Epochs(epoch for epoch in state.epochs if epoch.first < first)
        watcher.reached(RoomLog(log.name, first, first - 1, tuple(log.epochs), log.maker))

    def _reach(self, room: str, log: MirroredLog, state: RoomState, watcher: Watcher) -> None:
        """Report how far a room is in which this broker has no members, without the blocks."""
        if state.ends.last > log.last:
            self._appear(log, watcher)
            log.first = max(log.first, state.ends.first)
            log.last = state.ends.last
            log.epochs = Epochs(state.epochs)
            watcher.reached(RoomLog(log.name, log.first, log.last, state.epochs, log.maker))
        elif state.ends.first > log.first:
            self.trimmed(room, state.ends.first, watcher)

    def close(self, reason: Failed) -> None:
        """Answer what still waits."""
        for waiting in self._waiting.values():
            for what, _ in waiting:
                if isinstance(what, Call) and what.done is not None:
                    what.done(reason)
        self._waiting.clear()
        for located in self._locating.values():
            for done in located:
                done()
        self._locating.clear()

    # -- what other brokers have done ----------------------------------------------------------------

    def _grew_elsewhere(self, room: str, last: int) -> None:
        if last > self._last(room):
            if room in self._waiting:
                self._told[room] = max(last, self._told.get(room, 0))
            else:
                self._wait(room)

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
                if first > log.last + 1 or not append.count or (word == b"duplicate" and not call.again):
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
            answer = Fenced()
        else:
            answer = Full("the room has no number left for this; use another room")
        assert call.done is not None
        call.done(answer)

    def _settle(self, call: Call, claim: Claim) -> None:
        """Answer a block that was looked for."""
        block, request = claim.block, call.request
        assert isinstance(request, Write)
        assert call.done is not None
        if claim.found:
            self._count(request, block.timestamp)
            call.done(Stored(block, self.logs[request.room].epochs.at(block.first)))
        else:
            call.done(LOST)

    def _grow(self, log: MirroredLog, block: Block, epoch: int, user: str, watcher: Watcher) -> None:
        log.epochs.begin(epoch, block.first)
        log.last = block.last
        watcher.grew(log.name, block, epoch, user)

    def _wait(self, room: str) -> None:
        """Have all that is about a room wait until what it has after what was reported is read."""
        if room not in self._waiting:
            self._waiting[room] = deque()
            self._read(room)

    def _read(self, room: str, *, locating: bool = False) -> None:
        claimed = any(isinstance(reply, Claim) for _, reply in self._waiting.get(room, ()))
        self._catch_up(CatchUp(room, self._last(room), self._turn, claimed or room in self._followed, locating))

    def _last(self, room: str) -> int:
        log = self.logs.get(room)
        return 0 if log is None else log.last

    def _log_of(self, room: str, state: RoomState, watcher: Watcher) -> MirroredLog:
        """Return what was reported of a room's log; one that is new is reported later, if it has messages."""
        log = self.logs.get(room)
        if log is None:
            log = self.logs[room] = MirroredLog(state.name, state.maker, state.ends.first)
            if log.last:
                watcher.appeared(RoomLog(log.name, log.first, log.last, (), log.maker))
        return log

    def _appear(self, log: MirroredLog, watcher: Watcher) -> None:
        """Report a log of which nothing was reported yet, and something is to be now: its room may have been empty."""
        if not log.last:
            watcher.appeared(RoomLog(log.name, log.first, log.last, (), log.maker))

    def _compare(self, room: str, state: RoomState, watcher: Watcher) -> None:
        """Compare what was reported of a room with what there is."""
        log = self._log_of(room, state, watcher)
        if state.ends.last > log.last and (room in self._followed or room in self._waiting):
            self._grew_elsewhere(room, state.ends.last)
        else:
            self._reach(room, log, state, watcher)

    # -- producers ---------------------------------------------------------------------------------

    def _count(self, request: Write, seen: int) -> None:
        """Note that a producer has stored a block: a further one of its user may be one too many."""
        append = request.append
        if append.number != 1 and not self._producers.have_quotas:
            return
        gone = self._producers.used(Pair(append.producer, fold(append.user), request.room), seen)
        if gone is not None:
            self._forget(*gone)
            self.forgot += 1

    def _forget(self, pair: Pair, until: int, late_ms: int = 0) -> None:
        self._ask(Forget(pair.room, pair.producer, pair.user, until, late_ms))
        self._producers.forget([pair])

    def forgotten(self, pairs: Iterable[Pair]) -> None:
        """Note that producers are forgotten, some of which this broker may know."""
        self._producers.forget(pairs)
