"""What Tab completes in a chat."""

from __future__ import annotations

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from zchat import Client
from zchat.broker import Broker
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.terminal.completion import ChatCompleter


def test_tab_completes_the_names_of_people_behind_msg_and_in_what_is_said(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="Bob Smith") as bob:
        rooms, people = Rooms(), People("alice")

        def completed(text: str) -> list[str]:
            found = ChatCompleter(alice, rooms, people).get_completions(Document(text), CompleteEvent())
            return [completion.text for completion in found]

        assert completed("/msg ") == []
        rooms.go_to(alice.join("General"))
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
