"""`/messages`: what was missed, then page by page further back."""

from __future__ import annotations

import zchat as library
from tests.cli.chat.driver import Chat
from tests.cli.driver import masked, say
from tests.running import Start, eventually
from zchat.broker import Broker


def test_messages_shows_what_was_missed_and_again_what_was_before_it(start: Start, broker: Broker) -> None:
    say(broker, "General", *map(str, range(12)))
    running = start("client", "--quiet", "General")
    running.until("* you are in General\n")
    say(broker, "General", "before")
    running.until("bob: before\n")
    running.write("/join Sports\n")
    running.until("* you are in Sports\n")
    say(broker, "General", "meanwhile", "and this")
    running.until("#General bob: and this\n")
    running.write("/join General\n/messages\n/messages\n/messages\n/messages\n/list\n/messages 1\n/messages\n/quit\n")
    assert running.end() == 0
    lines = masked(running.text).splitlines()
    lines = lines[lines.index("* you are in General", 2) :]
    assert [line.removeprefix("[12:00:00] bob: ") for line in lines if not line.startswith("  ")] == [
        "* you are in General",
        *("meanwhile", "and this"),
        *map(str, range(3, 12)), "before",
        *map(str, range(3)),
        "* this is the beginning of General",
        "and this",
        *map(str, range(4, 12)), "before", "meanwhile",
    ]  # fmt: skip


def test_messages_shows_the_end_of_the_room_after_something_else_was_typed(start: Start, broker: Broker) -> None:
    say(broker, "General", "old")
    running = start("client", "--quiet", "General")
    running.until("* you are in General\n")
    running.write("/messages\n")
    running.until("bob: old\n")
    running.write("mine\n/messages\n/quit\n")
    assert running.end() == 0
    assert masked(running.text).splitlines()[2:] == [
        "[12:00:00] bob: old",
        "[12:00:00] alice: mine",
        "[12:00:00] bob: old",
        "[12:00:00] alice: mine",
    ]


def test_messages_of_a_long_absence_are_the_newest_thousand_of_it(broker: Broker) -> None:
    with (
        library.Client(broker.url, user="bob") as bob,
        library.Client(broker.url, user="alice", on_event=lambda event: None) as client,
    ):
        alice = Chat(client, ["General"])
        alice.do("/join Sports")
        last = bob.join("General").send_many(map(str, range(1500)))
        general = client.join("General")
        eventually(lambda: general.position.seq == last, "all of it has come")
        alice.do("/join General")
        bob.join("General").send("live")
        alice.shown.clear()
        alice.do("/messages")
    assert alice.shown[0] == "* the last 1,000 messages; zchat tail shows more"
    lines = alice.shown[1].splitlines()
    assert (len(lines), lines[0].split()[-1], lines[-1].split()[-1]) == (1000, "500", "1499")
