"""Somebody who claims the routing id of a connection that has ended, and speaks as if the session were theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.frames import decode_notice
from tests.promises.simulation.checks import require
from tests.promises.simulation.intruder import NAME
from tests.promises.simulation.network import Dealer
from zchat.wire.blocks import join_bodies
from zchat.wire.limits import OLDEST_VERSION
from zchat.wire.notices import END, ERROR, OK, STATE
from zchat.wire.values import pack

if TYPE_CHECKING:
    from tests.promises.simulation.simulation import Simulation


class Claimer:
    """Claim one routing id, say something, and see that nothing comes which is another's."""

    def __init__(self, sim: Simulation, routing_id: bytes) -> None:
        random = sim.claims
        self._dealer = Dealer(sim.network, self, lambda: 0, 1.0, sim.intruders_key, claims=routing_id)
        room = random.choice(sim.rooms)
        greeting = ("hello", 1, OLDEST_VERSION, OLDEST_VERSION, NAME, random.randbytes(16), random.randbytes(16), 0, 1)
        stolen = [
            ("send", 2**40, room, random.randint(1, 50), join_bodies([pack("not mine")])),
            ("credit", room, random.randint(1, 3), random.randint(1, 100)),
            ("leave", 2**40, room, random.randint(1, 3)),
            ("history", 2**40, room, 0, None, 1_000),
            ("bye", 2**40),
            ("ping",),
        ]
        frames = random.sample(stolen, random.randint(0, len(stolen)))
        self._greets = random.random() < 0.3
        if self._greets:  # as itself, which is allowed if nobody has a session under that id any more
            frames.append(greeting)
        for frame in frames:
            self._dealer.send(pack(frame))
        sim.world.after(2.0, self._dealer.close, None)

    def arrived(self, frame: bytes) -> None:
        """Take a frame."""
        notice = decode_notice(frame)
        own = notice[0] == ERROR or (self._greets and (notice[0] in (STATE, END) or notice[:2] == [OK, 1]))
        require(own, f"somebody who claimed a routing id was sent {notice[:3]}")

    def broken(self) -> None:
        """Be cut."""

    def refused(self, *, later: bool) -> None:
        """Not be let in."""
