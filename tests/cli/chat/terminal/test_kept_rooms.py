"""The rooms in which a chat ended are there the next time, for its user and broker alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli.terminals import Terminal, Tmux
from zchat import Client
from zchat.broker import Broker
from zchat.cli.chat.terminal.kept_rooms import ROOMS_KEPT, USERS_KEPT, KeptRooms

URL = "tcp://127.0.0.1:5555"


def test_rooms_are_kept_for_a_user_of_a_broker_in_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rooms"
    kept = KeptRooms(path, URL, "alice")
    assert kept.load() == []
    kept.keep(["General", "@bob"])
    KeptRooms(path, URL, "bob").keep(["Sports"])
    assert KeptRooms(path, URL, "alice").load() == ["General", "@bob"]
    assert KeptRooms(path, URL, "bob").load() == ["Sports"]
    assert KeptRooms(path, "ipc://x", "alice").load() == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["rooms"]


def test_a_user_is_the_same_however_the_name_is_typed(tmp_path: Path) -> None:
    KeptRooms(tmp_path / "rooms", "tcp://b", "Straße").keep(["General"])
    assert KeptRooms(tmp_path / "rooms", "tcp://b", "STRASSE").load() == ["General"]


def test_no_more_are_kept_than_the_bounds_say(tmp_path: Path) -> None:
    path = tmp_path / "rooms"
    for number in range(USERS_KEPT + 1):
        KeptRooms(path, URL, f"user {number}").keep([f"room {each}" for each in range(ROOMS_KEPT + 1)])
    assert len(json.loads(path.read_bytes())) == USERS_KEPT
    assert KeptRooms(path, URL, "user 0").load() == []
    assert len(KeptRooms(path, URL, f"user {USERS_KEPT}").load()) == ROOMS_KEPT


@pytest.mark.parametrize(
    "content",
    [
        *("", "no json", "[1]", f'{{"{URL} alice": 5}}', f'{{"{URL} alice": [5, "", "{"é" * 80}"]}}'),
        *("[" * 5000, "9" * 5000, f'{{"else": {"[" * 900}{"]" * 900}, "bob": [5]}}'),
    ],
    ids=lambda content: content[:20],
)
def test_what_is_wrong_in_the_file_is_passed_over_and_goes(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rooms"
    path.write_text(content)
    kept = KeptRooms(path, URL, "alice")
    assert kept.load() == []
    kept.keep(["General"])
    assert kept.load() == ["General"]
    kept_of = json.loads(path.read_bytes())
    assert all(isinstance(name, str) for names in kept_of.values() for name in names), kept_of


def test_nothing_is_kept_if_that_is_asked_for_or_impossible(tmp_path: Path) -> None:
    KeptRooms(None, URL, "alice").keep(["General"])
    (tmp_path / "file").write_text("")
    kept = KeptRooms(tmp_path / "file" / "rooms", URL, "alice")
    kept.keep(["General"])
    assert kept.load() == []


def test_who_starts_again_is_where_they_were_and_reads_what_is_unread_elsewhere(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    for room in ("Movies", "Gone", "Sports"):
        alice.type(f"/join {room}", "Enter")
        alice.until(f"you are in {room}\n", f"{room}>")
    alice.keys("C-d")
    alice.until("exit code 0")
    with Client(broker.url, user="alice") as looker, Client(broker.url, user="bob") as bob:
        bob.join("Crypto").send("long ago")
        looker.mark_read("Crypto", 1)
        bob.join("Crypto").send("alice: look")
        looker.join("Movies").send("my own words")
        looker.mark_read("Movies", 1)
        bob.join("Movies").send("new")
    tmux("rename-session", "-t", "alice", "before")  # ended, it would take the server with it, as the last one
    again = Terminal(tmux, "alice", 80)
    again.until(
        "* you are in Sports\n* you are also in Movies\n* you are also in General\n* unread elsewhere: Crypto »1\n",
        "Sports>",
        status="new: Movies 1",
    )
    again.keys("M-a")
    again.until("* you are in Movies\n", "--- new ---\n[12:00:00] bob: new\nMovies>", status="online | Movies")
