"""The edges of the client's core: what it needs from outside, and the calls that wait for it there."""

from __future__ import annotations

from typing import Any, Protocol

from zchat.errors import Refused, ZchatError
from zchat.messages import Position
from zchat.wire.replies import Welcome


class Call(Protocol):
    """A caller that waits for an answer, somewhere outside the core."""

    @property
    def withdrawn(self) -> bool:
        """Return whether it waits no longer."""

    def resolve(self, result: Any) -> bool:
        """Take the answer; False if the caller waits no longer."""

    def fail(self, error: Exception) -> None:
        """Take the reason why there is none."""


class Port(Protocol):
    """What the core needs from outside."""

    def send(self, frame: bytes) -> None:
        """Send one frame over the connection that there is."""

    def opened(self, welcome: Welcome) -> None:
        """Record that the broker has answered the greeting, the first or a later one."""

    def invited(self, room: str, user: str, position: Position) -> None:
        """Record that `user` has written in a direct room that isn't joined, to be read after `position`."""

    def mark_refused(self, room: str, error: Refused) -> None:
        """Record that the broker will not store how far a room is read, and why; no caller waits for that."""

    def lost(self, error: ZchatError, was_open: bool) -> None:
        """Record that the connection is given up: nothing is sent until the next, nothing heard.

        `was_open`: its greeting had been answered.
        """

    def connect(self) -> None:
        """Open a fresh connection in place of the one given up; the greeting is sent next."""

    def ended(self, error: ZchatError | None) -> None:
        """Record that it is all over: as asked (None), or why."""


class Chance(Protocol):
    """A source of random numbers: a `random.Random`."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number from `a` to `b`."""
