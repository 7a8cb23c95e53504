"""A client's process: the real core and the real reading, under an application that does what applications do."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.promises.simulation.calls import Outgoing, Question
from tests.promises.simulation.checks import require
from tests.promises.simulation.joined import Joined
from tests.promises.simulation.network import Dealer, Network
from tests.promises.simulation.ruling import JOIN, READ, Ruling
from tests.promises.simulation.truth import Truth, producer_of
from tests.promises.simulation.world import World
from zchat import errors
from zchat.messages import Position
from zchat.names import fold
from zchat.protocol.core import ClientCore
from zchat.protocol.rooms.membership import Membership
from zchat.wire.limits import JOIN_FLAGS
from zchat.wire.replies import Welcome
from zchat.wire.values import unpack


class Client:
    """Be one run of a client's program, from its start to its end."""

    def __init__(
        self, world: World, networks: Sequence[Network], truth: Truth, name: str, user: str,
        positions: dict[str, Position | None],
        flags: int = JOIN_FLAGS, key: str | None = None, ruling: Ruling | None = None,
    ) -> None:  # fmt: skip
        random = world.random
        self.world = world
        self.networks = networks
        self.network = networks[0]
        self.truth = truth
        self.name = name
        self.user = user
        self.flags = flags
        self.key = key
        self.ruling = ruling
        self.robbed = False  # somebody else knows its token
        self.begun_at = world.now
        self.alive = True
        self.why: errors.ZchatError | None = None
        told, self.token = random.randbytes(16), random.randbytes(16)
        self.producer = producer_of(told, self.token)
        self.mark = random.choice((0, 0, 1, 2, 5))
        self.mark_now = 10_000
        self.pace = random.choice((0.001, 0.02, 0.3))
        self.notice = random.choice((0.0, 0.5, 1.0))
        self.joins: dict[str, Joined] = {}
        self.old: list[Joined] = []
        self.waiting = 0
        self.stopped_until = 0.0
        self.losses = 0
        self.moved_at = world.now
        self.greeted_at = 0
        self.left_at: dict[str, int] = {}
        self.places: dict[str, Position | None] = {}  # in rooms out of which it was put
        self.refusals: dict[str, Exception] = {}  # why it could not join
        self.read: dict[str, int] = {}
        self.unsure: set[str] = set()  # rooms of which a mark may never be stored, for want of a right
        self._inbox: deque[bytes] = deque()
        self._due = float("inf")
        self._orders: dict[str, int] = {}
        self._submissions = 0
        self.stragglers: float | None = None
        self.dealer = self._dealer()
        self.core = ClientCore(self, user, told, self.token, self.mark, Random(random.random()))
        self.core.start(world.now)
        for room, position in positions.items():
            self.join(room, position)
        self.turn()

    # -- the core's port -------------------------------------------------------------------------------

    def _dealer(self) -> Dealer:
        return Dealer(self.network, self, lambda: len(self._inbox), self.notice, self.key)

    def send(self, frame: bytes) -> None:
        """See `zchat.protocol.port.Port`."""
        self.dealer.send(frame)

    def opened(self, welcome: Welcome) -> None:
        """See `zchat.protocol.port.Port`."""
        self.mark_now = welcome.window
        self.moved_at = self.world.now
        self.greeted_at = self.world.true_clock()

    def invited(self, room: str, user: str, position: Position) -> None:
        """See `zchat.protocol.port.Port`: a client that is invited joins."""
        if room not in self.joins:
            self.world.note(f"{self.name} invited by {user}")
            self._join(room, position, user)

    def mark_refused(self, room: str, error: errors.Refused) -> None:
        """See `zchat.protocol.port.Port`."""
        self.world.note(f"{self.name} could not mark {room}: {type(error).__name__}")
        self.unsure.add(room)
        self._check_refusal(error, room, READ, self.begun_at)

    def lost(self, error: errors.ZchatError, was_open: bool) -> None:
        """See `zchat.protocol.port.Port`."""
        self.losses += 1
        self.moved_at = self.world.now
        self.world.note(f"{self.name} lost {type(error).__name__}")

    def connect(self) -> None:
        """See `zchat.protocol.port.Port`."""
        stragglers, self.stragglers = self.stragglers, None
        if stragglers is None and self.world.random.random() < 0.5:
            stragglers = 0.02 * self.world.random.random()
        self.dealer.close(stragglers)
        self._inbox.clear()
        if len(self.networks) > 1:  # its addresses are tried in turn
            self.network = self.networks[(self.networks.index(self.network) + 1) % len(self.networks)]
        self.dealer = self._dealer()

    def ended(self, error: errors.ZchatError | None) -> None:
        """See `zchat.protocol.port.Port`."""
        self.alive = False
        self.why = error
        self.world.note(f"{self.name} ended {type(error).__name__}")
        self.dealer.close(0.0)

    # -- the loop --------------------------------------------------------------------------------------

    def arrived(self, frame: bytes) -> None:
        """Take a frame, at once or when the process goes on."""
        if not self.alive:
            return
        if self.stopped_until > self.world.now or self._inbox:
            self._inbox.append(frame)
        else:
            self.core.receive(frame, self.world.now)
            self.turn()

    def broken(self) -> None:
        """Record that the connection broke."""
        if self.alive and self.stopped_until <= self.world.now:
            self.core.lost("the connection broke")
            self.turn()

    def refused(self, *, later: bool) -> None:
        """Do as a link does whose handshake was refused: for good, or for now."""
        if not self.alive or self.stopped_until > self.world.now:
            return
        if later:
            self.core.shut_out(errors.Busy("the broker lets nobody else in for now"), self.world.now)
        else:
            self.core.refuse(errors.KeyRefused("the broker doesn't let in this key"))
        self.turn()

    def turn(self) -> None:
        """Do what is due."""
        world = self.world
        if not self.alive:
            return
        if self.stopped_until > world.now:
            due = self.stopped_until
        else:
            inbox = self._inbox
            while inbox and self.alive:
                self.core.receive(inbox.popleft(), world.now)
            due = max(self.core.tick(world.now), world.now + 0.001)
        if self.alive and (due < self._due or self._due <= world.now):
            self._due = due
            world.after(due - world.now, self._wake, due)

    def _wake(self, due: float) -> None:
        if self._due == due:
            self._due = float("inf")
            self.turn()

    def stop(self, seconds: float) -> None:
        """Stand still, as a stopped process does."""
        self.stopped_until = max(self.stopped_until, self.world.now + seconds)
        self._due = float("inf")
        self.turn()

    def crash(self) -> None:
        """End at once."""
        self.alive = False
        self.dealer.close(None if self.world.random.random() < 0.5 else 0.01)

    # -- what the application does -----------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Tell whether the process can't do anything now."""
        return not self.alive or self.stopped_until > self.world.now

    def credit(self, membership: Membership) -> None:
        """Return credit, as a reading does through the receive thread."""
        if self.alive:
            self.core.credit(membership)
            self.turn()

    def join(self, room: str, position: Position | None) -> None:
        """Join a room."""
        self._join(room, position, None)
        self.turn()

    def _join(self, room: str, position: Position | None, inviter: str | None) -> None:
        joined = self.joins[room] = Joined(self, room, position, inviter)
        self.moved_at = self.world.now

        def done(membership: Membership) -> None:
            if self.joins.get(room) is joined:
                joined.begun(membership)
                self.moved_at = self.world.now

        def failed(error: Exception) -> None:
            if self.joins.get(room) is joined:
                del self.joins[room]
                self.places[room] = position
                self.refusals[room] = error
            self._check_refusal(error, room, JOIN, joined.since)

        self.core.join(room, position, True, Question(self, done, failed), joined.feed, self.flags)

    def _check_refusal(self, error: Exception, room: str, right: str, since: float) -> None:
        if self.ruling is not None:
            self.ruling.check_refusal(error, self.user, room, right, since)

    def put_out(self, joined: Joined, error: errors.Refused) -> None:
        """Record that the broker has put it out of a room, and why."""
        room = joined.name
        self.world.note(f"{self.name} was put out of {room}: {type(error).__name__}")
        assert self.ruling is not None, f"{self.name} was put out of {room}, and there are no rules"
        if isinstance(error, errors.Kicked):
            require((fold(room), fold(self.user)) in self.ruling.kicked, f"{self.name} was put out by nobody: {error}")
        self._check_refusal(error, room, JOIN, joined.since)
        self.moved_at = self.world.now
        self.unsure.add(room)
        self.places[room] = joined.position()
        if self.joins.get(room) is joined:
            del self.joins[room]

    def leave(self, room: str) -> Position | None:
        """Leave a room; returns the position to come back to."""

        def gone(result: object) -> None:
            self.moved_at = self.world.now
            self.left_at[room] = self.world.true_clock()

        gone(None)
        joined = self.joins.pop(room)
        position = joined.position()
        assert joined.membership is not None
        if not joined.feed.cursor.sure:
            self.read.pop(room, None)  # it may be of another log
        joined.leaving = joined.feed.left = True
        self.core.leave(joined.membership, Question(self, gone, gone))
        self.turn()
        return position

    def typing(self, room: str, active: bool) -> None:
        """Say that the user types, or has ended."""
        membership = self.joins[room].membership
        assert membership is not None
        self.core.typing(membership, active, self.world.now)
        self.turn()

    def mark_read(self, room: str, seq: int) -> None:
        """Have a room marked as read, as an application does."""
        membership = self.joins[room].membership
        assert membership is not None
        self.store_mark(membership, seq)
        self.turn()

    def store_mark(self, membership: Membership, seq: int) -> None:
        """Have a room marked as read, as a reading does through the receive thread."""
        if self.alive and seq > 0:
            room = membership.name
            read = self.read.get(room, 0)
            self.read[room] = max(read, min(seq, len(self.truth.logs.get(room, ()))))
            self.core.mark_read(membership, seq)

    def ask_mark(self, room: str, seq: int) -> None:
        """Have a room marked as read by a request of its own, whose answer is looked at."""
        marks = self.truth.marks
        losses = self.truth.losses

        def done(result: list[Any]) -> None:
            if losses == self.truth.losses and not (losses and self.truth.shared):
                stands = result[0]
                require(stands <= marks.get((room, fold(self.user)), 0), f"{room}: {stands} is answered and not safe")
                self.truth.told_marked(room, fold(self.user), stands)

        self.core.ask("mark", (room, seq), Question(self, lambda result: None, lambda error: None), done)
        self.turn()

    def say(self, room: str, count: int, deadline: float | None) -> None:
        """Send some messages as one submission."""
        self._submissions += 1
        lane = f"{self.name}/{room}"
        names = []
        for index in range(count):
            body = f"{self.name}.{room}.{self._submissions}.{index}"
            order = self._orders[lane] = self._orders.get(lane, 0) + 1
            self.truth.orders[body] = (lane, order)
            names.append(body)
        outgoing = Outgoing(self, room, names, " " * self.world.random.choice((0, 0, 50, 400)))
        self.waiting += 1
        self.core.offer(room, outgoing)
        if deadline is not None:
            self.world.after(deadline, outgoing.withdraw)
        self.turn()

    def look(self, room: str, after: int | None, before: int | None, limit: int) -> None:
        """Ask for a part of the history, and check what comes."""

        def done(result: list[Any]) -> None:
            name, epoch, start, upto, _more, blocks = result[:6]
            may = self.ruling is None or self.ruling.had(self.user, room, READ, since)
            require(may, f"{self.name} was given the history of {room}")
            found: list[tuple[int, str]] = []
            for first, _, _, _, bodies, *_ in blocks:
                found += enumerate((body.rstrip() for body in unpack(bodies)), first)
            log = self.truth.log_at(name, epoch, upto) if blocks else []
            wanted = [(seq, entry.body) for seq, entry in enumerate(log[start:upto], start + 1)]
            require(
                [pair for pair in found if start < pair[0] <= upto] == wanted, f"{name}: the history is not the log"
            )

        since = self.world.now
        call = Question(self, lambda result: None, lambda error: self._check_refusal(error, room, READ, since))
        self.core.ask("history", (room, after, before, limit), call, done)
        self.turn()

    def close(self, seconds: float) -> None:
        """Say goodbye."""
        if self.alive:
            self.core.close(self.world.now + seconds)
            self.turn()
