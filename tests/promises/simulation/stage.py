"""What every simulation has: a world with clients in it that talk in rooms, and the truth of what they said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.promises.simulation.checks import require
from tests.promises.simulation.client import Client
from tests.promises.simulation.network import Network
from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import World
from zchat.messages import START, Position
from zchat.names import DIRECT, direct_users
from zchat.wire.limits import LOG

if TYPE_CHECKING:
    from tests.promises.simulation.actor import Actor
    from tests.promises.simulation.keys import Keys
    from tests.promises.simulation.ruling import Ruling

PEACE = 90.0
"""Seconds after the last fault within which everything must have come to rest."""

STEP = 0.25


class Stage(ABC):
    """Hold what actors and what goes wrong with clients go by.

    `rooms` are those that they are at home in, `actors` they themselves, `clients` all that ever were, and `sent` how
    many messages these have sent. `keys` and `ruling` are None where anybody may do everything.
    """

    keys: Keys | None = None
    ruling: Ruling | None = None

    def __init__(self, world: World, truth: Truth, rooms: Sequence[str]) -> None:
        self.world = world
        self.truth = truth
        self.rooms = list(rooms)
        self.actors: list[Actor] = []
        self.clients: list[Client] = []
        self.sent = 0
        self.peace = False

    @property
    @abstractmethod
    def networks(self) -> Sequence[Network]:
        """Return the networks of the addresses that a client has, in the order in which it tries them."""

    @abstractmethod
    def flags(self, *among: int) -> int:
        """Draw the flags of joins: what a client is sent, and whether it counts as here."""

    @abstractmethod
    def excuse(self, client: Client) -> None:
        """Check why a client has ended: asked to, killed, or with what a user may learn."""

    @property
    def members(self) -> list[Client]:
        """Return the clients that run."""
        return [actor.client for actor in self.actors if actor.client is not None]

    def act(self, actor: Actor) -> None:
        """Have an actor do something again and again, until there is peace."""
        if self.peace:
            return
        actor.act()
        self.world.after(self.world.random.expovariate(6.0), self.act, actor)

    def calm_clients(self) -> None:
        """Have clients neither stand still nor pause any more."""
        for client in self.members:
            client.stopped_until = self.world.now
            for joined in client.joins.values():
                joined.paused_until = self.world.now
            client.pace = min(client.pace, 0.02)
            client.turn()

    def bring_back(self) -> None:
        """Have whoever is gone come back, to all of their rooms."""
        for actor in self.actors:
            actor.restart()
            client = actor.client
            if client is not None and client.alive and client.core.connected:
                for room in actor.home:
                    if room not in client.joins:
                        client.join(room, actor.positions.pop(room, None))

    def unrest(self) -> str | None:
        """Tell what is yet to be done until everybody has everything, None for nothing."""
        for actor in self.actors:
            client = actor.client
            if client is None or not client.alive or client.core.welcome is None:
                return f"{actor.user} has no client"
            if client.waiting or client.core._pending:
                return f"{client.name} waits for {client.waiting} answers"
            for joined in client.joins.values():
                if joined.stream is None or joined.membership is None or joined.feed.heads:
                    return f"{client.name} has not taken all of {joined.name}"
                if not client.flags & LOG:
                    continue
                expected = joined.stream.expected_position(joined.feed.cursor.sure, joined.feed.since)
                position = joined.position()
                if position is None or position.seq < expected:
                    return f"{client.name} is at {position} of {joined.name}, not at {expected}"
        return None

    def audit(self, network: Network, named: dict[str, str | None]) -> None:
        """Have somebody new read every log from its beginning; `named` are the keys of who reads."""
        world = self.world
        for user, rooms in self.audited().items():
            places: dict[str, Position | None] = dict.fromkeys(rooms, START)
            auditor = Client(world, [network], self.truth, f"auditor {user}", user, places, key=named.get(user))
            auditor.pace = 0.001
            deadline = world.now + PEACE
            while any(
                joined.stream is None or joined.stream.seq < len(self.truth.logs.get(joined.name, ()))
                for joined in auditor.joins.values()
            ):
                require(auditor.alive and world.now < deadline, "the auditor doesn't get to the end of the logs")
                world.run(world.now + STEP)
            require(set(rooms) <= set(auditor.joins), "the auditor could not join every room")
            auditor.close(1.0)

    def audited(self) -> dict[str, list[str]]:
        """Return who is to read which rooms."""
        tasks = {"auditor": self.rooms}
        for room, log in self.truth.logs.items():
            if room.startswith(DIRECT) and log:
                tasks.setdefault(direct_users(room)[0], []).append(room)
        return tasks
