"""The broker's process: the real core in a simulated loop, crashed and started again over the same disk."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from tests.promises.simulation.checks import check_core, require
from tests.promises.simulation.costs import Costs, Waiting
from tests.promises.simulation.entrance import Entrance
from tests.promises.simulation.inspection import Inspection
from tests.promises.simulation.keys import ALLOWED, Keys
from tests.promises.simulation.network import Connection, Network
from tests.promises.simulation.ruling import Ruling
from tests.promises.simulation.ruling import State as RulesState
from tests.promises.simulation.several.store import SharedStore
from tests.promises.simulation.state import Shown
from tests.promises.simulation.store import Disk, DurableStore, VolatileStore
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import World
from zchat.broker.core.core import Core
from zchat.broker.figures.counters import Counters
from zchat.broker.guard.connections import Connections
from zchat.broker.guard.doorkeeper import CHECK_EVERY, Doorkeeper
from zchat.broker.guard.gate import Gate
from zchat.broker.limits import CUT_AFTER, GREET_WITHIN, READ_EVERY, RESUME_SECONDS, STOP_SECONDS, TURN_FRAMES
from zchat.broker.port import Cut, Peer, Sent
from zchat.broker.rooms.session import Session
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Append

TURN = 0.0002
"""Seconds that a turn takes."""

MANY = 1_000_000
"""Messages that a room keeps in memory: more than there are."""

CORE_CHECKED_EVERY = 50
"""Turns between two checks of the core's bounds."""

DOOR = [why.counter for why in Cut]
DOOR += ["turned_away_unknown_key", "turned_away_too_often", "turned_away_too_many"]
"""The counters of what becomes of connections."""

MET = [*DOOR, "frames_waited", "slowed_messages", "slowed_bytes"]
"""These, and those of users who wait for others."""

SLACK = 1.0
"""Seconds that the broker may be late in what it does by the clock."""


class Crash(BaseException):
    """Stop whatever the process was doing."""


