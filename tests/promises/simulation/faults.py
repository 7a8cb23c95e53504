"""What goes wrong: each fault is a function of the simulation, drawn by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from tests.promises.simulation.claimer import Claimer
from tests.promises.simulation.client import Client
from tests.promises.simulation.intruder import KEYED, KEYLESS, Intruder, Unknown
from tests.promises.simulation.network import Connection

if TYPE_CHECKING:
    from tests.promises.simulation.simulation import Simulation
    from tests.promises.simulation.stage import Stage

Fault: TypeAlias = Callable[["Simulation"], bool]

DAY_US = 90_000 * 1_000_000
"""A little more than the day after which a producer is forgotten."""


def _client(sim: Stage) -> Client | None:
    alive = [actor.client for actor in sim.actors if actor.client is not None and not actor.client.busy]
    return sim.world.random.choice(alive) if alive else None


def _connection(sim: Stage) -> Connection | None:
    client = _client(sim)
    return None if client is None else client.dealer.connection


def _down(sim: Simulation, most: float = 1.5) -> bool:
    if sim.broker.process is None:
        return False
    sim.broker.crash()
    sim.world.after(sim.world.random.choice((0.01, 0.2, most)) * sim.world.random.random(), sim.broker.start)
    return True


def kill_broker(sim: Simulation) -> bool:
    """Kill the broker; it comes back soon."""
    return _down(sim)


def kill_broker_within_a_turn(sim: Simulation) -> bool:
    """Kill the broker at one of its next steps."""
    process = sim.broker.process
    if process is None or process.crash_in:
        return False
    process.crash_in = sim.world.random.randint(1, 30)
    return True


def stop_broker_in_good_order(sim: Simulation) -> bool:
    """Have the broker finish and say goodbye; another starts."""
    if sim.broker.process is None:
        return False
    sim.broker.stop()
    return True


def broker_stands_still(sim: Simulation) -> bool:
    """Stop the broker's process and continue it."""
    sim.broker.stand_still(sim.world.random.choice((0.1, 1.0, 4.0, 10.0)) * sim.world.random.random())
    return True


def cut(sim: Stage) -> bool:
    """Break a connection; the two ends learn of it sooner or later."""
    connection = _connection(sim)
    if connection is None:
        return False
    connection.cut(sim.world.random.choice((0.0, 0.5, 5.0)) * sim.world.random.random())
    return True


def cut_at_a_byte(sim: Stage) -> bool:
    """Break a connection in the middle of what is under way, its handshake or a frame."""
    connection = _connection(sim)
    if connection is None:
        return False
    connection.cut_at_a_byte(sim.world.random.choice((0.0, 0.5, 5.0)) * sim.world.random.random())
    return True


def intrude(sim: Simulation) -> bool:
    """Have somebody do what isn't done at the door."""
    if not sim.network.listening:
        return False
    if sim.keys is not None and sim.intruding.random() < 0.2:
        Unknown(sim)
    else:
        sim.intruding.choice(KEYLESS if sim.keys is None else KEYED)(Intruder(sim, sim.intruders_key))
    return True


def key_taken_out(sim: Simulation) -> bool:
    """Take a key out of the folder, and put it back, perhaps before anybody has seen it."""
    keys = sim.keys
    key = None if keys is None else _key(sim)
    if keys is None or key is None:
        return False
    keys.remove(key)
    sim.world.after(sim.world.random.choice((0.3, 2.0, 6.0)) * sim.world.random.random(), keys.put_back, key)
    return True


def key_given_away(sim: Simulation) -> bool:
    """Have a key be another user's for a while."""
    keys = sim.keys
    key = None if keys is None else _key(sim)
    if keys is None or key is None:
        return False
    keys.put(key, sim.world.random.choice(sim.actors).user)
    sim.world.after(sim.world.random.choice((0.3, 2.0, 6.0)) * sim.world.random.random(), keys.put_back, key)
    return True


def key_rotated(sim: Simulation) -> bool:
    """Give a user a new key, and take an old one out for good."""
    keys = sim.keys
    key = None if keys is None else _key(sim)
    if keys is None or key is None:
        return False
    keys.make(keys.names[key])
    sim.world.after(3.0 * sim.world.random.random(), keys.retire, key)
    return True


def keys_swapped(sim: Simulation) -> bool:
    """Have all keys out but those of one user, and back at once or later."""
    keys = sim.keys
    if keys is None or not sim.actors:
        return False
    stays = sim.world.random.choice(sim.actors).user
    for key, user in keys.names.items():
        if user != stays:
            keys.remove(key)
    sim.world.after(sim.world.random.choice((0.0, 0.5, 2.5)), keys.put_all_back)
    return True


def _key(sim: Simulation) -> str | None:
    """Return a key that is let in, of a user who has a client."""
    keys = sim.keys
    assert keys is not None
    found = [key for user in dict.fromkeys(actor.user for actor in sim.actors) for key in keys.owned(user)]
    return sim.world.random.choice(found) if found else None


def claim(sim: Simulation) -> bool:
    """Have somebody claim the routing id of a connection that has ended a moment ago."""
    free = sim.network.free
    if not free or not sim.network.listening:
        return False
    Claimer(sim, free[-1])
    return True


