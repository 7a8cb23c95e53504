"""The rooms that a chat begins with, and what becomes of those that can't be joined."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.chat.driver import Chat, half
from tests.cli.driver import say
from tests.running import eventually
from zchat import Client, Room
from zchat.broker import Broker
from zchat.cli.chat import rooms
from zchat.cli.chat.conversation import Options
from zchat.errors import Banned, DeadlineExceeded, NotAMember
from zchat.protocol.faces import invitations


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


def test_in_a_room_that_one_may_not_read_nothing_is_marked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rules").write_text('[[rooms]]\nnames = ["Ops"]\nread = ["somebody"]\n')
    address, store = f"ipc://{tmp_path}/s", f"sqlite:{tmp_path}/db"
    with Broker(address, store=store) as broker:
        for name in ("Ops", "Sports"):
            say(broker, name, "said")
    with Broker(address, store=store, logins=True, rules=tmp_path / "rules"), Client(address) as client:
        chat = Chat(client, ["General", "Ops", "Sports"])
        assert chat.shown[-2:] == ["* you are also in Ops", "* you are also in Sports"]
        eventually(lambda: {info.name: info.unread for info in client.rooms()}["Sports"] == 0, "what can be is marked")
        assert caplog.messages == []


@pytest.mark.parametrize("marks", [True, False], ids=["marking", "not marking"])
def test_a_direct_room_that_was_joined_by_itself_is_marked_by_what_is_drawn(broker: Broker, marks: bool) -> None:
    waiting: list[Callable[[], object]] = []

    def draw_later(text: str, shown: Callable[[], object]) -> None:
        if "psst" in text:
            waiting.append(shown)

    def unread() -> int | None:
        return {info.name: info.unread for info in looker.rooms()}["@bob"]

    options = Options(read_marks=marks)
    with (
        Client(broker.url, user="bob") as bob,
        Client(broker.url, user="alice", invitations=False) as looker,
        Chat(
            Client(broker.url, user="alice", invitations="unmarked"), ["General"], options=options, show=draw_later
        ) as chat,
    ):
        room = bob.direct("alice")
        for number in (1, 2):
            room.send("psst")
            eventually(lambda number=number: len(waiting) == number, "it is to be drawn")  # type: ignore[misc]
        assert unread() is None  # no mark: nothing is read
        waiting[0]()
        eventually(lambda: unread() == 1, "what is drawn is read")
        chat.do("/leave @bob")
    with Client(broker.url, user="alice", invitations=False) as looker:
        assert unread() == 1


def test_who_writes_after_many_others_is_shown_too(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "INVITED", 2)
    monkeypatch.setattr(invitations, "MAX_INVITED", 4)
    with Chat(Client(broker.url, user="alice"), ["General"]) as chat:
        for name in ("bob", "carol", "dave", "eve", "frank", "bob"):
            with Client(broker.url, user=name) as other:
                other.direct("alice").send(f"{name} says")
            eventually(lambda name=name: f"{name} says" in chat.shown[-1], lambda: f"{chat.shown}")  # type: ignore[misc]
            chat.shown.append("")
        assert chat.rooms.joined == {"general", "@frank", "@bob"}


def test_what_came_in_a_room_that_was_empty_at_the_last_chat_is_unread(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        Chat(alice, ["General", "Sports"])
    say(broker, "Sports", "one", "two")
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, fits=half)
        chat.conversation.begin(["General", "Sports"], before=["General", "sports"])
        assert [(each.room, each.number) for each in chat.conversation.status.new] == [("Sports", 2)]
        chat = Chat(alice, fits=half)
        chat.conversation.begin(["General"], before=["General", "sports"])
        assert chat.shown[-1] == "* unread elsewhere: Sports 2"
