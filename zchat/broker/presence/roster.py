"""A room's roster: who is here since when, who is typing, how far each has read; only the latest counts.

Every change makes another version. A member is brought from the version that it was sent to the
present one by an update: the changes between, or everybody anew where that can't be told any more.
A room of more users than the names limit is a crowd, whose updates are counts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict

from zchat.broker.limits import SHARED_UPDATES, TOMBSTONES
from zchat.wire.notices import PersonEntry, RoomUpdate, encode_update


class RosterEntry:
    """Keep one user who is in a room.

    `since` is in microseconds since 1970, `read_mark` the seq that the room is read to, 0 for none.
    `sessions` counts those of the user that are here. `typed` is when a word that the user is
    typing was last accepted.
    """

    __slots__ = ("name", "read_mark", "sessions", "since", "typed", "typing")

    def __init__(self, name: str, since: int, read_mark: int) -> None:
        self.name = name
        self.since = since
        self.read_mark = read_mark
        self.sessions = 1
        self.typing = False
        self.typed = float("-inf")


class Roster:
    """Keep the users of one room, by folded name, and what members have yet to be told of them.

    `room`: the room's name. `names`: up to how many users members get names. `typing` counts the users who
    type, `at_end` has those who have read the log to its end.
    """

    __slots__ = (
        "_changes",
        "_gone",
        "_names",
        "_order",
        "_room",
        "_shared",
        "_whole_before",
        "at_end",
        "crowd",
        "people",
        "typing",
        "version",
    )

    def __init__(self, room: str, names: int) -> None:
        self._room = room
        self._names = names
        self.people: dict[str, RosterEntry] = {}
        self.version = 0
        self.crowd = not names
        self.typing = 0
        self.at_end: set[str] = set()
        self._order: list[str] = []
        self._changes: OrderedDict[str, int] = OrderedDict()
        self._gone: OrderedDict[str, str] = OrderedDict()
        self._whole_before = 1
        self._shared: dict[int, bytes] = {}

    # -- what happens ------------------------------------------------------------------------------

    def enter(self, user: str, name: str, since: int, read_mark: int, at_end: bool) -> bool:
        """Count another session of a user, spelt `name`; True if it is the first.

        `read_mark` is the user's, 0 for none; `at_end` says whether it is at the log's end.
        """
        person = self.people.get(user)
        if person is not None:
            person.sessions += 1
            return False
        self.people[user] = RosterEntry(name, since, read_mark)
        insort(self._order, user)
        if at_end:
            self.at_end.add(user)
        self._gone.pop(user, None)
        if not self.crowd and len(self.people) > self._names:
            self.crowd = True
            self._changes.clear()
            self._gone.clear()
        self._changed(user)
        return True

    def leave(self, user: str) -> bool:
        """Count a session of a user less; True if it was the last, and the user has left."""
        person = self.people[user]
        person.sessions -= 1
        if person.sessions:
            return False
        del self.people[user]
        del self._order[bisect_left(self._order, user)]
        self.typing -= person.typing
        self.at_end.discard(user)
        if not self.crowd:
            self._gone[user] = person.name
        self._changed(user)
        if self.crowd and len(self.people) <= self._names * 3 // 4:
            self.crowd = False
            self._whole_before = self.version
        if len(self._gone) > TOMBSTONES:
            forgotten, _ = self._gone.popitem(last=False)
            self._whole_before = self._changes.pop(forgotten)
        return True

    def type(self, user: str, active: bool) -> bool:
        """Take note whether a user types; True if that is new."""
        person = self.people.get(user)
        if person is None or person.typing == active:
            return False
        person.typing = active
        self.typing += 1 if active else -1
        self._changed(user)
        return True

    def set_read_mark(self, user: str, seq: int, at_end: bool) -> bool:
        """Take note of how far a user has read, `at_end`: all of the log; True if members are to be told."""
        person = self.people.get(user)
        if person is None:
            return False
        person.read_mark = seq
        was_at_end = user in self.at_end
        if at_end:
            self.at_end.add(user)
        else:
            self.at_end.discard(user)
        if self.crowd and at_end == was_at_end:
            return False
        self._changed(user)
        return True

    def grew(self) -> bool:
        """Take note that the log has grown: nobody has read it to its end now; True if members are to be told."""
        if not self.at_end:
            return False
        self.at_end.clear()
        if not self.crowd:
            return False
        self._changed("")
        return True

    def _changed(self, user: str) -> None:
        self.version += 1
        self._shared.clear()
        if not self.crowd:
            self._changes[user] = self.version
            self._changes.move_to_end(user)

    # -- what is told ------------------------------------------------------------------------------

    def update(self, pictured: int) -> bytes:
        """Return what brings a member from the version `pictured`, 0 for none, to the present one, packed."""
        if self.crowd or pictured < self._whole_before:
            pictured = 0
        made = self._shared.get(pictured)
        if made is None:
            if len(self._shared) >= SHARED_UPDATES:
                del self._shared[next(iter(self._shared))]
            made = self._shared[pictured] = self._make(pictured)
        return made

    def _make(self, pictured: int) -> bytes:
        name, count = self._room, len(self.people)
        if self.crowd:
            update = RoomUpdate(name, True, count, None, self.typing, len(self.at_end))
        elif pictured:
            changed = []
            for user, version in reversed(self._changes.items()):
                if version <= pictured:
                    break
                changed.append(user)
            update = RoomUpdate(name, False, count, [self._entry(user) for user in reversed(changed)], 0, 0)
        else:
            update = RoomUpdate(name, True, count, [self._entry(user) for user in self._order], 0, 0)
        return encode_update(update)

    def _entry(self, user: str) -> PersonEntry:
        person = self.people.get(user)
        if person is None:
            return PersonEntry(self._gone[user], 0, False, 0)
        return PersonEntry(person.name, person.since, person.typing, person.read_mark)

    def page(self, after: str | None, limit: int) -> tuple[list[PersonEntry], bool]:
        """Return the entries of up to `limit` users behind the folded name `after`, and whether more follow."""
        start = 0 if after is None else bisect_right(self._order, after)
        return [self._entry(user) for user in self._order[start : start + limit]], start + limit < len(self._order)