def half_open(sim: Stage) -> bool:
    """Have one direction of a connection, or both, carry nothing any more; it breaks much later."""
    connection = _connection(sim)
    if connection is None:
        return False
    which = sim.world.random.randint(1, 3)
    connection.up.dead |= bool(which & 1)
    connection.down.dead |= bool(which & 2)
    sim.world.after(15.0, connection.cut, 0.0)
    return True


def stall(sim: Stage) -> bool:
    """Hold the frames of one direction up for a while."""
    connection = _connection(sim)
    if connection is None:
        return False
    line = sim.world.random.choice((connection.up, connection.down))
    line.stalled_until = sim.world.now + sim.world.random.choice((0.05, 0.5, 4.0)) * sim.world.random.random()
    return True


def stragglers(sim: Stage) -> bool:
    """Break a connection in the client's eyes, while what it sent is still under way to the broker."""
    client = _client(sim)
    if client is None or client.dealer.connection is None:
        return False
    _straggle(sim, client)
    return True


def _straggle(sim: Stage, client: Client) -> None:
    client.stragglers = 0.5 * sim.world.random.random()
    client.broken()


def late_leave(sim: Stage) -> bool:
    """Leave a room and join it again over another connection, on which that overtakes the leave."""
    client = _client(sim)
    if client is None or client.dealer.connection is None:
        return False
    rooms = [joined.name for joined in client.joins.values() if joined.stream is not None]
    if not rooms:
        return False
    room = sim.world.random.choice(rooms)
    client.dealer.connection.up.stalled_until = sim.world.now + 0.4
    position = client.leave(room)
    if client.alive:
        _straggle(sim, client)
        client.join(room, position)
    return True


def disk_full(sim: Simulation) -> bool:
    """Have commits fail for a while."""
    disk = sim.disk
    if disk is None or disk.failing:
        return False
    disk.failing = True
    sim.world.after(sim.world.random.choice((0.01, 0.1, 1.0)) * sim.world.random.random(), sim.heal_disk)
    return True


def disk_gone(sim: Simulation) -> bool:
    """Have commits and reads fail for a while."""
    if not disk_full(sim):
        return False
    assert sim.disk is not None
    sim.disk.unreadable = True
    return True


def slow_disk(sim: Simulation) -> bool:
    """Have commits take another time from now on."""
    if sim.disk is None:
        return False
    sim.disk.slow = sim.world.random.choice((0.0003, 0.003, 0.02, 0.1))
    return True


def tail_lost(sim: Simulation) -> bool:
    """Cut the power under a disk that had not written its last commits, or restore a backup."""
    if sim.disk is None or sim.broker.process is None:
        return False
    sim.broker.crash()
    sim.disk.go_back(sim.world.random.choice((1, 1, 3, 6)))
    sim.world.after(sim.world.random.random(), sim.broker.start)
    return True


def client_stands_still(sim: Stage) -> bool:
    """Stop a client's process and continue it."""
    client = _client(sim)
    if client is None:
        return False
    client.stop(sim.world.random.choice((0.1, 2.0, 5.0, 14.0)) * sim.world.random.random())
    return True


def kill_client(sim: Stage) -> bool:
    """Kill a client; another run of it goes on where it was."""
    client = _client(sim)
    if client is None:
        return False
    client.crash()
    return True


def reader_pauses(sim: Stage) -> bool:
    """Have an application not read a room for a while."""
    client = _client(sim)
    joins = [] if client is None else list(client.joins.values())
    if not joins:
        return False
    sim.world.random.choice(joins).paused_until = sim.world.now + 6.0 * sim.world.random.random()
    return True


def full_pipes(sim: Simulation) -> bool:
    """Have pipes hold next to nothing for a while."""
    sim.network.room = sim.world.random.randint(1, 3)
    sim.world.after(2.0 * sim.world.random.random(), sim.heal_network)
    return True


def a_day_passes(sim: Simulation) -> bool:
    """Put the wall clock forward, so that producers are forgotten for their age."""
    busy = any(connection.up.frames for connection in sim.network.connections.values())
    if busy or sim.broker.process is None or sim.broker.process.inbox or sim.truth.age:
        return False  # nor where nothing would be kept for so long
    lanes = [lane for client in sim.clients for lane in client.core._queues.queues.values()]
    if any(block.number == 1 for lane in lanes for block in lane.flight):
        return False  # a first block that is sent again a day later is taken for a new producer's
    sim.world.shift_us += DAY_US
    return True


FAULTS: dict[Fault, int] = {
    kill_broker: 3,
    kill_broker_within_a_turn: 6,
    stop_broker_in_good_order: 1,
    broker_stands_still: 1,
    cut: 6,
    half_open: 3,
    stall: 8,
    stragglers: 6,
    late_leave: 4,
    disk_full: 5,
    disk_gone: 2,
    slow_disk: 3,
    client_stands_still: 2,
    kill_client: 2,
    reader_pauses: 8,
    full_pipes: 4,
    claim: 3,
    cut_at_a_byte: 6,
    intrude: 5,
    key_taken_out: 3,
    key_given_away: 1,
    key_rotated: 2,
    keys_swapped: 1,
}
"""Each fault and how often it is drawn, beside the others."""

DISASTERS: dict[Fault, int] = {tail_lost: 4, a_day_passes: 2}
"""What is drawn only in some seeds, as it excuses losses."""
