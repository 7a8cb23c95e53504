"""The rooms of a broker by name, and which of them a user sees: a direct room exists for its two users alone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable

from zchat import errors
from zchat.broker.limits import MAX_ROOMS, USER_DIRECTS, USER_ROOMS
from zchat.broker.rooms.room import Room
from zchat.broker.store.contract import RoomLog
from zchat.names import DIRECT, account_of, check_held_name, check_name, direct_name, direct_users, fold, room_key


class Directory:
    """The rooms of a broker. A `user` is a folded name.

    `logs` are the rooms that the store has, `names` those that always exist; `fixed`: only direct rooms are made.
    `users` are those that the store knows: their names stay valid, as those of its rooms do. `quotas`: a name is one
    user's alone, so that each user makes a bounded number of rooms.
    """

    def __init__(
        self,
        logs: list[RoomLog],
        names: tuple[str, ...],
        *,
        fixed: bool,
        users: Iterable[str] = (),
        quotas: bool = False,
    ) -> None:
        self._fixed = fixed
        self._quotas = quotas
        self._made: Counter[tuple[str, bool]] = Counter()  # by maker, and whether they are direct, how many rooms
        self.rooms: dict[str, Room] = {}
        """All rooms by folded name."""
        self.order: list[str] = []
        """The folded names of the rooms that every user sees, in order."""
        self.directs: dict[str, list[str]] = {}
        """The folded names of each user's direct rooms, in order, by the user."""
        for log in logs:
            self._add(Room(log))
        self._held = {*users, *self.directs}
        """The users that the store knew at the start: their names may break the rules for new ones."""
        for name in names:
            room = self.rooms.get(fold(name))
            if room is None:
                room = self._add(Room(RoomLog(check_name("room", name), 1, 0, ())))
            room.fixed = True

    def find(self, name: str, user: str) -> Room:
        """Return the room of that name, whatever its case, that a user sees; raises NoSuchRoom.

        The name is one that `zchat.names.room_key` takes, here and in `make`.
        """
        found = self.rooms.get(room_key(name))
        if found is not None and (not found.direct or user in found.direct):
            return found
        raise self.no_such_room(name)

    def make(self, name: str, user: str) -> Room:
        """Return the room of that name, made now if there is none and the user may make it."""
        users = direct_users(name) if name.startswith(DIRECT) else ()
        if users and user not in map(fold, users):
            raise self.no_such_room(name)
        if (found := self.rooms.get(room_key(name))) is not None:
            return found
        if self._fixed and not users:
            raise self.no_such_room(name)
        for each in users:
            self.check_user(each)
        if not users:
            check_name("room", name)
        if len(self.rooms) >= MAX_ROOMS:
            raise errors.LimitReached(
                f"the broker already has {MAX_ROOMS} rooms, the most it may have; use one of them"
            )
        maker = self._check_quota(user, direct=bool(users)) if self._quotas else ""
        return self._add(Room(RoomLog(direct_name(*users) if users else name, 1, 0, (), maker)))

    def restore(self, log: RoomLog) -> Room:
        """Return the room of that name, with that log if there is none."""
        return self.rooms.get(fold(log.name)) or self._add(Room(log))

    def _check_quota(self, user: str, *, direct: bool) -> str:
        """Return who counts as the maker of a room that a user may make; raises LimitReached."""
        maker = account_of(user)
        most, what = (USER_DIRECTS, "direct rooms") if direct else (USER_ROOMS, "rooms")
        if self._made[maker, direct] >= most:
            raise errors.LimitReached(f"you have made {most:,} {what}, the most that one user may; use one of them")
        return maker

    def check_user(self, user: str) -> None:
        """Check the name of a user: a new one by the rules for new names; raises BadName."""
        if fold(user) in self._held:
            check_held_name("user", user)
        else:
            check_name("user", user)

    def vacate(self, room: Room) -> None:
        """Forget a room that has no members, no log and no sanctions."""
        if not room.idle or self.rooms.get(room.folded) is not room:
            return
        del self.rooms[room.folded]
        self._count(room, -1)
        for user in room.direct:
            _remove(self.directs[user], room.folded)
            if not self.directs[user]:
                del self.directs[user]
        if not room.direct:
            _remove(self.order, room.folded)

    def page(self, user: str, after: str | None, limit: int) -> tuple[list[Room], bool]:
        """Return up to `limit` rooms that a user sees, after the folded name `after`, and whether more follow."""
        found: list[str] = []
        for names in (self.order, self.directs.get(user, [])):
            start = 0 if after is None else bisect_right(names, after)
            found += names[start : start + limit + 1]
        found.sort()
        return [self.rooms[folded] for folded in found[:limit]], len(found) > limit

    def directs_of(self, user: str) -> list[Room]:
        """Return a user's direct rooms."""
        return [self.rooms[folded] for folded in self.directs.get(user, ())]

    def _add(self, room: Room) -> Room:
        self.rooms[room.folded] = room
        self._count(room, 1)
        for user in room.direct:
            insort(self.directs.setdefault(user, []), room.folded)
        if not room.direct:
            insort(self.order, room.folded)
        return room

    def _count(self, room: Room, change: int) -> None:
        if room.maker:
            key = room.maker, bool(room.direct)
            self._made[key] += change
            if not self._made[key]:
                del self._made[key]

    def no_such_room(self, name: str) -> errors.NoSuchRoom:
        """Return the error of a room that there is not, or not for the user."""
        fixed = self._fixed and not name.startswith(DIRECT)
        hint = (
            "the rooms here are fixed; see the list of rooms" if fixed else "the first join that may create it makes it"
        )
        return errors.NoSuchRoom(f"there is no room {name!r}: {hint}")


def _remove(names: list[str], name: str) -> None:
    del names[bisect_left(names, name)]
