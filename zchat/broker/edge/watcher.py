"""The watcher: a thread that reads a broker's keys and rules again every second, or when asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from zchat.broker.limits import READ_EVERY
from zchat.logs import broker_log
from zchat.threads import Bell, RealThread, start

JOIN_SECONDS = 2.0
"""How long the thread may take to end: a folder on a network's file system may hang."""

QUIET_CHECKS = 10
"""Checks, a second apart, without a reading in between, after which the thread counts as one that reads no more."""


class Watched(Protocol):
    """What is read again and again."""

    def read_again(self) -> bool:
        """Read, and return whether there is something new. The watcher's thread."""


class Watcher:
    """Reads all that is `watched`; `changed` is called in its thread whenever there is something new.

    What fails in one of them is logged, and keeps no other from being read.
    """

    def __init__(self, watched: Sequence[Watched], changed: Callable[[], None]) -> None:
        self._watched = watched
        self._changed = changed
        self._asked = False
        self._bell = Bell()
        self._over = False
        self.thread = RealThread(self._run, "zchat-watcher")
        """What reads."""
        self._failed: dict[int, str] = {}  # by places in `watched`: what their last readings failed of
        self._rounds = 0  # the number of times that everything was read
        self._checked = 0  # what that was at the last check
        self._quiet = 0  # checks since the thread last read
        self.due = 0.0 if watched else inf
        """The time of the next check."""

    def start(self) -> None:
        """Begin to watch, if there is something to."""
        if self._watched:
            start(self.thread)

    def read_now(self) -> None:
        """Have everything read at once. Any thread."""
        self._asked = True
        self._bell.ring()

    def check(self, now: float) -> None:
        """Log it if the thread reads no more, or reads again. The loop's thread, when `due` has come."""
        self.due = now + READ_EVERY
        if self._rounds != self._checked:
            self._checked = self._rounds
            if self._quiet >= QUIET_CHECKS:
                broker_log.info("keys and rules are read again", event="watcher_well")
            self._quiet = 0
            return
        self._quiet += 1
        if self._quiet == QUIET_CHECKS:
            text = "keys and rules are read no more: who is removed stays in; restart the broker, or mend what it reads"
            broker_log.critical(text, event="watcher_silent", running=self.thread.is_alive())

    def close(self) -> None:
        """End the thread, if it was begun."""
        self._over = True
        self._bell.ring()
        self.thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            self._bell.wait(lambda: self._asked or self._over, READ_EVERY)
            self._asked = False
            if self._over:
                return
            for place, each in enumerate(self._watched):
                self._read(place, each)
            self._rounds += 1

    def _read(self, place: int, watched: Watched) -> None:
        try:
            if watched.read_again():
                self._changed()
            reason = ""
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if reason != self._failed.get(place, ""):
            self._failed[place] = reason
            what = type(watched).__name__
            if reason:
                text = "reading fails, and changes nothing: %s: %s"
                broker_log.error(text, what, reason, event="watcher_failed", what=what, reason=reason)
            else:
                broker_log.info("reading has recovered: %s", what, event="watcher_recovered", what=what)
