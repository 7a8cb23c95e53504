"""`zchat tail`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

import msgpack
import pytest

import zchat as library
from tests.cli.driver import masked, say
from tests.running import Zchat, eventually
from zchat.broker import Broker
from zchat.cli.tail.reading import arriving

# -- tail --------------------------------------------------------------------------------------------


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


def test_tail_reads_a_long_history_page_by_page(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Long", *range(2_500))
    lines = zchat("tail", "--after", "0", "--json", "Long").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == list(range(2_500))


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


def test_tail_tells_of_what_is_no_longer_kept(zchat: Zchat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.rooms.retention.RETAIN_EVERY", 0.05)
    with Broker("tcp://127.0.0.1:*", store="memory:", retain_messages=10) as small:
        with library.Client(small.url, user="bob") as client:
            room = client.join("General")
            for number in range(1, 41):
                room.send(str(number))
            general = (each for _ in iter(int, 1) for each in client.rooms() if each.name == "General")
            eventually(lambda: next(general).first == 31, "retention trims the room")
        done = zchat("tail", "--after", "0", "General", ZCHAT_URL=small.url)
        assert done.stderr == "zchat: General: messages 1 to 30 are no longer kept\n"
        assert masked(done.stdout) == "".join(f"[12:00:00] bob: {n}\n" for n in range(31, 41))
        assert zchat("tail", "-n", "99", "General", ZCHAT_URL=small.url).stderr == ""


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


def test_tail_shows_all_pages_of_what_is_unread_in_a_direct_room(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        bob.direct("alice").send_many(map(str, range(1500)))
    lines = zchat("tail", "--unread", "--json", "@bob").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == list(map(str, range(1500)))
    assert zchat("tail", "--unread", "@bob").stdout == ""


# -- gaps --------------------------------------------------------------------------------------------


def test_tail_tells_a_gap_on_standard_error_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Gappy:
        """A client whose events begin with a gap."""

        def events(self, timeout: float) -> Iterator[library.Event]:
            yield library.Gap("General", 2, 7, "trimmed")
            yield library.Message("General", 8, 0, "bob", "hi")

    coming = arriving(cast(library.Client, Gappy()))
    assert next(coming) is None
    assert next(coming) == library.Message("General", 8, 0, "bob", "hi")
    assert capsys.readouterr().err == "zchat: General: messages 3 to 7 are no longer kept\n"
