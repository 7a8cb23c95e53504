"""`zchat tail`."""

from __future__ import annotations

import json

import msgpack

import zchat as library
from tests.cli.driver import masked, say
from tests.running import Zchat
from zchat.broker import Broker


def test_tail_shows_the_last_messages(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", *map(str, range(1, 16)))
    assert masked(zchat("tail", "General").stdout) == "".join(f"[12:00:00] bob: {n}\n" for n in range(6, 16))
    assert masked(zchat("tail", "-n", "1", "General").stdout) == "[12:00:00] bob: 15\n"
    assert masked(zchat("tail", "--after", "13", "General").stdout) == "[12:00:00] bob: 14\n[12:00:00] bob: 15\n"
    assert zchat("tail", "-n", "0", "General").stdout == ""
    assert zchat("tail", "--after", "99", "General").stdout == ""


def test_tail_of_an_empty_room_is_empty(zchat: Zchat) -> None:
    done = zchat("tail", "General")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tail_gives_json_with_five_fields(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", {"a": b"\x00", "z": "\x9b\x7f"}, msgpack.Timestamp(1, 5), user="bo\u00e9")
    first, second = (json.loads(line) for line in zchat("tail", "General", "--json").stdout.splitlines())
    assert list(first) == ["room", "seq", "timestamp", "user", "body"]
    assert first["timestamp"] > 1_700_000_000_000_000
    del first["timestamp"]
    assert first == {
        "room": "General",
        "seq": 1,
        "user": "bo\u00e9",
        "body": {"a": {"$bytes": "AA=="}, "z": "\x9b\x7f"},
    }
    assert second["body"] == {"$timestamp": 1_000_000_005}


def test_tail_never_makes_a_room(zchat: Zchat) -> None:
    for arguments in (["tail", "Nowhere"], ["tail", "-f", "Nowhere"]):
        done = zchat(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "zchat: there is no room Nowhere; zchat rooms lists the rooms that exist\n"
    assert "Nowhere" not in zchat("rooms").stdout


def test_tail_shows_what_is_unread_and_marks_it_as_read(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", "one", "two", "three")
    shown = "".join(f"[12:00:00] bob: {text}\n" for text in ("one", "two", "three"))
    assert masked(zchat("tail", "--unread", "general").stdout) == shown
    done = zchat("tail", "--unread", "General")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    say(broker, "General", "four")
    assert zchat("tail", "General").returncode == 0  # which marks nothing
    assert masked(zchat("tail", "--unread", "General").stdout) == "[12:00:00] bob: four\n"
    with library.Client(broker.url, user="carol") as client:
        assert {room.name: room.unread for room in client.rooms()}["General"] is None
    with library.Client(broker.url, user="alice") as client:
        assert {room.name: room.unread for room in client.rooms()}["General"] == 0
