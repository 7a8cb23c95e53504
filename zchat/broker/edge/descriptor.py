"""A connection's descriptor, which is libzmq's: how many bytes came in by it, and how it is closed."""

from __future__ import annotations

import array
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

if sys.platform != "win32":
    import fcntl
    import termios

_TCP_INFO = 11
_RECEIVED_AT = 128  # tcpi_bytes_received of struct tcp_info, linux/tcp.h
_INFO_BYTES = 192


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Use a descriptor as a socket, without ever closing it."""
    borrowed = socket.socket(fileno=fd)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def read_by_libzmq(fd: int) -> int:
    """Return how many bytes of a TCP connection libzmq has read; -1 if that isn't known: over ipc, and but on Linux."""
    if sys.platform != "linux":
        return -1
    try:
        with _borrowed(fd) as connection:
            if connection.family == socket.AF_UNIX:
                return -1
            info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO_BYTES)
            if len(info) < _RECEIVED_AT + 8:
                return -1
            (received,) = struct.unpack_from("Q", info, _RECEIVED_AT)
            unread = array.array("i", [0])
            fcntl.ioctl(fd, termios.FIONREAD, unread)
            return int(received) - unread[0]
    except OSError:
        return -1


def shut(fd: int, listening: list[Any], *, reset: bool) -> bool:
    """End a connection that came in at one of the sockets `listening`: libzmq sees its end, and closes the descriptor.

    `reset`: at once, whatever is still to be sent; a peer in the middle of sending learns of it only so. False if the
    descriptor is no such connection's: by now it may be something else of this program's.
    """
    try:
        with _borrowed(fd) as connection:
            name = connection.getsockname()
            if not any(_came_in(name, connection.family, each) for each in listening):
                return False
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


def _came_in(name: Any, family: int, listening: socket.socket) -> bool:
    if family != listening.family:
        return False
    place = listening.getsockname()
    return bool(name == place if family == socket.AF_UNIX else name[1] == place[1])
