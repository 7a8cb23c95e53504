"""The file of the audit log: opened for appending, and again once it was moved away."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress

from zchat import paths
from zchat.checks import shown
from zchat.errors import BadAudit
from zchat.files import NOT_WAITING, let_go
from zchat.logs import broker_log

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | NOT_WAITING | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

_BEGINNING = b'{"at": "'
"""What each line begins with, so that a file which begins otherwise is something else."""

_OTHERS = stat.S_IWGRP | stat.S_IRWXO
"""What nobody but the owner may do, but for reading, which a group may: that of a program that ships logs."""


def check_apart(path: str, others: Iterable[str]) -> None:
    """Check that an audit log is none of a broker's `others` files, there or not yet.

    Raises:
        BadAudit: it is.
    """
    with suppress(OSError):  # to open it fails likewise, and says why
        if paths.resolved(path) in map(paths.resolved, others):
            raise BadAudit(
                f"the audit log {shown(path)} is a file that the broker has for something else: name another"
            )


class AuditFile:
    """A file that whole lines are appended to, and nothing is ever taken from. One thread at a time.

    Raises:
        BadAudit: there is something else than a regular file, or one with something else in it; others can write or
            read it; or it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._name = shown(path)
        try:
            self._path = paths.full(path)
        except OSError as error:
            raise self._refusal(error) from error
        self._written = 0  # bytes of the present line that are in the file already
        self._size = 0  # of the file, when the line was broken off there
        self._sure = False  # that the file ends where the next bytes belong
        self._descriptor = -1
        self._made = not os.path.lexists(path)
        self._open()

    def write(self, line: bytes) -> None:
        """Append a line, which ends as lines do.

        Raises:
            OSError: it isn't there, or not as a whole; call this again with the same line, and the rest is appended,
                or the whole if others have emptied the file or added to it meanwhile.
        """
        if not self._sure:
            self._go_to_end()
        try:
            while self._written < len(line):
                self._written += os.write(self._descriptor, line[self._written :])
        except BaseException:
            self._sure = False
            self._size = os.fstat(self._descriptor).st_size
            raise
        self._written = 0

    def follow(self) -> bool:
        """Open the file anew if its path is no longer that of the one that is open; return whether it was.

        Raises:
            BadAudit: as the class; what is open stays so.
        """
        if self._is_there():
            return False
        before = self._descriptor
        self._open()
        self._close(before)
        return True

    def undo(self) -> None:
        """Close it, of which nothing was written, and remove it if it was made here."""
        let_go(self._descriptor)
        if self._made:
            with suppress(OSError):
                os.unlink(self._path)

    def close(self) -> None:
        """Close it."""
        self._close(self._descriptor)

    def _close(self, descriptor: int) -> None:
        """Close a file that was written: if that fails, lines may be missing in it, which nothing else reports."""
        try:
            os.close(descriptor)
        except OSError as error:
            text, reason = "the last lines of the audit log %s may be missing: closing it failed: %s", error.strerror
            broker_log.error(text, self._name, reason, event="audit_close_failed", reason=reason)

    def _is_there(self) -> bool:
        try:
            there = os.lstat(self._path)
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def _refusal(self, error: OSError) -> BadAudit:
        return BadAudit(f"the audit log {self._name} can't be opened: {error.strerror}")

    def _open(self) -> None:
        name = self._name
        try:
            descriptor = os.open(self._path, _FLAGS, 0o600)
        except OSError as error:
            if os.path.islink(self._path):
                raise BadAudit(f"the audit log {name} is a link: name the file itself") from error
            raise self._refusal(error) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise BadAudit(f"the audit log {name} is no regular file: name another")
            if sys.platform != "win32" and found.st_mode & _OTHERS:
                raise BadAudit(
                    f"others can read or change the audit log {name} (mode {stat.S_IMODE(found.st_mode):03o}): "
                    f"chmod 600 {shlex.quote(self._path)}, or 640 for a group that may read it"
                )
            if not _BEGINNING.startswith(os.read(descriptor, len(_BEGINNING))):
                raise BadAudit(f"the audit log {name} has something else in it: name another file")
        except BaseException:
            let_go(descriptor)
            raise
        self._descriptor = descriptor
        self._written, self._sure = 0, False

    def _go_to_end(self) -> None:
        """See that the file ends where the next bytes belong: after the part that it has of the line, or any line."""
        size = os.fstat(self._descriptor).st_size
        if not self._written or size != self._size:
            self._written = 0
            if size and _last_byte(self._descriptor, size) != b"\n":
                os.write(self._descriptor, b"\n")
        self._sure = True


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)
