"""The file of the audit log: what may be one, and that its lines stay whole."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.closing import REASON, failing, still_open
from zchat.broker.edge.audit_file import AuditFile, check_apart
from zchat.broker.store import files_of
from zchat.errors import BadAudit

ONE = b'{"at": "2023-11-14T22:13:20.123456Z", "event": "started"}\n'
UNIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and links are Unix's")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    return folder / "audit.jsonl"


@pytest.fixture
def opened(path: Path) -> Iterator[AuditFile]:
    file = AuditFile(str(path))
    yield file
    file.close()


@UNIX
def test_it_is_made_for_its_owner_alone_whatever_the_umask_is(path: Path) -> None:
    before = os.umask(0)
    try:
        AuditFile(str(path)).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_stays_and_lines_come_after_it(path: Path) -> None:
    for line in (ONE, b"two\n"):
        file = AuditFile(str(path))
        file.write(line)
        file.close()
    assert path.read_bytes() == ONE + b"two\n"


def test_a_line_that_a_crash_has_cut_is_ended_first(path: Path) -> None:
    path.write_bytes(ONE + b'{"at')
    path.chmod(0o600)
    file = AuditFile(str(path))
    file.write(b"two\n")
    file.write(b"three\n")
    file.close()
    assert path.read_bytes() == ONE + b'{"at\ntwo\nthree\n'


@UNIX
@pytest.mark.parametrize(
    ("mode", "fits"), [(0o600, True), (0o640, True), (0o644, False), (0o620, False), (0o601, False)]
)
def test_a_file_that_others_can_change_or_all_can_read_is_refused(path: Path, mode: int, fits: bool) -> None:
    path.touch()
    path.chmod(mode)
    if fits:
        AuditFile(str(path)).close()
    else:
        with pytest.raises(BadAudit, match=rf"mode {mode:03o}\): chmod 600 '{re.escape(str(path))}', or"):
            AuditFile(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == mode, "it is left as it is"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path) -> None:
    path.with_name("other").touch(0o600)
    path.symlink_to("other")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


@UNIX
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "can't be opened: Is a directory"),
        (make_fifo, "is no regular file"),
        (make_link, "is a link: name the file itself"),
        (make_dangling_link, "is a link"),
        (lambda path: path.symlink_to("/dev/null"), "is a link"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(path: Path, make: Callable[[Path], None], why: str) -> None:
    make(path)
    with pytest.raises(BadAudit, match=why):
        AuditFile(str(path))
    assert not path.with_name("nowhere").exists()


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"#   A key of zchat", b"\n", b'{"a": 1}\n', b"{}"])
def test_a_file_with_something_else_in_it_is_left_as_it_is(path: Path, opened: AuditFile, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o600)
    for use in (lambda: AuditFile(str(path)), opened.follow):
        with pytest.raises(BadAudit, match="has something else in it: name another file"):
            use()
    assert path.read_bytes() == content


def test_a_file_that_the_broker_has_for_something_else_is_refused_before_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    others = [*files_of(f"sqlite:{tmp_path}/chat.db"), "rules.toml"]
    for path in ("chat.db", "chat.db-wal", "link/chat.db.lock", f"{tmp_path}/link/../rules.toml"):
        with pytest.raises(BadAudit, match="has for something else: name another"):
            check_apart(path, others)
    for path in ("audit.jsonl", "chat.db-audit"):
        check_apart(path, others)


@UNIX
def test_a_device_is_refused() -> None:
    with pytest.raises(BadAudit, match=r"null' is no regular file"):
        AuditFile("/dev/null")


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadAudit, match="can't be opened: No such file or directory"):
        AuditFile(str(tmp_path / "missing" / "audit.jsonl"))
    assert not (tmp_path / "missing").exists()


@UNIX
def test_once_it_is_moved_or_removed_a_new_one_is_begun(path: Path, opened: AuditFile) -> None:
    opened.write(b"one\n")
    assert not opened.follow()
    path.rename(path.with_name("old"))
    opened.write(b"two\n")
    assert opened.follow()
    assert not opened.follow()
    opened.write(b"three\n")
    assert path.with_name("old").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\n"
    path.unlink()
    assert opened.follow()
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@UNIX
def test_it_stays_where_it_is_wherever_the_program_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    file = AuditFile("audit.jsonl")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert not file.follow()
    file.close()
    (tmp_path / "elsewhere").rmdir()
    with pytest.raises(BadAudit, match="the current folder was removed"):
        AuditFile("audit.jsonl")


@UNIX
def test_a_link_in_its_place_is_not_followed(path: Path, opened: AuditFile) -> None:
    path.rename(path.with_name("old"))
    path.symlink_to("old")
    with pytest.raises(BadAudit, match="is a link"):
        opened.follow()
    path.unlink()
    assert opened.follow()


class Full:
    """A disk that has room for so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = self._write(descriptor, data[: self.room])
        self.room -= taken
        return taken


