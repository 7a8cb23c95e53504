"""Copies of a database: made while a broker writes to it, and put in the place of one."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from zchat import paths
from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.access import acting_as_owner, why_not
from zchat.broker.store.sqlite.files import BESIDE, resolved_file
from zchat.broker.store.sqlite.lock import FileLock, Locked
from zchat.errors import StoreError

STEP_OPERATIONS = 64
"""Operations of SQLite after which the caller is notified, and may end it all: some twenty blocks."""

LEFT = re.compile(rf"\..+{paths.FRESH_END}(-journal|-wal|-shm)?")
"""The name of a file that isn't complete, or of one beside it: of a copy that was killed it stays."""

LEFT_SECONDS = 12 * 3600
"""Seconds without a change after which such a file is taken for left behind: a large one is checked for minutes."""

MOST_BESIDE = ("-journal", *BESIDE)
"""What SQLite may leave beside a database."""

NOT_FLUSHED = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EISDIR)
"""Why a folder isn't flushed: this user may not read it, or its file system or the system flushes none."""

Progress = Callable[[int, int], None]
"""What is called now and then with the bytes that are done and those that there are; what it raises ends all."""


class Content(NamedTuple):
    """What a database holds."""

    rooms: int
    messages: int
    newest: int
    """When the newest message was stored, in microseconds since 1970 (UTC); 0 without any."""


def back_up(source: Path, target: Path, progress: Progress) -> Content:
    """Copy the database `source`, which a broker may have open, to the new file `target`. Any thread.

    The copy is what was stored at one moment; the broker goes on meanwhile, and its write-ahead log
    grows. It has no free pages, as retention leaves them in `source`, and is one file, complete and
    flushed before it has its name, for its owner alone: for that of its folder if root makes it.

    Raises:
        StoreError: `source` is no sound database of zchat, can't be read, or `target` exists or can't be made; or it
            is complete, and its folder fails to be flushed.
    """
    source, target = resolved_file(source), resolved_file(target)
    _check_free(target)
    return _copy(source, target, None, progress)


def restore(backup: Path, target: Path, progress: Progress, aside: Path | None = None) -> Content:
    """Make the database `target` from a backup, as `back_up` does. Any thread.

    `aside` is where an old `target` is moved, with the files beside it, once the new one is complete; None to
    move none. A broker begins a new epoch with the first message after each start. So a reader that knows more of
    a log than the backup has receives a gap before any other message comes under a number that it has read.

    Raises:
        StoreError: as `back_up`; or a broker has `target` open, or files of another database lie beside it.
    """
    backup, target = resolved_file(backup), resolved_file(target)
    aside = None if aside is None else resolved_file(aside)
    with ExitStack() as stack:
        lock = stack.enter_context(_locked(target, target.with_name(f"{target.name}.lock")))
        try:
            if aside is not None:
                if sys.platform == "linux" and target.exists():
                    stack.enter_context(_locked(target, target))
                _check_aside(aside)
            else:
                _check_free(target)
                for end in ("-journal", "-wal"):  # those without a byte hold nothing, and SQLite begins them anew
                    beside = target.with_name(target.name + end)
                    if beside.exists() and beside.stat().st_size:
                        raise StoreError(f"{beside} belongs to another database, and may hold messages: move it away")
            return _copy(backup, target, aside, progress)
        except BaseException:
            if lock.made:
                with suppress(OSError):
                    target.with_name(f"{target.name}.lock").unlink()
            raise


@contextmanager
def _locked(target: Path, path: Path) -> Iterator[FileLock]:
    """Hold the lock on `path`, a file of the database `target`."""
    try:
        with _acting(target):
            lock = FileLock(path)
    except Locked as error:
        raise StoreError(f"a broker has {target} open; stop it, or name another file") from error
    except OSError as error:
        raise _failed(target, error) from error
    try:
        yield lock
    finally:
        lock.release()


def _copy(source: Path, target: Path, aside: Path | None, progress: Progress) -> Content:
    with closing(_open(source)) as reading, _acting(target):
        fresh = Path(paths.fresh(os.fspath(target)))
        _remove_left(target.parent)
        try:
            os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise _failed(target, error) from error
        try:
            content = _fill(reading, source, fresh, target, progress)
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
    return content


def _remove_left(folder: Path) -> None:
    """Remove what was left behind by copies into a folder that were killed."""
    with suppress(OSError):
        for each in folder.iterdir():
            if LEFT.fullmatch(each.name) and time.time() - each.lstat().st_mtime > LEFT_SECONDS:
                each.unlink()


@contextmanager
def _acting(target: Path) -> Iterator[None]:
    """Have root be the owner of the folder of `target` while the block runs."""
    with ExitStack() as stack:
        try:
            stack.enter_context(acting_as_owner(target.parent))
        except OSError as error:
            raise _failed(target, error) from error
        yield


def _fill(reading: sqlite3.Connection, source: Path, fresh: Path, target: Path, progress: Progress) -> Content:
    """Copy what the database holds into the empty file, without what is free in it, and check the copy."""
    try:
        if not schema.version_of(reading, source):
            raise StoreError(f"{source} is empty: it is no database of zchat")
        pages, free, page = (
            reading.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    except sqlite3.Error as error:
        raise _unreadable(source, error) from error
    size = (pages - free) * page
    ended: list[BaseException] = []

    def step() -> bool:
        try:
            progress(min(fresh.stat().st_size, size), size)
        except BaseException as error:
            ended.append(error)
        return bool(ended)

    reading.set_progress_handler(step, STEP_OPERATIONS)
    try:
        # As bytes: a path need not be UTF-8, and SQLite's text is what it is given.
        reading.execute("VACUUM INTO CAST(? AS TEXT)", (os.fsencode(fresh),))
        progress(size, size)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as copy:
            copy.set_progress_handler(step, STEP_OPERATIONS)
            damage = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise StoreError(f"{source} is damaged ({damage}); restore an older backup")
            return _content(copy)
    except sqlite3.OperationalError as error:
        if ended:
            raise ended[0] from None
        raise StoreError(f"{target} can't be written, or {source} can't be read ({error})") from error
    except sqlite3.Error as error:
        if schema.is_damage(error):
            raise StoreError(f"{source} is damaged ({error}); restore an older backup") from error
        raise _unreadable(source, error) from error


def _open(source: Path) -> sqlite3.Connection:
    """Return a connection that reads the database."""
    if not source.exists():
        raise StoreError(f"there is no file {source}")
    try:
        connection = schema.connect_to_read(source)
    except sqlite3.Error as error:
        raise _unreadable(source, error) from error
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise _unreadable(source, error) from error
    return connection


def _content(connection: sqlite3.Connection) -> Content:
    return Content(
        *connection.execute(
            "SELECT count(*), coalesce(sum(last - first + 1), 0), coalesce(max(timestamp), 0) FROM rooms"
        ).fetchone()
    )


def _place(fresh: Path, target: Path) -> None:
    """Give the file its name, unless there is a file of that name by now."""
    try:
        os.link(fresh, target)
    except FileExistsError:
        _check_free(target)
    except OSError:  # a file system without links
        _check_free(target)
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
        _check_free(aside.with_name(aside.name + end))


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise StoreError(f"{target} exists, and nothing is overwritten: name another file, or move it away")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def _unreadable(source: Path, error: Exception) -> StoreError:
    return StoreError(f"{source} can't be read as a database of zchat ({error}){why_not(source)}")


def _failed(target: Path, error: OSError) -> StoreError:
    return StoreError(f"{target} can't be made ({error.strerror or error}){why_not(target)}")
