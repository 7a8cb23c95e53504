"""One user at one program: what he does, and the clients with which he does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.promises.simulation.client import Client
from zchat.messages import Position
from zchat.names import direct_name
from zchat.wire.limits import JOIN_FLAGS, LOG, OWN, PRESENT

if TYPE_CHECKING:
    from tests.promises.simulation.stage import Stage

USERS = 4
"""Users, of whom some have several sessions."""

ASKED = (JOIN_FLAGS, JOIN_FLAGS, JOIN_FLAGS | OWN, JOIN_FLAGS | OWN, LOG, LOG | OWN, PRESENT, 0)
"""What clients may ask for: each in all of its joins."""

GREET = 5.0
"""Seconds after which an application takes a first greeting without an answer for failed, and makes another client."""


class Actor:
    """Be one user at one program: clients that follow each other, each going on where the last one was."""

    def __init__(self, sim: Stage, number: int) -> None:
        self.sim = sim
        self.number = number
        self.user = f"user{number % USERS}"
        self.runs = 0
        self.client: Client | None = None
        self.positions: dict[str, Position | None] = {}
        self.restarting = False
        count = sim.world.random.randint(2, len(sim.rooms))
        self.home = sim.world.random.sample(sim.rooms, count)
        self.begin(dict.fromkeys(self.home))

    def begin(self, positions: dict[str, Position | None]) -> None:
        """Start a client."""
        self.restarting = False
        sim = self.sim
        key = None
        if sim.keys is not None:
            key = sim.keys.draw(self.user)
            if key is None:
                return  # until there is one
        self.runs += 1
        name = f"c{self.number}.{self.runs}"
        self.client = client = Client(
            sim.world, sim.networks, sim.truth, name, self.user, positions, sim.flags(*ASKED), key, sim.ruling
        )
        sim.clients.append(client)
        sim.world.after(GREET, self._greeted, client)

    def _greeted(self, client: Client) -> None:
        if client.alive and client.core.welcome is None:
            if client.stopped_until > self.sim.world.now:
                self.sim.world.after(GREET, self._greeted, client)
            else:
                client.close(0.0)

    def restart(self) -> None:
        """Start another client where the last one was."""
        client = self.client
        if client is None or client.alive or self.restarting:
            return
        self.sim.excuse(client)
        self.restarting = True
        positions: dict[str, Position | None] = dict.fromkeys(self.home)
        for room in self.home:
            positions[room] = self.positions.get(room)
            joined = client.joins.get(room)
            if joined is not None and joined.stream is not None:
                positions[room] = self.positions[room] = joined.position()
        self.sim.world.after(self.sim.world.random.random(), self.begin, positions)

    def act(self) -> None:
        """Do one thing."""
        sim, client = self.sim, self.client
        random = sim.world.random
        if client is None or not client.alive:
            self.restart()
            return
        if client.busy:
            return
        rooms = [joined.name for joined in client.joins.values() if joined.stream is not None]
        missing = [room for room in self.home if room not in client.joins]
        what = random.random()
        if missing and what < 0.3:
            room = random.choice(missing)
            known = client.places.pop(room, None) or self.positions.pop(room, None)
            client.join(room, known if random.random() < 0.8 else None)
        elif not rooms:
            return
        elif what < 0.60:
            room = random.choice(rooms)
            count = 1 if random.random() < 0.6 else random.randint(2, 60)
            sim.sent += count
            client.say(room, count, random.choice((None, None, 0.2, 2.0, 5.0)))
        elif what < 0.67:
            client.typing(random.choice(rooms), random.random() < 0.8)
        elif what < 0.73:
            self.read(client, random.choice(rooms))
        elif what < 0.75:
            room = direct_name(self.user, f"user{(self.number + random.randint(1, USERS - 1)) % USERS}")
            if room not in client.joins:
                client.join(room, None)
        elif what < 0.82:
            log = len(sim.truth.logs.get(rooms[0], ()))
            after = random.choice((None, random.randint(0, log + 2)))
            client.look(rooms[0], after, random.choice((None, random.randint(0, log + 2))), random.randint(0, 60))
        elif what < 0.85:
            room = random.choice(rooms)
            self.positions[room] = client.leave(room)
        elif what < 0.86:
            client.close(2.0)

    def read(self, client: Client, room: str) -> None:
        """Mark a room as read: up to where it was taken, and now and then anywhere."""
        random = self.sim.world.random
        position = client.joins[room].position()
        assert position is not None
        if random.random() < 0.6:
            client.mark_read(room, position.seq)
        else:
            anywhere = random.randint(0, len(self.sim.truth.logs.get(room, ())) + 2)
            client.ask_mark(room, random.choice((position.seq, anywhere)))
