"""The watcher: a thread that reads a broker's keys and rules again every second, or when asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from zchat.broker.limits import READ_EVERY
from zchat.threads import Bell, RealThread, start

JOIN_SECONDS = 2.0
"""How long the thread may take to end: a folder on a network's file system may hang."""


class Watched(Protocol):
    """What is read again and again."""

    def read_again(self) -> bool:
        """Read, and return whether there is something new. The watcher's thread."""


class Watcher:
    """Reads all that is `watched`; `changed` is called in its thread once there is something new."""

    def __init__(self, watched: Sequence[Watched], changed: Callable[[], None]) -> None:
        self._watched = watched
        self._changed = changed
        self._asked = False
        self._bell = Bell()
        self._over = False
        self._thread = RealThread(self._run, "zchat-watcher")

    def start(self) -> None:
        """Begin to watch, if there is something to."""
        if self._watched:
            start(self._thread)

    def read_now(self) -> None:
        """Have everything read at once. Any thread."""
        self._asked = True
        self._bell.ring()

    def close(self) -> None:
        """End the thread, if it was begun."""
        self._over = True
        self._bell.ring()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            self._bell.wait(lambda: self._asked or self._over, READ_EVERY)
            self._asked = False
            if self._over:
                return
            new = [each.read_again() for each in self._watched]
            if any(new):
                self._changed()