class Process:
    """Be one run of the broker, from its start to its end."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.inbox: deque[tuple[Connection, bytes]] = deque()
        self.crash_in = 0
        self.alive = True
        self.shown = Shown()
        self.store = store = self.make_store()
        self._turn_at = float("inf")
        self._asleep = False
        self._spent = 0.0  # in this turn
        self._users: dict[Session, str] = {}  # as they were when they began
        self._last_words: dict[int, float] = {}  # when they were said, by numbers of connections
        self._without: dict[int, float] = {}  # since when connections were seen to have no session any more
        self._busy_until = 0.0  # with what frames take
        self._other_rules: RulesState | None = None  # that the loop is yet to take
        ruling = broker.ruling
        rules = None if ruling is None else ruling.rules(ruling.state)
        self.inspection = None if ruling is None else Inspection(self, ruling)
        logs = store.open(self.woken)
        keys = broker.keys
        self._known = (None, frozenset[str]()) if keys is None else (keys.names, keys.gateways)
        self._keys_of: dict[int, str | None] = {}  # by numbers of connections
        self._read: tuple[Mapping[str, str], frozenset[str]] | None = None  # the keys that the loop is yet to take
        gate = Gate(*self._known, guests=keys is not None and keys.guests)
        self.connections = Connections()
        self.entrance = Entrance(broker.network, self.connections, broker.files, self._rung, self._refuses, self._cuts)
        self.doorkeeper = Doorkeeper(gate, self.connections, self.entrance)
        self.core = Core(self, store, logs, broker.settings, broker.world.now, broker.world.clock, gate, rules)
        self._waiting = Waiting(self)
        if self.inspection is not None:
            self.inspection.watch()
        self._append = store.append
        store.append = self.append  # type: ignore[method-assign]
        self.stopping_until: float | None = None
        if keys is not None:
            broker.world.after(READ_EVERY * keys.random.random(), self._read_keys)

    def make_store(self) -> DurableStore | VolatileStore | SharedStore:
        """Return the store that it begins with."""
        broker = self.broker
        if broker.disk is not None:
            return DurableStore(broker.disk)
        return VolatileStore(broker.world, broker.truth, broker.max_room_messages)

    # -- what a crash can come between ---------------------------------------------------------------

    def step(self) -> None:
        """Crash if this is the step."""
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                raise Crash

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Be the core's port."""
        self.step()
        network = self.broker.network
        self._waiting.sends(frame)
        outcome = network.send(routing_id, frame)
        if outcome == Sent.SENT:
            session = self.core.context.sessions.table.by_routing_id.get(routing_id)
            proves = session is not None and session.to_prove
            connection = network.connections[routing_id].number
            self.shown.sent(connection, frame, proves=proves)
            if self.inspection is not None:
                self.inspection.sent(session, connection, frame)
        return outcome

    def cut(self, peer: Peer, why: Cut) -> None:
        """Be the core's port."""
        now = self._now
        known = self.connections._by_number.get(peer.connection)
        if why is Cut.ENDED and known is not None and known.greeted:  # others make room for newcomers
            self._last_words.setdefault(peer.connection, now)
        self.doorkeeper.cut(peer, why, now)

    def append(self, append: Append, done: object) -> None:
        """Pass an append on, if its sender has the key."""
        self.step()
        broker = self.broker
        if broker.keys is not None:
            sessions = self.core.context.sessions.table.by_token.values()
            [peer] = [each.peer for each in sessions if each.producer == append.producer]
            since = broker.attentive_since(ALLOWED)
            known = broker.keys.was(self._keys_of[peer.connection], append.user, since)
            require(known, f"a message of {append.user} is accepted from somebody who has not the key")
        if self.inspection is not None:
            self.inspection.append(append)
        self._append(append, done)  # type: ignore[arg-type]

    def woken(self) -> None:
        """Be rung by the store's threads; a crash may come between the commit and what follows from it."""
        if self.crash_in == 1:
            self.broker.crash()
        else:
            self.wake(0.0)

    def spend(self, user: str, frame: bytes) -> None:
        """Have a frame that was carried out have taken the loop's time."""
        costs = self.broker.costs
        if costs is not None and (seconds := costs.draw(user, frame)):
            self._spent += seconds
            self.core.shares.rest(self._now)

    @property
    def _now(self) -> float:
        return self.broker.world.now + self._spent

    # -- the door ------------------------------------------------------------------------------------

    def _refuses(self, connection: Connection, later: bool) -> None:
        """Check that nobody is refused for good whose key is in the folder."""
        keys = self.broker.keys
        out = keys is not None and keys.was_out(connection.key, self.broker.attentive_since(ALLOWED))
        require(later or out, "somebody was refused for good who has a key")

    def _cuts(self, connection: Connection) -> None:
        """Check that a last word has had its time."""
        said_at = self._last_words.get(connection.number, 0.0)
        require(said_at + CUT_AFTER <= self._now, "a connection is cut before its last word has had its time")

    # -- the keys --------------------------------------------------------------------------------------

    def _read_keys(self) -> None:
        """Read the folder of keys and the file of rules, as a thread of its own does."""
        broker = self.broker
        if not self.alive:
            return
        if broker.world.now < broker.stopped_until:
            broker.world.after(min(broker.stopped_until - broker.world.now, 0.1), self._read_keys)  # it may end earlier
            return
        assert broker.keys is not None
        if self._known != (broker.keys.names, broker.keys.gateways):
            self._known = self._read = broker.keys.names, broker.keys.gateways
            self.wake(0.0)
        ruling, inspection = broker.ruling, self.inspection
        if ruling is not None and inspection is not None and inspection.state is not ruling.state:
            self._other_rules = ruling.state
            self.wake(0.0)
        broker.world.after(READ_EVERY, self._read_keys)

    # -- the loop --------------------------------------------------------------------------------------

    def arrived(self, connection: Connection, frame: bytes) -> None:
        """Take what comes from the network."""
        self.inbox.append((connection, frame))
        self.wake(0.0)

    def _rung(self) -> None:
        """Wake for the doorkeeper, if this sleeps: who is awake looks after it now and then."""
        if self._asleep:
            self.wake(0.0)

    def wake(self, seconds: float) -> None:
        """Have a turn then, or earlier."""
        world = self.broker.world
        at = max(world.now + seconds, self.broker.stopped_until, self._busy_until)
        if self.alive and at < self._turn_at:
            self._turn_at = at
            world.after(at - world.now, self._turn, at)

    def _turn(self, at: float) -> None:
        if not self.alive or at != self._turn_at:
            return
        self._turn_at = float("inf")
        broker = self.broker
        now = broker.world.now
        if now < broker.stopped_until:
            self.wake(0.0)
            return
        core, doorkeeper = self.core, self.doorkeeper
        if self._asleep:
            self._asleep = False
            if self.entrance.readable:
                doorkeeper.due = 0.0
            else:
                doorkeeper.due = min(now + CHECK_EVERY, doorkeeper.wake)
        try:
            self._spent = 0.0
            drained = self._receive(now)
            if core.shares.waiting:
                self._resume(now, drained)
            now += self._spent
            self._busy_until = now
            core.tick(now, drained)
            core.turn(now)
            if self.inspection is not None:
                self.inspection.turned()
            if now >= doorkeeper.due or self.stopping_until is not None:
                doorkeeper.check(now, core)
            if self._read is not None:
                core.context.gate.revise(*self._read)
                self._read = None
                core.keys_changed()
            if self._other_rules is not None and self.inspection is not None:
                self.inspection.revise(self._other_rules)
                self._other_rules = None
            if self.stopping_until is not None and (core.settled or now >= self.stopping_until):
                self.finish(now)
                return
        except Crash:
            broker.crash()
            return
        core.log_lines.take()
        broker.turns += 1
        if broker.turns % CORE_CHECKED_EVERY == 0:
            check_core(core)
            self._waiting.check()
            self.check_door()
            if self.inspection is not None:
                self.inspection.check_members()
        if not drained or core.busy:
            self.wake(TURN)
        else:
            self._asleep = True
            due = now if self.entrance.readable else min(core.due(), doorkeeper.wake)
            self.wake(max(TURN, min(1.0, due - now)))

    def finish(self, now: float) -> None:
        """End in good order."""
        self.core.dismiss()
        self.store.close()
        self.core.turn(now)
        self.broker.crash()

    def _receive(self, now: float) -> bool:
        """Hand the core what has arrived, a turn's worth; True if nothing is left."""
        core, connections, inbox = self.core, self.connections, self.inbox
        for _ in range(self.broker.turn_frames):
            if not inbox:
                if connections.checking or connections.sampled:
                    self.doorkeeper.drained(core, now)
                return True
            connection, frame = inbox.popleft()
            routing_id = connection.routing_id
            known = routing_id in core.sessions
            peer = None
            if not known or connections.checking:
                peer = connections.peer(connection.number, connection.fd, routing_id, len(frame), known=known)
                if peer is None:
                    continue
            self.shown.received(connection.number, frame)
            if self.inspection is not None:
                self.inspection.received(connection.number, routing_id, frame)
            self._keys_of[connection.number] = connection.key
            self._waiting.arrived(connection.number, routing_id, frame)
            core.receive(routing_id, [frame], now + self._spent, peer)
            self._waiting.taken()
            if not known and peer is not None:
                if routing_id in core.sessions:
                    connections.greeted(peer.connection)
                    if self.broker.keys is not None:
                        self._check_greeted(core.context.sessions.table.by_routing_id[routing_id])
                elif core.waiting.holds(peer):
                    connections.waits(peer.connection)
        return False

    def _resume(self, now: float, drained: bool) -> None:
        """Carry out what has waited, for a moment."""
        core, end = self.core, now + self._spent + RESUME_SECONDS
        while now + self._spent < end and (waiting := core.resume(now + self._spent, idle=drained)) is not None:
            drained = False
            if waiting.session is None:
                peer, connections = waiting.peer, self.connections
                if peer.routing_id in core.sessions:
                    connections.greeted(peer.connection)
                else:
                    connections.refused(peer.connection, now)

    def _check_greeted(self, session: Session) -> None:
        """Check that a session begins under the name of its key, and never goes on under another."""
        assert self.broker.keys is not None
        self.broker.keys.check_sessions(self.broker)
        ruling = self.broker.ruling
        require(ruling is None or not ruling.is_banned(session.peer.user), f"{session.user} is banned, and greeted")
        before = self._users.setdefault(session, session.peer.user)
        require(before == session.peer.user, f"the session of {before} was given to {session.peer.user}")

    def check_door(self) -> None:
        """Check that nobody is connected who was to be cut."""
        broker = self.broker
        late = broker.attentive_since(GREET_WITHIN + SLACK)
        greeted = {each.fd for each in self.connections._by_fd.values() if each.greeted}
        allowed = {*greeted, *self.connections._waiting}
        allowed.update(fd for fd, each in self.connections._new.items() if each.since > late)  # refused after a wait
        by_fd = broker.network.by_fd
        for fd, connection in by_fd.items():
            require(fd in allowed or connection.since > late, "somebody is connected who never greeted")
        for each in self.connections._waiting.values():
            peer = self.connections.peer_at(each.fd)
            holds = peer is not None and self.core.waiting.holds(peer)
            require(holds or each.doomed, "a connection is taken to wait for which nothing does")
        if not self.entrance.readable:
            for number, known in self.connections._by_number.items():
                require(by_fd[known.fd].number == number, "a connection is taken for another's")
        self._check_cut()
        if broker.keys is not None:
            broker.keys.check_sessions(broker)
            broker.keys.check_connections(self)

    def _check_cut(self) -> None:
        """Check that connections are cut whose sessions have ended or gone on elsewhere, and not those of others.

        Of one that is to be cut some frames would be read and some not: a later block, and not the one before it.
        """
        having = {session.peer.connection for session in self.core.context.sessions.table.by_token.values()}
        to_be_cut = {number for _, number, _ in self.connections._cuts}
        require(having.isdisjoint(to_be_cut), "a session goes on over a connection that is to be cut")
        greeted = [number for number, each in self.connections._by_number.items() if each.greeted]
        now, late = self.broker.world.now, self.broker.attentive_since(CUT_AFTER + SLACK)
        self._without = {number: self._without.get(number, now) for number in greeted if number not in having}
        require(all(since > late for since in self._without.values()), "a connection is left without a session")


