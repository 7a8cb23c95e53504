"""The lists of a chat: rooms, and who is in one."""

from __future__ import annotations

import re

from tests.cli.chat.driver import Chat
from tests.running import eventually
from zchat import Client, RoomInfo
from zchat.broker import Broker
from zchat.cli.chat.listings import MEMBERS_SHOWN, messages_in


def test_members_of_a_crowd_are_counted_and_the_first_of_them_shown() -> None:
    with Broker("tcp://127.0.0.1:*", store="memory:", names=2) as small:
        others = [Client(small.url, user=f"user {number:02}") for number in range(MEMBERS_SHOWN + 4)]
        for other in others:
            other.join("General")
        with Chat(Client(small.url, user="alice"), ["General"]) as chat:
            eventually(lambda: any("departures are hidden" in text for text in chat.shown), "it is told to be a crowd")
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
    assert messages_in(RoomInfo("General", 1, 1, 12, 3)) == "3 of 12 unread"
    assert messages_in(RoomInfo("General", 1, 1, 12, 0)) == "12 messages"
    assert messages_in(RoomInfo("General", 1, 1, 1, None)) == "1 message"
