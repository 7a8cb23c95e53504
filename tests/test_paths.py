"""Paths in full, also where there is no current folder any more, and names of files that are not complete yet."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zchat import paths
from zchat.address import absolute
from zchat.errors import AddressError, BadKey

GONE = "the current folder was removed: go to another (cd)"


def removed() -> str:
    raise FileNotFoundError(2, os.strerror(2))


class Bytes:
    def __fspath__(self) -> bytes:
        return b"file"


def test_a_path_is_text_that_a_file_can_have(tmp_path: Path) -> None:
    for path in ("file", "caf\udce9", ""):
        assert paths.given("it is a path", path) == path
    assert paths.given("it is a path", tmp_path) == str(tmp_path)
    for wrong in ("a\0b", Path("a\0b"), "\ud800", b"file", Bytes(), 5, None):
        with pytest.raises(BadKey) as caught:
            paths.given("it is a path", wrong, BadKey)
        assert str(caught.value) == f"it is a path, not {wrong!a}"


def test_a_path_is_in_full_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("file")
    assert paths.full("link") == f"{tmp_path}/link"
    assert paths.resolved("link") == os.path.realpath(tmp_path / "file")


def test_without_a_current_folder_only_full_paths_lead_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getcwd", removed)
    assert paths.full("/usr") == paths.resolved("/usr") == "/usr"
    for way in (paths.full, paths.resolved):
        with pytest.raises(FileNotFoundError) as caught:
            way("file")
        assert (caught.value.filename, caught.value.strerror) == ("file", GONE)
    missing = FileNotFoundError(errno.ENOENT, "no such file")
    assert (paths.why(missing, "file"), paths.why(missing, "/file")) == (GONE, "no such file")
    assert absolute("ipc:///tmp/socket") == "ipc:///tmp/socket"
    with pytest.raises(AddressError, match=r"'ipc://socket' can't be used: the current folder was removed"):
        absolute("ipc://socket")


def test_files_that_are_not_complete_have_names_of_their_own_beside_the_path(tmp_path: Path) -> None:
    path = str(tmp_path / "a[b].c")
    made = sorted(paths.fresh(path) for _ in range(2))
    for each in (*made, path, f"{made[0]}x", paths.fresh(str(tmp_path / "other"))):
        Path(each).touch()
    assert sorted(paths.left(path)) == made
