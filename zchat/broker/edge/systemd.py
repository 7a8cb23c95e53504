"""What systemd is notified of by a broker that it runs: that it is ready, that its loop turns, that it stops.

The protocol is one datagram a notice, to the socket that `NOTIFY_SOCKET` names: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

NOTICES = 4
"""How many notices that the loop turns are sent in the time after which systemd takes the broker for hung."""


class Systemd:
    """The service manager that has started this process, if one has. One thread at a time.

    `environment` has what it says to a process; without `NOTIFY_SOCKET` nothing is sent.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._place = environment.get("NOTIFY_SOCKET", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environment.get("WATCHDOG_USEC", "") if mine else ""
        self._every = int(microseconds) / 1_000_000 / NOTICES if microseconds.isdecimal() else 0.0
        self._turns = -1
        self._due = 0.0

    def ready(self) -> None:
        """Notify it that clients can connect."""
        self._send("READY=1")

    def turned(self, turns: int, now: float) -> None:
        """Notify it, if that is due, that the loop has come to so many turns, more than the last time."""
        if self._every and now >= self._due and turns != self._turns:
            self._turns, self._due = turns, now + self._every
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Notify it that the broker is going down."""
        self._send("STOPPING=1")

    def _send(self, notice: str) -> None:
        if not self._place:
            return
        address = "\0" + self._place[1:] if self._place.startswith("@") else self._place
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(notice.encode(), address)
