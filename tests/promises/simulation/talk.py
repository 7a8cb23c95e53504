"""What is reported when nothing goes wrong any more: whatever somebody does, the others know it within a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.promises.simulation.checks import require
from tests.promises.simulation.client import Client
from tests.promises.simulation.intruder import Intruder
from tests.promises.simulation.judged import change_rules, moderate
from tests.promises.simulation.keys import ALLOWED, Keys
from zchat.errors import KeyRemoved
from zchat.names import direct_name, fold
from zchat.wire.limits import PRESENT, TYPING_FOR

if TYPE_CHECKING:
    from tests.promises.simulation.simulation import Simulation

SOON = 1.0
"""Seconds within which everybody knows: the simulated disk and network take a tenth of it."""

BACK = 4.0
"""Seconds within which a client without a connection has noticed it and is back."""


def talk(sim: Simulation) -> None:
    """Have some do everything that is a room's state, after all that went wrong."""
    random = sim.world.random
    here = [client for client in sim.members if client.flags & PRESENT]
    places = [(client, room) for client in here for room in client.joins if _others(sim, client, room)]
    if places:
        _type(sim, *random.choice(places))
        _come_back(sim, *random.choice(places))
        _leave(sim, *random.choice(places))
    client = random.choice(sim.members)
    room = random.choice(list(client.joins))
    position = client.joins[room].position()
    assert position is not None
    client.mark_read(room, position.seq)
    _stored(sim, client)
    _write(sim, client, random.choice([user for user in {each.user: 0 for each in sim.members} if user != client.user]))
    if sim.ruling is not None:
        change_rules(sim, sim.ruling)
        moderate(sim, sim.ruling)
    if sim.keys is not None:
        _lose_key(sim, sim.keys, random.choice(sim.members).key)


def _others(sim: Simulation, client: Client, room: str) -> list[Client]:
    """Return the clients of other users in a room."""
    return [other for other in sim.members if other.user != client.user and room in other.joins]


def _wait(sim: Simulation, seconds: float) -> None:
    sim.world.run(sim.world.now + seconds)
    sim.check()


def _stored(sim: Simulation, client: Client) -> None:
    """Wait until all is stored that is to be."""
    deadline = sim.world.now + BACK
    while client.core._pending:
        require(sim.world.now < deadline, f"{client.name} gets nothing stored")
        sim.world.run(sim.world.now + SOON / 10)
    _wait(sim, SOON)


def _say(sim: Simulation, client: Client, room: str) -> None:
    """Send a message; the first one since the disk failed is refused, and then the disk is found well again."""
    acknowledged = len(sim.truth.acknowledged)
    for _ in range(2):
        if len(sim.truth.acknowledged) == acknowledged:
            sim.sent += 1
            client.say(room, 1, None)
            _stored(sim, client)


def _type(sim: Simulation, client: Client, room: str) -> None:
    """Type, and end it: by a word, by a message, or by typing no more."""

    def types() -> bool:
        core = sim.broker.core
        assert core is not None
        roster = core.context.directory.rooms[fold(room)].roster
        assert roster is not None
        return roster.people[fold(client.user)].typing

    client.typing(room, True)
    _wait(sim, SOON)
    require(types(), f"{client.name} types in {room}, and nobody learns of it")
    how = sim.world.random.randrange(3)
    if how == 0:
        client.typing(room, False)
    elif how == 1:
        _say(sim, client, room)
    else:
        _wait(sim, TYPING_FOR - 2 * SOON)
        require(types(), f"{client.name} types in {room} no longer, after {TYPING_FOR - SOON:g} s")
        _wait(sim, SOON)
    _wait(sim, SOON)
    require(not types(), f"{client.name} still types in {room}")


def _come_back(sim: Simulation, client: Client, room: str) -> None:
    """Lose the connection, and be back before anybody learns of it."""
    before = [other.joins[room].told.comings for other in _others(sim, client, room)]
    assert client.dealer.connection is not None
    client.dealer.connection.cut(0.5 * sim.world.random.random())
    _wait(sim, BACK)
    require(client.core.connected, f"{client.name} is not back")
    after = [other.joins[room].told.comings for other in _others(sim, client, room)]
    require(before == after, f"{client.name} came back to {room}, and others received that it left")


def _leave(sim: Simulation, client: Client, room: str) -> None:
    """Leave and come again, which is reported if it is the user's only session there; then some more do the same."""
    before = [other.joins[room].told.comings for other in _others(sim, client, room)]
    position = client.leave(room)
    _wait(sim, SOON)
    after = [other.joins[room].told.comings for other in _others(sim, client, room)]
    if any(other.user == client.user and room in other.joins and other.flags & PRESENT for other in sim.members):
        require(
            before == after, f"{client.name} left {room}, another session of its user is there, and it was reported"
        )
    others = [other for other in sim.members if room in other.joins]
    gone = sim.world.random.sample(others, len(others) - 1)
    places = {each: each.leave(room) for each in gone} | {client: position}
    _wait(sim, SOON)
    for each, place in places.items():
        each.join(room, place)
    _wait(sim, SOON)


def _write(sim: Simulation, client: Client, user: str) -> None:
    """Write to another user, who is invited wherever they are."""
    room = direct_name(client.user, user)
    if room not in client.joins:
        client.join(room, None)
        _wait(sim, SOON)
    _say(sim, client, room)


def _lose_key(sim: Simulation, keys: Keys, key: str | None) -> None:
    """Have a key taken out, or be another's, or a gateway's no more.

    Its clients are notified in time, and nobody else loses anything. Then it is put back, and so are they.
    """
    assert key is not None
    with_it = [client for client in sim.members if client.key == key]
    others = {client: client.losses for client in sim.members if client.key != key}
    silent, late = [Intruder(sim, key, with_it[0].user) for _ in range(2)]
    silent.greet(silent.name)
    sim.world.run(sim.world.now + SOON)
    if sim.world.random.random() < 0.5:
        keys.remove(key)
    elif key in keys.gateways:
        keys.put(key, keys.names[key])
    else:
        keys.put(key, "another")
    late.greets_in_vain(1.3)
    sim.world.run(sim.world.now + ALLOWED)
    for client in with_it:
        require(isinstance(client.why, KeyRemoved), f"{client.name} was to learn that its key is out: {client.why}")
    left = [connection for connection in sim.network.by_fd.values() if connection.key == key]
    require(not left, f"{len(left)} connections are left whose key is out")
    for client, losses in others.items():
        require(client.losses == losses, f"{client.name} lost its connection when another's key was taken out")
    keys.put_back(key)
    deadline = sim.world.now + ALLOWED + BACK
    while (trouble := sim.unrest()) is not None:
        require(sim.world.now < deadline, f"the key is back, and {trouble}")
        for actor in sim.actors:
            actor.restart()
        sim.world.run(sim.world.now + SOON / 10)
    _wait(sim, SOON)
