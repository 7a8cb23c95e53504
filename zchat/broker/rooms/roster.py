"""A room's roster: its users, since when, which are typing, how far each has read; only the latest counts.

Every change makes another version. A member is brought from the version that it was sent to the
present one by an update: the changes between, or the whole roster where these are no longer known.
A room of more users than the names limit is a crowd, whose updates are counts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict

from zchat.broker.limits import SHARED_UPDATES, TOMBSTONES
from zchat.wire.notices import PersonEntry, RoomUpdate, encode_update

_COUNTS = -1
"""In place of a version: the update that has no names."""

NOWHERE: frozenset[bytes] = frozenset()
"""No other broker."""


class RosterEntry:
    """One user in a room."""

    __slots__ = ("elsewhere", "name", "read_mark", "sessions", "since", "typed", "typing")

    def __init__(self, name: str, since: int, read_mark: int) -> None:
        self.name = name
        self.since = since
        """In microseconds since 1970."""
        self.read_mark = read_mark
        """The seq that the user has read the room to, 0 for none."""
        self.sessions = 0
        """How many of the user's sessions at this broker are in the room."""
        self.elsewhere: frozenset[bytes] = NOWHERE
        """The other brokers at which some are."""
        self.typing = False
        self.typed = float("-inf")
        """When a typing notice of the user was last accepted."""


class Roster:
    """The users of one room, and what members have yet to be sent of them. A `user` is a folded name.

    `room`: the room's name. `names`: the number of users up to which members are sent names.
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
        "counted",
        "crowd",
        "people",
        "sessions",
        "typing",
        "version",
    )

    def __init__(self, room: str, names: int) -> None:
        self._room = room
        self._names = names
        self.people: dict[str, RosterEntry] = {}
        self.sessions = 0
        """How many sessions at this broker they are in the room by."""
        self.version = 0
        """Counts the changes."""
        self.crowd = not names
        """True while there are so many users that members are sent counts."""
        self.counted = False
        """True once some member was sent counts although there are few users."""
        self.typing = 0
        """How many users are typing."""
        self.at_end: set[str] = set()
        """The users who have read the log to its end."""
        self._order: list[str] = []
        self._changes: OrderedDict[str, int] = OrderedDict()
        self._gone: OrderedDict[str, str] = OrderedDict()
        self._whole_before = 1
        self._shared: dict[int, bytes] = {}

    # -- what happens ------------------------------------------------------------------------------

    def enter(self, user: str, name: str, since: int, read_mark: int, at_end: bool) -> bool:
        """Count another session of a user, spelt `name`; return True if it is the first.

        `read_mark` is the user's, 0 for none; `at_end` says whether it is at the log's end.
        """
        self.sessions += 1
        is_first = user not in self.people
        if is_first:
            self._add(user, name, since, read_mark, at_end)
        self.people[user].sessions += 1
        return is_first

    def came(self, user: str, name: str, since: int, read_mark: int, at_end: bool, broker: bytes) -> bool:
        """Count a user at another broker; return True if members are to be sent that. The rest as in `enter`."""
        person = self.people.get(user)
        is_news = person is None
        if person is None:
            person = self._add(user, name, since, read_mark, at_end)
        elif since < person.since:
            person.since = since
            self._changed(user)
            is_news = not self.crowd
        person.elsewhere |= {broker}
        return is_news

    def _add(self, user: str, name: str, since: int, read_mark: int, at_end: bool) -> RosterEntry:
        person = self.people[user] = RosterEntry(name, since, read_mark)
        insort(self._order, user)
        if at_end:
            self.at_end.add(user)
        self._gone.pop(user, None)
        if not self.crowd and len(self.people) > self._names:
            self.crowd = True
            self._changes.clear()
            self._gone.clear()
        self._changed(user)
        return person

    def leave(self, user: str) -> bool:
        """Count a session of a user less; return True if it was the last anywhere, and the user has left."""
        self.sessions -= 1
        self.people[user].sessions -= 1
        return self._remove(user)

    def is_at(self, user: str, broker: bytes) -> bool:
        """Return whether a user is counted at another broker."""
        person = self.people.get(user)
        return person is not None and broker in person.elsewhere

    def went(self, user: str, broker: bytes) -> bool:
        """Count a user at another broker no more, at which it is; return True if the user has left."""
        self.people[user].elsewhere -= {broker}
        return self._remove(user)

    def _remove(self, user: str) -> bool:
        """Remove a user who is here by nothing any more; return whether that one was."""
        person = self.people[user]
        if person.sessions or person.elsewhere:
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
        """Record whether a user is typing; return True if that is new."""
        person = self.people.get(user)
        if person is None or person.typing == active:
            return False
        person.typing = active
        self.typing += 1 if active else -1
        self._changed(user)
        return True

    def set_read_mark(self, user: str, seq: int, at_end: bool) -> bool:
        """Record how far a user has read, `at_end`: all of the log; return True if members are to be sent that."""
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
        """Record that the log has grown, so that no user is at its end; return True if members are to be sent that."""
        if not self.at_end:
            return False
        self.at_end.clear()
        if not (self.crowd or self.counted):
            return False
        self._changed("")
        return True

    def _changed(self, user: str) -> None:
        self.version += 1
        self._shared.clear()
        if user and not self.crowd:
            self._changes[user] = self.version
            self._changes.move_to_end(user)

    # -- what is sent ------------------------------------------------------------------------------

    def update(self, since_version: int) -> bytes:
        """Return what brings a member from the version `since_version`, 0 for none, to the present one, packed."""
        if self.crowd:
            return self._share(_COUNTS)
        return self._share(0 if since_version < self._whole_before else since_version)

    def counts(self) -> bytes:
        """Return what a member that may not see names is sent, packed."""
        self.counted = self.counted or not self.crowd
        return self._share(_COUNTS)

    def _share(self, since_version: int) -> bytes:
        made = self._shared.get(since_version)
        if made is None:
            if len(self._shared) >= SHARED_UPDATES:
                del self._shared[next(iter(self._shared))]
            made = self._shared[since_version] = self._make(since_version)
        return made

    def _make(self, since_version: int) -> bytes:
        name, count = self._room, len(self.people)
        if since_version == _COUNTS:
            update = RoomUpdate(name, True, count, None, self.typing, len(self.at_end))
        elif since_version:
            changed = []
            for user, version in reversed(self._changes.items()):
                if version <= since_version:
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
        """Return the entries of up to `limit` users after the folded name `after`, and whether more follow."""
        start = 0 if after is None else bisect_right(self._order, after)
        return [self._entry(user) for user in self._order[start : start + limit]], start + limit < len(self._order)
