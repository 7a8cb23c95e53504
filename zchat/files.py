"""Small files that users name: keys, rules, options."""

from __future__ import annotations

import os
import stat

_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def read_bounded(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the beginning of a regular file: `most` bytes at most, and one more if it is larger than that.

    It never waits for another program, as opening a named pipe would. Any thread.

    Raises:
        OSError: it can't be read, or is no regular file.
    """
    with open(path, "rb", opener=_open) as file:
        return file.read(most + 1)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | _FLAGS)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # `open` refuses a folder by itself
        return descriptor
    os.close(descriptor)
    raise OSError(None, "it is no regular file", os.fspath(path))
