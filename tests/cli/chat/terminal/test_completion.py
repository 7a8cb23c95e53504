"""What Tab completes in a chat."""

from __future__ import annotations

from typing import cast

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from zchat import Client, Member, Room, Sanction
from zchat.broker import Broker
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.terminal.completion import ChatCompleter


def test_tab_completes_the_names_of_people_after_msg_and_in_what_is_said(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="Bob Smith") as bob:
        rooms, people = Rooms(), People("alice")

        def completed(text: str) -> list[str]:
            found = ChatCompleter(alice, rooms, people).get_completions(Document(text), CompleteEvent())
            return [completion.text for completion in found]

        assert completed("/msg ") == []
        rooms.add(alice.join("General"))
        rooms.go_to(rooms.get("General"))
        bob.join("General")
        with Client(broker.url, user="bert") as bert:
            bert.join("General")
            assert completed("/msg ") == ["bert ", '"Bob Smith" ']
            assert completed("/msg bo") == completed('/msg "BOB s') == ['"Bob Smith" ']
            assert completed("/msg bert h") == completed("/msg x") == []
            assert completed("/q") == ["/quit"]
            assert completed("/pa") == ["/part"]
            assert completed("/query be") == completed("/msg! be") == ["bert "]
            assert completed("/ms") == ["/msg "]
            assert completed("be") == ["bert: "]
            assert completed("@be") == completed("hello @Be") == ["@bert "]
            assert completed("/ignore be") == ["bert "]
            alice.direct("bbo").send("a slip")
            alice.direct("bert").send("no slip")
            assert completed("/join @b") == []
            people.saw("Bert")
            assert completed("/join @b") == ["@bert"]
            assert completed("/join #Gen") == completed("/watch Gen") == ["General"]
            assert completed("hello BE") == completed("hello\nbe") == completed("//be be") == ["bert "]
            assert completed("") == completed("hello ") == completed("x") == []
    assert completed("/msg ") == []


def test_tab_completes_who_is_to_be_put_out_though_they_have_gone_and_who_may_come_back() -> None:
    class Here:
        """A room with two others, from which some are banned, and in which some are muted."""

        name = "General"

        def members(self, timeout: float) -> list[Member]:
            return [Member(user, 0, 0, False) for user in ("alice", "bob", "Bob Smith")]

        def sanctions(self, timeout: float) -> list[Sanction]:
            bans = [("eve", "ban"), ("mallory m", "ban"), ("bob", "mute"), ("", "closed")]
            return [Sanction("General", user, kind, None, "alice", 0.0, "") for user, kind in bans]

    class Alice:
        user = "alice"

        def sanctions(self, timeout: float) -> list[Sanction]:
            return [Sanction(None, "frank", "ban", None, "alice", 0.0, "")]

    rooms, people = Rooms(), People("alice")
    rooms.add(cast(Room, Here()))
    rooms.go_on()
    for user in ("bobby", "bob", "eve", "alice"):
        people.saw(user)

    def completed(text: str) -> list[str]:
        completer = ChatCompleter(cast(Client, Alice()), rooms, people)
        return [each.text for each in completer.get_completions(Document(text), CompleteEvent())]

    for word in ("/kick", "/BAN", "/mute"):
        assert completed(f"{word} ") == ["bob ", '"Bob Smith" ', "eve ", "bobby "]
        assert completed(f"{word} bobb") == ["bobby "]
    assert completed("/unban ") == ["eve ", '"mallory m" ']
    assert completed("/unmute b") == ["bob "]
    assert completed("/ki") == ["/kick "]
    assert completed("/ban") == ["/ban ", "/bans "]
    for word in ("/ban", "/unban", "/bans"):
        assert completed(f"{word} --e") == ["--everywhere "]
    assert completed("/ban --everywhere bobb") == ["bobby "]
    assert completed("/unban --everywhere ") == ["frank "]
    assert completed("/bans --everywhere ") == completed("/mute --e") == []
