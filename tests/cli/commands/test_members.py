"""`zchat members`."""

from __future__ import annotations

import json
import re

import zchat as library
from tests.cli.driver import masked
from tests.running import Zchat, eventually
from zchat.broker import Broker


def test_members_lists_who_is_in_a_room_and_since_when(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob smith") as bob, library.Client(broker.url, user="carol") as carol:
        room = bob.join("General")
        carol.join("General")
        room.typing()
        eventually(lambda: any(each.typing for each in room.members()), "bob types")
        lines = zchat("members", "General").stdout.splitlines()
        room.typing()
        listed = [json.loads(line) for line in zchat("members", "general", "--json").stdout.splitlines()]
        assert [each.user for each in room.members()] == ["bob smith", "carol"]  # and nobody who asked
    assert re.fullmatch(r"USER +SINCE", lines[0])
    assert re.fullmatch(r"“bob smith” +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[1])
    assert re.fullmatch(r"carol +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[2])
    assert [list(each) for each in listed] == [["user", "since", "since_time", "typing"]] * 2
    assert [(each["user"], each["typing"]) for each in listed] == [("bob smith", True), ("carol", False)]
    assert all(each["since"] > 1_700_000_000_000_000 for each in listed)


def test_members_never_makes_a_room(zchat: Zchat) -> None:
    for name in ("Nowhere", "@bob"):
        done = zchat("members", name)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"zchat: there is no room {name}; zchat rooms lists the rooms that exist\n"
    assert "Nowhere" not in zchat("rooms").stdout
    assert zchat("members", "General").stdout == "USER  SINCE\n"
    assert zchat("members", "General", "--json").stdout == ""


def test_direct_rooms_are_named_by_the_other_user(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        assert zchat("send", "@bob", "psst").returncode == 0
        bob.direct("alice")
        assert zchat("members", "@bob").stdout.splitlines()[1].split()[0] == "bob"
    assert masked(zchat("tail", "@bob").stdout) == "[12:00:00] alice: psst\n"
    assert "@bob" in zchat("rooms").stdout
    assert "@" not in zchat("rooms", ZCHAT_USER="carol").stdout
