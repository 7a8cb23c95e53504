"""The files that a chat keeps something in: what else is in their place stays as it is, and holds nothing up."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pytest

from tests.cli.outside import without_home
from tests.cli.terminals import Terminal, Tmux
from tests.closing import failing, still_open
from tests.running import DEADLINE, ROOT, eventually
from zchat import paths
from zchat.broker import Broker
from zchat.cli.chat.terminal import state_file
from zchat.cli.chat.terminal.kept_rooms import KeptRooms
from zchat.cli.chat.terminal.typed_lines import KEPT_BYTES, LinesOfBefore

URL = "tcp://127.0.0.1:5555"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def use(folder: Path) -> tuple[list[str], list[str]]:
    """Use both files of a folder as a chat does; return what was in them."""
    lines, rooms = LinesOfBefore(folder / "typed_lines"), KeptRooms(folder / "rooms", URL, "alice")
    found = list(lines.load_history_strings()), rooms.load()
    lines.store_string("a line")
    rooms.keep(["Room"])
    return found


def linked(path: Path, target: Path) -> None:
    path.symlink_to(target)


def hard_linked(path: Path, target: Path) -> None:
    os.link(target, path)


@pytest.mark.parametrize("link", [linked, hard_linked])
def test_a_file_that_has_another_name_is_used_and_keeps_its_mode_and_names(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    for name in ("typed_lines", "rooms"):
        target = tmp_path / f"others_{name}"
        target.write_text("")
        target.chmod(0o644)
        link(tmp_path / name, target)
    assert use(tmp_path) == ([], [])
    assert use(tmp_path) == (["a line"], ["Room"])
    for name in ("typed_lines", "rooms"):
        assert mode(tmp_path / f"others_{name}") == 0o644
        assert (tmp_path / name).samefile(tmp_path / f"others_{name}")


def test_a_link_to_a_device_means_that_nothing_is_kept(tmp_path: Path) -> None:
    before = mode(Path(os.devnull))
    for name in ("typed_lines", "rooms"):
        (tmp_path / name).symlink_to(os.devnull)
    try:
        assert use(tmp_path) == use(tmp_path) == ([], [])
        assert mode(Path(os.devnull)) == before
    finally:
        if mode(Path(os.devnull)) != before:
            os.chmod(os.devnull, before)
    assert (tmp_path / "rooms").is_symlink()


def test_a_fifo_in_their_place_is_passed_over(tmux: Tmux, broker: Broker, tmp_path: Path) -> None:
    folder = tmp_path / "zchat"
    folder.mkdir()
    for name in ("typed_lines", "rooms"):
        os.mkfifo(folder / name)
    terminal = Terminal(tmux, "alice", 80, before=f"export XDG_STATE_HOME={tmp_path}; ")
    terminal.type("hello", "Enter")
    eventually(lambda: "alice: hello" in terminal.screen(), "it is sent")
    terminal.type("/quit", "Enter")
    eventually(lambda: "exit code 0" in terminal.screen(), "it has ended")
    assert sorted(each.name for each in folder.iterdir()) == ["rooms", "typed_lines"]


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root has files of others in its folders")
def test_another_users_file_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    for name in ("typed_lines", "rooms"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
        os.chown(tmp_path / name, 54_321, 54_321)
    assert use(tmp_path) == ([], [])
    assert use(tmp_path) == (["a line"], ["Room"])
    assert {(mode(each), each.stat().st_uid) for each in tmp_path.iterdir()} == {(0o644, 54_321)}


def test_what_a_killed_chat_has_left_is_no_hindrance_and_goes_in_time(tmp_path: Path) -> None:
    other = tmp_path / "others"
    other.write_text("theirs")
    left = Path(paths.fresh(str(tmp_path / "rooms")))
    left.symlink_to(other)
    use(tmp_path)
    assert left.is_symlink(), "another chat may be just putting it in place"
    long_ago = time.time() - 2 * state_file.LEFT_SECONDS
    os.utime(left, (long_ago, long_ago), follow_symlinks=False)
    assert use(tmp_path) == (["a line"], ["Room"])
    assert not left.is_symlink()
    assert other.read_text() == "theirs"


@contextmanager
def full_after(count: int) -> Iterator[None]:
    """Let files have so many bytes at most, as on a disk that is full by then, while the block runs."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.mark.parametrize("free", [0, 1, 7])
