"""Files: small ones that users name (keys, rules, options), and how many of all kinds a process may have open."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

if sys.platform != "win32":
    import resource

NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
"""How a file is opened of which it isn't known yet what it is."""


def read_bounded(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the beginning of a regular file: `most` bytes at most, and one more if it is larger than that.

    It never waits for another program, as opening a named pipe would. Any thread.

    Raises:
        OSError: it can't be read, or is no regular file.
    """
    with open(path, "rb", opener=_open) as file:
        return file.read(most + 1)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | NOT_WAITING)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # `open` refuses a folder by itself
        return descriptor
    os.close(descriptor)
    raise OSError(None, "it is no regular file", os.fspath(path))


def is_at(file: int, path: str | os.PathLike[str]) -> bool:
    """Return True if an open file is the one at a path, False if another or none is. Any thread.

    Raises:
        OSError: it can't be found out.
    """
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def limit() -> int | None:
    """Return how many file descriptors the process may have, None if there is no limit. Any thread."""
    if sys.platform == "win32":
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> tuple[int, int] | None:
    """Raise this process's limit as far as its user may; return the limit before and after, None if it stays."""
    before = limit()
    if sys.platform != "win32" and before is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # some systems have yet another limit below this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        after = limit()
        if after is not None and after > before:
            return before, after
    return None


def scarce(most: int, kept: int) -> bool:
    """Return True if no more than `kept` of the `most` descriptors that the process may have are free. Any thread.

    The system gives out the lowest number that is free: if that is high, all below are taken.
    """
    try:
        lowest, other = os.pipe()
    except OSError:
        return True
    os.close(lowest)
    os.close(other)
    return lowest >= most - kept
