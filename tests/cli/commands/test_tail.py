"""`zchat tail`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import msgpack

import zchat as library
from tests.cli.driver import masked, say
from tests.running import Start, Zchat, eventually
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
    assert list(first) == ["room", "seq", "timestamp", "time", "user", "body"]
    assert first["timestamp"] > 1_700_000_000_000_000
    moment = datetime.fromisoformat(first.pop("time")).timestamp()
    assert round(moment * 1_000_000) == first.pop("timestamp")
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


def test_unread_begins_with_the_latest_of_a_room_that_was_never_read(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", *map(str, range(30)))
    say(broker, "@alice", *map(str, range(30)))
    shown = "".join(f"[12:00:00] bob: {number}\n" for number in range(20, 30))
    assert masked(zchat("tail", "--unread", "General").stdout) == shown
    assert zchat("tail", "--unread", "General").stdout == ""
    assert zchat("tail", "--unread", "@bob").stdout.count("\n") == 30, "all of it is meant for one"


def test_several_rooms_are_shown_by_time_each_line_with_its_room(zchat: Zchat, broker: Broker) -> None:
    for text, room in (("one", "General"), ("two", "Sports"), ("three", "General"), ("four", "Movies")):
        say(broker, room, text)
    shown = "[12:00:00] #General bob: one\n[12:00:00] #Sports bob: two\n[12:00:00] #General bob: three\n"
    assert masked(zchat("tail", "General", "sports", "GENERAL").stdout) == shown
    assert masked(zchat("tail", "--all").stdout) == f"{shown}[12:00:00] #Movies bob: four\n"
    lines = zchat("tail", "-n", "1", "--json", "General", "Sports").stdout.splitlines()
    assert [(json.loads(line)["room"], json.loads(line)["body"]) for line in lines] == [
        ("Sports", "two"),
        ("General", "three"),
    ]


def test_several_rooms_are_followed(start: Start, broker: Broker) -> None:
    running = start("tail", "-f", "--unread", "General", "Sports")
    with library.Client(broker.url, user="bob") as bob:
        rooms = [bob.join(name) for name in ("General", "Sports")]
        eventually(lambda: all(room.member_count == 2 for room in rooms), "it has joined both")
        for number in range(6):
            rooms[number % 2].send(str(number))
        running.until("#Sports bob: 5")
        assert [line[-1] for line in running.text.splitlines()] == [*"012345"]
        with library.Client(broker.url, user="alice") as alice:
            eventually(lambda: {room.unread for room in alice.rooms()} == {0, None}, "both are marked as read")
    running.process.terminate()
    assert running.end() == 143


def test_many_messages_of_several_rooms_come_in_the_order_of_their_times(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        rooms = [bob.join(name) for name in ("General", "Sports", "Movies")]
        for start in range(0, 3_000, 50):
            rooms[start // 50 % 3].send_many(range(start, start + 50))
    lines = [json.loads(line) for line in zchat("tail", "--all", "-n", "9999", "--json").stdout.splitlines()]
    assert [line["body"] for line in lines] == list(range(3_000))


def test_all_are_the_rooms_but_direct_ones(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", "to all")
    with library.Client(broker.url, user="bob") as bob:
        bob.direct("alice").send("psst")
    assert masked(zchat("tail", "--all").stdout) == "[12:00:00] #General bob: to all\n"
    assert "psst" in zchat("tail", "@bob", "General").stdout


def test_since_begins_at_a_time_whatever_was_trimmed_before(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        room = bob.join("General")
        stored = []
        for number in range(20):
            stored.append(room.send(number))
            time.sleep(0.002)
    for first in (0, 1, 7, 19):
        since = datetime.fromtimestamp(stored[first].timestamp / 1e6, UTC).isoformat()
        lines = zchat("tail", "--json", "--since", since, "General").stdout.splitlines()
        assert [json.loads(line)["body"] for line in lines] == list(range(first, 20))
    assert len(zchat("tail", "--since", "1h", "General").stdout.splitlines()) == 20
    assert len(zchat("tail", "--since", "1h", "--all").stdout.splitlines()) == 20
    assert zchat("tail", "--since", "2100-01-01", "General").stdout == ""
    assert zchat("tail", "--since", "0s", "Sports").stdout == ""


def test_where_to_begin_on_the_command_line_stands_before_a_file_or_variable(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", *"abc")
    assert len(zchat("tail", "General", ZCHAT_TAIL_N="2").stdout.splitlines()) == 2
    assert len(zchat("tail", "--after", "0", "General", ZCHAT_TAIL_N="2").stdout.splitlines()) == 3
    assert len(zchat("tail", "General", ZCHAT_TAIL_ALL="1").stdout.splitlines()) == 3
    assert zchat("tail", "General", ZCHAT_TAIL_N="2", ZCHAT_TAIL_AFTER="0").returncode == 2