def test_what_the_disk_had_no_room_for_comes_after_what_it_took(
    path: Path, opened: AuditFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Full(monkeypatch, 5)
    with pytest.raises(OSError, match="No space"):
        opened.write(b"one two\n")
    with pytest.raises(OSError, match="No space"):
        opened.write(b"one two\n")
    disk.room = 100
    opened.write(b"one two\n")
    opened.write(b"three\n")
    assert path.read_bytes() == b"one two\nthree\n"


@pytest.mark.parametrize("others", [b"", b"zero\n", b"ze", b"zero\none another's\n", b"zero\none an"])
def test_a_line_is_begun_anew_in_a_file_that_others_have_emptied_or_added_to_while_the_disk_was_full(
    path: Path, opened: AuditFile, monkeypatch: pytest.MonkeyPatch, others: bytes
) -> None:
    opened.write(b"zero\n")
    disk = Full(monkeypatch, 4)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            opened.write(b"one two\n")
    assert path.read_bytes() == b"zero\none "
    path.write_bytes(others)
    disk.room = 100
    opened.write(b"one two\n")
    opened.write(b"three\n")
    end = b"" if others.endswith(b"\n") or not others else b"\n"
    assert path.read_bytes() == others + end + b"one two\nthree\n"


def test_the_end_of_a_line_that_was_cut_is_tried_again_until_there_is_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b'{"')
    path.chmod(0o600)
    file = AuditFile(str(path))
    disk = Full(monkeypatch, 0)
    for room in (0, 1, 3, 100):
        disk.room = room
        with suppress(OSError):
            file.write(b"one\n")
    file.close()
    assert path.read_bytes() == b'{"\none\n'


@UNIX
def test_a_line_of_which_the_old_file_has_a_part_is_whole_in_the_new_one(
    path: Path, opened: AuditFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]) if len(data) > 5 else 1 // 0)
        with pytest.raises(ZeroDivisionError):
            opened.write(b"one two\n")
    path.rename(path.with_name("old"))
    assert opened.follow()
    opened.write(b"one two\n")
    assert path.read_bytes() == b"one two\n"


def test_one_that_was_made_in_vain_is_removed_and_another_stays(path: Path) -> None:
    AuditFile(str(path)).undo()
    assert not path.exists()
    path.touch(0o600)
    AuditFile(str(path)).undo()
    assert path.exists()


@UNIX
def test_a_file_whose_close_fails_is_followed_by_the_next_and_the_log_says_that_lines_may_be_missing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with failing() as closes:
        file = AuditFile(str(path))
        file.write(ONE)
        path.rename(path.with_name("old"))
        assert file.follow()
        file.write(b"two\n")
        file.close()
        assert closes.count == 2
    assert path.read_bytes() == b"two\n"
    assert [record.message for record in caplog.records] == [
        f"the last lines of the audit log {str(path)!r} may be missing: closing it failed: {REASON}"
    ] * 2
    with failing():
        AuditFile(str(path.with_name("in vain"))).undo()
    assert sorted(each.name for each in path.parent.iterdir()) == ["audit.jsonl", "old"]
    assert still_open(path.parent) == []
