"""What frames cost the broker's loop, and that each is carried out: those that wait in order, and a ping at once."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

from tests.promises.simulation.checks import require
from zchat.broker.account import Account
from zchat.broker.port import Peer
from zchat.broker.rooms.session import Session
from zchat.wire.values import pack

if TYPE_CHECKING:
    from tests.promises.simulation.broker import Process

COSTS = ((0.0, 0.0, 0.0005), (0.0005, 0.003), (0.0, 0.02))
"""Seconds that frames of one who uses more than a share take, one of which is chosen for each, in different seeds."""

COSTLY = (b"\xa4join", b"\xa4send", b"\xa7hist", b"\xa4mark")
"""Commands that take so long, as they go on after a frame's first byte."""

AT_ONCE = tuple(map(pack, ("ping", "credit", "seen")))
"""Commands that never wait."""

PING = pack(("ping",))


class Costs:
    """Say what frames take. Users by folded names; `over` once all is peace."""

    def __init__(self, random: Random, users: list[str]) -> None:
        self._random = random
        self._greedy = set(random.sample(users, random.choice((1, 1, 2))))
        self._of_one = random.choice(COSTS)
        self.over = False

    def draw(self, user: str, frame: bytes) -> float:
        """Return the seconds that a frame of a user takes."""
        if self.over or user not in self._greedy or not frame.startswith(COSTLY, 1):
            return 0.0
        return self._random.choice(self._of_one)


class Waiting:
    """Follow the frames of one run of a broker, from their arrival until they are carried out."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._carry_out = process.core._carry_out
        process.core._carry_out = self._carried_out  # type: ignore[method-assign]
        self._heard: dict[tuple[Session, int], deque[bytes]] = {}
        self._ponged = True
        self.waited = 0

    def arrived(self, connection: int, routing_id: bytes, frame: bytes) -> None:
        """Take a frame that is given to the core now."""
        self._ponged = frame != PING
        session = self._process.core.context.sessions.table.by_routing_id.get(routing_id)
        if session is None or session.peer.connection != connection:
            self._ponged = True
            return
        if session.gone or session.blocked or session.replies:
            self._ponged = True  # there is no room for it
        if not frame.startswith(AT_ONCE, 1):
            self._heard.setdefault((session, connection), deque()).append(frame)

    def sends(self, frame: bytes) -> None:
        """Take a frame that the core sends, or tries to."""
        if frame[1:6] == b"\xa4pong":
            self._ponged = True

    def taken(self) -> None:
        """Check what became of the frame that was given to the core."""
        require(self._ponged, "a ping is not answered at once")

    def _carried_out(self, session: Session | None, account: Account, peer: Peer, frames: list[bytes]) -> None:
        if session is not None and not frames[0].startswith(AT_ONCE, 1):
            heard = self._heard.get((session, peer.connection))
            require(heard and heard.popleft() is frames[0], f"a frame of {session.user} is overtaken by a later one")
        self._carry_out(session, account, peer, frames)
        self._process.spend(peer.user, frames[0])

    def check(self) -> None:
        """Check that what was not carried out waits."""
        core = self._process.core
        live = {(session, session.peer.connection) for session in core.context.sessions.table.by_token.values()}
        self._heard = {key: heard for key, heard in self._heard.items() if key in live}
        for (session, _), heard in self._heard.items():
            kept = session.account.waiting
            waits = [each for each in kept if each.session is session and each.peer is session.peer and not each.left]
            require([each.frames[0] for each in waits] == list(heard), f"frames of {session.user} are lost")
            self.waited = max(self.waited, len(waits))
        accounts: dict[str, set[int]] = {}
        for session, _ in live:
            accounts.setdefault(session.peer.user, set()).add(id(session.account))
        shared = core.context.gate.binds_names
        require(not shared or all(len(each) == 1 for each in accounts.values()), "a user has several shares")
        ids = [each for found in accounts.values() for each in found]
        require(len(ids) == len(set(ids)), "users have one share")
