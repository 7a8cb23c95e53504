"""What is wrong at an address, seen from who wants to connect: something else is there, or nobody is reached."""

from __future__ import annotations

import _socket
import errno
import os
import stat

from zchat.address import IPC, is_ip
from zchat.errors import AddressError
from zchat.transport.greeting import place_of

_NOTHING_KNOWN = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED}
"""What beginning a connection of TCP returns where the machine's own network is not what is wrong."""


def check_ipc(url: str) -> None:
    """Check that no broker is prevented from listening at an address. Any thread.

    Raises:
        AddressError: a file or a folder is there.
    """
    path = url.removeprefix(IPC)
    if path.startswith("@"):
        return
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # a broker that starts makes it
    if not stat.S_ISSOCK(mode):
        what = "folder" if stat.S_ISDIR(mode) else "file"
        raise AddressError(f"{url} is a {what} and no broker's socket: connect to the address that the broker reports")


def trouble_at(url: str) -> str:
    """Return why nobody answers at an address, "" if nothing is known, as of a host by its name.

    It begins a connection, and waits for nothing. Any thread.
    """
    place = place_of(url)
    if isinstance(place, tuple):
        return _tcp_trouble(*place) if is_ip(place[0]) else ""
    match _begun("AF_UNIX", place):
        case errno.ENOENT | errno.ENOTDIR:
            return "there is no such socket"
        case errno.ECONNREFUSED:
            return "nobody listens there" if place.startswith(b"\0") else "nobody listens there any more"
        case errno.EACCES | errno.EPERM:
            return "this user may not use that socket"
    return ""


def _tcp_trouble(host: str, port: int) -> str:
    found = _begun("AF_INET6" if ":" in host else "AF_INET", (host, port))
    return "" if found in _NOTHING_KNOWN else os.strerror(found)


def _begun(family: str, place: object) -> int:
    """Return the system's error of beginning a connection, 0 if there is none, or no socket for it."""
    try:
        caller = _socket.socket(getattr(_socket, family), _socket.SOCK_STREAM)
    except (AttributeError, OSError):
        return 0
    try:
        caller.setblocking(False)
        return caller.connect_ex(place)  # type: ignore[arg-type]
    except OSError:
        return 0
    finally:
        caller.close()
