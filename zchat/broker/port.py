"""The core's edge: what it sends frames through, what became of a frame, and who is at the other end."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Sent:
    """What became of a frame: SENT, FULL (the pipe had no room), GONE (no such peer)."""

    SENT = 0
    FULL = 1
    GONE = 2


class Port(Protocol):
    """What the core sends frames through: the loop, or a simulation."""

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Send one frame to one peer without blocking; return one of `Sent`."""


class Peer(NamedTuple):
    """Who is at the other end of a connection, as far as that is known."""

    routing_id: bytes
    """The connection's name."""
    user: str
    """The user's folded name; "" before the greeting."""
    key: str | None = None
    """The key that the connection was let in with; None without keys."""
    address: str | None = None
    """Where the connection comes from; None if that is not known."""
