"""What the core sends frames through, and what became of a frame."""

from __future__ import annotations

from typing import Protocol


class Sent:
    """Say what became of a frame: SENT, FULL (the pipe had no room), GONE (no such peer)."""

    SENT = 0
    FULL = 1
    GONE = 2


class Port(Protocol):
    """Send frames for the core; implemented by the loop, and by the simulation."""

    def send(self, routing_id: bytes, frame: bytes) -> int:
        """Send one frame to one peer without blocking; returns one of `Sent`."""
