"""The file of `zchat tail --resume`: how far a room was written."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from contextlib import suppress
from types import TracebackType

from zchat import paths
from zchat.errors import ZchatError
from zchat.files import NOT_WAITING, is_at, let_go
from zchat.messages import Position
from zchat.names import DIRECT, fold
from zchat.wire.limits import MAX_INT

if sys.platform != "win32":  # where nothing keeps two tails from using one file
    import fcntl

EVERY = 1.0
"""Seconds between two writes of the file while messages arrive: a crash repeats no more, and a flush costs."""

MOST = 4096
"""Bytes of such a file at most: what is longer is something else."""


class ResumeError(ZchatError):
    """A file can't be resumed from: it is damaged, belongs to another room, is in use, or others have changed it."""


class ResumeFile:
    """A position kept in a file, which no other process may use meanwhile. One thread at a time.

    The file is replaced as a whole, after the new one was flushed to disk, so that a crash leaves one
    or the other. It is locked with flock, which ends with the process; the new file is locked before
    it replaces the old one. It is replaced once at the start, so that a folder or a disk that takes no
    new file is noticed before anything is read. A file that others have replaced, removed or written to meanwhile
    is left as it is: it is theirs, or another process has begun to use it.

    A new file has a random name in the same folder (`paths.fresh`), and is only ever created, so that it
    overwrites nobody's. What a killed process left of that name is removed.

    Args:
        path: the file, which is created empty if there is none. A link is followed.
        room: the room that the position belongs to, as the user wrote it.
        user: the reader; recorded for a direct room, whose name means another room to another user.

    Raises:
        ResumeError: the file is damaged, belongs to another room, is in use, or can't be read or replaced.
    """

    position: Position | None
    """How far the room was written; None if the file is new."""

    def __init__(self, path: str, room: str, user: str) -> None:
        try:
            self._path = paths.resolved(path)
        except OSError as error:
            raise ResumeError(f"{path} can't be used: {error.strerror}, or give --resume a path in full") from error
        self._shown = path
        self._room = room
        self._user = user if room.startswith(DIRECT) else None
        self._written_at = -EVERY
        self._file = -1
        self._made = False
        """True if the file was created by this."""
        self._content = b""
        """What the file holds, unless others have written to it."""
        self.position = None
        try:
            self._file = self._open()
            self._content = os.read(self._file, MOST + 1)
            self.position = self._parse(self._content)
            self._remove_leftovers()
            self._replace(self._content, len(self._line(Position(MAX_INT, MAX_INT))))
        except OSError as error:
            self.close()
            reason = error.strerror or str(error)
            raise ResumeError(f"{path} can't be read and replaced ({reason}); name another with --resume") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ResumeFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, which another process may use from now on; one that was created for nothing is removed."""
        if self._file >= 0:
            if self._made and self.position is None:
                with suppress(OSError, ResumeError):
                    self._check_ours()
                    os.unlink(self._path)
            file, self._file = self._file, -1
            let_go(file)

    @property
    def due(self) -> bool:
        """Return True if a position should be kept now rather than later."""
        return time.monotonic() - self._written_at >= EVERY

    def keep(self, position: Position) -> None:
        """Write a position to the file, unless it is there already.

        Raises:
            ResumeError: it can't be written, or others have changed it.
        """
        if position == self.position:
            return
        try:
            self._replace(self._line(position))
        except OSError as error:
            raise ResumeError(
                f"{self._shown} can't be replaced ({error.strerror or error}): what was shown since the last record "
                "there is shown again the next time"
            ) from error
        self.position = position
        self._written_at = time.monotonic()

    def _line(self, position: Position) -> bytes:
        fields = {"zchat": "position", "room": self._room}
        if self._user is not None:
            fields["user"] = self._user
        return (json.dumps(fields | {"epoch": position.epoch, "seq": position.seq}) + "\n").encode()

    def _replace(self, content: bytes, room: int = 0) -> None:
        """Put a new file with this content in place; see that there is room for as many bytes as `room`, too."""
        fresh = paths.fresh(self._path)
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.fchmod(file, stat.S_IMODE(os.fstat(self._file).st_mode))
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = max(room, len(content))
            if os.write(file, content.ljust(size)) < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._shown)
            os.fsync(file)
            if size > len(content):
                os.ftruncate(file, len(content))
                os.fsync(file)
            self._check_ours()
            os.replace(fresh, self._path)
        except BaseException:
            let_go(file)
            with suppress(OSError):
                os.unlink(fresh)
            raise
        before, self._file, self._content = self._file, file, content
        let_go(before)

    def _check_ours(self) -> None:
        """Raise ResumeError if the file isn't any more what this has put there."""
        if not os.path.lexists(self._path):
            raise ResumeError(
                f"{self._shown} was removed while zchat tail ran; to begin again start it again, and set with "
                "-n or --after where"
            )
        os.lseek(self._file, 0, os.SEEK_SET)
        if not is_at(self._file, self._path) or os.read(self._file, MOST + 1) != self._content:
            raise ResumeError(
                f"{self._shown} was replaced or changed while zchat tail ran, and is left as it is; "
                "name another with --resume"
            )

    def _remove_leftovers(self) -> None:
        """Remove new files that a process didn't live to put in place; no other has any, because this one is locked."""
        with suppress(PermissionError):  # of a folder that may be written and not listed, which is enough
            for each in paths.left(self._path):
                with suppress(FileNotFoundError):
                    os.unlink(each)

    def _open(self) -> int:
        """Return the file, opened and locked; opens it again if it was replaced before it was locked."""
        while True:
            file = self._open_or_make()
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise ResumeError(f"{self._shown} is not a regular file; name another with --resume")
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_at(file, self._path):
                    return file
            except BlockingIOError as error:
                let_go(file)
                raise ResumeError(f"{self._shown} is in use by another zchat tail; end it, or name another") from error
            except BaseException:
                let_go(file)
                raise
            let_go(file)

    def _open_or_make(self) -> int:
        flags = os.O_RDWR | NOT_WAITING
        try:
            return os.open(self._path, flags)
        except FileNotFoundError:
            try:
                file = os.open(self._path, flags | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:  # another has made it meanwhile
                return os.open(self._path, flags)
            self._made = True
            return file

    def _parse(self, content: bytes) -> Position | None:
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
                f"{self._shown} is damaged or not a file of zchat tail --resume: "
                "delete it, and set with -n or --after where to begin"
            )
        owner = fields.get("user")
        if fold(room) != fold(self._room) or (owner is None) != (self._user is None):
            raise ResumeError(f"{self._shown} belongs to the room {room!a}, not {self._room!a}; name another file")
        if self._user is not None and fold(str(owner)) != fold(self._user):
            raise ResumeError(
                f"{self._shown} belongs to a direct room of {owner!a}, not of {self._user!a}; name another file"
            )
        return Position(epoch, seq)
