"""Where a client stands with its connection, and when to try another: waits that grow and are spread by chance."""

from __future__ import annotations

from enum import Enum

from zchat.protocol.port import Chance

GREET_SECONDS = 1.0
"""Seconds that a later greeting may take before another connection is tried."""

RETRY_FIRST = 0.05
"""Seconds between two connections at least: a broker that refuses is not asked hundreds of times a second."""

RETRY_MAX = 0.5
"""Seconds between two connections at most, so that messages flow within a second of the broker's return."""

SHUT_SECONDS = 1.0
"""Seconds until the next connection at least, if the broker lets nobody in for now: each try costs it a handshake."""

STEADY = 1.0
"""Seconds that a connection must have been open for waits to begin small again after it."""


class ConnectionState(Enum):
    """Where the client stands."""

    NEW = "new"
    GREETING = "greeting"
    OPEN = "open"
    LOST = "lost"
    CLOSING = "closing"
    ENDED = "ended"


_NEW, _GREETING, _OPEN, _LOST, _CLOSING, _ENDED = ConnectionState

TRANSITIONS: dict[ConnectionState, dict[ConnectionState, str]] = {
    _NEW: {
        _GREETING: "it is started",
        _ENDED: "it is closed, or fails",
    },
    _GREETING: {
        _OPEN: "the broker's welcome",
        _CLOSING: "the broker's welcome, when `close` was called before it",
        _LOST: "a later connection is lost, or its greeting takes too long or is refused for now",
        _ENDED: "the first connection is lost, or its greeting refused; any refusal for good; the deadline of `close`",
    },
    _OPEN: {
        _CLOSING: "`close` is called",
        _LOST: "the connection is lost, or the broker ends the session for now",
        _ENDED: "a refusal for good, a broken protocol",
    },
    _LOST: {
        _GREETING: "after a wait, over a fresh connection",
        _ENDED: "`close` was called, and nothing but the goodbye was left to try for; or its deadline",
    },
    _CLOSING: {
        _LOST: "the connection is lost before the goodbye",
        _ENDED: "the answer to the goodbye, the deadline of `close`, a refusal for good, a broken protocol",
    },
    _ENDED: {},
}
"""From each state to which others, and what brings it there."""


class Reconnect:
    """The times of the next connection and of the greeting over it, in seconds, as they are given."""

    __slots__ = ("_most", "_not_before", "_opened_at", "_random", "greet_by", "retry_at")

    def __init__(self, random: Chance) -> None:
        self._random = random
        self._most = RETRY_FIRST  # seconds that the last wait could be
        self._opened_at = 0.0
        self.greet_by = 0.0  # when the greeting has taken too long
        self.retry_at = 0.0  # when to try another connection
        self._not_before = 0.0  # that is never sooner than this

    def start(self, now: float) -> None:
        """Record that a connection is tried."""
        self.greet_by = now + GREET_SECONDS

    def opened(self, now: float) -> None:
        """Record that its greeting is answered."""
        self._opened_at = now

    def lost(self, now: float, *, was_open: bool, shut: bool = False) -> None:
        """Choose when to try the next one.

        Args:
            now: this moment.
            was_open: the greeting over the one that is lost had been answered.
            shut: the broker let nobody in.
        """
        if was_open and now - self._opened_at >= STEADY:
            self._most = RETRY_FIRST
        self._most = min(2 * self._most, RETRY_MAX)
        self._not_before = now + (SHUT_SECONDS if shut else 0)
        self.retry_at = self._not_before + self._random.uniform(RETRY_FIRST, self._most)

    def hasten(self, now: float) -> None:
        """Try the next one at once, unless the broker lets nobody in."""
        self.retry_at = max(now, self._not_before)
