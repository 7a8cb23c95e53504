"""The rooms that the user of a chat is in."""

from __future__ import annotations

from threading import Lock

from zchat import Room
from zchat.messages import Message
from zchat.names import fold


class Rooms:
    """The rooms that the user is in: the current one, which text goes to, and what is unread in the others.

    A direct room may be joined without the user's going there: because somebody wrote, or to send
    one message. Leaving another room never leads to such a room. Any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._current: Room | None = None
        self._rooms: dict[str, Room] = {}
        """All rooms, by their folded names, in the order in which they were joined."""
        self._aside: set[str] = set()
        """The direct rooms that the user did not go to; one that the client joined by itself is here alone."""
        self._inviters: dict[str, str] = {}
        """Who invited to a direct room and has not been reported yet, by room."""
        self._unread: dict[str, tuple[str, int]] = {}
        """Names of rooms and numbers of messages since the user was last there, by room."""

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

    def go_to(self, room: Room | None) -> None:
        """Make a room the current one; None: there is none."""
        with self._lock:
            self._current = room
            if room is not None:
                self._unread.pop(fold(room.name), None)

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

    def count(self, message: Message) -> None:
        """Count a message as unread unless its room is the current one."""
        if self.is_current(message.room):
            return
        key = fold(message.room)
        with self._lock:
            _, count = self._unread.get(key, ("", 0))
            self._unread[key] = message.room, count + 1

    @property
    def unread(self) -> tuple[tuple[str, int], ...]:
        """Return the names of the rooms with unread messages, but for the current one, and how many."""
        current = fold(self.current_name)
        with self._lock:
            return tuple(unread for key, unread in self._unread.items() if key != current)
