"""How a broker greets: the first 64 bytes of ZMTP 3 name its mechanism, in the clear.

libzmq doesn't tell a broker that asks for keys from one that has none, nor either from another program: a handshake
fails in the same way. So after one that did, one more connection is made, which reads the greeting and ends.
The format: https://rfc.zeromq.org/spec/23/.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from zchat.address import IPC
from zchat.threads import RealThread

GREETING_SECONDS = 0.5
"""How long a broker may take to greet."""

GREETING_BYTES = 64
"""Its length."""

BEGINNING = b"\xff" + bytes(8) + b"\x7f\x03"
"""That of a peer's own greeting: libzmq waits for it with the rest of its own."""

_MECHANISM = slice(12, 32)


class Greeting:
    """A broker's greeting while it is read."""

    def __init__(self) -> None:
        self._found = b""
        self._over = False

    @property
    def missing(self) -> int:
        """Return how many bytes are still to be read, 0 if there is nothing more to read."""
        return 0 if self._over else GREETING_BYTES - len(self._found)

    def receive(self, more: bytes) -> None:
        """Take what was read, nothing if there is no more."""
        self._found += more
        self._over = not more

    @property
    def mechanism(self) -> str:
        """Return the mechanism that it names, "NULL" or "CURVE"; "" if it is none of ZMTP 3, or not whole."""
        found = self._found
        if len(found) < GREETING_BYTES or found[0] != 0xFF or found[9] != 0x7F or found[10] < 3:
            return ""
        return found[_MECHANISM].rstrip(b"\0").decode("ascii", "replace")


def read_mechanism(url: str, seconds: float = GREETING_SECONDS) -> str:
    """Return the mechanism that is spoken at an address, "NULL" or "CURVE"; "" if no ZMTP 3 is. May wait that long."""
    deadline = time.monotonic() + seconds
    greeting = Greeting()
    try:
        with connected(url, seconds) as connection:
            connection.sendall(BEGINNING)
            while missing := greeting.missing:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                greeting.receive(connection.recv(missing))
    except OSError:
        return ""
    return greeting.mechanism


def connected(url: str, seconds: float) -> socket.socket:
    """Return a plain connection to an address; it has that long to be made, and then for each read. Any thread.

    Raises:
        OSError: why there is none.
    """
    place = place_of(url)
    if isinstance(place, tuple):
        return socket.create_connection(place, seconds)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(place)
    except BaseException:
        connection.close()
        raise
    return connection


def place_of(url: str) -> tuple[str, int] | bytes:
    """Return what a socket connects to for an address: a host and a port, or a path. Any thread."""
    if url.startswith(IPC):
        path = os.fsencode(url.removeprefix(IPC))
        return b"\0" + path[1:] if path.startswith(b"@") else path
    host, _, port = url.removeprefix("tcp://").rpartition(";")[2].rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def ask_mechanism_in_thread(url: str, done: Callable[[str], object]) -> None:
    """Have `done` called with the mechanism at an address, in a thread of ours. Any thread."""

    def run() -> None:
        done(read_mechanism(url))

    try:
        RealThread(run, "zchat-greeting").start()
    except RuntimeError:  # the system has no more threads
        done("")
