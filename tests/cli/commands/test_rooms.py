"""`zchat rooms`."""

from __future__ import annotations

import json
import re

import zchat as library
from tests.cli.driver import say
from tests.running import Zchat
from zchat.broker import Broker


def test_rooms_lists_rooms_members_and_messages(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two")
    with library.Client(broker.url, user="carol") as client:
        client.join("Movies")
        lines = zchat("rooms").stdout.splitlines()
        assert re.fullmatch(r"ROOM +MEMBERS +MESSAGES +UNREAD", lines[0])
        assert sorted(line.split()[0] for line in lines[1:]) == ["Crypto", "General", "Movies", "Sports", "Technology"]
        assert any(re.fullmatch(r"Movies +1 +2", line) for line in lines)
        listed = [json.loads(line) for line in zchat("rooms", "--json").stdout.splitlines()]
    assert {"name": "Movies", "members": 1, "first": 1, "last": 2, "unread": None} in listed


def test_rooms_tells_what_is_unread_where_there_is_something(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Movies", "one", "two", "three")
    say(broker, "Sports", "one")
    with library.Client(broker.url, user="alice") as client:
        client.mark_read("Movies", 1)
        client.mark_read("Sports", 1)
    lines = zchat("rooms").stdout.splitlines()
    assert any(re.fullmatch(r"Movies +0 +3 +2", line) for line in lines)
    assert any(re.fullmatch(r"Sports +0 +1", line) for line in lines)
    listed = {each["name"]: each["unread"] for each in map(json.loads, zchat("rooms", "--json").stdout.splitlines())}
    assert (listed["Movies"], listed["Sports"], listed["General"]) == (2, 0, None)
