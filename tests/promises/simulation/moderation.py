"""Moderators who put users out, ban and mute them, and close rooms, while all else goes wrong."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.promises.simulation.calls import Question
from tests.promises.simulation.checks import require
from tests.promises.simulation.client import Client
from tests.promises.simulation.ruling import Ruling, key_of
from zchat.broker.store.contract import BAN, CLOSED, MUTE, Sanction
from zchat.errors import NotAllowed
from zchat.names import fold

if TYPE_CHECKING:
    from tests.promises.simulation.simulation import Simulation

EVERY = 0.7
"""Seconds between two things that moderators do, on average."""

SECONDS = (0, 1, 2, 5)
"""What a ban or a mute may last; 0: until it is lifted."""

LIFTED = (0.3, 2.0, 6.0)
"""Seconds after which a moderator lifts what was imposed, at the latest, in different cases."""

UNDO = {BAN: "unban", MUTE: "unmute", CLOSED: "open"}
"""The commands that lift what was imposed."""


class Moderation:
    """Have moderators do something now and then. `timed`: what they impose may end by itself."""

    def __init__(self, sim: Simulation, ruling: Ruling, *, timed: bool) -> None:
        self._sim = sim
        self._ruling = ruling
        self._timed = timed
        self.random = Random(f"moderators of {sim.world.seed}")
        self.done = 0
        self.over = False
        sim.world.after(1.0, self._act)

    def _act(self) -> None:
        if self.over:
            return
        random, ruling = self.random, self._ruling
        client = self._moderator()
        if client is not None:
            room = random.choice(ruling.rooms)
            user = random.choice(ruling.users[:5])
            what = random.random() * (1.0 if ruling.level(client.user, "") else 0.9)
            if what < 0.25:
                self.kick(client, room, user)
            elif what < 0.5:
                self.impose(client, BAN, room, user, self._seconds())
            elif what < 0.7:
                self.impose(client, MUTE, room, user, self._seconds())
            elif what < 0.8:
                self.impose(client, CLOSED, room, "", 0)
            else:
                self.impose(client, BAN, "", user, self._seconds())
        self._sim.world.after(random.expovariate(1 / EVERY), self._act)

    def _seconds(self) -> int:
        return self.random.choice(SECONDS) if self._timed else 0

    def _moderator(self) -> Client | None:
        """Return one of those who do anything at all, and now and then one who may nothing."""
        clients = [each for each in self._sim.members if not each.busy and each.core.connected]
        above = [each for each in clients if any(self._ruling.level(each.user, room) for room in self._rooms)]
        if self.random.random() < 0.1:
            above = clients
        return self.random.choice(above) if above else None

    @property
    def _rooms(self) -> list[str]:
        return ["", *self._ruling.rooms]

    def _ask(self, client: Client, word: str, room: str, user: str, fields: tuple[Any, ...], done: Any) -> None:
        """Ask for something, and check whether it is done or refused by who is above whom."""
        ruling = self._ruling
        above = ruling.level(client.user, room) > ruling.level(user, room) and client.user != user

        def resolved(result: Any) -> None:
            require(above, f"{client.name} could {word} {user} in {room!r}")
            self.done += 1
            done(result)

        def failed(error: Exception) -> None:
            self._sim.world.note(f"{client.name} could not {word} {user} in {room!r}: {error}")
            require(not (above and isinstance(error, NotAllowed)), f"{client.name} could not {word} {user}: {error}")

        self._sim.world.note(f"{client.name}: {word} {user} in {room!r} {fields}")
        target = () if word in ("close", "open") else (user,)
        client.core.ask(word, (room or None, *target, *fields), Question(client, lambda result: None, failed), resolved)
        client.turn()

    # -- what they do ------------------------------------------------------------------------------------

    def kick(self, client: Client, room: str, user: str) -> None:
        """Put a user out of a room."""
        self._ruling.kicked.add((room, user))
        self._ask(client, "kick", room, user, ("",), lambda result: None)

    def was_banned(self, user: str, since: float) -> bool:
        """Return whether a user was banned from the broker as a whole at some time from `since` on."""
        return self._ruling.was(("", fold(user), BAN), since)

    def impose(self, client: Client, kind: str, room: str, user: str, seconds: int) -> None:
        """Impose something, and lift it some time later."""
        word = "close" if kind == CLOSED else kind
        fields: tuple[Any, ...] = ("why",) if kind == CLOSED else (seconds, "why")

        def done(result: list[Any]) -> None:
            until = 0 if kind == CLOSED else result[0]
            safe = (room, user, kind, until, client.user) in self._sim.truth.imposed_ever
            require(safe, f"{client.name} is notified that {user} is under a {kind} in {room!r}, and that is not safe")

        self._ask(client, word, room, user, fields, done)
        self._sim.world.after(self.random.choice(LIFTED) * self.random.random(), self._lift_again, kind, room, user)

    def _lift_again(self, kind: str, room: str, user: str) -> None:
        sanction = self._sim.truth.sanctions.get((room, user, kind))
        if sanction is not None and not self.over:
            self._lift(sanction)

    def _lift(self, sanction: Sanction) -> None:
        room, user, kind = key_of(sanction)
        clients = [each for each in self._sim.members if not each.busy and each.core.connected]
        levels = self._ruling.level
        above = [each for each in clients if levels(each.user, room) > levels(user, room) and each.user != user]
        if above:
            self._ask(self.random.choice(above), UNDO[kind], room, user, (), lambda result: None)

    def lift_all(self) -> None:
        """Have everything lifted that is in force."""
        for sanction in list(self._sim.truth.sanctions.values()):
            if self._ruling.in_force(sanction, self._sim.world.now):
                self._lift(sanction)
