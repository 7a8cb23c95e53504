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
_BEGINNING = b"\xff" + bytes(8) + b"\x7f\x03"  # of a peer's own greeting: libzmq waits for it with the rest of its own
_MECHANISM = slice(12, 32)


def read_mechanism(url: str, seconds: float = GREETING_SECONDS) -> str:
    """Return the mechanism that is spoken at an address, "NULL" or "CURVE"; "" if no ZMTP 3 is. May wait that long."""
    deadline = time.monotonic() + seconds
    try:
        with connected(url, seconds) as connection:
            connection.sendall(_BEGINNING)
            found = b""
            while len(found) < GREETING_BYTES:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                more = connection.recv(GREETING_BYTES - len(found))
                if not more:
                    return ""
                found += more
    except OSError:
        return ""
    if found[0] != 0xFF or found[9] != 0x7F or found[10] < 3:
        return ""
    return found[_MECHANISM].rstrip(b"\0").decode("ascii", "replace")


def connected(url: str, seconds: float) -> socket.socket:
    """Return a plain connection to an address; it has that long to be made, and then for each read. Any thread.

    Raises:
        OSError: why there is none.
    """
    if not url.startswith(IPC):
        host, _, port = url.removeprefix("tcp://").rpartition(";")[2].rpartition(":")
        return socket.create_connection((host.removeprefix("[").removesuffix("]"), int(port)), seconds)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        path = os.fsencode(url.removeprefix(IPC))
        connection.connect(b"\0" + path[1:] if path.startswith(b"@") else path)
    except BaseException:
        connection.close()
        raise
    return connection


def ask_mechanism(url: str, done: Callable[[str], object]) -> None:
    """Have `done` called with the mechanism at an address, in a thread of ours. Any thread."""

    def run() -> None:
        done(read_mechanism(url))

    try:
        RealThread(run, "zchat-greeting").start()
    except RuntimeError:  # the system has no more threads
        done("")
