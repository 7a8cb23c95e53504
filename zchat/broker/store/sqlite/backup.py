"""Copies of a database: made while a broker writes to it, and put in the place of one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from zchat.broker.store.sqlite import schema
from zchat.broker.store.sqlite.access import why_not
from zchat.broker.store.sqlite.files import resolved_file
from zchat.broker.store.sqlite.fresh_file import check_free, fresh_file, place_held
from zchat.errors import StoreError

STEP_OPERATIONS = 64
"""Operations of SQLite after which the caller is notified, and may end it all: some twenty blocks."""

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
    check_free(target)
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
    with place_held(target, aside):
        return _copy(backup, target, aside, progress)


def _copy(source: Path, target: Path, aside: Path | None, progress: Progress) -> Content:
    with schema.read_alone(source), closing(_open(source)) as reading, fresh_file(target, aside) as fresh:
        return _fill(reading, source, fresh, target, progress)


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


def _unreadable(source: Path, error: Exception) -> StoreError:
    return StoreError(f"{source} can't be read as a database of zchat ({error}){why_not(source)}")
