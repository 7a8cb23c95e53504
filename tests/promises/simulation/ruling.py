"""The rules of a broker, as they are and as they were: who may what in which room, and what follows from it."""

from __future__ import annotations

from random import Random
from typing import NamedTuple, TypeAlias

from tests.promises.simulation.checks import require
from tests.promises.simulation.world import World
from zchat.broker.guard.rules import Rate, Rules, Table
from zchat.broker.store.contract import BAN, CLOSED, MUTE, Sanction
from zchat.errors import Banned, Muted, NoSuchRoom, NotAllowed, RoomClosed
from zchat.names import fold

SEE, JOIN, READ, SEND, MEMBERS = RIGHTS = ("see", "join", "read", "send", "members")
"""What rules give and take: nobody joins who can't see, and nobody has the others who can't join."""

EVERY = 1.0
"""Seconds between two changes of the file, on average."""

BACK = (0.2, 1.5, 6.0)
"""Seconds after which what was taken is given back at the latest, in different cases."""

RATES = (Rate(), Rate(), Rate(messages=8), Rate(bytes=3_000))
"""What a user may send in a second, and all together to a room."""


class State(NamedTuple):
    """What the file says: what is taken from whom, as (room, user, right), and how much may be sent."""

    taken: frozenset[tuple[str, str, str]] = frozenset()
    limits: Rate = Rate()  # a tuple
    rate: Rate = Rate()


SLACK = 0.05
"""Seconds around the end of a sanction in which it may be in force, or not."""

Sanctions: TypeAlias = dict[tuple[str, str, str], Sanction]
"""What moderators have imposed, by folded room ("": the broker as a whole), folded user and kind."""


def key_of(sanction: Sanction) -> tuple[str, str, str]:
    """Return by what a sanction is kept."""
    return fold(sanction.room), fold(sanction.user), sanction.kind


class Moment(NamedTuple):
    """What a broker goes by, from a time on."""

    at: float
    state: State
    sanctions: Sanctions


