"""One seed: a broker, clients and everything that goes wrong, then peace, then the checks."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from random import Random
from typing import NamedTuple
from unittest.mock import patch

from tests.promises.simulation.actor import USERS, Actor
from tests.promises.simulation.broker import MANY, Broker
from tests.promises.simulation.checks import check_core, check_empty, require
from tests.promises.simulation.claimer import Claimer
from tests.promises.simulation.client import Client
from tests.promises.simulation.costs import Costs
from tests.promises.simulation.faults import DISASTERS, FAULTS, Fault, a_day_passes
from tests.promises.simulation.intruder import NAME
from tests.promises.simulation.keys import ALLOWED, Keys
from tests.promises.simulation.moderation import Moderation
from tests.promises.simulation.network import Network
from tests.promises.simulation.peer import Peer
from tests.promises.simulation.ruling import Ruling
from tests.promises.simulation.stage import PEACE, STEP, Stage
from tests.promises.simulation.state import check_invited, check_marks, check_pictures, check_presence, versions
from tests.promises.simulation.store import Disk
from tests.promises.simulation.talk import talk
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.wall_clock import SAMPLES, SETTLING, WallClockFaults
from tests.promises.simulation.world import Violation, World
from zchat.broker.limits import EXPIRE_AFTER
from zchat.broker.settings import Settings
from zchat.errors import Banned, KeyRefused, KeyRemoved, WrongName
from zchat.wire.limits import JOIN_FLAGS, OWN, PRESENT

ROOMS = ("General", "Technology", "Straße", "new")
"""Two that are always there, two that are made by who joins them."""

CLIENTS = (5, 7)
MESSAGES = 500
TROUBLE = 12.0
"""Seconds in which things go wrong."""

FAULTS_A_SECOND = (5.0, 18.0)
MIN_FAULTS = 20
DISASTROUS = 0.4
"""How many of the seeds have disasters, which excuse losses, and so hide some."""

ASKING = 0.3
"""In how many of the seeds clients ask for own messages too, for no log, or not to be counted as here."""

OVER = EXPIRE_AFTER + 5.0
"""Seconds after the last fault after which nobody is left who was killed in it, and nobody types."""

KEYED = 0.6
"""In how many of the seeds there are keys."""

RULED = 0.5
"""In how many of these there are rules."""

MODERATED = 0.6
"""In how many of these owners and operators moderate."""

COSTLY = 0.25
"""In how many of the seeds a user takes more than a share of the loop."""

GUESTS = 0.3
"""In how many of these other keys are let in as guests."""

UNREAD_EVERY = 0.05
"""Seconds between two answers to state frames, of which there are many more here: each may have room for one room."""

FILES = (None, 1_024, 16)
"""Descriptors that the broker may have; of the last so few that newcomers make room for others."""

EXCUSED = 15.0
"""Seconds for which a client that stands still, or whose connection does, may not hear that its key was out."""

CALM = 5.0
"""Seconds without a change of any room's state after which everybody must know it: one who was lost may count as here
for three of them, and who lost the connection without a word learns of it as late."""


class Report(NamedTuple):
    """Say what a seed has seen."""

    seed: int
    trace: str
    faults: int
    sent: int
    delivered: int
    counts: dict[str, int]


class Simulation(Stage):
    """Run one seed."""

    def __init__(self, seed: int) -> None:
        world = World(seed)
        random = world.random
        wall_clock = WallClockFaults(world)
        truth = Truth(world.true_clock)
        super().__init__(world, truth, ROOMS[: random.choice((3, 4))])
        self.volatile = random.random() < 0.15
        self.disk = None if self.volatile else Disk(world, self.truth)
        self.usual_room = random.choice((6, 20, 52))
        self.network = Network(world, self.usual_room)
        settings = Settings(
            high_water_mark=random.choice((1, 2, 4, 10)),
            rooms=ROOMS[:2],
            retain_messages=random.choice((0, 0, 20, 100)),
            retain_days=wall_clock.days,
            names=random.choice((200, 200, 2, 3, 4)),
        )
        door = Random(f"door of {seed}")
        self.keys = Keys(world, door, guests=door.random() < GUESTS) if door.random() < KEYED else None
        self.intruding = Random(f"intruders of {seed}")
        self.intruders_key = self._key(NAME)
        turn_frames, files = random.choice((1, 5, 256)), door.choice(FILES)
        chance = Random(f"ruled {seed}")
        ruled = self.keys is not None and chance.random() < RULED
        users = [f"user{number}" for number in range(USERS)]
        moderated = ruled and chance.random() < MODERATED
        others = ["peer", "auditor", NAME]
        self.ruling = Ruling(world, self.rooms, [*users, *others], moderated=moderated) if ruled else None
        if self.keys is not None and self.ruling is not None:
            self.keys.operators = self.ruling.operators
        spending = Random(f"costs of {seed}")
        self.costs = Costs(spending, users) if spending.random() < COSTLY else None
        self.broker = Broker(
            world,
            self.network,
            self.truth,
            self.disk,
            settings,
            turn_frames,
            self.keys,
            files,
            self.ruling,
            self.costs,
        )
        bounded = self.volatile and self.broker.max_room_messages < MANY
        self.truth.keep = 1 if bounded else settings.retain_messages
        self.truth.age = int(settings.retain_days * 86_400_000_000)
        self._flags = Random(f"flags of {seed}")
        self.claims = Random(f"claims of {seed}")
        self.asking = self._flags.random() < ASKING
        self.peace_at = float("inf")
        self.bounds: dict[str, int | float] = {
            "zchat.broker.rooms.wall_clock.SETTLING": SETTLING,
            "zchat.broker.rooms.wall_clock.START_SETTLING": SETTLING,
            "zchat.broker.core.core.CLOCK_EVERY": SAMPLES,
            "zchat.broker.delivery.pusher.TAIL_BYTES": random.choice((1_500, 6_000, 4 << 20)),
            "zchat.broker.delivery.pusher.TAIL_TOTAL_BYTES": random.choice((4_000, 64 << 20)),
            "zchat.broker.delivery.pusher.NOTIFICATION_BYTES": random.choice((300, 3_000, 64 * 1024)),
            "zchat.broker.delivery.pusher.IN_FLIGHT_BYTES": random.choice((2_000, 256 << 20, 256 << 20)),
            "zchat.broker.delivery.pusher.TURN_SENDS": random.choice((1, 4, 64)),
            "zchat.protocol.rooms.room_state.UNREAD_EVERY": UNREAD_EVERY,
            "zchat.broker.presence.state_frames.STATE_BYTES": random.choice((60, 400, 64 * 1024)),
            "zchat.broker.presence.state_frames.TURN_STATES": random.choice((1, 4, 64)),
            "zchat.broker.presence.state_frames.TURN_STALE": random.choice((1, 1_000)),
            "zchat.broker.rooms.roster.TOMBSTONES": random.choice((1, 2, 256)),
            "zchat.broker.rooms.roster.SHARED_UPDATES": random.choice((1, 8)),
            "zchat.broker.rooms.retention.RETAIN_EVERY": random.choice((0.2, 1.0, 5.0)),
            "zchat.broker.core.handlers.limits.HISTORY_BYTES": random.choice((500, 256 * 1024)),
            "zchat.broker.guard.gate.HANDSHAKES_A_KEY_BURST": door.choice((3, 50)),
            "zchat.broker.guard.gate.HANDSHAKES_BURST": door.choice((8, 2_000)),
            "zchat.broker.guard.gate.HANDSHAKES": 20,
            "zchat.broker.core.revision.TURN_JUDGED": chance.choice((1, 500)),
            "zchat.broker.core.removal.TURN_UNSEATED": chance.choice((1, 100)),
        }
        if self.costs is not None:
            step = spending.choice((64, 4096))
            self.bounds |= {
                "zchat.broker.core.acknowledging.STEP_BYTES": step,
                "zchat.wire.checking.STEP_BYTES": step,
                "zchat.wire.checking.STEP_VALUES": spending.choice((1, 16)),
                "zchat.wire.checking.PLAIN_BYTES": 4 * step,
            }
        kinds = dict(FAULTS)
        if random.random() < DISASTROUS:
            kinds |= DISASTERS
        chosen = random.sample(list(kinds), random.randint(len(kinds) // 2, len(kinds)))
        self.kinds: list[Fault] = chosen
        self.weights = [kinds[fault] for fault in chosen]
        self.counts: dict[str, int] = {}
        self.moderation: Moderation | None = None
        if moderated and self.ruling is not None:
            timed = not wall_clock.jumping and a_day_passes not in self.kinds
            self.moderation = Moderation(self, self.ruling, timed=timed)
        self.pace = random.uniform(*FAULTS_A_SECOND)

    def run(self) -> Report:
        """Run it all; raises Violation if a promise was broken."""
        world = self.world
        with ExitStack() as stack:
            for name, value in self.bounds.items():
                stack.enter_context(patch(name, value))
            for number in range(USERS if self.keys is not None else 0):
                for _ in range(world.random.randint(1, 2)):
                    self._key(f"user{number}")
            peers_key = self._key("peer")
            self.broker.start()
            self.actors = [Actor(self, number) for number in range(world.random.randint(*CLIENTS))]
            draw = partial(self.flags, JOIN_FLAGS, JOIN_FLAGS | OWN, PRESENT)
            self.peer = Peer(world, self.network, self.truth, ROOMS[0], draw, peers_key, self.ruling)
            world.after(0.5, self._go_wrong)
            for actor in self.actors:
                world.after(0.05, self.act, actor)
            end = world.now + TROUBLE
            while (
                world.now < end
                or self.sent < MESSAGES
                or world.faults < MIN_FAULTS
                or (world.delivered <= self.sent and world.now < end + TROUBLE)
            ):
                world.run(world.now + STEP)
                require(world.now < end + 10 * TROUBLE, "the clients don't get to send")
            self._make_peace()
            self._come_to_rest()
            talk(self)
            self._audit()
            self._leave()
        return Report(
            world.seed, world.trace, world.faults, self.sent, world.delivered, self.counts | self.broker.counts
        )

    @property
    def networks(self) -> list[Network]:
        """Return the only one."""
        return [self.network]

    def flags(self, *among: int) -> int:
        """Draw the flags of joins: what a client is sent, and whether it counts as here."""
        return self._flags.choice(among) if self.asking else JOIN_FLAGS

    def _key(self, user: str) -> str | None:
        """Return a new key of a user, None at a broker without keys."""
        return None if self.keys is None else self.keys.make(user)

    # -- trouble -------------------------------------------------------------------------------------

    def _go_wrong(self) -> None:
        if self.peace:
            return
        world = self.world
        fault = world.random.choices(self.kinds, self.weights)[0]
        if fault(self):
            world.fault(fault.__name__)
            self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        if self.broker.process is None:
            world.after(1.5 * world.random.random(), self.broker.start)
        world.after(world.random.expovariate(self.pace), self._go_wrong)

    def heal_disk(self) -> None:
        """End the disk's faults."""
        if self.disk is not None:
            self.disk.failing = self.disk.unreadable = False

    def heal_network(self) -> None:
        """Give pipes their room back."""
        self.network.room = self.usual_room

    def excuse(self, client: Client) -> None:
        """Check why a client has ended: asked to, killed, or with what a user may learn."""
        why = client.why
        if isinstance(why, WrongName) and client.robbed:
            return  # who had the token was first, once the session had ended
        if isinstance(why, Banned):
            banned = self.moderation and self.moderation.was_banned(client.user, client.begun_at)
            require(banned, f"{client.name} is not banned, and: {why}")
        elif isinstance(why, KeyRefused | KeyRemoved | WrongName):
            keys, since = self.keys, client.begun_at - ALLOWED - EXCUSED
            require(keys and keys.was_not(client.key, client.user, since), f"{client.name} has its key, and: {why}")
        elif why is not None and client.core.welcome is not None:
            raise Violation(f"{client.name} ended for good: {type(why).__name__}: {why}")

    # -- peace ---------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        """End all faults."""
        world = self.world
        self.peace = True
        self.peace_at = world.now
        world.note("peace")
        self.heal_disk()
        self.heal_network()
        if self.keys is not None:
            self.keys.over = True
            self.keys.put_all_back()
        if self.ruling is not None:
            self.ruling.end()
        if self.moderation is not None:
            self.moderation.over = True
        if self.costs is not None:
            self.costs.over = True
        if self.disk is not None:
            self.disk.slow = min(self.disk.slow, 0.02)
        self.broker.go_on()
        if self.broker.process is not None:
            self.broker.process.crash_in = 0
            self.broker.process.wake(0.0)
        self.broker.start()
        self.calm_clients()

    def _come_to_rest(self) -> None:
        """Wait until everybody has everything."""
        world = self.world
        deadline = world.now + PEACE
        state: object = None
        calm_from, checked = world.now, False
        while True:
            world.run(world.now + 2 * STEP)
            self.broker.start()
            if self.moderation is not None:
                self.moderation.lift_all()
            self.bring_back()
            if (now := self._state()) != state:
                state, calm_from = now, world.now
                checked = False
            trouble = self.unrest() or ("state still changes" if world.now - calm_from < CALM else None)
            if trouble is None and not checked:
                assert self.broker.core is not None
                check_pictures(self.broker.core, self.members)
                checked = True
            if trouble is None and world.now >= self.peace_at + OVER:
                break
            if world.now > deadline:
                raise Violation(f"{PEACE:g} s after the last fault {trouble}")
        self.check()

    def check(self) -> None:
        """Check all that is true of the broker and its members when everything is done."""
        core, members = self.broker.core, self.members
        assert core is not None
        check_core(core)
        check_pictures(core, members)
        check_presence(core, members, {self.peer.room: {"peer"}})
        check_invited(core, self.truth, members)
        check_marks(core, self.truth, members)

    def _state(self) -> object:
        """Return what is another whenever a room's state changes, or who receives it."""
        core = self.broker.core
        return core and versions(core), [(client.name, client.moved_at) for client in self.members]

    def unrest(self) -> str | None:
        """Tell what is yet to be done until everybody has everything, None for nothing."""
        if self.broker.core is None or not self.broker.core.settled:
            return "the broker has not settled"
        if self.truth.sanctions:
            return "something imposed is yet to be lifted"
        return super().unrest()

    def _audit(self) -> None:
        """Have somebody new read every log from its beginning, and check what was acknowledged."""
        self.truth.check_acknowledged()
        named = {user: self._key(user) for user in self.audited()}
        self.world.run(self.world.now + ALLOWED)
        self.audit(self.network, named)

    def _leave(self) -> None:
        """Have everybody leave, some without a word and somebody in their place, and check that nothing is left."""
        world = self.world
        self.peer.close()
        said_bye = []
        for actor in self.actors:
            client = actor.client
            assert client is not None
            if world.random.random() < 0.5:
                client.close(5.0)
                said_bye.append(client)
            else:
                connection = client.dealer.connection
                client.crash()
                if connection is not None and connection.is_open:  # its session is there for a while
                    world.after(0.3, Claimer, self, connection.routing_id)
        world.run(world.now + EXPIRE_AFTER + 6.0)
        core = self.broker.core
        assert core is not None
        check_empty(core)
        for client in said_bye:
            require(client.core.over and client.why is None, f"{client.name} did not get to say goodbye: {client.why}")
            require(not client.waiting, f"{client.name} was never answered")
            if client.dealer not in self.network.byes:
                continue  # its connection was half open
            kept = core.context.store._ledger._rooms_of  # type: ignore[attr-defined]
            require(client.producer not in kept, f"{client.name} said goodbye, and its producer is remembered")


def run(seed: int) -> Report:
    """Run a seed."""
    return Simulation(seed).run()
