"""What is unread, and what is meant for one: counted by one rule everywhere, and never lost sight of."""

from __future__ import annotations

import re

import pytest

from tests.cli.chat.driver import Chat, half, shown_to, unread
from tests.cli.driver import say
from tests.running import Start, eventually
from zchat import Client, Gap, GapReason, Message, RoomInfo
from zchat.broker import Broker
from zchat.cli.chat.conversation import Options
from zchat.cli.chat.transcript import NEW_LINE
from zchat.errors import DeadlineExceeded, NotAllowed, UsageError


def new(chat: Chat) -> list[tuple[str, int]]:
    return [(each.room, each.number) for each in chat.conversation.status.new]


def test_what_one_reads_or_says_in_another_chat_no_longer_counts_in_this_one(broker: Broker) -> None:
    with (
        Client(broker.url, user="bob") as bob,
        Client(broker.url, user="alice") as elsewhere,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"]) as chat,
    ):
        chat.conversation.hide("Sports")
        other = elsewhere.join("Sports")
        other.send("my own words")
        eventually(lambda: unread(elsewhere)["Sports"] == 0, "what one said where all was read is read")
        for text in ("one", "two"):
            bob.join("Sports").send(text)
        eventually(lambda: new(chat) == [("Sports", 2)], "they are counted")
        other.mark_read(2)
        eventually(lambda: new(chat) == [("Sports", 1)], "one of them was read elsewhere")
        other.mark_read(3)
        eventually(lambda: not new(chat), "they were read elsewhere")


def test_reading_begins_where_one_joins_so_that_all_count_the_same(broker: Broker) -> None:
    say(broker, "Sports", "long ago")
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="bob") as bob:
        chat = Chat(alice, ["General", "Sports"], fits=half)
        eventually(lambda: unread(alice)["Sports"] == 0, "what was there before is no news")
        assert not new(chat)
        bob.join("Sports").send("new")
        assert unread(alice)["Sports"] == 1
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General", "Sports"], fits=half)
        assert new(chat) == [("Sports", 1)], "the next time too"
        chat.shown.clear()
        chat.do("/list")
        assert re.search(r"^  \* Sports +\d members?  +1 of 2 unread$", chat.shown[0], re.MULTILINE)
        assert chat.shown[0].startswith("  * Sports"), "what is unread comes first"


def test_ones_own_words_are_not_new_when_one_comes_back(broker: Broker) -> None:
    say(broker, "Sports", "old")
    with Client(broker.url, user="alice") as alice:
        alice.mark_read("Sports", 1)
        say(broker, "Sports", "mine", "mine too", user="alice")
        chat = Chat(alice, ["General", "Sports"], fits=half)
        assert not new(chat)
        chat.do("/join Sports")
        assert NEW_LINE not in shown_to(chat)


def test_who_mentioned_one_in_what_is_not_shown_is_named_and_all_of_it_can_be_read(broker: Broker) -> None:
    say(broker, "Sports", "old", "alice: look here", *(f"line {number}" for number in range(6)))
    with Client(broker.url, user="alice") as alice:
        alice.mark_read("Sports", 1)
        chat = Chat(alice, ["General", "Sports"], fits=half, own_name="alice")
        assert chat.conversation.status.new == (("Sports", 7, 2, 8, 2),)
        chat.shown.clear()
        chat.do("/next")
        assert shown_to(chat) == [
            "* you are in Sports",
            "* bob mentioned you in what is not shown: /mentions; /unread shows all that is new, in order",
            "--- the last 3 of 7 new ---",
            *(f"bob: line {number}" for number in (3, 4, 5)),
        ]
        chat.do("/mentions")
        assert shown_to(chat) == ["#Sports » bob: alice: look here"]
        chat.do("/unread")
        assert shown_to(chat)[:3] == [
            "* new: messages 2 to 4 of Sports",
            "» bob: alice: look here",
            "bob: line 0",
        ]
        with pytest.raises(UsageError, match="nothing is new in your other rooms"):
            chat.do("/next")


def test_what_is_meant_for_one_rings_and_is_listed_and_what_is_ignored_is_neither(broker: Broker) -> None:
    with (
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"], fits=half, own_name="alice") as chat,
    ):
        chat.do("/mentions")
        assert chat.shown[-1] == "* nobody has mentioned you or written to you since you came"
        bob.join("General").send("nobody in particular")
        bob.join("General").send("alice?")
        bob.direct("alice").send("psst")
        bob.join("Sports").send("hey alice")
        eventually(lambda: chat.rung == 3, "each rings")
        assert new(chat)[0][0] in ("General", "@bob", "Sports")
        assert dict(new(chat)) == {"General": 1, "@bob": 1, "Sports": 1}
        chat.conversation.key()
        assert dict(new(chat)) == {"Sports": 1}
        chat.shown.clear()
        chat.do("/mentions")
        assert sorted(shown_to(chat)) == ["#General » bob: alice?", "#Sports » bob: hey alice", "» bob → alice: psst"]
        chat.do("/ignore bob")
        bob.join("General").send("alice!")
        bob.join("Movies").send("to be sure")
        chat.do("/mentions")
        assert (chat.rung, chat.shown[-1]) == (3, "* nobody has mentioned you or written to you since you came")


