"""The lists of a chat: rooms, and who is in one."""

from __future__ import annotations

import re

from tests.cli.chat.driver import Chat
from tests.running import eventually
from zchat import Client, RoomInfo
from zchat.broker import Broker
from zchat.cli.chat.listings import MEMBERS_SHOWN, messages_in, room_lines
from zchat.cli.chat.rooms import Unread


def test_members_of_a_crowd_are_counted_and_the_first_of_them_shown() -> None:
    with Broker("tcp://127.0.0.1:*", store="memory:", names=2) as small:
        others = [Client(small.url, user=f"user {number:02}") for number in range(MEMBERS_SHOWN + 4)]
        for other in others:
            other.join("General")
        with Chat(Client(small.url, user="alice"), ["General"]) as chat:
            eventually(lambda: any("departures are hidden" in text for text in chat.shown), "it is reported as a crowd")
            others[0].join("General").typing()
            eventually(lambda: "typing" in chat.conversation.status.typing, "somebody types")
            chat.shown.clear()
            chat.do("/members")
        for other in others:
            other.close()
    count, listed, more = chat.shown[-3:]
    assert count == f"* General has {MEMBERS_SHOWN + 5} members, 1 typing"
    assert listed.count("\n") == MEMBERS_SHOWN - 1
    assert re.search(r"^  “user 00”  since \d\d:\d\d:\d\d  typing$", listed, re.MULTILINE)
    assert more == "* and 5 more; zchat members lists all"


def test_rooms_count_what_is_unread_in_the_place_of_what_there_is() -> None:
    assert messages_in(12, 3) == "3 of 12 unread"
    assert messages_in(12, 0) == "12 messages"
    assert messages_in(1, 0) == "1 message"


ROOMS = [
    RoomInfo("Busy", 30, 1, 9000, None),
    RoomInfo("General", 2, 1, 500, 0),
    RoomInfo("Movies", 1, 1, 12, 3),
    RoomInfo("Quiet", 1, 1, 0, None),
    RoomInfo("Ubuntu-and-all-that-is-asked-of-it", 4, 1, 22_449, 80),
]
UNREAD = {"ubuntu-and-all-that-is-asked-of-it": Unread("Ubuntu", 71, 1, 22_449, 7)}
JOINED = {"general", "ubuntu-and-all-that-is-asked-of-it"}


def test_rooms_with_something_unread_come_first_and_then_the_busiest() -> None:
    lines = room_lines(ROOMS, JOINED, "General", UNREAD)
    assert [re.split(r"  +", line.strip(), maxsplit=3) for line in lines] == [
        ["* Ubuntu-and-all-that-is-asked-of-it", "4 members", "»71 of 22,449 unread"],
        ["Movies", "1 member", "3 of 12 unread"],
        ["Busy", "30 members", "9,000 messages"],
        ["> General", "2 members", "500 messages"],
        ["Quiet", "1 member", "0 messages"],
    ]


def test_on_a_small_screen_each_room_takes_a_row() -> None:
    assert room_lines(ROOMS, JOINED, "General", UNREAD, 40) == [
        "  * Ubuntu-and-…  4 here   »71 of 22,449",
        "    Movies        1 here   3 of 12",
        "    Busy          30 here  9,000",
        "  > General       2 here   500",
        "    Quiet         1 here   0",
    ]
