"""What is true, known from outside: every log in every epoch, and what each sender learned."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from tests.promises.simulation.world import Violation
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Sanction
from zchat.broker.store.ledger import JUMP
from zchat.messages import GapReason
from zchat.names import fold
from zchat.wire.limits import ID_BYTES
from zchat.wire.values import unpack


def producer_of(told: bytes, token: bytes) -> bytes:
    """Return what the broker makes of a greeting's producer and token, for others to see."""
    return blake2b(told + token, digest_size=ID_BYTES).digest()


class Entry(NamedTuple):
    """Hold one message as it was stored."""

    body: str
    producer: bytes
    user: str
    timestamp: int
    stored_at: int
    """When that was, by a right clock."""


class Truth:
    """Keep each room's log as it was in each epoch, whole: nothing is trimmed here.

    `logs` maps a room to the log that it has now, `epochs` to that log's epoch, `pasts` a room
    and an epoch to the log in which that epoch is the newest, `firsts` a room to the first seq
    that retention left. `place` says where a message lies now, `destroyed` holds what a disaster
    took, `orders` maps a body to its sender's lane and its place in that sender's order,
    `newest` a lane to the latest that is stored. `refused` and `acknowledged` are what senders
    learned: why not, or where, and after how many others. `marks` maps a room and a folded user
    to how far they have read it, as far as that is safe, `answered` the same to what was answered.
    `sanctions` are those that are safe, `imposed_ever` those that ever were, as (room, user, kind, until, by).
    `losses` counts the disasters, `branches` are what servers store whose place was taken.
    `keep` and `age` are how many messages a room keeps, and for how many microseconds
    (0: all, for ever); `clock` tells the right time. `shared`: brokers share the store, over a network: they notice
    a disaster a while after it, and what they could not store is stored all the same, perhaps.
    """

    def __init__(self, clock: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self.shared = False
        self.keep = 0
        self.age = 0
        self.logs: dict[str, list[Entry]] = {}
        self.epochs: dict[str, int] = {}
        self.pasts: dict[tuple[str, int], list[Entry]] = {}
        self.place: dict[str, int] = {}
        self.destroyed: set[str] = set()
        self.firsts: dict[str, int] = {}
        self.orders: dict[str, tuple[str, int]] = {}
        self.newest: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self.marks: dict[tuple[str, str], int] = {}
        self.answered: dict[tuple[str, str], int] = {}
        self.losses = 0
        self.branches: list[Branch] = []
        self.sanctions: dict[tuple[str, str, str], Sanction] = {}
        self.imposed_ever: set[tuple[str, str, str, int, str]] = set()

    # -- the store ---------------------------------------------------------------------------------

    def stored(self, room: str, epoch: int, block: Block) -> None:
        """Record a block that has just become safe."""
        log = self.logs.setdefault(room, [])
        if epoch != self.epochs.get(room, 0):
            if (room, epoch) in self.pasts:
                raise Violation(f"{room}: epoch {epoch} began twice")
            log = self.logs[room] = self.pasts[room, epoch] = log[:]
            self.epochs[room] = epoch
        if block.first != len(log) + 1:
            raise Violation(f"{room}: a block begins at {block.first} after {len(log)}")
        _, timestamp, user, producer, bodies = unpack(block.data)
        if log and log[-1].timestamp - JUMP <= timestamp < log[-1].timestamp:
            raise Violation(f"{room}: time went back at {block.first}")
        for body in map(str.rstrip, unpack(bodies)):
            if body in self.place:
                raise Violation(f"{room}: {body} is in the log twice: at {self.place[body]} and {len(log) + 1}")
            if body in self.refused:
                raise Violation(f"{room}: {body} was stored although its sender received {self.refused[body]}")
            lane, order = self.orders[body]
            if order < self.newest.get(lane, 0):
                raise Violation(f"{room}: {body} stands after what its sender sent later")
            self.newest[lane] = order
            log.append(Entry(body, producer, user, timestamp, self._clock()))
            self.place[body] = len(log)
        if len(log) != block.last:
            raise Violation(f"{room}: a block from {block.first} to {block.last} holds another number of messages")

    def marked(self, room: str, user: str, seq: int) -> None:
        """Record a read mark that is safe."""
        if not self.marks.get((room, user), 0) <= seq <= len(self.logs.get(room, [])):
            raise Violation(f"{room}: {user} has read {seq}, after {self.marks.get((room, user))}")
        self.marks[room, user] = seq

    def trimmed(self, room: str, first: int) -> None:
        """Record that retention removed what lies before `first`."""
        log = self.logs[room]
        for seq in range(self.firsts.get(room, 1), first):
            entry = log[seq - 1]
            dated_well = abs(entry.timestamp - entry.stored_at) <= JUMP
            young = not self.age or self._clock() - entry.stored_at < self.age - JUMP
            if dated_well and young and not (self.keep and len(log) - seq >= self.keep):
                raise Violation(f"{room}: {seq} was removed before its time")
        self.firsts[room] = max(first, self.firsts.get(room, 1))

    def imposed(self, sanction: Sanction) -> None:
        """Record a sanction that is safe."""
        key = fold(sanction.room), fold(sanction.user), sanction.kind
        self.sanctions[key] = sanction
        self.imposed_ever.add((*key, sanction.until, sanction.by))

    def lifted(self, sanction: Sanction) -> None:
        """Record that a sanction is gone for good."""
        self.sanctions.pop((fold(sanction.room), fold(sanction.user), sanction.kind), None)

    def went_back(self, lasts: dict[str, int], marks: dict[tuple[str, str], int], sanctions: list[Sanction]) -> None:
        """Record that the logs now end where `lasts` says, and what the marks are: a disaster took the rest."""
        self.losses += 1
        self.marks = marks
        self.sanctions = {(fold(each.room), fold(each.user), each.kind): each for each in sanctions}
        self.answered = {who: min(seq, marks.get(who, 0)) for who, seq in self.answered.items()}
        for room, log in self.logs.items():
            kept = log[: lasts.get(room, 0)]
            for entry in log[len(kept) :]:
                del self.place[entry.body]
                self.destroyed.add(entry.body)
            self.logs[room] = kept
            self.epochs[room] = -1  # what comes now is another epoch
        self.newest.clear()
        for log in self.logs.values():
            for entry in log:
                lane, order = self.orders[entry.body]
                self.newest[lane] = order

    # -- senders -----------------------------------------------------------------------------------

    def told_stored(self, body: str, seq: int) -> None:
        """Record that a sender has learnt where its message is."""
        if body in self.acknowledged:
            raise Violation(f"{body} was acknowledged twice")
        self.acknowledged[body] = (seq, len(self.acknowledged))
        if self.place.get(body) != seq and body not in self.destroyed:
            where = self.place.get(body)
            raise Violation(f"{body} was acknowledged at {seq}, and it is {'nowhere' if where is None else where}")

    def told_refused(self, body: str, why: str) -> None:
        """Record that a sender has learnt that its message isn't and won't be stored."""
        if body in self.place:
            raise Violation(f"{body} is stored, and its sender received {why}")
        self.refused[body] = why

    def check_acknowledged(self) -> None:
        """Check that what was acknowledged is in the log, where it was said to be."""
        for body, (seq, _) in self.acknowledged.items():
            if self.place.get(body) != seq and body not in self.destroyed:
                raise Violation(f"{body} was acknowledged at {seq} and is lost")

    def told_marked(self, room: str, user: str, seq: int) -> None:
        """Record that a user has learnt how far a room is marked as read."""
        self.answered[room, user] = max(seq, self.answered.get((room, user), 0))

    def check_marks(self) -> None:
        """Check that no mark stands before what was answered."""
        for (room, user), seq in self.answered.items():
            stands = self.marks.get((room, user), 0)
            if stands < seq:
                raise Violation(f"{room}: {user} received that {seq} is marked, and it is {stands}")

    # -- readers -----------------------------------------------------------------------------------

    def log_at(self, room: str, epoch: int, seq: int) -> list[Entry]:
        """Return the log in which `seq` lies in `epoch`."""
        if seq == 0 and epoch == 0:
            return []
        log = self.pasts.get((room, epoch))
        if log is None or len(log) < seq:
            raise Violation(f"{room}: there never was a message {seq} in epoch {epoch}")
        return log


class Branch(Truth):
    """Follow a server that goes on after another has taken its place: what it stores is read at it, and lost with it.

    It is made before the truth goes back, and shares with it what readers are checked by. `in_vain` is what was stored.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth._clock)
        self.keep, self.age = truth.keep, truth.age
        self.logs, self.epochs = dict(truth.logs), dict(truth.epochs)
        self.place, self.newest, self.marks = dict(truth.place), dict(truth.newest), dict(truth.marks)
        self.pasts, self.orders, self.firsts, self.destroyed = truth.pasts, truth.orders, truth.firsts, truth.destroyed
        self.in_vain: set[str] = set()
        truth.branches.append(self)

    def stored(self, room: str, epoch: int, block: Block) -> None:
        """Record a block that is acknowledged, perhaps, and lost."""
        super().stored(room, epoch, block)
        bodies = {entry.body for entry in self.logs[room][block.first - 1 :]}
        self.in_vain |= bodies
        self.destroyed |= bodies


class Stream:
    """Follow what one reader is given of one room, from a position on; what it must not miss is checked.

    `producer` is the session's own, whose messages it must not be sent. `logs` are those that it may be reading:
    over own messages, which it isn't sent, there can be several ways. `withheld`: whether what was said before may have
    been withheld by rules.
    """

    def __init__(
        self, truth: Truth, room: str, epoch: int, seq: int, producer: bytes, who: str,
        withheld: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.truth = truth
        self.room = room
        self.epoch = epoch
        self.seq = seq
        self.producer = producer
        self.who = who
        self.withheld = withheld
        self.logs = [truth.log_at(room, epoch, seq)]

    def took(self, epoch: int, after: int, upto: int, messages: list[tuple[int, str, str, int]]) -> None:
        """Check a notification that was taken: all others' messages after `after` up to `upto`, of one log."""
        log = self.truth.log_at(self.room, epoch, upto)
        if after != self.seq:
            self._pass_own(after, [log])
        if not any(_same(log, past, self.seq) for past in self.logs):
            raise Violation(f"{self.who}: {self.room} went on at {self.seq} in another log, and no gap was reported")
        expected = [
            (seq, entry.user, entry.body, entry.timestamp)
            for seq, entry in enumerate(log[after:upto], after + 1)
            if entry.producer != self.producer
        ]
        if messages != expected:
            raise Violation(
                f"{self.who}: {self.room} after {after} up to {upto} should be {expected}, and it was {messages}"
            )
        self.epoch, self.seq, self.logs = epoch, upto, [log]

    def skipped(self, epoch: int, after: int, upto: int, reason: str) -> None:
        """Check a gap: that it had to come, and goes on where reading can."""
        if after != self.seq:
            self._pass_own(after, [log for (room, _), log in self.truth.pasts.items() if room == self.room])
        log = self.truth.log_at(self.room, epoch, upto)
        first = self.truth.firsts.get(self.room, 1)
        if reason == GapReason.TRIMMED:
            if not after < upto < first:
                raise Violation(f"{self.who}: {self.room} has a gap up to {upto}, and it can be read")
            if not any(_same(log, past, after) for past in self.logs):
                raise Violation(f"{self.who}: {self.room} is another log, and it was reported as trimmed")
        elif reason == GapReason.WITHHELD:
            if not self.withheld():
                raise Violation(f"{self.who}: {self.room} was withheld up to {upto} from somebody who may read it")
            if not any(_same(log, past, after) for past in self.logs):
                raise Violation(f"{self.who}: {self.room} is another log, and it was reported as withheld")
        elif all(
            _same(truth.logs.get(self.room, []), past, after)
            for truth in (self.truth, *self.truth.branches)
            for past in self.logs
        ):
            raise Violation(f"{self.who}: {self.room} has a gap ({reason}) although its past is the log's")
        elif (
            reason == GapReason.TAIL_LOST
            and upto >= first
            and not self.withheld()
            and not any(_same(log, past, upto) for past in self.logs)
        ):
            raise Violation(f"{self.who}: {self.room} lost more than its tail")
        self.epoch, self.seq, self.logs = epoch, upto, [log]

    def _pass_own(self, after: int, logs: list[list[Entry]]) -> None:
        """Go on to `after` if nothing but own messages lies between, in any of the logs that went on from here."""
        ways = [
            log
            for log in logs
            if len(log) >= after
            and all(entry.producer == self.producer for entry in log[self.seq : after])
            and any(_same(log, past, self.seq) for past in self.logs)
        ]
        if not ways:
            raise Violation(f"{self.who}: {self.room} went on after {after}, not after {self.seq}")
        self.seq, self.logs = after, ways

    def expected_position(self, sure: bool, since: int) -> int:
        """Return how far the position must have got at least, all said and acknowledged: over own messages too.

        `sure`: the log is known to be that of the position. `since`: how many messages were acknowledged
        before the room was joined, whose places its membership wasn't told.
        """
        log = self.truth.logs.get(self.room, [])
        seq = len(log)
        while seq > self.seq and log[seq - 1].producer == self.producer:
            seq -= 1
        while sure and seq < len(log) and self.truth.acknowledged.get(log[seq].body, (0, -1))[1] >= since:
            seq += 1
        return seq


def _same(log: list[Entry], other: list[Entry], upto: int) -> bool:
    return log is other or log[:upto] == other[:upto]
