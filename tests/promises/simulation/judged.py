"""What follows when rules change, or moderators act, and nothing goes wrong: it is in effect soon, for those alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.promises.simulation.checks import require
from tests.promises.simulation.client import Client
from tests.promises.simulation.keys import ALLOWED
from tests.promises.simulation.ruling import JOIN, MEMBERS, READ, RIGHTS, SEE, SEND, SLACK, Ruling
from tests.promises.simulation.wall_clock import SETTLING
from zchat.broker.store.contract import BAN, CLOSED, MUTE, Sanction
from zchat.errors import Banned, NoSuchRoom, NotAllowed
from zchat.messages import START
from zchat.names import fold

if TYPE_CHECKING:
    from tests.promises.simulation.simulation import Simulation

SOON = 1.0
"""Seconds within which something is answered."""

BANNED = 12
"""Seconds that a ban or a mute lasts."""

SETTLED = 2 * SETTLING + SOON
"""Seconds after which one that is over has been removed."""


def change_rules(sim: Simulation, ruling: Ruling) -> None:
    """Take a right from a user, see what becomes of it, and give it back."""
    places = [
        (client, room)
        for client in sim.members
        for room in client.joins
        if fold(room) in ruling.rooms and not ruling.is_above(client.user, fold(room))
    ]
    if not places:
        return
    client, room = ruling.random.choice(places)
    right = ruling.random.choice(RIGHTS)
    if right == READ:  # amid what was said before
        client.leave(room)
        sim.world.run(sim.world.now + SOON)
        client.join(room, START)
        client.joins[room].paused_until = sim.world.now + ALLOWED
        sim.world.run(sim.world.now + SOON)
    there = [each for each in sim.members if each.user == client.user and room in each.joins]
    others = {each: list(each.joins) for each in sim.members if each.user != client.user}
    losses = {each: each.losses for each in sim.members}
    ruling.take(fold(room), fold(client.user), right)
    sim.world.run(sim.world.now + ALLOWED)
    require(losses == {each: each.losses for each in sim.members}, "a change of rules has ended somebody's connection")
    require(others == {each: list(each.joins) for each in others}, "a change of rules is about others")
    if right in (SEE, JOIN):
        _put_out(sim, there, room, NoSuchRoom if right == SEE else NotAllowed)
    elif right == READ:
        _withheld(sim, client, room)
    elif right == SEND:
        stored = len(sim.truth.place)
        client.say(room, 1, None)
        sim.world.run(sim.world.now + SOON)
        require(not client.waiting and len(sim.truth.place) == stored, f"{client.name} could send to {room}")
    elif right == MEMBERS:
        for each in there:
            require(each.joins[room].feed.roster._crowd, f"{each.name} still knows who is in {room}")
    ruling.give_back(fold(room), fold(client.user))
    sim.world.run(sim.world.now + ALLOWED)
    _come_again(sim, there, room)


def _come_again(sim: Simulation, there: list[Client], room: str) -> None:
    """Have clients be in a room again, and everybody know it."""
    for each in there:
        if room not in each.joins:
            each.join(room, each.places.pop(room, None))
    deadline = sim.world.now + SOON
    while (trouble := sim.unrest()) is not None:
        require(sim.world.now < deadline, f"everything is allowed again, and {trouble}")
        sim.world.run(sim.world.now + SOON / 10)
    sim.world.run(sim.world.now + SOON)
    sim.check()


def _end(sim: Simulation, client: Client, room: str, sanction: Sanction) -> None:
    """Wait until a ban or a mute is over: at once nothing is refused any more."""
    seconds = (sanction.until - sim.world.true_clock()) / 1_000_000
    sim.world.run(sim.world.now + seconds + 2 * SLACK)
    if room in client.joins:
        client.say(room, 1, None)
    else:
        client.join(room, client.places.pop(room, None))
    sim.world.run(sim.world.now + SOON)
    require(room in client.joins and not client.waiting, f"{client.name} may be in {room}, and is not")
    sim.world.run(sim.world.now + SETTLED)


def _put_out(sim: Simulation, there: list[Client], room: str, why: type[Exception]) -> None:
    """Check that clients are out of a room, and can't come back."""
    for each in there:
        require(room not in each.joins, f"{each.name} is still in {room}")
    sim.check()
    for each in there:
        place = each.places.pop(room, None)
        each.join(room, place)
        sim.world.run(sim.world.now + SOON)
        require(room not in each.joins, f"{each.name} could join {room}")
        require(type(each.refusals.get(room)) is why, f"{each.name} may not be in {room}: {each.refusals.get(room)!r}")


def _withheld(sim: Simulation, client: Client, room: str) -> None:
    """Check that a client that comes anew, and may not read what was said, receives a gap in its place: withheld."""
    client.leave(room)
    sim.world.run(sim.world.now + SOON)
    client.join(room, START)
    sim.world.run(sim.world.now + SOON)
    stream = client.joins[room].stream
    end = len(sim.truth.logs.get(room, ()))
    require(stream is not None and stream.seq == end, f"{client.name} may not read {room}, and is not at its end")


def moderate(sim: Simulation, ruling: Ruling) -> None:
    """Put a user out, ban or mute them, or close a room: it is so at once, and over at its end."""
    random = ruling.random
    places = [
        (client, room, above)
        for client in sim.members
        for room in client.joins
        for above in sim.members
        if fold(room) in ruling.rooms and ruling.level(above.user, fold(room)) > ruling.level(client.user, fold(room))
    ]
    moderation = sim.moderation
    if not places or moderation is None:
        return
    client, room, above = random.choice(places)
    folded, user = fold(room), fold(client.user)
    there = [each for each in sim.members if each.user == client.user and room in each.joins]
    what = random.choice(("kick", BAN, MUTE, CLOSED))
    if what == CLOSED and ruling.is_above(client.user, folded):
        what = MUTE  # to an owner no room is closed
    if what == "kick":
        moderation.kick(above, folded, user)
        sim.world.run(sim.world.now + SOON)
        require(not any(room in each.joins for each in there), f"{client.name} was put out of {room}, and is there")
    else:
        moderation.impose(above, what, folded, "" if what == CLOSED else user, 0 if what == CLOSED else BANNED)
        sim.world.run(sim.world.now + SOON)
        if what == BAN:
            _put_out(sim, there, room, Banned)
        else:
            stored = len(sim.truth.place)
            client.say(room, 1, None)
            sim.world.run(sim.world.now + SOON)
            require(not client.waiting and len(sim.truth.place) == stored, f"{client.name} could send to {room}")
        if what == CLOSED:
            moderation.lift_all()
        else:
            _end(sim, client, room, sim.truth.sanctions[folded, user, what])
    sim.world.run(sim.world.now + SOON)
    _come_again(sim, there, room)
