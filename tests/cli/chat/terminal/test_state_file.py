"""The files that a chat keeps something in: what else is in their place stays as it is, and holds nothing up."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.terminals import Terminal, Tmux
from tests.running import eventually
from zchat.broker import Broker
from zchat.cli.chat.terminal.kept_rooms import KeptRooms
from zchat.cli.chat.terminal.typed_lines import LinesOfBefore

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


def test_what_a_killed_chat_has_left_is_no_hindrance_and_never_followed(tmp_path: Path) -> None:
    other = tmp_path / "others"
    other.write_text("theirs")
    (tmp_path / f"rooms.{os.getpid()}").symlink_to(other)
    use(tmp_path)
    assert use(tmp_path) == (["a line"], ["Room"])
    assert other.read_text() == "theirs"
