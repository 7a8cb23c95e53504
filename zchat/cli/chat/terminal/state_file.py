"""The files that a chat keeps something in for the next time.

A user may have put something else in such a file's place: a link to /dev/null, so that nothing is kept, or to a file
elsewhere. That is used as it is. Only a file of the user's own, with no other name, is closed to others, or replaced.
Nothing is waited for but, for a moment, other chats: what is no regular file, a FIFO for example, is passed over.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_state_path

from zchat import paths
from zchat.files import NOT_WAITING, is_at, let_go, write_new

if sys.platform != "win32":  # where nothing keeps two chats from changing one file at once
    import fcntl

LOCK_SECONDS = 2.0
"""Seconds that other chats are waited for at most, each of which has a file for the time that a flush to disk takes."""

LOCK_EVERY = 0.005
"""Seconds between two tries to lock a file."""

LEFT_SECONDS = 60.0
"""Seconds after which a new file that was not put in place is taken for one of a chat that was killed."""


def state_file(name: str) -> Path | None:
    """Return where something is kept for the next time, None where the system knows of no home folder for this user."""
    try:
        return user_state_path("zchat", appauthor=False) / name
    except RuntimeError:
        return None


def opened(path: Path, flags: int) -> int:
    """Return a regular file, opened.

    Raises:
        OSError: it can't be opened, or isn't regular.
    """
    descriptor = os.open(path, flags | NOT_WAITING, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    let_go(descriptor)
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


@contextmanager
def alone(path: Path, *, waits: bool = True) -> Iterator[bool]:
    """Have a file to oneself while the block runs, as far as other chats go: what it reads is what it replaces.

    Give False if it could not be locked. `waits`: False not to wait for others.

    The file is made if there is none. It is locked itself, whatever path leads to it; the system unlocks it when the
    process ends, however it ends. What can't be locked, or is locked for too long, as by a chat that was stopped just
    then, is used all the same: nothing would be kept otherwise.
    """
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _locked(path, LOCK_SECONDS if waits else 0.0)
    try:
        yield file is not None
    finally:
        if file is not None:
            let_go(file)


def _locked(path: Path, seconds: float) -> int | None:
    """Return a file, opened and locked, anew if it was replaced before it was locked; None if it can't be had."""
    deadline = time.monotonic() + seconds
    while sys.platform != "win32":
        try:
            file = opened(path, os.O_RDWR | os.O_CREAT)
        except OSError:
            break
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(file, path):
                return file
        except BlockingIOError:
            pass
        except OSError:  # its file system has no locks
            return file
        let_go(file)
        if time.monotonic() >= deadline:
            break
        time.sleep(LOCK_EVERY)
    return None


def append(path: Path, line: bytes, *, waits: bool = True) -> bool:
    """Add a line to a file, which is made if there is none; it joins no line whose end was never written.

    Return False if the file could not be locked. `waits`: as `alone` has it.

    Raises:
        OSError: it can't be written; then nothing of it is there.
    """
    with (
        alone(path, waits=waits) as locked,
        open(opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "rb+", buffering=0) as file,
    ):
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        done = file.write(line)
        if done < len(line):
            end = file.tell()
            if os.fstat(file.fileno()).st_size == end:  # no other has added to it since
                file.truncate(end - done)
            raise _full(path)
    return locked


def replace(path: Path, data: bytes) -> None:
    """Put a new file in place of one of the user's own, or of none; write into any other. Within `alone`.

    Raises:
        OSError: it can't be written; then what was there is there.
    """
    if os.path.lexists(path) and not is_own(path):
        _rewrite(path, data)
        return
    with suppress(OSError):
        for each in paths.left(os.fspath(path)):
            if time.time() - os.lstat(each).st_mtime > LEFT_SECONDS:
                os.unlink(each)
    fresh = paths.fresh(os.fspath(path))
    write_new(fresh, data)
    try:
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise


def _rewrite(path: Path, data: bytes) -> None:
    """Write into a file; the bytes that it has are not given up before the new ones are there."""
    with open(opened(path, os.O_RDWR | os.O_CREAT), "rb+", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        before = file.read(len(data))
        file.seek(0)
        if file.write(data) == len(data):
            file.truncate(len(data))
            return
        file.seek(0)
        file.write(before)
        file.truncate(size)
        raise _full(path)


def _full(path: Path) -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
