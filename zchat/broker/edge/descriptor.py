"""What can be done with a connection by its descriptor, which is libzmq's: close it, ask where it comes from."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any

from zchat.transport.descriptor import borrowed


def shut(fd: int, listening: list[Any], *, reset: bool) -> bool:
    """End a connection that came in at one of the sockets `listening`: libzmq sees its end, and closes the descriptor.

    `reset`: at once, whatever is still to be sent; a peer in the middle of sending learns of it only so. False if the
    descriptor is no such connection's: by now it may be something else of this program's.
    """
    try:
        with borrowed(fd) as connection:
            name = connection.getsockname()
            if not any(_came_in(name, connection.family, each) for each in listening):
                return False
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def address(fd: int) -> str:
    """Return the IP address at the other end of a connection; "" if it has none, or is closed."""
    with suppress(OSError), borrowed(fd) as connection:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            return str(connection.getpeername()[0])
    return ""


def _came_in(name: Any, family: int, listening: socket.socket) -> bool:
    if family != listening.family:
        return False
    place = listening.getsockname()
    return bool(name == place if family == socket.AF_UNIX else name[1] == place[1])
