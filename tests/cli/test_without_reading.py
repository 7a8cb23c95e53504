"""Commands of a user who may be in a room and not read what was said there before."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

import zchat as library
from tests.running import DEADLINE, Start, Zchat, eventually
from zchat.broker import Broker

RULES = """
makers_own = false

[[rooms]]
names = ["Open"]

[[rooms]]
names = ["*"]
read = ["nobody"]
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[library.Room]:
    """Give the room of another session, in which something was said before."""
    (tmp_path / "rules.toml").write_text(RULES)
    with (
        Broker(f"ipc://{tmp_path}/s", logins=True, rules=tmp_path / "rules.toml") as broker,
        library.Client(broker.url, user=getpass.getuser(), timeout=DEADLINE) as client,
    ):
        room = client.join("General")
        room.send("said before")
        yield room


@pytest.fixture
def at(tmp_path: Path, other: library.Room) -> dict[str, str]:
    """Give the variables with which a command finds that broker."""
    return {"ZCHAT_URL": f"ipc://{tmp_path}/s", "ZCHAT_USER": getpass.getuser()}


@pytest.mark.parametrize("resuming", [False, True])
def test_tail_follows_what_is_said_from_now_on(
    start: Start, other: library.Room, at: dict[str, str], tmp_path: Path, resuming: bool
) -> None:
    resume = ["--resume", str(tmp_path / "kept")] if resuming else []
    running = start("tail", "-f", *resume, "General", **at)
    eventually(lambda: "you may not read what was said before" in running.errors, "it says what is missing")
    other.send("said now")
    assert "said before" not in running.until("said now")


def test_tail_without_following_has_nothing_to_show(zchat: Zchat, at: dict[str, str]) -> None:
    done = zchat("tail", "General", **at)
    assert (done.returncode, done.stdout) == (1, "")
    assert "you may not read what was said before in 'General'" in done.stderr


def test_tail_of_all_rooms_leaves_out_those_that_are_not_to_be_read(
    zchat: Zchat, other: library.Room, at: dict[str, str]
) -> None:
    with library.Client(at["ZCHAT_URL"], user=at["ZCHAT_USER"], timeout=DEADLINE) as client:
        client.join("Open").send("for all")
    done = zchat("tail", "--all", **at)
    assert done.returncode == 0
    assert done.stdout.endswith(f"{getpass.getuser()}: for all\n")
    assert "General is left out: you may not read what was said before in 'General'" in done.stderr


def test_a_chat_shows_what_is_said_and_says_once_that_nothing_is_marked(
    start: Start, other: library.Room, at: dict[str, str]
) -> None:
    running = start("client", **at)
    running.until("you are in General")
    for text in ("one", "two", "three"):
        other.send(text)
        running.until(f"{getpass.getuser()}: {text}")
        eventually(lambda: running.errors.count("could not be marked as read") >= 1, "the broker has answered")
    assert "said before" not in running.text
    running.end()
    assert running.errors.count("could not be marked as read") <= 2
