"""What is at the path of a socket, seen from who wants to connect."""

from __future__ import annotations

import _socket
import errno
import os
import stat

from zchat.address import IPC
from zchat.errors import AddressError


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


def ipc_trouble(url: str) -> str:
    """Return why nobody answers at an address, "" if nothing is known. Any thread."""
    path = url.removeprefix(IPC)
    name = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        caller = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    except (AttributeError, OSError):
        return ""
    try:
        caller.setblocking(False)
        answer = caller.connect_ex(name)
    except OSError:
        return ""
    finally:
        caller.close()
    match answer:
        case errno.ENOENT | errno.ENOTDIR:
            return "there is no such socket"
        case errno.ECONNREFUSED:
            return "nobody listens there" if path.startswith("@") else "nobody listens there any more"
        case errno.EACCES | errno.EPERM:
            return "this user may not use that socket"
    return ""
