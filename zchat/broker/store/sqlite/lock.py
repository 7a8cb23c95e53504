"""A lock between processes: one broker a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zchat.errors import StoreError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FileLock:
    """The lock on the file `path`, which is made if it is missing and stays when it is let go.

    The system lets it go when the process ends, however it ends. (SQLite's own exclusive mode
    would lock out the store's second connection as well.)

    Raises:
        StoreError: another broker holds it.
        OSError: the file can't be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._file)
        except OSError as error:
            os.close(self._file)
            raise StoreError(
                f"another broker has {path.with_suffix('')} open (it holds {path}); stop it or use another file"
            ) from error

    def release(self) -> None:
        """Let go of the lock."""
        os.close(self._file)

    def abandon(self) -> None:
        """Let go of the lock, and leave no file behind that was not there before."""
        self.release()
        if self._made:
            self._path.unlink(missing_ok=True)
