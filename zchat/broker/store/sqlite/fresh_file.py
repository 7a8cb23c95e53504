"""Files that get their name once they are complete: the databases that a command makes."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from zchat import paths
from zchat.broker.store.sqlite.access import acting_as_owner, why_not
from zchat.broker.store.sqlite.files import BESIDE, resolved_file
from zchat.broker.store.sqlite.lock import FileLock, Locked
from zchat.errors import StoreError
from zchat.files import let_go, write_new

LEFT = re.compile(rf"\..+{paths.FRESH_END}(-journal|-wal|-shm)?")
"""The name of a file that isn't complete, or of one beside it: of a copy that was killed it stays."""

LEFT_SECONDS = 12 * 3600
"""Seconds without a change after which such a file is taken for left behind: a large one is checked for minutes."""

MOST_BESIDE = ("-journal", *BESIDE)
"""What SQLite may leave beside a database."""

NOT_FLUSHED = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EISDIR)
"""Why a folder isn't flushed: this user may not read it, or its file system or the system flushes none."""


@contextmanager
def fresh_file(target: Path, aside: Path | None = None) -> Iterator[Path]:
    """Give an empty file, for its owner alone, that becomes the database `target` if the block ends without an error.

    It is flushed before it has its name; else it is removed. `aside` is where an old `target` is moved then, with the
    files beside it; None to move none. Run by root, it is that of its folder's owner.

    Raises:
        StoreError: `target` exists or can't be made; or it is complete, and its folder fails to be flushed.
    """
    with acting_for(target):
        fresh = Path(paths.fresh(os.fspath(target)))
        _remove_left(target.parent)
        try:
            write_new(fresh, b"")
        except OSError as error:
            raise _failed(target, error) from error
        try:
            yield fresh
            try:
                _flush(fresh)
                if aside is None:
                    _place(fresh, target)
                else:
                    _exchange(fresh, target, aside)
                _flush_folder(target)
            except OSError as error:
                raise _failed(target, error) from error
        finally:
            for end in ("", *MOST_BESIDE):
                with suppress(OSError):
                    fresh.with_name(fresh.name + end).unlink()


@contextmanager
def place_held(target: Path, aside: Path | None = None) -> Iterator[None]:
    """Keep brokers from the place of the database `target`, which is to be made, while the block runs.

    `aside` is where what is there is to be moved; None if there must be nothing. If the block fails, the lock's file
    is removed again, if it was not there before.

    Raises:
        StoreError: a broker has `target` open, or what is there, or beside it, is in the way.
    """
    with ExitStack() as stack:
        lock = stack.enter_context(locked(target, target.with_name(f"{target.name}.lock")))
        try:
            if aside is not None:
                if sys.platform == "linux" and target.exists():
                    stack.enter_context(locked(target, target))
                _check_aside(aside)
            else:
                check_free(target)
                for end in ("-journal", "-wal"):  # those without a byte hold nothing, and SQLite begins them anew
                    beside = target.with_name(target.name + end)
                    if beside.exists() and beside.stat().st_size:
                        raise StoreError(f"{beside} belongs to another database, and may hold messages: move it away")
            yield
        except BaseException:
            if lock.made:
                with suppress(OSError):
                    target.with_name(f"{target.name}.lock").unlink()
            raise


@contextmanager
def locked(target: Path, path: Path, what: str = "made") -> Iterator[FileLock]:
    """Hold the lock on `path`, a file of the database `target`, while the block runs.

    Raises:
        StoreError: a broker has it open, or it can't be what `what` says, as the lock's file can't be had.
    """
    try:
        with acting_for(target):
            lock = FileLock(path)
    except Locked as error:
        raise StoreError(f"a broker has {target} open; stop it, or name another file") from error
    except OSError as error:
        raise _failed(target, error, what) from error
    try:
        yield lock
    finally:
        lock.release()


@contextmanager
def acting_for(target: Path) -> Iterator[None]:
    """Have root be the owner of the folder of `target` while the block runs; raises StoreError."""
    with ExitStack() as stack:
        try:
            stack.enter_context(acting_as_owner(target.parent))
        except OSError as error:
            raise _failed(target, error) from error
        yield


def check_free(target: Path) -> None:
    """See that there is nothing at a path; raises StoreError."""
    if os.path.lexists(target):
        raise StoreError(f"{target} exists, and nothing is overwritten: name another file, or move it away")


def _remove_left(folder: Path) -> None:
    """Remove what was left behind by copies into a folder that were killed."""
    with suppress(OSError):
        for each in folder.iterdir():
            if LEFT.fullmatch(each.name) and time.time() - each.lstat().st_mtime > LEFT_SECONDS:
                each.unlink()


def _place(fresh: Path, target: Path) -> None:
    """Give the file its name, unless there is a file of that name by now."""
    try:
        os.link(fresh, target)
    except FileExistsError:
        check_free(target)
    except OSError:  # a file system without links
        check_free(target)
        fresh.rename(target)


def _exchange(fresh: Path, target: Path, aside: Path) -> None:
    """Give the file its name in place of a database, if there is one, which is moved with the files beside it."""
    resolved_file(target)  # what was there is the only thing that is moved
    _check_aside(aside)  # once more: to copy takes long
    _move(target, aside)
    try:
        _place(fresh, target)
    except BaseException:
        if not os.path.lexists(target):
            _move(aside, target)
        raise


def _move(database: Path, to: Path) -> None:
    for end in ("", *MOST_BESIDE):
        with suppress(FileNotFoundError):
            database.with_name(database.name + end).rename(to.with_name(to.name + end))


def _check_aside(aside: Path) -> None:
    for end in ("", *MOST_BESIDE):
        check_free(aside.with_name(aside.name + end))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        let_go(descriptor)


def _flush_folder(target: Path) -> None:
    """Have the name of a new file survive a power cut, where its folder can be flushed."""
    try:
        _flush(target.parent)
    except OSError as error:
        if error.errno not in NOT_FLUSHED:
            raise StoreError(
                f"{target} is complete, but its folder can't be flushed to disk ({error.strerror or error}): "
                "look for it after a power cut"
            ) from error


def _failed(target: Path, error: OSError, what: str = "made") -> StoreError:
    return StoreError(f"{target} can't be {what} ({error.strerror or error}){why_not(target)}")
