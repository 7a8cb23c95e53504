"""Slips in what is typed: they are noticed before they do anything that lasts."""

from __future__ import annotations

import pytest

from tests.cli.chat.driver import Chat, half
from zchat import Client
from zchat.broker import Broker
from zchat.errors import NoSuchRoom, UsageError


def test_a_room_that_is_made_by_a_slip_is_said_to_be_new(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General"])
        chat.do("/join Genral")
        assert chat.shown[-2:] == ["* Genral is a new room; did you mean General?", "* you are in Genral"]
        chat.do("/join #general")
        assert chat.shown[-1:] == ["* you are in General"]
        chat.do("/join Quite another")
        assert chat.shown[-2] == "* “Quite another” is a new room"


def test_nothing_is_sent_to_who_was_never_seen_unless_one_says_so_again(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="bob") as bob:
        bob.join("General")
        chat = Chat(alice, ["General"], fits=half)
        for line in ("/msg bbo psst", "/msg bbo", "/join @bbo"):
            with pytest.raises(UsageError, match="no user bbo was seen here; did you mean bob"):
                chat.do(line)
        assert chat.rooms.current_name == "General"
        with pytest.raises(NoSuchRoom):
            alice.history("@bbo")
        chat.do("/msg! bbo psst")
        assert [message.body for message in alice.history("@bbo")] == ["psst"]
        chat.do("/msg bbo again")
        chat.do("/msg! Zoe")
        assert chat.rooms.current_name == "@Zoe"
        chat.do("/msg bob, hello")
        assert [message.body for message in alice.history("@bob")] == ["hello"]


def test_a_script_is_warned_of_who_was_never_seen_and_its_text_is_sent(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="bob") as bob:
        bob.join("General")
        bob.direct("alice").send("earlier")
        chat = Chat(alice, ["General"])
        chat.do("/msg bbo psst")
        assert "! no user bbo was seen here; did you mean bob?" in chat.shown
        assert [message.body for message in alice.history("@bbo")] == ["psst"], "it is sent all the same"
        chat.do("/msg Zoe")
        assert "! no user Zoe was seen here" in chat.shown
        chat.do("/msg BOB hello")
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["Sports"])
        chat.do("/msg bob hello")
        assert not [text for text in chat.shown if "was seen" in text], "there was a message of bob's"


def test_another_room_can_be_left_and_asked_about(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General", "Sports"])
        chat.do("/members sports")
        assert "* Sports has 1 member" in chat.shown
        chat.do("/leave #Sports")
        assert (chat.shown[-1], chat.rooms.current_name) == ("* you left Sports", "General")
        with pytest.raises(UsageError, match="you are not in Sports"):
            chat.do("/leave Sports")
        chat.do("/ignore nobody")
        assert chat.shown[-1].endswith("/ignore nobody (nobody of that name was seen yet)")
