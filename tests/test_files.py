"""Small files that users name, and how many files may be open."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.closing import REASON, failing, still_open
from zchat.files import is_at, let_go, limit, read_bounded, scarce, write_new


def test_a_file_is_read_up_to_one_byte_more_than_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(b"12345678")
    assert [read_bounded(path, most) for most in (8, 7, 2)] == [b"12345678", b"12345678", b"123"]


def test_a_folder_and_what_is_not_there_can_t_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        read_bounded(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "missing", 10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_could_be_waited_for_for_ever_or_has_no_end_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    closed: list[int] = []
    close = os.close

    def closing(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    monkeypatch.setattr(os, "close", closing)
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="no regular file") as error:
            read_bounded(path, 10)
        assert error.value.strerror == "it is no regular file"
    assert len(closed) == 2, "nothing stays open"


def test_descriptors_are_scarce_when_the_lowest_free_one_is_among_those_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:  # other threads open and close some, too
        patched.setattr("zchat.files.os.pipe", lambda: (50, 51))
        patched.setattr("zchat.files.os.close", lambda descriptor: None)
        found = [scarce(most, 16) for most in (67, 66, 51)]
    assert found == [False, True, True]
    assert limit() is None or not scarce(limit() or 0, 1)


def test_an_open_file_is_at_a_path_until_another_or_none_is(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("")
    other.write_text("")
    with path.open() as file:
        assert is_at(file.fileno(), path)
        other.replace(path)
        assert not is_at(file.fileno(), path)
        path.unlink()
        assert not is_at(file.fileno(), path)


def test_a_new_file_has_all_its_bytes_and_the_mode_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    before = os.umask(0o027)
    try:
        write_new(tmp_path / "own", b"12345678")
        write_new(tmp_path / "all", b"", 0o644)
    finally:
        os.umask(before)
    found = [(each.read_bytes(), stat.S_IMODE(each.stat().st_mode)) for each in (tmp_path / "own", tmp_path / "all")]
    assert found == [(b"12345678", 0o600), (b"", 0o644)]
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "own", b"other")
    assert (tmp_path / "own").read_bytes() == b"12345678"


@pytest.mark.parametrize("name", ["fchmod", "write", "fsync", "close"])
def test_whatever_fails_when_a_file_is_written_none_is_left_and_none_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if name != "close":
        monkeypatch.setattr(os, name, fail)
    why = REASON if name == "close" else "No space left"
    with failing() as closes, pytest.raises(OSError, match=why):
        write_new(tmp_path / "new", b"bytes", 0o600)
    assert closes.count == 1
    assert [*tmp_path.iterdir(), *still_open(tmp_path)] == []


def test_what_holds_nothing_that_could_be_lost_is_closed_whatever_the_system_says(tmp_path: Path) -> None:
    with failing() as closes:
        let_go(os.open(tmp_path, os.O_RDONLY))
    assert closes.count == 1
    assert still_open(tmp_path.parent) == []
