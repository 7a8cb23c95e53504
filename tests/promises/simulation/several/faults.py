"""What goes wrong where several brokers share a store: each fault is a function of the fleet, drawn by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from tests.promises.simulation import faults as of_clients
from zchat.broker.store.redis.connections.server import SILENCE_SECONDS

if TYPE_CHECKING:
    from tests.promises.simulation.client import Client
    from tests.promises.simulation.several.fleet import Fleet
    from tests.promises.simulation.several.member import Member
    from zchat.messages import Position

FleetFault: TypeAlias = Callable[["Fleet"], bool]


def _broker(fleet: Fleet) -> Member | None:
    running = [broker for broker in fleet.brokers if broker.process is not None]
    return fleet.world.random.choice(running) if running else None


def kill_broker(fleet: Fleet) -> bool:
    """Kill a broker; it comes back soon, or when its users are long at others."""
    broker = _broker(fleet)
    if broker is None:
        return False
    broker.crash()
    random = fleet.world.random
    fleet.world.after(random.choice((0.01, 0.5, 4.0)) * random.random(), broker.start)
    return True


def kill_broker_within_a_turn(fleet: Fleet) -> bool:
    """Kill a broker at one of its next steps."""
    broker = _broker(fleet)
    if broker is None or broker.process is None or broker.process.crash_in:
        return False
    broker.process.crash_in = fleet.world.random.randint(1, 30)
    return True


def stop_broker_in_good_order(fleet: Fleet) -> bool:
    """Have a broker finish and say goodbye; another starts."""
    broker = _broker(fleet)
    if broker is None:
        return False
    broker.stop()
    return True


def broker_stands_still(fleet: Fleet) -> bool:
    """Stop a broker's process and continue it, when others have taken it for ended perhaps."""
    broker = _broker(fleet)
    if broker is None:
        return False
    random = fleet.world.random
    broker.stand_still(random.choice((0.1, 1.0, 4.0, 15.0)) * random.random())
    return True


def kill_server(fleet: Fleet) -> bool:
    """Kill the server; another run of it has all that was answered."""
    server, random = fleet.server, fleet.world.random
    if not server.up:
        return False
    server.kill()
    fleet.world.after(random.choice((0.01, 0.5, 4.0)) * random.random(), server.start)
    return True


def server_stands_still(fleet: Fleet) -> bool:
    """Stop the server and continue it."""
    server, random = fleet.server, fleet.world.random
    server.stopped_until = fleet.world.now + random.choice((0.1, 1.0, 5.0)) * random.random()
    return True


def cut_from_server(fleet: Fleet) -> bool:
    """Break a connection to the server somewhere in what is under way."""
    connections = fleet.connections
    if not connections:
        return False
    fleet.world.random.choice(connections).cut()
    return True


def cut_all_from_server(fleet: Fleet) -> bool:
    """Break all of them."""
    fleet.server.cut_all()
    return True


def stall_to_server(fleet: Fleet) -> bool:
    """Hold up what goes to the server, or comes from it, over one connection: what is given up arrives late."""
    connections = fleet.connections
    if not connections:
        return False
    random = fleet.world.random
    connection = random.choice(connections)
    line = random.choice((connection.up, connection.down))
    line.stalled_until = fleet.world.now + random.choice((0.1, 1.0, 6.0)) * random.random()
    return True


def deaf(fleet: Fleet) -> bool:
    """Have notices get lost for a while."""
    random = fleet.world.random
    fleet.server.deaf = random.choice((0.05, 0.5, 1.0))
    fleet.world.after(2.0 * random.random(), fleet.server.hear_again)
    return True


def server_slow(fleet: Fleet) -> bool:
    """Have the server take another time from now on."""
    fleet.server.slow = fleet.world.random.choice((0.0002, 0.001, 0.005, 0.05))
    return True


def client_moves(fleet: Fleet) -> bool:
    """Have a client go on at another broker, while what it sent to the one before is still under way."""
    return of_clients.stragglers(fleet)


def end_lost(fleet: Fleet) -> bool:
    """Have the server come back without its end."""
    server, random = fleet.server, fleet.world.random
    if not server.up:
        return False
    server.kill()
    server.go_back(random.choice((1, 1, 3)))
    fleet.world.after(random.choice((0.01, 0.5, 4.0)) * random.random(), server.start)
    return True


def another_takes_over(fleet: Fleet) -> bool:
    """Have another server take over without the end of this one, which goes on for whoever is connected to it.

    Clients go from brokers at the one to brokers at the other meanwhile, and back.
    """
    random = fleet.world.random
    if not fleet.server.up:
        return False
    old = fleet.another_server(random.choice((0, 1, 1, 3)))
    noticed = 0.0
    for program in dict.fromkeys(connection.program for connection in old.connections):
        seconds = random.choice((0.01, 1.0, 6.0)) * random.random()
        fleet.world.after(seconds, old.cut_off, program)
        noticed = max(noticed, seconds)
    fleet.world.after(noticed, old.kill)
    for _ in range(random.randint(0, 12)):
        fleet.world.after(noticed * random.random(), client_moves, fleet)
    return True


def given_up(fleet: Fleet) -> bool:
    """Hold up what a broker sends to the server until it has given that up, and sent it again: it comes late.

    Somebody leaves a room meanwhile, and returns to it.
    """
    broker, random = _broker(fleet), fleet.world.random
    if broker is None:
        return False
    until = fleet.world.now + random.uniform(1.0, 2.5) * SILENCE_SECONDS
    for connection in fleet.connections:
        if broker.has(connection):
            connection.up.stalled_until = until
    members = [client for client in fleet.members if client.network is broker.network and not client.busy]
    there = [(client, joined.name) for client in members for joined in client.joins.values() if joined.stream]
    if there:
        client, room = random.choice(there)
        fleet.world.after(2.0 * random.random(), _come_back, client, room, client.leave(room))
    return True


def _come_back(client: Client, room: str, position: Position | None) -> None:
    if not client.busy and room not in client.joins:
        client.join(room, position)


FAULTS: dict[FleetFault, int] = {
    kill_broker: 3,
    kill_broker_within_a_turn: 3,
    stop_broker_in_good_order: 1,
    broker_stands_still: 2,
    kill_server: 2,
    server_stands_still: 2,
    cut_from_server: 8,
    cut_all_from_server: 1,
    stall_to_server: 8,
    deaf: 4,
    server_slow: 3,
    client_moves: 8,
    of_clients.cut: 3,
    of_clients.cut_at_a_byte: 2,
    of_clients.half_open: 2,
    of_clients.stall: 3,
    of_clients.late_leave: 2,
    of_clients.client_stands_still: 2,
    of_clients.kill_client: 2,
    of_clients.reader_pauses: 2,
}
"""Each fault and how often it is drawn, beside the others."""

DISASTERS: dict[FleetFault, int] = {end_lost: 4, another_takes_over: 5, given_up: 8}
"""What is drawn only in some seeds, as it excuses losses, or has a broker do nothing for seconds."""
