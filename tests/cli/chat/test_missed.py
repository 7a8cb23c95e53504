"""What one has missed: the messages of others after one's read mark, and who was meant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.driver import say
from zchat import Client, Message, RoomInfo
from zchat.broker import Broker
from zchat.cli.chat.missed import ELSEWHERE, SEARCHED, Missed, first_unread
from zchat.cli.chat.rooms import Unread
from zchat.errors import Banned


def mentions(message: Message) -> bool:
    return "alice" in str(message.body)


def nobody(user: str) -> bool:
    return False


def test_a_room_that_was_never_read_has_nothing_unread_and_a_direct_one_all() -> None:
    assert first_unread(RoomInfo("General", 1, 1, 9, None)) == 0
    assert first_unread(RoomInfo("@bob", 1, 3, 9, None)) == 3
    assert first_unread(RoomInfo("General", 1, 1, 9, 2)) == 8
    assert first_unread(RoomInfo("General", 1, 1, 9, 0)) == first_unread(RoomInfo("@bob", 1, 1, 0, None)) == 0


def test_ones_own_words_are_no_news_and_a_mention_is_found_and_kept(broker: Broker) -> None:
    say(broker, "General", "mine", user="ALICE")
    say(broker, "General", "one", "alice: two", "three")
    say(broker, "General", "mine", user="alice")
    found: list[Message] = []
    with Client(broker.url, user="alice") as alice:
        missed = Missed(alice, mentions, nobody, found.extend)
        assert missed.count(RoomInfo("General", 1, 1, 5, 5), 5) == Unread("General", 3, 2, 5, 3)
        assert missed.count(RoomInfo("General", 1, 1, 5, 1), 5) is None
        assert missed.count(RoomInfo("General", 1, 1, 5, 0), 5) is None
        assert missed.mentioned_by("General", 1, 5) == "bob"
        assert missed.mentioned_by("General", 4, 5) == ""
    assert {message.body for message in found} == {"alice: two"}


def test_what_ignored_users_say_is_neither_missed_nor_a_mention(broker: Broker) -> None:
    say(broker, "General", "alice: one", user="troll")
    say(broker, "General", "two")
    say(broker, "General", "alice: three", user="troll")
    found: list[Message] = []
    with Client(broker.url, user="alice") as alice:
        missed = Missed(alice, mentions, lambda user: user == "troll", found.extend)
        assert missed.count(RoomInfo("General", 1, 1, 3, 3), 3) == Unread("General", 1, 2, 3, 0)
        assert missed.count(RoomInfo("General", 1, 1, 3, 1), 3) is None
        assert missed.mentioned_by("General", 1, 3) == ""
    assert not found


def test_what_came_after_the_rooms_were_asked_for_is_missed_too(broker: Broker) -> None:
    say(broker, "General", "read", "just now")
    with Client(broker.url, user="alice") as alice:
        missed = Missed(alice, mentions, nobody, lambda messages: None)
        assert missed.count(RoomInfo("General", 1, 1, 1, 0), 2) == Unread("General", 1, 2, 2, 0)


def test_of_many_messages_the_latest_are_searched_and_all_are_counted(broker: Broker) -> None:
    say(broker, "General", "alice?", *map(str, range(SEARCHED)))
    with Client(broker.url, user="alice") as alice:
        missed = Missed(alice, mentions, nobody, lambda messages: None)
        info = RoomInfo("General", 1, 1, SEARCHED + 1, SEARCHED + 1)
        assert missed.count(info, SEARCHED + 1) == Unread("General", SEARCHED + 1, 1, SEARCHED + 1, 0)


def test_what_is_unread_in_other_rooms_is_a_line(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        missed = Missed(alice, mentions, nobody, lambda messages: None)
        assert missed.elsewhere(alice.rooms(), []) == ""
        for number in range(ELSEWHERE + 2):
            say(broker, f"room {number}", "old", "alice!", "new")
            alice.mark_read(f"room {number}", 1)
        infos = alice.rooms()
        assert missed.elsewhere(infos, ["room 0", *(f"room {number}" for number in range(2, ELSEWHERE + 2))]) == (
            "“room 1” »2"
        )
        assert missed.in_others(infos, [])["room 1"] == Unread("room 1", 2, 2, 3, 2)
        assert len(missed.in_others(infos, [])) == ELSEWHERE
        assert missed.elsewhere(infos, []).endswith(" »2 …: /list")


def test_a_room_that_the_user_may_not_read_spoils_nothing_of_the_others(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("General", "Sports"):
        say(broker, room, "old", "new")
    with Client(broker.url, user="alice") as alice:
        for room in ("General", "Sports"):
            alice.mark_read(room, 1)
        history = alice.history

        def banned(room: str, **options: Any) -> list[Message]:
            if room == "General":
                raise Banned("you are banned from 'General' for ever, by bob", detail=0)
            return history(room, **options)

        monkeypatch.setattr(alice, "history", banned)
        missed = Missed(alice, mentions, nobody, lambda messages: None)
        assert missed.elsewhere(alice.rooms(), []) == "Sports 1"
        assert missed.in_others(alice.rooms(), [])["general"].number == 0, "there is nothing to be read"
