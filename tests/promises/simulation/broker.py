"""The broker's process: the real core in a simulated loop, crashed and started again over the same disk."""

from __future__ import annotations

from collections import Counter, deque

from tests.promises.simulation.checks import check_core
from tests.promises.simulation.network import Network
from tests.promises.simulation.state import Shown
from tests.promises.simulation.store import Disk, DurableStore, VolatileStore
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import World
from zchat.broker.core.core import Core
from zchat.broker.limits import CUT_AFTER, STOP_SECONDS, TURN_FRAMES
from zchat.broker.port import Cut, Peer, Sent
from zchat.broker.settings import Settings
from zchat.broker.store.contract import Append

TURN = 0.0002
"""Seconds that a turn takes."""

MANY = 1_000_000
"""Messages that a room keeps in memory: more than there are."""

CHECK_EVERY = 50
"""Turns between two looks at the core's bounds."""


class _Crash(BaseException):
    """Stop whatever the process was doing."""


class Process:
    """Be one run of the broker, from its start to its end."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.inbox: deque[tuple[Peer, bytes]] = deque()
        self.ended: list[Peer] = []
        self.doomed: set[int] = set()  # the numbers of connections that are to be cut: nothing of them is read
        self.crash_in = 0
        self.alive = True
        self.shown = Shown()
        store: DurableStore | VolatileStore
        if broker.disk is not None:
            store = DurableStore(broker.disk)
        else:
            store = VolatileStore(broker.world, broker.truth, broker.max_room_messages)
        self.store = store
        self._turn_at = float("inf")
        logs = store.open(self.woken)
        self.core = Core(self, store, logs, broker.settings, broker.world.now, broker.world.clock)
        self._append = store.append
        store.append = self.append  # type: ignore[method-assign]
        self.stopping_until: float | None = None

    # -- what a crash can come between ---------------------------------------------------------------

    def step(self) -> None:
        """Crash if this is the step."""
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                raise _Crash

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Be the core's port."""
        self.step()
        outcome = self.broker.network.send(routing_id, frame)
        if outcome == Sent.SENT:
            self.shown.sent(routing_id, frame)
        return outcome

    def cut(self, peer: Peer, why: Cut) -> None:
        """Be the core's port."""
        if peer.connection not in self.doomed:
            self.doomed.add(peer.connection)
            self.broker.cuts[why] += 1
            self.broker.world.after(CUT_AFTER, self._shut, peer)

    def _shut(self, peer: Peer) -> None:
        if self.alive:
            self.broker.network.shut(peer)

    def append(self, append: Append, done: object) -> None:
        """Pass an append on."""
        self.step()
        self._append(append, done)  # type: ignore[arg-type]

    def woken(self) -> None:
        """Be rung by the store's threads; a crash may come between the commit and what follows from it."""
        if self.crash_in == 1:
            self.broker.crash()
        else:
            self.wake(0.0)

    # -- the loop --------------------------------------------------------------------------------------

    def arrived(self, peer: Peer, frame: bytes) -> None:
        """Take what comes from the network."""
        self.inbox.append((peer, frame))
        self.wake(0.0)

    def _is_read(self, peer: Peer) -> bool:
        """Tell whether a frame is handed to the core: not if its connection is to be cut, nor a late stranger's."""
        if peer.connection in self.doomed:
            return False
        return self.core.knows(peer.routing_id) or not self.broker.network.has_ended(peer)

    def vanished(self, peer: Peer) -> None:
        """Have the loop learn of it in its next turn."""
        self.ended.append(peer)
        self.wake(0.0)

    def wake(self, seconds: float) -> None:
        """Have a turn then, or earlier."""
        world = self.broker.world
        at = max(world.now + seconds, self.broker.stopped_until)
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
        core = self.core
        try:
            while self.ended:
                core.vanished(self.ended.pop())
            inbox = self.inbox
            for _ in range(min(len(inbox), broker.turn_frames)):
                peer, frame = inbox.popleft()
                if self._is_read(peer):
                    self.shown.received(peer.routing_id, frame)
                    core.receive(peer.routing_id, [frame], now, peer)
            core.tick(now, not inbox)
            core.turn(now)
            if self.stopping_until is not None and (core.settled or now >= self.stopping_until):
                core.dismiss()
                self.store.close()
                core.turn(now)
                broker.crash()
                return
        except _Crash:
            broker.crash()
            return
        broker.turns += 1
        if broker.turns % CHECK_EVERY == 0:
            check_core(core)
        busy = bool(inbox) or core.busy
        self.wake(TURN if busy else max(TURN, min(1.0, core.due() - now)))


class Broker:
    """Start, crash and start again the broker's process. `disk` is None for the store `memory:`."""

    def __init__(
        self, world: World, network: Network, truth: Truth, disk: Disk | None, settings: Settings, turn_frames: int
    ) -> None:
        self.world = world
        self.network = network
        self.truth = truth
        self.disk = disk
        self.settings = settings
        self.turn_frames = min(turn_frames, TURN_FRAMES)
        self.max_room_messages = world.random.choice((200, MANY))
        self.stopped_until = 0.0
        self.turns = 0
        self.process: Process | None = None
        self.starts = 0
        self.cuts: Counter[Cut] = Counter()
        network.at_broker = self._arrived
        network.ended = self._ended

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
        self.network.listening = True
        self.process.wake(0.0)

    def crash(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.world.note("broker ends")
            self.process.alive = False
            self.process.store.crash()
            self.process = None
            self.network.down()

    def stop(self) -> None:
        """Have the process end in good order."""
        if self.process is not None:
            self.process.core.stop()
            self.process.stopping_until = self.world.now + STOP_SECONDS
            self.process.wake(0.0)

    def _arrived(self, peer: Peer, frame: bytes) -> None:
        if self.process is not None:
            self.process.arrived(peer, frame)

    def _ended(self, peer: Peer) -> None:
        if self.process is not None:
            self.process.vanished(peer)
