"""Files that get their name once they are complete, and the place of a database that is to be made."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from tests.broker.store.driver import Driver
from tests.broker.store.sqlite.driver import rows
from tests.closing import REASON, failing, is_file, still_open
from tests.running import ROOT
from zchat.broker.store.sqlite import fresh_file as placing
from zchat.broker.store.sqlite.backup import back_up, restore
from zchat.broker.store.sqlite.fresh_file import fresh_file, place_held
from zchat.broker.store.sqlite.store import SqliteStore
from zchat.errors import StoreError

RELEASED = ROOT / "tests" / "data" / "store-0.1.0.db"


def nothing(done: int, size: int) -> None:
    """Take no note of any progress."""


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_has_its_name_once_the_block_has_ended_and_is_its_owners_alone(tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    with fresh_file(target) as fresh:
        assert fresh.parent == tmp_path
        assert not target.exists()
        fresh.write_bytes(b"all")
    assert target.read_bytes() == b"all"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert names(tmp_path) == ["new.db"]


def test_a_block_that_fails_leaves_nothing_of_the_file_nor_of_what_sqlite_has_put_beside_it(tmp_path: Path) -> None:
    def begin() -> None:
        with fresh_file(tmp_path / "new.db") as fresh:
            for end in ("", "-journal", "-wal", "-shm"):
                fresh.with_name(fresh.name + end).write_bytes(b"half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        begin()
    assert names(tmp_path) == []


def test_what_has_taken_the_name_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    with pytest.raises(StoreError, match="exists, and nothing is overwritten"), fresh_file(target):
        target.write_bytes(b"mine")
    assert target.read_bytes() == b"mine"
    assert names(tmp_path) == ["new.db"]


def test_while_a_place_is_held_no_broker_begins_a_database_there(tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    with place_held(target):
        store = SqliteStore(target)
        with pytest.raises(StoreError, match="another broker has"):
            store.open(lambda: None)
    assert names(tmp_path) == ["new.db.lock"]
    with pytest.raises(InterruptedError), place_held(tmp_path / "other.db"):
        raise InterruptedError
    assert names(tmp_path) == ["new.db.lock"], "a lock that was not there before goes, if nothing was made"


def test_a_file_system_without_links_takes_a_copy_too(
    store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    store.stored(1, "a")
    assert back_up(path, path.with_name("copy"), nothing).messages == 1
    assert rows(path.with_name("copy"), "SELECT last FROM rooms") == [(1,)]


def test_what_copies_that_were_killed_left_goes_with_a_later_copy(store: Driver, path: Path) -> None:
    store.stored(1, "a")
    left = [path.with_name(f".old.zchat-0123456789abcdef{end}") for end in ("", "-journal")]
    others = [
        path.with_name(name) for name in (".mine.zchat-0123", "old.zchat-0123456789abcdef", ".new.zchat-" + "f" * 16)
    ]
    for each in (*left, *others):
        each.touch()
        if "new" not in each.name:  # that one is being written by another copy
            os.utime(each, (0, 0))
    back_up(path, path.with_name("copy"), nothing)
    assert not any(each.exists() for each in left)
    assert all(each.exists() for each in others)


def test_an_old_database_stays_where_it_was_if_the_new_one_gets_no_name(
    store: Driver, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.stored(1, "a")
    copy = path.with_name("copy")
    back_up(path, copy, nothing)
    store.store.close()
    monkeypatch.setattr(placing, "_place", lambda fresh, target: os.link(fresh, "/dev/null/nowhere"))
    with pytest.raises(StoreError, match="can't be made"):
        restore(copy, path, nothing, path.with_name("old"))
    assert names(path.parent) == ["copy", "z.db", "z.db.lock"]


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EINVAL, errno.EIO])
def test_a_copy_in_a_folder_that_can_not_be_flushed_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    flush = os.fsync

    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(reason, os.strerror(reason))
        flush(file)

    monkeypatch.setattr(os, "fsync", fsync)
    target = tmp_path / "copy"
    if reason == errno.EIO:
        with pytest.raises(StoreError, match="copy is complete, but its folder can't be flushed to disk"):
            back_up(RELEASED, target, nothing)
    else:
        assert back_up(RELEASED, target, nothing).messages == 47
    assert rows(target, "SELECT count(*) FROM rooms") == [(4,)]


def test_a_copy_whose_first_close_fails_is_not_left(tmp_path: Path) -> None:
    with failing(), pytest.raises(StoreError, match=rf"copy can't be made \({REASON}\)"):
        back_up(RELEASED, tmp_path / "copy", nothing)
    with failing(), pytest.raises(StoreError, match=rf"copy can't be made \({REASON}\)"):
        restore(RELEASED, tmp_path / "copy", nothing)
    assert names(tmp_path) == still_open(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that tells which file a descriptor is of")
def test_what_is_flushed_is_a_copy_though_closing_it_its_folder_and_its_lock_fails(tmp_path: Path) -> None:
    def read_or_locked(descriptor: int) -> bool:
        empty = not os.fstat(descriptor).st_size
        return is_file(descriptor) and (not empty or os.readlink(f"/proc/self/fd/{descriptor}").endswith(".lock"))

    with failing(read_or_locked) as closes:
        assert restore(RELEASED, tmp_path / "copy", nothing).messages == 47
    assert closes.count == 3, "the database, its folder, and its lock"
    assert names(tmp_path) == ["copy", "copy.lock"]
    assert still_open(tmp_path) == []
