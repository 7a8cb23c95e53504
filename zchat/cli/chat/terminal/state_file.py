"""The files that a chat keeps something in for the next time.

A user may have put something else in such a file's place: a link to /dev/null, so that nothing is kept, or to a file
elsewhere. That is used as it is. Only a file of the user's own, with no other name, is closed to others, or replaced.
Nothing is waited for: what is no regular file, a FIFO for example, is passed over.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from platformdirs import user_state_path

NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
"""How a file is opened of which it isn't known yet what it is."""


def state_file(name: str) -> Path:
    """Return where something is kept for the next time."""
    return user_state_path("zchat", appauthor=False) / name


def opened(path: Path, flags: int) -> int:
    """Return a regular file, opened.

    Raises:
        OSError: it can't be opened, or isn't regular.
    """
    descriptor = os.open(path, flags | NOT_WAITING, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def is_own(path: Path) -> bool:
    """Return True if it is a regular file of the user's own with no other name, and no link."""
    found = os.lstat(path)
    of_user = os.name != "posix" or found.st_uid == os.geteuid()
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and of_user


def read(path: Path, most: int) -> tuple[bytes, int]:
    """Return the last `most` bytes of a file, and how many it has; it is closed to others.

    Raises:
        OSError: it can't be read.
    """
    with open(opened(path, os.O_RDONLY), "rb") as file:
        found = os.fstat(file.fileno())
        if os.name == "posix" and found.st_mode & 0o077 and is_own(path) and os.path.samestat(found, os.lstat(path)):
            os.fchmod(file.fileno(), 0o600)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - most))
        return file.read(most), size


def append(path: Path, data: bytes) -> None:
    """Add to a file, which is made if there is none.

    Raises:
        OSError: it can't be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "wb") as file:
        file.write(data)


def replace(path: Path, data: bytes) -> None:
    """Put a new file in place of one of the user's own, or of none; write into any other.

    Raises:
        OSError: it can't be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.lexists(path) and not is_own(path):
        with open(opened(path, os.O_WRONLY | os.O_CREAT), "wb") as file:
            file.truncate(0)
            file.write(data)
        return
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):  # what a chat left that was killed
        new.unlink()
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    new.replace(path)
