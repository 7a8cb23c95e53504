"""One seed: several brokers over one server, clients that move, and all that goes wrong; then peace and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from unittest.mock import patch

from tests.promises.simulation.actor import Actor
from tests.promises.simulation.checks import check_core, check_empty, require
from tests.promises.simulation.client import Client
from tests.promises.simulation.network import Network
from tests.promises.simulation.several.faults import DISASTERS, FAULTS, FleetFault
from tests.promises.simulation.several.member import Member
from tests.promises.simulation.several.server import Server
from tests.promises.simulation.several.store import PLACE, simulated
from tests.promises.simulation.several.wire import Raw
from tests.promises.simulation.simulation import CALM, ROOMS, Report
from tests.promises.simulation.stage import PEACE, STEP, Stage
from tests.promises.simulation.state import check_invited, check_marks, check_pictures, check_presence, versions
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import Violation, World
from zchat.broker.limits import EXPIRE_AFTER
from zchat.broker.settings import Settings
from zchat.names import fold
from zchat.wire.limits import JOIN_FLAGS

BROKERS = (2, 3)
CLIENTS = (4, 7)
MESSAGES = 200
TROUBLE = 8.0
"""Seconds in which things go wrong."""

FAULTS_A_SECOND = (2.0, 8.0)
MIN_FAULTS = 12
DISASTROUS = 0.35
"""How many of the seeds have disasters, which excuse losses, and so hide some."""

IN_VAIN = "acknowledged in vain"
"""What is counted, beside the faults, where a server has acknowledged messages whose place another had taken."""

OVER = 10.0 + EXPIRE_AFTER + 5.0
"""Seconds after the last fault after which nobody is left who was killed in it: a broker counts as there for 10."""


class Fleet(Stage):
    """Run one seed. `calm`: nothing goes wrong."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        world = World(seed)
        random = world.random
        super().__init__(world, Truth(world.true_clock), ROOMS[: random.choice((2, 3, 4))])
        self.server = Server(world, self.truth)
        self.replaced: list[Server] = []
        """Servers whose place another has taken, and which go on for whoever is connected to them."""
        retained = random.choice((0, 0, 30))
        self.truth.keep = retained
        self.truth.shared = True
        self.members_of: dict[Member, Network] = {}
        self.brokers: list[Member] = []
        for number in range(random.randint(*BROKERS)):
            settings = Settings(
                high_water_mark=random.choice((2, 4, 10)), rooms=ROOMS[:2], retain_messages=retained, names=200
            )
            network = Network(world, random.choice((6, 20, 52)))
            turn_frames = random.choice((1, 5, 256))
            self.brokers.append(Member(world, f"b{number}", network, self.truth, self.server, settings, turn_frames))
        self.calm = calm
        self.peace_at = float("inf")
        self.bounds: dict[str, int | float] = {
            "zchat.broker.delivery.pusher.TAIL_BYTES": random.choice((1_500, 6_000, 4 << 20)),
            "zchat.broker.delivery.pusher.NOTIFICATION_BYTES": random.choice((300, 3_000, 64 * 1024)),
            "zchat.broker.rooms.retention.RETAIN_EVERY": random.choice((0.2, 1.0, 5.0)),
            "zchat.broker.store.redis.committer.BATCH_CALLS": random.choice((1, 5, 1000)),
            "zchat.broker.store.redis.reader.CATCH_UP_BYTES": random.choice((300, 3_000, 1 << 20)),
            "zchat.broker.store.redis.reader.ENTRIES": random.choice((1, 3, 500)),
            "zchat.broker.store.redis.feed.NOTICES": random.choice((3, 10_000, 10_000)),
            "zchat.broker.store.redis.presence.TELLING": random.choice((1, 1000)),
            "zchat.protocol.rooms.room_state.UNREAD_EVERY": 0.05,
        }
        kinds = dict(FAULTS)
        self.disastrous = random.random() < DISASTROUS
        if self.disastrous:
            kinds |= DISASTERS
        self.kinds: list[FleetFault] = random.sample(list(kinds), random.randint(len(kinds) // 2, len(kinds)))
        self.weights = [kinds[fault] for fault in self.kinds]
        self.pace = random.uniform(*FAULTS_A_SECOND)
        self.counts: dict[str, int] = {}

    def run(self) -> Report:
        """Run it all; raises Violation if a promise was broken."""
        world = self.world
        with ExitStack() as stack:
            stack.enter_context(simulated(world))
            for name, value in self.bounds.items():
                stack.enter_context(patch(name, value))
            for broker in self.brokers:
                broker.start()
            self.actors = [Actor(self, number) for number in range(world.random.randint(*CLIENTS))]
            if not self.calm:
                world.after(1.0, self._go_wrong)
            for actor in self.actors:
                world.after(0.05, self.act, actor)
            end = world.now + TROUBLE
            while world.now < end or self.sent < MESSAGES or world.faults < (0 if self.calm else MIN_FAULTS):
                world.run(world.now + STEP)
                require(world.now < end + 10 * TROUBLE, "the clients don't get to send")
            self._make_peace()
            self._come_to_rest()
            self.truth.check_acknowledged()
            if any(branch.in_vain & self.truth.acknowledged.keys() for branch in self.truth.branches):
                self.counts[IN_VAIN] = 1
            for broker in self.brokers:
                self.audit(broker.network, {})
            self._leave()
            for broker in self.brokers:
                broker.crash()
            world.run(world.now + STEP)
        return Report(world.seed, world.trace, world.faults, self.sent, world.delivered, self.counts)

    @property
    def networks(self) -> Sequence[Network]:
        networks = [broker.network for broker in self.brokers]
        self.world.random.shuffle(networks)
        return networks

    def flags(self, *among: int) -> int:
        return JOIN_FLAGS

    def excuse(self, client: Client) -> None:
        why = client.why
        if why is not None and client.core.welcome is not None:
            raise Violation(f"{client.name} ended for good: {type(why).__name__}: {why}")

    # -- trouble -------------------------------------------------------------------------------------

    def _go_wrong(self) -> None:
        if self.peace:
            return
        world = self.world
        fault = world.random.choices(self.kinds, self.weights)[0]
        if fault(self):
            world.fault(fault.__name__)
            self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        for broker in self.brokers:
            if broker.process is None:
                world.after(1.5 * world.random.random(), broker.start)
        world.after(world.random.expovariate(self.pace), self._go_wrong)

    @property
    def connections(self) -> list[Raw]:
        """Return all connections to servers."""
        return [connection for server in (self.server, *self.replaced) for connection in server.connections]

    def another_server(self, copies: int) -> Server:
        """Have another server reached from now on, with what there was some copies ago; return the one before."""
        old = self.server
        self.server = old.replaced(copies)
        self.replaced.append(old)
        for broker in self.brokers:
            broker.servers[PLACE] = self.server
        return old

    # -- peace ---------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        world, server = self.world, self.server
        self.peace = True
        self.peace_at = world.now
        world.note("peace")
        server.heal()
        for replaced in self.replaced:
            replaced.kill()
        for broker in self.brokers:
            broker.network.room = max(broker.network.room, 6)
            broker.go_on()
            if broker.process is not None:
                broker.process.crash_in = 0
                broker.process.wake(0.0)
        self.calm_clients()

    def _come_to_rest(self) -> None:
        """Wait until everybody has everything."""
        world = self.world
        deadline = world.now + PEACE
        state: object = None
        calm_from = world.now
        while True:
            world.run(world.now + 2 * STEP)
            for broker in self.brokers:
                broker.start()
            self.bring_back()
            if (now := self._state()) != state:
                state, calm_from = now, world.now
            trouble = self.unrest() or ("state still changes" if world.now - calm_from < CALM else None)
            if trouble is None and world.now >= self.peace_at + OVER:
                break
            if world.now > deadline:
                raise Violation(f"{PEACE:g} s after the last fault {trouble}")
        self.check()

    def _state(self) -> object:
        cores = [broker.core and versions(broker.core) for broker in self.brokers]
        return cores, [(client.name, client.moved_at) for client in self.members]

    def unrest(self) -> str | None:
        for broker in self.brokers:
            if broker.core is None or not broker.core.settled:
                return f"{broker.name} has not settled"
        return super().unrest()

    def check(self) -> None:
        """Check all that is true of the brokers and their members when everything is done."""
        for broker in self.brokers:
            core = broker.core
            assert core is not None
            at_it = [client for client in self.members if client.network is broker.network]
            check_core(core)
            check_pictures(core, at_it)
            check_presence(core, self.members, {})
            check_invited(core, self.truth, at_it)
            check_marks(core, self.truth, self.members)
            for name, log in self.truth.logs.items():
                room = core.context.directory.rooms.get(fold(name))
                last = 0 if room is None else room.last
                require(last == len(log), f"{broker.name} has {name} up to {last}, and it goes to {len(log)}")

    def _leave(self) -> None:
        """Have everybody leave, some without a word, and check that nothing is left."""
        for client in self.members:
            if self.world.random.random() < 0.5:
                client.close(5.0)
            else:
                client.crash()
        self.world.run(self.world.now + EXPIRE_AFTER + 6.0)
        for broker in self.brokers:
            assert broker.core is not None
            check_empty(broker.core)


def run(seed: int) -> Report:
    """Run a seed."""
    return Fleet(seed).run()