def test_a_room_that_was_empty_when_one_came_has_what_was_said_since_as_unread_the_next_time(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        Chat(alice, ["General", "Sports"], fits=half)
    say(broker, "Sports", "first")
    say(broker, "Movies", "never read")
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, fits=half)
        chat.conversation.begin(["Crypto"], ["General", "Sports", "Gone", "/no room"])
        assert new(chat) == [("Sports", 1)]
        assert not [text for text in chat.shown if "Gone" in text or "Movies" in text or "Crypto" in text]
        chat.conversation.begin(["Crypto"], ["Gone"])
        assert chat.shown[-1] == "* you are in Crypto", "there was nothing of before"


def test_rooms_that_one_is_not_in_count_by_the_same_rule(broker: Broker) -> None:
    say(broker, "Sports", "old")
    with Client(broker.url, user="alice") as alice:
        alice.mark_read("Sports", 1)
        say(broker, "Sports", "new, alice")
        say(broker, "Sports", "mine", user="alice")
        chat = Chat(alice, ["General"], fits=half, own_name="alice")
        assert chat.shown[-1] == "* unread elsewhere: Sports »1"
        chat.do("/list")
        assert re.search(r"^    Sports +0 members +»1 of 3 unread$", chat.shown[-1], re.MULTILINE)


def test_what_an_ignored_user_says_is_no_mention_anywhere(broker: Broker) -> None:
    say(broker, "Sports", "old")
    with Client(broker.url, user="alice") as alice:
        alice.mark_read("Sports", 1)
    say(broker, "Sports", "alice: spam", user="troll")
    say(broker, "Sports", "one", "two", "three", "four")
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General", "Sports"], fits=half, own_name="alice")
        assert chat.conversation.status.new == (("Sports", 5, 2, 6, 2),)
        chat.do("/ignore troll")
        assert chat.conversation.status.new == (("Sports", 5, 2, 6, 0),)
        chat.do("/ignore troll")
        assert chat.conversation.status.new == (("Sports", 5, 2, 6, 2),)
        chat.do("/ignore troll")
        chat.shown.clear()
        chat.do("/list")
        assert "»" not in chat.shown[0]
        chat.do("/join Sports")
        assert "* /unread shows all that is new, in order" in shown_to(chat)
        chat.do("/mentions")
        assert shown_to(chat) == ["* nobody has mentioned you or written to you since you came"]


# -- marks, which cover all before them --------------------------------------------------------------


def all_read_but(broker: Broker, room: str, *texts: str) -> None:
    """Store texts in a room of which alice has read all before them."""
    say(broker, room, "old")
    with Client(broker.url, user="alice") as alice:
        alice.mark_read(room, 1)
    say(broker, room, *texts)


def have_marked(chat: Chat) -> None:
    """Wait until the broker has what was marked as read by what was shown so far."""
    chat.do("/messages 0")  # waits for what is being shown
    chat.do("/list")  # waits for an answer over the same connection


def test_what_is_watched_is_marked_once_what_was_not_shown_before_is(broker: Broker) -> None:
    all_read_but(broker, "Sports")
    with (
        Client(broker.url, user="alice") as looker,
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"], fits=half) as chat,
    ):
        sports = bob.join("Sports")

        def shows(text: str) -> None:
            sports.send(text)
            eventually(lambda: text in chat.shown[-1], "it is shown")

        chat.do("/watch Sports")
        shows("read")
        eventually(lambda: unread(looker)["Sports"] == 0, "what is watched is read")
        chat.do("/hide Sports")
        sports.send("hidden")
        eventually(lambda: new(chat) == [("Sports", 1)], "it is counted")
        chat.do("/watch Sports")
        shows("watched")
        have_marked(chat)
        assert unread(looker)["Sports"] == 2, "the hidden one was not shown"
        chat.do("/join Sports")
        eventually(lambda: unread(looker)["Sports"] == 0, "its end is shown")
        chat.do("/join General")
        assert not new(chat)
        shows("watched again")
        eventually(lambda: unread(looker)["Sports"] == 0, "what is watched is read")


@pytest.mark.parametrize("way", ["watched", "all rooms"])
def test_what_was_unread_in_a_room_that_is_shown_beside_the_current_one_stays_unread(broker: Broker, way: str) -> None:
    all_read_but(broker, "Sports", "missed", "missed too")
    everywhere = way == "all rooms"
    with (
        Client(broker.url, user="alice") as looker,
        Client(broker.url, user="bob") as bob,
        Chat(
            Client(broker.url, user="alice"),
            ["General", "Sports"] if everywhere else ["General"],
            Options(all_rooms=everywhere),
            fits=half,
        ) as chat,
    ):
        if not everywhere:
            chat.do("/watch Sports")
        bob.join("Sports").send("watched")
        eventually(lambda: "watched" in chat.shown[-1], "it is shown")
        have_marked(chat)
        assert unread(looker)["Sports"] == 3
        assert new(chat) == [("Sports", 2)]
        chat.do("/join Sports")
        eventually(lambda: unread(looker)["Sports"] == 0, "its end is shown")


