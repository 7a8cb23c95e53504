"""What is new in the other rooms: how much was said there since one looked."""

from __future__ import annotations

from threading import Lock

from zchat.messages import Message
from zchat.names import fold


class News:
    """Count messages by room, as many rooms as one is in. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, tuple[str, int]] = {}

    def take(self, message: Message) -> None:
        """Count a message of another room than one looks at."""
        key = fold(message.room)
        with self._lock:
            _, count = self._counts.get(key, ("", 0))
            self._counts[key] = message.room, count + 1

    def seen(self, room: str) -> None:
        """Forget what was new in a room: one looks there, or has left it."""
        with self._lock:
            self._counts.pop(fold(room), None)

    def beside(self, room: str | None) -> tuple[tuple[str, int], ...]:
        """Return the rooms with something new, but for `room`, and how many messages."""
        with self._lock:
            return tuple(new for key, new in self._counts.items() if room is None or key != fold(room))
