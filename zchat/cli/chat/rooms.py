"""The rooms that the user of a chat is in."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

from zchat import Room
from zchat.messages import Message
from zchat.names import DIRECT, fold


class Unread(NamedTuple):
    """The messages of a room that were not shown."""

    room: str
    number: int
    first: int
    """The seq of the first."""
    mentions: bool = False
    """True if one of them mentions the user."""


class Rooms:
    """The rooms that the user is in: the current one, which text goes to, and what was not shown of the others.

    A direct room may be joined without the user's going there: because somebody wrote, or to send
    one message. Leaving another room never leads to such a room. Any thread.

    `all_shown`: True to show the messages of all rooms, but for those that the user hides.
    """

    def __init__(self, *, all_shown: bool = False) -> None:
        self._all_shown = all_shown
        self._chosen: dict[str, bool] = {}
        """The rooms that the user chose to have shown (True) or hidden while in another."""
        self._lock = Lock()
        self._current: Room | None = None
        self._rooms: dict[str, Room] = {}
        """All rooms, by their folded names, in the order in which they were joined."""
        self._aside: set[str] = set()
        """The direct rooms that the user did not go to; one that the client joined by itself is here alone."""
        self._inviters: dict[str, str] = {}
        """Who invited to a direct room and has not been reported yet, by room."""
        self._unread: dict[str, Unread] = {}
        """What was not shown, by room."""

    @property
    def current(self) -> Room | None:
        """Return the room that text goes to; None if the user is in no room."""
        return self._current

    @property
    def current_name(self) -> str:
        """Return the name of that room, "" if there is none."""
        room = self._current
        return room.name if room else ""

    def is_current(self, name: str) -> bool:
        """Return True if a room is the one that text goes to."""
        return fold(name) == fold(self.current_name)

    def get(self, name: str) -> Room | None:
        """Return a room by its name, None if the user did not join it."""
        return self._rooms.get(fold(name))

    @property
    def joined(self) -> set[str]:
        """Return the folded names of all rooms."""
        with self._lock:
            return self._rooms.keys() | self._aside

    @property
    def public(self) -> list[Room]:
        """Return all rooms but the direct ones, in the order in which they were joined."""
        with self._lock:
            return [room for room in self._rooms.values() if not room.name.startswith(DIRECT)]

    def add(self, room: Room) -> None:
        """Add a room that the user joined."""
        key = fold(room.name)
        with self._lock:
            self._rooms[key] = room
            self._aside.discard(key)
            self._inviters.pop(key, None)

    def add_aside(self, room: Room) -> None:
        """Add a direct room that the user writes to without going there."""
        key = fold(room.name)
        with self._lock:
            if key not in self._rooms:
                self._aside.add(key)
            self._rooms[key] = room
            self._inviters.pop(key, None)
            self._unread.pop(key, None)

    def go_to(self, room: Room | None) -> int:
        """Make a room the current one; None: there is none. Return the first message not shown in it, 0 for none."""
        with self._lock:
            self._current = room
            unread = None if room is None else self._unread.pop(fold(room.name), None)
            return unread.first if unread else 0

    def shows(self, name: str) -> bool:
        """Return True if the messages of a room are to be shown, wherever the user is."""
        return name.startswith(DIRECT) or self.is_current(name) or self._chosen.get(fold(name), self._all_shown)

    def choose(self, name: str, *, shown: bool) -> None:
        """Have the messages of a room shown, or hidden, while the user is in another."""
        self._chosen[fold(name)] = shown

    def remove(self, room: Room) -> Room | None:
        """Remove a room that the user left; return the one joined last that the user went to, None if there is none."""
        key = fold(room.name)
        with self._lock:
            del self._rooms[key]
            self._unread.pop(key, None)
            visited = [each for name, each in self._rooms.items() if name not in self._aside]
            return visited[-1] if visited else None

    def invited(self, name: str, user: str) -> None:
        """Record that the client joined a direct room because `user` wrote there."""
        with self._lock:
            self._aside.add(fold(name))
            self._inviters[fold(name)] = user

    def inviter(self, message: Message) -> str | None:
        """Return the name of whom a message shows to have invited, once; None otherwise.

        A direct room's first message may be the user's own, from elsewhere.
        """
        key = fold(message.room)
        with self._lock:
            user = self._inviters.get(key)
            if user is None or fold(message.user) != fold(user):
                return None
            return self._inviters.pop(key)

    def count(self, message: Message, *, mentions: bool = False) -> None:
        """Count a message that is not shown; `mentions`: True if it mentions the user."""
        key = fold(message.room)
        with self._lock:
            _, count, first, mentioned = self._unread.get(key, ("", 0, message.seq, False))
            self._unread[key] = Unread(message.room, count + 1, first, mentioned or mentions)

    def count_missed(self, name: str, first: int, upto: int) -> None:
        """Count the messages that the user has missed in a room, `first` to `upto`, before those counted already."""
        key = fold(name)
        with self._lock:
            _, count, _, mentioned = self._unread.get(key, ("", 0, 0, False))
            if upto >= first:
                self._unread[key] = Unread(name, count + upto - first + 1, first, mentioned)

    @property
    def unread(self) -> tuple[Unread, ...]:
        """Return what was not shown of the rooms, but for the current one."""
        current = fold(self.current_name)
        with self._lock:
            return tuple(unread for key, unread in self._unread.items() if key != current)
