"""Files: small ones that are read and written as a whole, how they are closed, and how many a process may have open."""

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
    let_go(descriptor)
    raise OSError(None, "it is no regular file", os.fspath(path))


def write_new(path: str | os.PathLike[str], data: bytes, mode: int | None = None) -> None:
    """Make a file that holds these bytes, flushed to disk; if anything fails, closing it too, it is removed again.

    `mode` is what it has, whatever the umask; None for the owner alone, as far as the umask lets it be. Any thread.

    Raises:
        OSError: there is something at that path, or it can't be written as a whole.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600 if mode is None else mode)
    try:
        try:
            if mode is not None:
                os.fchmod(descriptor, mode)
            left = data
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except BaseException:
            let_go(descriptor)
            raise
        os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise


def let_go(descriptor: int) -> None:
    """Close a descriptor over which nothing was written that isn't flushed to disk, or given up. Any thread.

    Systems of files in a network, and those with quotas, report at the close what failed before. It is closed then
    all the same, and its number may be another file's: it must not be closed once more.
    """
    with suppress(OSError):
        os.close(descriptor)


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