class Ruling:
    """Keep the file, change it now and then, and know what each may. Rooms and users are folded names."""

    def __init__(self, world: World, rooms: list[str], users: list[str], *, moderated: bool) -> None:
        self.world = world
        self.random = Random(f"rules of {world.seed}")
        self.rooms = list(map(fold, rooms))
        self.users = list(map(fold, users))
        owner = self.random.choice(self.users[:4])
        often = 0.6 if moderated else 0.3
        self.owners = {room: {owner} for room in self.rooms if self.random.random() < often}
        operator = self.random.choice(self.users[:4])
        self.operators = {operator} if self.random.random() < often or (moderated and not self.owners) else set()
        if moderated and self.random.random() < 0.5:
            for owners in self.owners.values():
                owners.add(self.random.choice(self.users[:4]))
        self.state = State()
        self.changes = 0
        self.kicked: set[tuple[str, str]] = set()  # room and user of whom a moderator was to put out
        self.over = False
        self._effective: list[Moment] = []
        world.after(EVERY, self._change)

    # -- the file --------------------------------------------------------------------------------------

    def _change(self) -> None:
        if self.over:
            return
        random = self.random
        if random.random() < 0.2:
            self.state = self.state._replace(limits=random.choice(RATES), rate=random.choice(RATES))
            self._changed()
        else:
            room, user = random.choice(self.rooms), random.choice([*self.users[:4], *self.users])
            self.take(room, user, random.choice((SEE, JOIN, JOIN, READ, READ, SEND, MEMBERS)))
            self.world.after(random.choice(BACK) * random.random(), self._give_back, room, user)
        self.world.after(random.expovariate(1 / EVERY), self._change)

    def take(self, room: str, user: str, *rights: str) -> None:
        """Take rights from a user in a room."""
        self.state = self.state._replace(taken=self.state.taken | {(room, user, right) for right in rights})
        self._changed()

    def _give_back(self, room: str, user: str) -> None:
        if not self.over:
            self.give_back(room, user)

    def give_back(self, room: str, user: str) -> None:
        """Give a user back what was taken in a room."""
        taken = frozenset(each for each in self.state.taken if each[:2] != (room, user))
        self.state = self.state._replace(taken=taken)
        self._changed()

    def end(self) -> None:
        """Let everybody do everything, from now on."""
        self.over = True
        self.state = State()
        self._changed()

    def _changed(self) -> None:
        self.changes += 1
        self.world.note(f"rules: {sorted(self.state.taken)} {self.state.limits} {self.state.rate}")

    def rules(self, state: State) -> Rules:
        """Return the broker's rules for a state of the file."""
        tables = []
        for room in self.rooms:
            lists = {
                right: frozenset(user for user in self.users if (room, user, right) not in state.taken)
                for right in RIGHTS
            }
            owners = frozenset(self.owners.get(room, ()))
            tables.append(Table((room,), **lists, owners=owners, rate=state.rate))  # type: ignore[arg-type]
        return Rules(tuple(tables), operators=frozenset(self.operators), makers_own=False, limits=state.limits)

    # -- what is true ----------------------------------------------------------------------------------

    def applied(self, state: State, sanctions: Sanctions) -> None:
        """Record that the broker goes by a state of the file from now on, and by what was imposed."""
        self._effective.append(Moment(self.world.now, state, sanctions))

    def level(self, user: str, room: str) -> int:
        """Return how far up a user stands in a room, "" for the broker as a whole."""
        return 2 if user in self.operators else int(user in self.owners.get(room, ()))

    def is_above(self, user: str, room: str) -> bool:
        """Return whether a user may everything in a room."""
        return bool(self.level(user, room))

    def has(self, user: str, room: str, right: str) -> bool:
        """Return whether a user has a right in a room now, or may have it."""
        return self._has(fold(user), fold(room), right, self._effective[-1], self.world.now + SLACK)

    def _has(self, user: str, room: str, right: str, moment: Moment, at: float) -> bool:
        """Return whether a user had a right in a room by what the broker went by; what was imposed may be over then."""
        if room not in self.rooms:
            return True
        needed = {SEE: (SEE,), JOIN: (SEE, JOIN)}.get(right, (SEE, JOIN, right))
        given = user in self.users and not any((room, user, each) in moment.state.taken for each in needed)
        given = given or self.is_above(user, room)
        return given and not any(self.in_force(each, at) for each in self._keeping(user, room, right, moment))

    def _keeping(self, user: str, room: str, right: str, moment: Moment) -> list[Sanction]:
        """Return what was imposed that keeps a user from something in a room."""
        keys = [] if right == SEE else [(room, user, BAN)]
        level = self.level(user, room)
        if right == SEND:
            keys += [(room, user, MUTE)] if level else [(room, user, MUTE), (room, "", CLOSED)]
        found = [moment.sanctions[key] for key in keys if key in moment.sanctions]
        return [each for each in found if self.level(fold(each.by), room) > level]

    def in_force(self, sanction: Sanction, at: float) -> bool:
        """Return whether a sanction is not over at a time of the world's clock."""
        return not sanction.until or sanction.until > self.world.true_clock() + (at - self.world.now) * 1_000_000

    def is_banned(self, user: str) -> bool:
        """Return whether a user is banned from the broker as a whole now, for certain."""
        ban = self._effective[-1].sanctions.get(("", fold(user), BAN))
        return ban is not None and self.in_force(ban, self.world.now + SLACK)

    def was(self, key: tuple[str, str, str], since: float) -> bool:
        """Return whether a sanction was in force at some time from `since` on."""
        found = [moment.sanctions[key] for moment in self._since(since) if key in moment.sanctions]
        return any(self.in_force(each, since - SLACK) for each in found)

    def _since(self, since: float) -> list[Moment]:
        """Return all that the broker has gone by since a time."""
        earlier = [moment for moment in self._effective if moment.at <= since][-1:]
        return earlier + [moment for moment in self._effective if moment.at > since]

    def had(self, user: str, room: str, right: str, since: float) -> bool:
        """Return whether a user had a right in a room at some time from `since` on."""
        user, room, at = fold(user), fold(room), self.world.now + SLACK
        return any(self._has(user, room, right, moment, at) for moment in self._since(since))

    def lacked(self, user: str, room: str, right: str, since: float) -> bool:
        """Return whether a user lacked a right in a room at some time from `since` on."""
        user, room, at = fold(user), fold(room), since - SLACK
        return not all(self._has(user, room, right, moment, at) for moment in self._since(since))

    def check_refusal(self, error: Exception, user: str, room: str, right: str, since: float) -> None:
        """Check that what was asked for at `since`, and requires a right, was refused as it had to be.

        To somebody who may not see a room there is none; other refusals than those by rules are not judged.
        """
        where = f"{user} in {room}: {error}"
        if isinstance(error, NotAllowed):
            require(self.lacked(user, room, right, since), f"refused, and allowed: {where}")
            require(self.had(user, room, SEE, since), f"a hidden room is known: {where}")
        elif isinstance(error, NoSuchRoom) and right == JOIN:
            require(self.lacked(user, room, SEE, since), f"the room is there, or can be made: {where}")
        elif isinstance(error, Banned | Muted | RoomClosed):
            kind, whom = {Banned: (BAN, fold(user)), Muted: (MUTE, fold(user))}.get(type(error), (CLOSED, ""))
            if not self.was(("", whom, kind), since):
                require(self.was((fold(room), whom, kind), since), f"refused, and nothing is in force: {where}")
                require(self.had(user, room, SEE, since), f"a hidden room is known: {where}")
