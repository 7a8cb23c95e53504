"""Waking a thread that polls sockets."""

from __future__ import annotations

import _socket
import socket
from typing import Any

from zchat.threads import silent_at_the_end

_make_pair: Any = getattr(_socket, "socketpair", socket.socketpair)  # not gevent's, which belong to a loop

SLEPT = 0.0001
"""Seconds of waiting from which on what ends it is taken to be alone: a poll that finds something takes a tenth of it.

To ask a socket whether it has more costs as much as to handle what it had; the next poll ends at once if it has.
"""


class _Ends:
    """Two connected sockets, which are closed once nobody holds them."""

    __slots__ = ("bell", "ear")

    def __init__(self) -> None:
        self.ear, self.bell = _make_pair()
        self.ear.setblocking(False)
        self.bell.setblocking(False)

    @silent_at_the_end
    def __del__(self) -> None:
        for end in ("ear", "bell"):
            if hasattr(self, end):
                getattr(self, end).close()


class Alarm:
    """Wake a thread that polls: a pair of sockets, one of which it polls.

    To ring is one call without a lock, so that it may be interrupted anywhere, and be called by a signal handler
    that has interrupted it. There is no record of having rung: a sleeper is woken by what is in the socket.

    Raises:
        OSError: there is no file descriptor left.
    """

    def __init__(self) -> None:
        self._ends: _Ends | None = _Ends()
        self.fd: int = self._ends.ear.fileno()
        """What the owner polls."""

    def ring(self) -> None:
        """Wake the owner. Any thread."""
        ends = self._ends  # held until it has rung, so that nothing else has its descriptor meanwhile
        if ends is not None:
            try:
                ends.bell.send(b"!")
            except BlockingIOError:
                pass  # it is full of rings

    def quiet(self) -> None:
        """Record that it has rung. The owner's thread."""
        ends = self._ends
        if ends is not None:
            try:
                ends.ear.recv(4096)
            except BlockingIOError:
                pass  # it was something else that woke the owner

    def close(self) -> None:
        """Close both ends, as soon as nobody rings any more. The owner's thread."""
        self._ends = None
