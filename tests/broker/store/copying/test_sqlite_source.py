"""A database as what is copied: locked, read as of one moment, and left as it was."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from tests.broker.store.copying.driver import Places, content, filled, nothing, opened
from zchat.broker.store.contract import CLOSE_SECONDS
from zchat.broker.store.copying.copy import copy
from zchat.broker.store.copying.sqlite_source import sqlite_source
from zchat.broker.store.sqlite.access import acting_as_owner
from zchat.errors import StoreError


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:"))


def test_while_it_is_copied_no_broker_opens_it_and_afterwards_one_does(places: Places) -> None:
    url = filled(places, "sqlite")
    with sqlite_source(path_of(url)) as source:
        with pytest.raises(StoreError, match="another broker has"):
            opened(url)
        assert source.messages() == 13
        source.check_unchanged()
    opened(url).store.close(CLOSE_SECONDS)


def test_it_is_left_as_it_was_and_so_is_its_folder(places: Places) -> None:
    url = filled(places, "sqlite")
    path_of(url).with_name(path_of(url).name + ".lock").unlink()
    before = path_of(url).read_bytes()
    assert content(url)
    assert path_of(url).read_bytes() == before
    assert list(places.folder.iterdir()) == [path_of(url)]


def test_what_a_killed_broker_has_left_in_the_write_ahead_log_is_read(places: Places) -> None:
    url = places.new("sqlite")
    driver = opened(url)
    driver.stored(1, "a", "b")
    copy = places.new("sqlite")
    killed = {end: path_of(url).with_name(path_of(url).name + end).read_bytes() for end in ("", "-wal")}
    for end, left in killed.items():
        path_of(copy).with_name(path_of(copy).name + end).write_bytes(left)
    driver.store.close()
    with sqlite_source(path_of(copy)) as source:
        assert source.messages() == 2
        assert len([record for record in source.records() if type(record).__name__ == "BlockRecord"]) == 1
    assert {end: path_of(copy).with_name(path_of(copy).name + end).read_bytes() for end in killed} == killed


def test_an_empty_file_and_a_folder_are_no_databases(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(StoreError, match="is empty: it is no database"), sqlite_source(tmp_path / "empty"):
        pass
    with pytest.raises(StoreError, match="is a folder"), sqlite_source(tmp_path):
        pass
    (tmp_path / "text").write_text("no database at all, but a text" * 100)
    with pytest.raises(StoreError, match="is damaged"), sqlite_source(tmp_path / "text"):
        pass


def test_a_database_that_can_not_be_locked_is_named_with_the_reason(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = filled(places, "sqlite")

    def refuse(path: str, *arguments: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"can't be locked, and a broker might open it .* \(Permission"):
        copy(url, places.new("sqlite"), nothing)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root has several users")
def test_what_root_leaves_in_a_folder_belongs_to_its_owner(tmp_path: Path) -> None:
    for each in (tmp_path, *tmp_path.parents[:-1]):
        each.chmod(each.stat().st_mode | 0o011)
    for number, name in ((1234, "old"), (2345, "new")):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, number, number)
    source, target = (f"sqlite:{tmp_path}/{name}/z.db" for name in ("old", "new"))
    with acting_as_owner(tmp_path / "old"):
        driver = opened(source)
        driver.stored(1, "a")
        driver.store.close()
    copy(source, target, nothing)
    assert {each.stat().st_uid for each in (tmp_path / "old").iterdir()} == {1234}
    assert {each.stat().st_uid for each in (tmp_path / "new").iterdir()} == {2345}
