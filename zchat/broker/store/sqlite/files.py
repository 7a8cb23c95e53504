"""The files of the store `sqlite:PATH`: made, locked, and watched, as others may remove or replace them."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from zchat import paths
from zchat.broker.store.sqlite.access import trouble
from zchat.broker.store.sqlite.lock import FileLock, Inode, Locked, inode
from zchat.errors import StoreError
from zchat.files import let_go

BESIDE = ("-wal", "-shm")
"""What SQLite adds to the database's name for the files that belong to it while it is open."""

_LOG_BEGINNING = b"\x37\x7f\x06"
"""What a write-ahead log that has something in it begins with: SQLite's file format says so."""


def resolved_file(path: Path) -> Path:
    """Return the path that a user's leads to, where there is a regular file, or nothing yet; nothing is opened.

    Raises:
        StoreError: there is something else, or it is no path.
    """
    try:
        found = Path(paths.resolved(os.fspath(path.expanduser())))
        mode = os.stat(found).st_mode if os.path.lexists(found) else stat.S_IFREG
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreError(f"{path} can't be used: {trouble(path, error)}; fix that, or name another file") from error
    if stat.S_ISDIR(mode):
        raise StoreError(f"{found} is a folder; name a file in it, {found / 'zchat.db'} for example")
    if not stat.S_ISREG(mode):
        raise StoreError(f"{found} is not a regular file; name one that is, or one that doesn't exist yet")
    return found


class StoreFiles:
    """The database `path`, what SQLite keeps beside it, and the locks of the broker that has it open.

    Making one makes what is missing, but no folder, for its owner alone, and locks it: `path` + ".lock" (which zchat
    0.1.0 locks as well, and every system knows how to), and on Linux the database itself, so that no other path
    leads another broker to it. Elsewhere such a lock could be in the way of SQLite's own.

    Raises:
        StoreError: there is no folder for it, another broker has the database, or its log lies beside another name.
        OSError: a file can't be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: list[Path] = []
        self._locks: list[FileLock] = []
        self._inodes: dict[Path, Inode] = {}
        self._parent = os.fspath(path.parent)
        self._folder: tuple[int, int, int] | None = None
        """The folder with the time of its last change, when the files were last checked."""
        self._log = -1
        self._emptied = False
        try:
            if not path.parent.exists():
                raise StoreError(
                    f"{path} can't be used as a store: there is no folder {path.parent} (is it mounted?); "
                    "make it, or name another file"
                )
            lock = self._lock(path.with_name(path.name + ".lock"))
            if sys.platform == "linux":
                database = self._lock(path)
                if lock.made and database.names > 1 and database.size:
                    raise StoreError(
                        f"{path} is another name (a hard link) of a database that a broker has used: what SQLite keeps "
                        "beside that name would be missed; use that name, or make a copy of the file"
                    )
            else:
                if not path.exists():
                    self._made.append(path)
                let_go(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except BaseException:
            self.abandon()
            raise

    def watch(self) -> None:
        """Remember which files these are, now that SQLite has them open.

        Raises:
            StoreError: the database isn't the one that was locked.
            OSError: one of them is missing.
        """
        if hasattr(os, "pread"):
            self._log = os.open(self._beside()[0], os.O_RDONLY)
        self._inodes = {path: inode(path) for path in (self._path, *self._beside())}
        if sys.platform == "linux" and self._inodes[self._path] != self._locks[1].inode:
            raise StoreError(f"{self._path} was replaced while it was opened; start the broker again")

    def check_folder(self) -> None:
        """Check the files if something has changed in their folder since the last time: with one call of the system.

        Raises:
            StoreError: as `check`.
        """
        try:
            found = os.stat(self._parent)
        except OSError as error:
            raise StoreError(_gone(self._path, f"is missing ({error.strerror})")) from error
        folder = found.st_dev, found.st_ino, found.st_mtime_ns
        if folder != self._folder:
            self.check()
            self._folder = folder

    def check(self) -> None:
        """Check that the files are still where they were: what is stored in others is lost when the broker stops.

        Raises:
            StoreError: one was removed or replaced, or `check_log` has found the log emptied.
        """
        if self._emptied:
            raise StoreError(self._what_was_emptied())
        for path, opened in self._inodes.items():
            try:
                found = inode(path)
            except OSError as error:
                raise StoreError(_gone(path, f"is missing ({error.strerror})")) from error
            if found != opened:
                raise StoreError(_gone(path, "was replaced by another file"))

    def check_log(self, *, written: bool = False) -> None:
        """Check that the write-ahead log is not what is left of one that was emptied in place, and then written to.

        SQLite doesn't notice, and would fold the hole at its beginning into the database. Another program may have had
        SQLite empty it: then it begins anew with what is written next. `written`: something was just now.

        Raises:
            StoreError: it is, or it was emptied since something was written; so does `check` from then on.
        """
        if self._log != -1 and not self._emptied:
            beginning = os.pread(self._log, len(_LOG_BEGINNING), 0)
            self._emptied = beginning != _LOG_BEGINNING and (written or beginning != b"")
        if self._emptied:
            raise StoreError(self._what_was_emptied())

    def release(self) -> None:
        """Release the locks; SQLite has closed its files."""
        if self._log != -1:
            log, self._log = self._log, -1
            let_go(log)
        for lock in self._locks:
            lock.release()
        self._locks.clear()

    def abandon(self) -> None:
        """Release the locks, and remove what was made; SQLite has closed its files."""
        if self._path in self._made:
            self._made += self._beside()
        for path in self._made:
            with suppress(OSError):
                path.unlink()
        self.release()

    def left(self) -> str:
        """Return what still lies beside the database, or is lost, as a sentence; "" if that is the whole.

        SQLite has closed it.
        """
        if self._emptied:
            return self._what_was_emptied()
        log = self._beside()[0]
        with suppress(OSError):
            if log.stat().st_size:
                return (
                    f"{log} could not be folded into {self._path.name} and belongs to it: "
                    "move or copy neither without the other; zchat backup makes one file of both"
                )
        return ""

    def _what_was_emptied(self) -> str:
        return (
            f"{self._beside()[0].name} was emptied while the broker ran, and what was not in {self._path.name} yet is "
            "lost; nothing more is stored until the broker is started again"
        )

    def _beside(self) -> list[Path]:
        return [self._path.with_name(self._path.name + end) for end in BESIDE]

    def _lock(self, path: Path) -> FileLock:
        try:
            lock = FileLock(path)
        except Locked as error:
            raise StoreError(
                f"another broker has {self._path} open (it holds {path}); stop it or use another file"
            ) from error
        self._locks.append(lock)
        if lock.made:
            self._made.append(path)
        return lock


def _gone(path: Path, what: str) -> str:
    return (
        f"{path.name} {what} while the broker runs, so nothing is stored any more; put back the file that was there, "
        "or start the broker again"
    )
