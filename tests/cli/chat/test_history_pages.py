"""The end of a room that one comes to, and `/messages`: page by page further back."""

from __future__ import annotations

from typing import Any, cast

import pytest

import zchat as library
from tests.cli.chat.driver import Chat
from tests.cli.driver import masked, say
from tests.running import Start
from zchat import Message, Position, Room
from zchat.broker import Broker
from zchat.cli.chat.history_pages import HistoryPages, Page
from zchat.errors import DeadlineExceeded


class Kept:
    """A room with so many messages."""

    name = "General"

    def __init__(self, count: int) -> None:
        self.position = Position(1, count)
        self._messages = [Message("General", seq, 0, "bob", "hi") for seq in range(1, count + 1)]

    def history(self, *, after: int | None = None, before: int | None = None, limit: int) -> list[Message]:
        if after is not None:
            return self._messages[after : after + limit]
        found = [each for each in self._messages if before is None or each.seq < before]
        return found[-limit:] if limit else []


def kept(count: int) -> Room:
    return cast(Room, Kept(count))


def ten(messages: list[Message], *, half: bool = False) -> int:
    return 5 if half else 10


def seqs(found: Any) -> list[int]:
    return [each.seq for each in found.messages]


def test_the_end_of_a_room_is_half_a_screen_and_then_messages_goes_on_before_it() -> None:
    pages = HistoryPages(ten)
    room = kept(100)
    entry = pages.entry(room, 99)
    assert (seqs(entry), entry.new) == ([96, 97, 98, 99, 100], 99)
    page = pages.next(room)
    assert (page.heading, seqs(page)) == ("earlier: messages 86 to 95 of General", list(range(86, 96)))
    pages.restart()
    page = pages.next(room)
    assert (page.heading, seqs(page)) == ("", list(range(91, 101)))
    assert page.new == 99, "where the user had stopped"
    assert pages.entry(room, 101).new == pages.next(room).new == 0


def test_what_is_new_where_the_end_can_not_be_had_for_the_moment_can_be_had_later() -> None:
    pages = HistoryPages(ten)
    slow = kept(100)
    slow.history = lambda **_: (_ for _ in ()).throw(DeadlineExceeded("slow"))  # type: ignore[method-assign]
    with pytest.raises(DeadlineExceeded):
        pages.entry(slow, 99)
    assert seqs(pages.new(kept(100))) == [99, 100]


def test_what_was_new_is_paged_through_in_order_however_much_of_it_the_end_has_shown() -> None:
    pages = HistoryPages(ten)
    room = kept(100)
    assert pages.new(room).heading == "nothing is new in General"
    pages.entry(room, 75)
    for first, last in ((75, 84), (85, 94), (95, 100)):
        page = pages.new(room)
        assert page.heading == f"new: messages {first} to {last} of General"
        assert seqs(page) == list(range(first, last + 1))
        pages.restart()
    assert pages.new(room) == Page("nothing more is new in General", [])
    lines = HistoryPages(None)
    lines.entry(room, 95)
    assert seqs(lines.new(room)) == list(range(95, 101)), "without a screen too"


def test_nothing_is_new_where_all_was_seen_and_nothing_is_shown_without_a_screen_or_messages() -> None:
    assert HistoryPages(ten).entry(kept(100), 101).new == 0
    for pages, room in ((HistoryPages(None), kept(100)), (HistoryPages(ten), kept(0))):
        assert pages.entry(room, 1) == ([], 0)


def test_messages_goes_back_page_by_page_and_says_where_it_is(start: Start, broker: Broker) -> None:
    say(broker, "General", *map(str, range(1, 16)))
    running = start("client", "--quiet", "General")
    running.until("* you are in General\n")
    running.write("/messages\n/messages\n/messages\n/list\n/messages 1\n/messages\n/quit\n")
    assert running.end() == 0
    lines = masked(running.text).splitlines()[2:]
    assert [line.removeprefix("[12:00:00] bob: ") for line in lines if not line.startswith("  ")] == [
        *map(str, range(6, 16)),
        "* earlier: messages 1 to 5 of General", *map(str, range(1, 6)),
        "* this is the beginning of General",
        "* the last message of General", "15",
        "* earlier: messages 5 to 14 of General", *map(str, range(5, 15)),
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


def test_at_most_a_thousand_messages_are_shown_at_once(broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob, library.Client(broker.url, user="alice") as client:
        bob.join("General").send_many(map(str, range(1500)))
        alice = Chat(client, ["General"])
        alice.shown.clear()
        alice.do("/messages 2000")
    assert alice.shown[0] == "* the last 1,000 messages of General; zchat tail shows more"
    lines = alice.shown[1].splitlines()
    assert (len(lines), lines[0].split()[-1], lines[-1].split()[-1]) == (1000, "500", "1499")
