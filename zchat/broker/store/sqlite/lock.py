"""A lock between processes, on a file itself, whatever path leads to it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from zchat.broker.forks import forget, keep_from_children
from zchat.errors import StoreError
from zchat.files import let_go

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        pass  # to close it does that
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        with suppress(OSError):  # its file system has gone: to close it is left
            fcntl.flock(file, fcntl.LOCK_UN)  # for the copies of children, too


Inode = tuple[int, int]
"""What a file is, whatever its name: its device and its number there."""

_locked: set[Inode] = set()
"""The files that this process has locked."""

_choosing = threading.Lock()


class Locked(Exception):
    """The file is locked already, by another process or by this one."""


def inode(path: Path) -> Inode:
    """Return what the file at `path` is now.

    Raises:
        OSError: there is none.
    """
    found = os.stat(path)
    return found.st_dev, found.st_ino


class FileLock:
    """The lock on the file `path`, which is made if it is missing (then `made` is True), for its owner alone.

    The system releases it when the process ends, however it ends; a child that is forked has no part in it. SQLite's
    locks on the same file are of another kind, but the process loses these when any of its descriptors of that file is
    closed: a file that this process has locked is therefore not even opened, and a lock on a database is released
    after SQLite has closed it.

    Raises:
        Locked: another has the lock.
        StoreError: there is no regular file.
        OSError: the file can't be made or opened.
    """

    def __init__(self, path: Path) -> None:
        with _choosing:
            self.made = not os.path.lexists(path)
            while not self._take(path):
                pass
            found = os.fstat(self._file)
            self.inode: Inode = found.st_dev, found.st_ino
            self.size = found.st_size
            self.names = found.st_nlink
            keep_from_children(self._file)
            _locked.add(self.inode)

    def _take(self, path: Path) -> bool:
        """Open and lock the file; False if it was removed or replaced before it was locked."""
        there = os.path.lexists(path)
        if there and inode(path) in _locked:
            raise Locked
        if there and not path.is_file():
            raise StoreError(f"{path} is not a regular file, as the lock of a database is: move it away")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._file)
        except OSError as error:
            let_go(self._file)
            raise Locked from error
        try:
            if os.path.samestat(os.fstat(self._file), os.stat(path)):
                return True
        except OSError:
            pass
        let_go(self._file)
        return False

    def release(self) -> None:
        """Release the lock; the file stays."""
        with _choosing:
            _locked.discard(self.inode)
            forget(self._file)
            _unlock(self._file)
            let_go(self._file)
