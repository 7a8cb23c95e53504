"""Paths in full, also where there is no current folder any more: an error names the path and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zchat import paths
from zchat.address import absolute
from zchat.errors import AddressError

GONE = "the current folder was removed: go to another (cd)"


def removed() -> str:
    raise FileNotFoundError(2, os.strerror(2))


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
    assert absolute("ipc:///tmp/socket") == "ipc:///tmp/socket"
    with pytest.raises(AddressError, match=r"'ipc://socket' can't be used: the current folder was removed"):
        absolute("ipc://socket")