class Broker:
    """Start, crash and start again the broker's process. `disk` is None for the store `memory:`."""

    def __init__(
        self, world: World, network: Network, truth: Truth, disk: Disk | None, settings: Settings, turn_frames: int,
        keys: Keys | None, files: int | None, ruling: Ruling | None,
        costs: Costs | None,
    ) -> None:  # fmt: skip
        self.world = world
        self.network = network
        self.truth = truth
        self.disk = disk
        self.settings = settings
        self.turn_frames = min(turn_frames, TURN_FRAMES)
        self.max_room_messages = world.random.choice((200, MANY))
        self.keys = keys
        self.files = files
        self.ruling = ruling
        self.costs = costs
        self.stopped_until = 0.0
        self._stood_still = (0.0, 0.0)  # from when to when, the last time
        self.turns = 0
        self.process: Process | None = None
        self.starts = 0
        self._counts: Counter[str] = Counter()
        network.at_broker = self._arrived

    @property
    def core(self) -> Core | None:
        """Return the core that runs, None if none does."""
        return None if self.process is None else self.process.core

    def start(self) -> None:
        """Start the process, unless it runs or its file can't be opened; then again later."""
        if self.process is not None:
            return
        if self.disk is not None and self.disk.unreadable:
            self.world.after(0.2, self.start)
            return
        self.starts += 1
        self.world.note("broker starts")
        self.process = Process(self)
        self.network.entrance = self.process.entrance
        self.process.wake(0.0)

    def crash(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.world.note("broker ends")
            self.process.alive = False
            self.process.store.crash()
            self._counts += _counts_of(self.process.core.counters)
            self.process = None
            self.network.down()

    def stop(self) -> None:
        """Have the process end in good order."""
        if self.process is not None:
            self.process.core.stop()
            self.process.stopping_until = self.world.now + STOP_SECONDS
            self.process.wake(0.0)

    def stand_still(self, seconds: float) -> None:
        """Stop the process, and continue it then."""
        now = self.world.now
        until = max(self.stopped_until, now + seconds)
        begun, ended = self._stood_still
        self._stood_still = (begun if ended >= now - ALLOWED else now, until)
        self.stopped_until = until

    def go_on(self) -> None:
        """Continue the process."""
        begun, ended = self._stood_still
        self.stopped_until = self.world.now
        self._stood_still = (begun, min(ended, self.world.now))

    def attentive_since(self, seconds: float) -> float:
        """Return when the process has had that many seconds for what happened then, in which it did not stand still."""
        since = self.world.now - seconds
        begun, ended = self._stood_still
        return begun - seconds if ended > since else since

    @property
    def counts(self) -> Counter[str]:
        """Return what has become of connections and who had to wait, in all of the broker's runs."""
        return self._counts + _counts_of(self.core.counters) if self.core is not None else self._counts

    def _arrived(self, connection: Connection, frame: bytes) -> None:
        if self.process is not None:
            self.process.arrived(connection, frame)


def _counts_of(counters: Counters) -> Counter[str]:
    return Counter({name: getattr(counters, name) for name in MET})
