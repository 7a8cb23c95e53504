"""The rooms that a chat begins with, and what becomes of those that can't be joined."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.chat.driver import Chat, half
from zchat import Client, Room
from zchat.broker import Broker
from zchat.errors import Banned, DeadlineExceeded, NotAMember


def forbid(client: Client, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    """Have a client be banned from a room."""
    join = client.join

    def banned(name: str, **options: Any) -> Room:
        if name == room:
            raise Banned(f"you are banned from {room}", detail=0)
        return join(name, **options)

    monkeypatch.setattr(client, "join", banned)


def test_a_room_of_before_that_can_not_be_joined_is_left_out_and_the_others_are_there(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(broker.url, user="alice") as alice:
        forbid(alice, monkeypatch, "General")
        chat = Chat(alice)
        chat.conversation.begin(["Movies"], ["General", "Sports", "Crypto"])
        assert chat.shown[1:] == [
            "! General can't be joined again: you are banned from General",
            "* you are in Sports",
            "* you are also in Crypto",
        ]
        chat = Chat(alice)
        chat.conversation.begin(["Movies"], ["General"])
        assert chat.rooms.visited == ["Movies"]


def test_on_a_terminal_a_chat_begins_in_what_can_be_joined_and_a_script_not_at_all(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(broker.url, user="alice") as alice:
        forbid(alice, monkeypatch, "General")
        chat = Chat(alice, ["General", "Sports"], fits=half)
        assert chat.shown[1:] == ["! General can't be joined: you are banned from General", "* you are in Sports"]
        chat = Chat(alice, fits=half)
        chat.conversation.begin(["General"], ["General"])
        assert chat.shown[1:] == [
            "! General can't be joined again: you are banned from General",
            "* you are in no room: go to one with /join ROOM",
        ]
        chat.do("/join Crypto")
        chat.do("here")
        with pytest.raises(Banned):
            Chat(alice, ["General", "Sports"])


def test_who_is_put_out_of_a_room_while_joining_it_hears_of_that_though_the_broker_is_silent(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(room: Room, *, timeout: float) -> None:
        raise DeadlineExceeded(f"leaving {room.name!r}: the broker did not answer within {timeout} s")

    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports"], fits=half)
        join = alice.join

        def joined(name: str, **options: Any) -> Room:
            room = join(name, **options)
            chat.rooms.removed(name)
            return room

        monkeypatch.setattr(alice, "join", joined)
        monkeypatch.setattr(Room, "leave", late)
        with pytest.raises(NotAMember, match="you were put out of General at once"):
            chat.do("/join General")
