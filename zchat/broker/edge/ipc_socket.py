"""A listening socket of the machine's own kind, and the file that names it.

libzmq removes whatever has the name before it binds, an ordinary file or a living broker's socket. So the
socket is made here, and libzmq is given its descriptor.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zchat import paths
from zchat.address import ANY_IPC, IPC, absolute, check_ipc_path
from zchat.broker.forks import forget, keep_from_children
from zchat.errors import AddressError, ZchatError
from zchat.files import let_go

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 2.0
"""How long a start waits for others that start in the same folder: each needs a moment."""

LOCK_EVERY = 0.01
"""Seconds between two tries to lock the folder."""


def temporary_folder() -> str:
    """Return the path of a new folder of the process's own among the temporary files.

    Raises:
        ZchatError: the system has no place for it.
    """
    try:
        return tempfile.mkdtemp(prefix="zchat-")
    except OSError as error:  # Python tries to write a file before
        raise ZchatError(
            f"no temporary folder can be made ({error.strerror}); set TMPDIR to a folder where files can be written, "
            "or raise the limit on their size (ulimit -f)"
        ) from error


class IpcSocket:
    """A listening socket at `ipc://PATH`, at `ipc://@NAME` without a file, or at `ipc://*` in a folder of its own.

    A path where something is that isn't a socket is left alone; a socket where nobody listens any more is replaced.
    Of several that start at the same path, one gets it.

    Raises:
        AddressError: there is something at the path, or no socket can be made there.
    """

    def __init__(self, url: str, backlog: int) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise AddressError(f"{url}: this system has no such addresses; use tcp://HOST:PORT")
        self._backlog = backlog
        self._folder = ""  # the one that was made for the socket
        self._file = ""  # the socket's file, wherever the process may go
        self._identity = (0, 0)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        """The socket itself: to be read and duplicated alone."""
        keep_from_children(self.socket.fileno())
        try:
            self.socket.setblocking(False)
            if url.startswith(f"{IPC}@"):
                self.url = url
                self._listen(url, "\0" + url.removeprefix(f"{IPC}@"))
            else:
                self._make_file(self._path(url))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket, and remove its file if that is still this one's."""
        if self._file:
            with suppress(OSError):
                if _identity(self._file) == self._identity:  # no other gets it while the socket is open
                    os.unlink(self._file)
        forget(self.socket.fileno())
        self.socket.close()
        if self._folder:
            with suppress(OSError):
                os.rmdir(self._folder)

    def _path(self, url: str) -> str:
        """Return the path where the file will be: in a new folder, or where a link leads."""
        path = url.removeprefix(IPC)
        if url == ANY_IPC:
            try:
                self._folder = temporary_folder()
            except ZchatError as error:
                raise AddressError(f"can't listen at {url}: {error}, or choose a path") from error
            path = f"{self._folder}/socket"
        elif os.path.islink(path):
            path = os.path.realpath(path)
        check_ipc_path(path)
        return path

    def _make_file(self, path: str) -> None:
        url = IPC + path
        self.url = absolute(url)
        full = paths.full(path)
        with _locked(url, os.path.dirname(full)):
            _clear(url, path)
            self._listen(url, path)
            self._identity = _identity(full)
            self._file = full

    def _listen(self, url: str, path: str) -> None:
        try:
            self.socket.bind(path)
            self.socket.listen(self._backlog)
        except OSError as error:
            raise _refusal(url, error) from error


def _clear(url: str, path: str) -> None:
    """Remove a socket where nobody listens any more; raise AddressError if anything else is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refusal(url, error) from error
    if stat.S_ISDIR(mode):
        raise AddressError(f"{url} is a folder: name a file in it, as in {url.rstrip('/')}/zchat.sock")
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"{url} is a file, not a socket, and is left as it is: choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        answer = caller.connect_ex(path)
    if answer == errno.EACCES:
        raise AddressError(f"{url} is a socket that this user may not use: choose another path")
    if answer != errno.ECONNREFUSED:
        raise in_use(url)
    try:
        os.unlink(path)
    except OSError as error:
        raise AddressError(
            f"{url} is the socket of a program that has ended, and can't be replaced ({error.strerror}): "
            "remove it, or choose another path"
        ) from error


def in_use(url: str) -> AddressError:
    """Return the error of an address where somebody listens."""
    other = "path" if url.startswith(IPC) else "port"
    return AddressError(f"{url} is in use: is a broker running there? choose another {other}")


def _refusal(url: str, error: OSError) -> AddressError:
    """Return the error for a path where no socket can be made."""
    folder = os.path.dirname(url.removeprefix(IPC)) or "."
    match error.errno:
        case errno.EADDRINUSE:
            return in_use(url)
        case errno.ENOENT if not os.path.isdir(folder):
            return AddressError(
                f"can't listen at {url}: there is no folder {folder}; create it, or choose another path"
            )
        case errno.ENOTDIR:
            return AddressError(f"can't listen at {url}: {folder} is not a folder; choose another path")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return AddressError(
                f"can't listen at {url}: this user may not write in {folder} ({error.strerror}); choose another path"
            )
    return AddressError(f"can't listen at {url}: {folder} can't hold a socket ({error.strerror}); choose another path")


@contextmanager
def _locked(url: str, folder: str) -> Iterator[None]:
    """Hold the folder's lock within the block, in which it is found out whose the path is; it leaves nothing there."""
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _refusal(url, error) from error
    try:
        if not _lock(file):
            raise AddressError(
                f"can't listen at {url}: another program has held the lock of {folder} for {LOCK_SECONDS:g} s; "
                "choose a path in another folder"
            )
        yield
    finally:
        with suppress(OSError):  # not locked, as its file system can't
            fcntl.flock(file, fcntl.LOCK_UN)  # for the copies of children, too
        let_go(file)


def _lock(file: int) -> bool:
    """Lock a folder, if its file system can; False if another program has it locked for too long."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOCK_EVERY)
        except OSError:
            return True
        else:
            return True


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
