"""The file that `zchat tail --resume` keeps: how far a room was written out."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from types import TracebackType

from zchat.errors import ZchatError
from zchat.messages import Position
from zchat.names import DIRECT, fold
from zchat.wire.limits import MAX_INT

if sys.platform != "win32":  # nothing keeps two tails from one file there
    import fcntl

EVERY = 1.0
"""Seconds between two writes of the file while messages come: a crash repeats no more than that, and a flush costs."""

MOST = 4096
"""Bytes of such a file at most: whatever is longer is something else."""


class ResumeError(ZchatError):
    """Tell that a file can't be resumed from: damaged, of another room, or in use."""


class Resume:
    """Keep a position in a file, which nobody else may use meanwhile. One thread at a time.

    The file is replaced as a whole, flushed to disk before, so that a crash leaves the old one or
    the new one. It is locked by flock, which ends with the process; the new file is locked before
    it takes the place of the old one.

    Args:
        path: the file; made, empty, if there is none. A link is followed.
        room: what the position is of, as the user wrote it.
        user: who reads it; of a direct room it is kept, as that is another one for everybody.

    Raises:
        ResumeError: it is damaged, of another room, or in use.
        OSError: it can't be read or written.
    """

    position: Position | None
    """How far the room was written out; None if the file is new."""

    def __init__(self, path: str, room: str, user: str) -> None:
        self._path = os.path.realpath(path)
        self._shown = path
        self._room = room
        self._user = user if room.startswith(DIRECT) else None
        self._written_at = -EVERY
        self._file = self._open()
        try:
            self.position = self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Resume:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    @property
    def due(self) -> bool:
        """Tell whether a position should be kept now, rather than later."""
        return time.monotonic() - self._written_at >= EVERY

    def keep(self, position: Position) -> None:
        """Keep a position; nothing is written if it is the one that is kept."""
        if position == self.position:
            return
        fields = {"zchat": "position", "room": self._room}
        if self._user is not None:
            fields["user"] = self._user
        line = json.dumps(fields | {"epoch": position.epoch, "seq": position.seq}) + "\n"
        fresh = f"{self._path}.new"
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(file, stat.S_IMODE(os.fstat(self._file).st_mode))
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, line.encode())
            os.fsync(file)
            os.replace(fresh, self._path)
        except BaseException:
            os.close(file)
            raise
        os.close(self._file)
        self._file = file
        self.position = position
        self._written_at = time.monotonic()

    def _open(self) -> int:
        """Return the file, locked; looks again if it was replaced before the lock was had."""
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0), 0o600)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise ResumeError(f"{self._shown} is no regular file; name another one with --resume")
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(file, self._path):
                    return file
            except BlockingIOError as error:
                os.close(file)
                raise ResumeError(f"{self._shown} is in use by another zchat tail; end it, or name another") from error
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _read(self) -> Position | None:
        content = os.read(self._file, MOST + 1)
        if not content:
            return None
        try:
            fields = json.loads(content)
            mark, room, epoch, seq = (fields[name] for name in ("zchat", "room", "epoch", "seq"))
            right = mark == "position" and type(room) is str and len(content) <= MOST
            right = right and all(type(number) is int and 0 <= number <= MAX_INT for number in (epoch, seq))
        except (ValueError, TypeError, KeyError, RecursionError):
            right = False
        if not right:
            raise ResumeError(
                f"{self._shown} is damaged, or no file of zchat tail --resume: "
                "delete it and say with -n or --after where to begin"
            )
        owner = fields.get("user")
        if fold(room) != fold(self._room) or (owner is None) != (self._user is None):
            raise ResumeError(f"{self._shown} is of the room {room!a}, not {self._room!a}; name another file")
        if self._user is not None and fold(str(owner)) != fold(self._user):
            raise ResumeError(
                f"{self._shown} is of the direct room of {owner!a}, not of {self._user!a}; name another file"
            )
        return Position(epoch, seq)


def _is(file: int, path: str) -> bool:
    """Tell whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
