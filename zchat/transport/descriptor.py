"""A connection's descriptor, which is libzmq's: how many bytes came in by it."""

from __future__ import annotations

import _socket
import array
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from zchat.address import IPC

if sys.platform != "win32":
    import fcntl
    import termios

_TCP_INFO = 11
_RECEIVED_AT = 128  # tcpi_bytes_received of struct tcp_info, linux/tcp.h
_INFO_BYTES = 192


@contextmanager
def borrowed(fd: int) -> Iterator[_socket.socket]:
    """Use a descriptor as a socket, not gevent's, without ever closing it. Any thread."""
    lent = _socket.socket(fileno=fd)
    try:
        yield lent
    finally:
        lent.detach()


def is_counted(url: str) -> bool:
    """Return True if `read_by_libzmq` knows what comes over a connection to an address: over TCP, on Linux."""
    return sys.platform == "linux" and not url.startswith(IPC)


def read_by_libzmq(fd: int) -> int:
    """Return how many bytes of a TCP connection libzmq has read; -1 if that isn't known.

    It isn't over ipc, on other systems than Linux, and for the descriptor -1, of what isn't connected.
    """
    if sys.platform != "linux" or fd < 0:
        return -1
    try:
        with borrowed(fd) as connection:
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
