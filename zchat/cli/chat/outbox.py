"""What one has said in a chat and is not stored yet: sent in order by a thread, while one types on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import NamedTuple

from zchat import Room
from zchat.errors import DeadlineExceeded, ZchatError
from zchat.messages import Message

WAITING = 100
"""Messages that may wait to be stored: more than anybody types while a broker is restarted."""

KEPT_SECONDS = 60.0
"""Seconds for which a message is tried: a broker that is restarted comes back well within them."""


class Draft(NamedTuple):
    """Hold what is said in a room."""

    room: Room
    text: str


class Outbox:
    """Send what it is given, one after the other.

    `stored` is called with each message once it is stored, `failed` with each draft that isn't and
    why, both in the outbox's thread; `changed`, in any, when what waits has changed.
    """

    def __init__(self, stored: Callable[[Message], None], failed: Callable[[Draft, ZchatError], None]) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._stored = stored
        self._failed = failed
        self._drafts: deque[Draft] = deque()
        self._moved = Condition()
        self._ended = False
        self._thread = Thread(target=self._run, name="zchat-outbox", daemon=True)
        self._thread.start()

    def put(self, room: Room, text: str) -> None:
        """Take what is to be said; wait for a place while too much waits. Any thread but the outbox's.

        Raises:
            DeadlineExceeded: there was none for as long as a message is tried.
        """
        with self._moved:
            if not self._moved.wait_for(lambda: self._ended or len(self._drafts) < WAITING, KEPT_SECONDS):
                raise DeadlineExceeded(f"{WAITING} messages wait to be stored already: say it again later")
            self._drafts.append(Draft(room, text))
            self._moved.notify_all()
        self.changed()

    @property
    def waiting(self) -> list[Draft]:
        """Return what is not stored yet, in order. Any thread."""
        with self._moved:
            return list(self._drafts)

    def withdraw(self) -> list[Draft]:
        """Return what nobody has begun to send, and forget it. Any thread but the outbox's."""
        with self._moved:
            drafts = list(self._drafts)[1:]
            for _ in drafts:
                self._drafts.pop()
            self._moved.notify_all()
        return drafts

    def drain(self, seconds: float) -> None:
        """Wait until everything is stored or has failed, so many seconds at most. Any thread but the outbox's."""
        with self._moved:
            self._moved.wait_for(lambda: not self._drafts, seconds)

    def end(self, seconds: float) -> None:
        """End, once what waits has failed or is stored, or after so many seconds: the client is closed by now."""
        with self._moved:
            self._ended = True
            self._moved.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._moved:
                self._moved.wait_for(lambda: self._ended or self._drafts)
                if not self._drafts:
                    return
                draft = self._drafts[0]
            try:
                message = draft.room.send(draft.text, timeout=KEPT_SECONDS)
            except ZchatError as error:
                self._failed(draft, error)
            else:
                self._stored(message)
            with self._moved:  # only now: it is always seen, in one place or the other
                self._drafts.popleft()
                self._moved.notify_all()
            self.changed()