def test_a_full_disk_leaves_the_files_as_they_were_and_no_other(tmp_path: Path, free: int) -> None:
    use(tmp_path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with full_after(len(before["typed_lines"]) + free):
        LinesOfBefore(tmp_path / "typed_lines").store_string("a longer line")
    with full_after(free):
        KeptRooms(tmp_path / "rooms", URL, "alice").keep(["Other"])
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("free", [0, 1, 7])
def test_a_full_disk_leaves_the_file_that_a_link_leads_to_as_it_was(tmp_path: Path, free: int) -> None:
    (tmp_path / "rooms").symlink_to(tmp_path / "others")
    rooms = KeptRooms(tmp_path / "rooms", URL, "alice")
    rooms.keep(["Room"])
    before = (tmp_path / "others").read_bytes()
    with full_after(len(before) + free):
        rooms.keep(["Room", "Another"])
    assert (tmp_path / "others").read_bytes() == before
    rooms.keep([])
    assert rooms.load() == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_whatever_fails_when_a_new_file_is_put_in_place_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    use(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        KeptRooms(tmp_path / "rooms", URL, "alice").keep(["Other"])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rooms", "typed_lines"]
    assert use(tmp_path) == (["a line"], ["Room"])


def test_what_chats_keep_that_end_together_is_kept_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, read = Barrier(2), state_file.read

    def read_both(path: Path, most: int) -> tuple[bytes, int]:
        found = read(path, most)
        with suppress(BrokenBarrierError):  # as both can't if each has the file to itself
            both.wait(0.3)
        return found

    users = ("alice", "bob")
    with monkeypatch.context() as patch, ThreadPoolExecutor() as chats:
        patch.setattr(state_file, "read", read_both)
        list(chats.map(lambda user: KeptRooms(tmp_path / "rooms", URL, user).keep([user]), users))
    assert [KeptRooms(tmp_path / "rooms", URL, user).load() for user in users] == [["alice"], ["bob"]]
    assert [each.name for each in tmp_path.iterdir()] == ["rooms"]


def test_a_file_that_is_replaced_just_before_it_is_locked_is_locked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / "rooms", state_file.opened
    (tmp_path / "new").write_text("")

    def opened_and_replaced(path: Path, flags: int) -> int:
        descriptor = opened(path, flags)
        with suppress(FileNotFoundError):
            (tmp_path / "new").replace(path)
        return descriptor

    monkeypatch.setattr(state_file, "opened", opened_and_replaced)
    with state_file.alone(path), path.open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("link", [None, linked])
def test_what_a_chat_adds_while_another_shortens_the_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: Callable[[Path, Path], None] | None
) -> None:
    path = tmp_path / "typed_lines"
    if link is not None:
        (tmp_path / "folder").mkdir()
        link(tmp_path / "link", tmp_path / "folder")
        path = tmp_path / "link" / "typed_lines"
    LinesOfBefore(path).store_string("first")
    with path.open("a") as file:
        file.write('"old"\n' * (KEPT_BYTES // 6))
    replace = state_file.replace

    with ThreadPoolExecutor() as other:

        def replace_meanwhile(path: Path, data: bytes) -> None:
            added = other.submit(LinesOfBefore(path).store_string, "new")
            with suppress(TimeoutError):
                added.result(0.3)
            replace(path, data)

        monkeypatch.setattr(state_file, "replace", replace_meanwhile)
        assert "first" not in list(LinesOfBefore(path).load_history_strings())
    assert path.stat().st_size < KEPT_BYTES
    assert next(iter(LinesOfBefore(path).load_history_strings())) == "new"


def test_a_chat_that_was_killed_holds_nobody_up_and_one_that_was_stopped_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "LOCK_SECONDS", 0.1)
    path = tmp_path / "rooms"
    rooms = KeptRooms(path, URL, "alice")
    holding = "import pathlib, sys, time; from zchat.cli.chat.terminal import state_file\n"
    holding += "with state_file.alone(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", holding, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"\n"
            rooms.keep(["while it holds it"])
            assert rooms.load() == ["while it holds it"]
        finally:
            holder.kill()
    monkeypatch.setattr(state_file, "LOCK_SECONDS", 2 * DEADLINE)
    rooms.keep(["after it"])
    assert rooms.load() == ["after it"]


def test_a_file_that_another_program_holds_is_waited_for_at_one_line_and_at_no_further_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    path = tmp_path / "typed_lines"
    lines = LinesOfBefore(path)
    lines.store_string("before")
    monkeypatch.setattr(state_file, "LOCK_SECONDS", 0.02)
    monkeypatch.setattr(state_file, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines.store_string("one")
        waited = len(waits)
        for text in ("two", "three"):
            lines.store_string(text)
        assert len(waits) == waited > 0
    lines.store_string("after")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lines.store_string("again")
    assert len(waits) > waited, "it was free in between"
    assert list(lines.load_history_strings()) == ["again", "after", "three", "two", "one", "before"]


def test_where_nothing_can_be_locked_it_is_kept_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", fail)
    assert use(tmp_path) == ([], [])
    assert use(tmp_path) == (["a line"], ["Room"])


def test_a_line_whose_end_was_never_written_takes_no_other_along(tmp_path: Path) -> None:
    path = tmp_path / "typed_lines"
    path.write_bytes(b'"whole"\n"half')
    lines = LinesOfBefore(path)
    lines.store_string("next")
    assert list(lines.load_history_strings()) == ["next", "whole"]


def test_a_user_without_a_home_folder_has_nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    without_home(monkeypatch)
    assert state_file.state_file("rooms") is None


def test_a_new_file_whose_close_fails_is_not_left_and_what_was_kept_before_stays(tmp_path: Path) -> None:
    use(tmp_path)
    with failing():
        KeptRooms(tmp_path / "rooms", URL, "alice").keep(["Other"])
        LinesOfBefore(tmp_path / "typed_lines").store_string("another line")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rooms", "typed_lines"]
    assert use(tmp_path) == (["another line", "a line"], ["Room"])
    assert still_open(tmp_path) == []