def test_what_was_not_shown_of_a_log_that_is_gone_counts_no_more(broker: Broker) -> None:
    all_read_but(broker, "Sports")
    with (
        Client(broker.url, user="alice") as looker,
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"], fits=half) as chat,
    ):
        sports = bob.join("Sports")
        sports.send_many(["one", "two"])
        eventually(lambda: new(chat) == [("Sports", 2)], "they are counted")
        chat.conversation.take(Gap("Sports", 1, 7, GapReason.TRIMMED))
        assert new(chat) == [("Sports", 2)]
        chat.conversation.take(Gap("Sports", 1, 7, GapReason.RESET))
        assert not new(chat)
        chat.do("/watch Sports")
        sports.send("shown")
        eventually(lambda: unread(looker)["Sports"] == 0, "what is shown of the new log is marked")


def test_what_the_user_may_not_read_counts_no_more_once_they_have_come(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [DeadlineExceeded("slow"), NotAllowed("may not read", code="not_allowed")]

    def failing(*arguments: object) -> None:
        raise failures.pop(0)

    all_read_but(broker, "Sports")
    with (
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"], fits=half) as chat,
    ):
        bob.join("Sports").send("one")
        eventually(lambda: new(chat) == [("Sports", 1)], "it is counted")
        monkeypatch.setattr(chat.conversation.pages, "entry", failing)
        for left in ([("Sports", 1)], []):
            chat.do("/join Sports")
            assert "the end of Sports can't be shown" in chat.shown[-1]
            chat.rooms.go_to(chat.rooms.get("General"))
            assert new(chat) == left


def test_what_comes_while_it_is_asked_what_was_missed_marks_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_read_but(broker, "Sports", "missed")
    with Client(broker.url, user="alice") as looker, Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General"], fits=half)
        chat.rooms.choose("Sports", shown=True)
        rooms = alice.rooms

        def late() -> list[RoomInfo]:
            chat.conversation.take(Message("Sports", 3, 0, "bob", "just now"))
            return rooms()

        monkeypatch.setattr(alice, "rooms", late)
        say(broker, "Sports", "just now")
        chat.do("/watch Sports")
        assert "just now" in chat.shown[-2]
        have_marked(chat)
        assert unread(looker)["Sports"] == 2


def test_an_own_message_that_is_stored_once_one_has_gone_covers_nothing_of_what_came_since(broker: Broker) -> None:
    all_read_but(broker, "Sports")
    with (
        Client(broker.url, user="alice") as looker,
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"], fits=half) as chat,
    ):
        bob.join("Sports").send("hidden")
        eventually(lambda: new(chat) == [("Sports", 1)], "it is counted")
        sports = chat.rooms.get("Sports")
        assert sports is not None
        chat.transcript.message(sports.send("mine, late"))
        have_marked(chat)
        assert unread(looker)["Sports"] == 2


def test_an_own_message_covers_nothing_before_it_that_is_yet_to_come(broker: Broker) -> None:
    all_read_but(broker, "General")
    with Client(broker.url, user="alice") as looker:
        chat = Chat(Client(broker.url, user="alice"), ["General"], fits=half)
        say(broker, "General", "just now")
        chat.do("mine")
        have_marked(chat)
        assert unread(looker)["General"] == 2
        with chat:  # which takes what has come
            eventually(lambda: unread(looker)["General"] == 0, "the own one is read with that")
            assert "just now" in chat.shown[-1]


def test_without_a_terminal_what_was_unread_before_stays_so_until_it_is_shown(start: Start, broker: Broker) -> None:
    all_read_but(broker, "General", *map(str, range(12)))
    all_read_but(broker, "Sports", "missed")
    with Client(broker.url, user="alice") as looker:
        chat = start("client", "--quiet", "General", "Sports")
        chat.write("mine\n")
        chat.until("alice: mine\n")
        for room in ("General", "Sports"):
            say(broker, room, f"now in {room}")
            chat.until(f"bob: now in {room}\n")
        chat.write("/members\n")
        chat.until("has 1 member")
        assert (unread(looker)["General"], unread(looker)["Sports"]) == (14, 2)
        chat.write("/unread\n")
        chat.until("bob: 9\n")
        eventually(lambda: unread(looker)["General"] == 4, "the first page is read")
        chat.write("/unread\n")
        eventually(lambda: unread(looker)["General"] == 0, "all of it is read")
        say(broker, "General", "later")
        chat.until("bob: later\n")
        eventually(lambda: unread(looker)["General"] == 0, "what is shown is read")
        chat.write("/join Sports\n/join General\n/list\n")
        chat.until("Technology")
        assert re.search(r"^  \* Sports .* 1 of 3 unread$", chat.text, re.MULTILINE), "nothing of it was shown"
        assert unread(looker)["Sports"] == 2
        assert chat.end() == 0
