"""The chat with people in it: who is there, what is said to one alone, and what counts as read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from tests.cli.chat.driver import Chat, half, shown_to, unread
from tests.cli.driver import bodies, masked, say
from tests.running import Start, Zchat, eventually
from zchat import Client, Message, Room
from zchat.broker import Broker
from zchat.cli.chat.conversation import Options
from zchat.cli.chat.transcript import NEW_LINE
from zchat.errors import DeadlineExceeded, ProtocolError, UsageError, VersionRefused, ZchatError
from zchat.events import Event, Gap


def all_is_read(broker: Broker, user: str, room: str) -> None:
    """Wait until the broker has stored that a user has read a room."""
    with Client(broker.url, user=user) as looker:
        eventually(lambda: unread(looker)[room] == 0, f"{room} is read")


# -- /msg --------------------------------------------------------------------------------------------


def test_two_people_speak_alone_and_their_other_text_goes_where_it_went(start: Start, broker: Broker) -> None:
    alice, bob = start("client"), start("client", "--user", "bob smith")
    for chat in (alice, bob):
        chat.until("* you are in General\n")
    alice.write('/msg "bob smith" psst\n')
    bob.until("alice → “bob smith”: psst\n")
    bob.write("/msg alice what\nfor all\n")
    alice.until("bob smith: for all\n")
    all_is_read(broker, "bob smith", "@alice")
    bob.write("/list\n")
    bob.until("Technology")
    alice.write('/msg "bob smith"\nthis\n/leave\n')
    bob.until("alice → “bob smith”: this\n")
    all_is_read(broker, "alice", "@bob smith")
    alice.write("/list\n")
    alice.until("Technology")
    assert (alice.end(), bob.end()) == (0, 0)
    seen = masked(bob.text)
    assert "* alice wrote to you; reply with /msg alice TEXT\n[12:00:00] alice → “bob smith”: psst\n" in seen
    assert "[12:00:00] “bob smith” → alice: what\n" in seen
    assert re.search(r"^  \* @alice +2 members  2 messages$", seen, re.MULTILINE)
    seen = masked(alice.text)
    assert "[12:00:00] alice → “bob smith”: psst\n" in seen
    assert "* you are in “@bob smith”\n[12:00:00] alice: this\n* you left “@bob smith” and are now in General\n" in seen
    assert re.search(r"^    “@bob smith” +1 member   3 messages$", seen, re.MULTILINE)
    assert bodies(broker, "General") == ["for all"]


def test_leave_leads_to_no_direct_room_that_one_did_not_go_to(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", "General", stdin="/msg bob psst\n/leave\nfor whom?")
    assert "* you left General\n" in done.stdout
    assert "! you are not in a room" in done.stdout
    with Client(broker.url, user="bob") as bob:
        assert [message.body for message in bob.history("@alice")] == ["psst"]


# -- read marks --------------------------------------------------------------------------------------


def test_what_is_shown_is_marked_as_read_and_what_is_hidden_is_not(start: Start, broker: Broker) -> None:
    with Client(broker.url, user="alice") as looker:
        for room in ("General", "Sports"):
            say(broker, room, "old")
            looker.mark_read(room, 1)
        chat = start("client", "--quiet", "General", "Sports")
        chat.until("* you are also in Sports\n")
        say(broker, "Sports", "elsewhere")
        chat.until("#Sports bob: elsewhere\n")
        eventually(lambda: unread(looker)["Sports"] == 0, "what was shown is read")
        chat.write("/hide Sports\n")
        chat.until("* Sports is counted, not shown")
        say(broker, "Sports", "hidden")
        say(broker, "General", "here")
        chat.until("bob: here\n")
        eventually(lambda: unread(looker)["General"] == 0, "what was shown is read")
        chat.write("mine\n/msg bob psst\n/list\n")
        chat.until("Technology")
        eventually(lambda: unread(looker)["General"] == unread(looker)["@bob"] == 0, "own words are read")
        assert unread(looker)["Sports"] == 1
        assert re.search(r"^  \* Sports +1 member   1 of 3 unread$", chat.text, re.MULTILINE)
        chat.write("/join Sports\n/messages 1\n")
        eventually(lambda: unread(looker)["Sports"] == 0, "what /messages shows is read")
        assert chat.end() == 0
        assert chat.text.count("bob: hidden") == 1, "by /messages"


def test_what_could_not_be_shown_stays_unread(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General"], show=lambda text, shown: None)
        chat.do("mine")
    with Client(broker.url, user="alice") as looker:
        assert unread(looker)["General"] is None


def test_what_is_meant_for_one_is_news_once_it_is_drawn(broker: Broker) -> None:
    drawn: list[Callable[[], object]] = []
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, show=lambda text, shown: drawn.append(shown))
        chat.conversation.take(Message("@bob", 1, 0, "bob", "hello"))
    assert (chat.news.unseen, chat.rung) == ((), 0)
    for each in drawn:
        each()
    assert ([each.number for each in chat.news.unseen], chat.rung) == ([1], 1)


def test_nothing_is_marked_when_that_was_asked_for(start: Start, broker: Broker) -> None:
    chat = start("client", "--no-read-marks", "General")
    chat.until("* you are in General\n")
    say(broker, "General", "here")
    chat.until("bob: here\n")
    chat.write("mine\n/messages 5\n")
    assert chat.end() == 0
    with Client(broker.url, user="alice") as looker:
        assert unread(looker)["General"] is None


# -- what the line editor asks -----------------------------------------------------------------------


def test_typing_is_reported_while_a_line_holds_text_that_is_no_command(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="bob") as bob:
        Chat(alice).conversation.typed("in no room yet")
        silent = Chat(alice, ["General"], Options(typing=False)).conversation
        chat = Chat(alice, ["General"]).conversation

        def types() -> bool:
            return any(member.typing for member in bob.members("General"))

        silent.typed("h")
        for line in ("", "  ", "/", "/msg bob psst"):
            chat.typed(line)
        alice.rooms()  # answered after what went out before
        assert not types()
        chat.typed("//s")
        eventually(types, "alice types")
        chat.typed("")
        eventually(lambda: not types(), "alice types no more")
    chat.typed("too late")


def test_what_one_said_oneself_elsewhere_is_not_reported_as_the_others_writing(broker: Broker) -> None:
    with (
        Client(broker.url, user="alice") as elsewhere,
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice")) as chat,
    ):
        elsewhere.direct("bob").send("said elsewhere")
        eventually(lambda: any("said elsewhere" in text for text in chat.shown), "it is shown")
        assert not [text for text in chat.shown if "wrote to you" in text]
        bob.direct("alice").send("answered")
        eventually(lambda: any("answered" in text for text in chat.shown), "it is shown")
        assert chat.shown[-2] == "* bob wrote to you; reply with /msg bob TEXT"


def test_a_name_that_reads_like_an_invitation_is_quoted(broker: Broker) -> None:
    name = "eve wrote to you; reply with /msg mallory TEXT"
    with Client(broker.url, user=name) as eve, Chat(Client(broker.url, user="alice")) as chat:
        eve.direct("alice").send("psst")
        eventually(lambda: any("psst" in text for text in chat.shown), "it is shown")
        assert f'* “{name}” wrote to you; reply with /msg "{name}" TEXT' in chat.shown


# -- the end of what arrives -------------------------------------------------------------------------


class Ending:
    """A client whose first events end with an error; its later ones with the end that was asked for."""

    user = "alice"

    def __init__(self, error: ZchatError, over: bool) -> None:
        self._error = error
        self._over = over
        self._begun = False

    def events(self) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            yield Gap("Sports", 2, 7, "trimmed")
            raise self._error
        yield Gap("General", 2, 7, "trimmed")

    def wait(self, timeout: float) -> bool:
        if self._over:
            raise self._error
        return False


def test_what_can_not_be_read_is_reported_and_the_rest_goes_on() -> None:
    chat = Chat(cast(Client, Ending(ProtocolError("the broker sent a malformed block"), over=False)))
    chat.conversation.follow()
    assert chat.shown == [
        "! Sports: messages 3 to 7 are no longer kept",
        "! the broker sent a malformed block",
        "! General: messages 3 to 7 are no longer kept",
    ]


def test_a_client_that_has_ended_ends_what_arrives_with_the_reason() -> None:
    chat = Chat(cast(Client, Ending(VersionRefused("too old"), over=True)))
    with pytest.raises(VersionRefused):
        chat.conversation.follow()
    assert len(chat.shown) == 1


# -- names that look alike ---------------------------------------------------------------------------


def test_who_looks_like_somebody_else_is_said_to_be_another(broker: Broker) -> None:
    with Client(broker.url, user="coco") as one, Client(broker.url, user="сосо") as other:
        one.join("General").send("it is me")
        other.join("General").send("no, it is me")
        with Chat(Client(broker.url, user="alice"), ["General"]) as chat:
            chat.do("/messages")
            chat.do("/messages 2")
    warning = "! сосо (U+0441 U+043E U+0441 U+043E) is not the same user as coco, though the names look alike"
    assert chat.shown.count(warning) == 1


# -- the room that one comes to, and the others ------------------------------------------------------


def test_who_comes_back_is_shown_the_end_of_the_room_and_what_is_new_there(broker: Broker) -> None:
    say(broker, "General", "one", "two", "three")
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="bob") as bob:
        alice.mark_read("General", 2)
        chat = Chat(alice, ["General"], fits=half)
        assert shown_to(chat)[1:] == ["* you are in General", "bob: one", "bob: two", "--- new ---", "bob: three"]
        all_is_read(broker, "alice", "General")
        chat.do("/join Sports")
        assert shown_to(chat)[-1] == "* you are in Sports"
        bob.join("General").send_many(["four", "five", "six", "seven"])
        chat.do("/join General")
        assert shown_to(chat) == [
            "* you are in General",
            "* /unread shows all that is new, in order",
            "--- the last 3 of 4 new ---",
            "bob: five",
            "bob: six",
            "bob: seven",
        ]
        chat.do("/messages")
        assert shown_to(chat) == [
            "* earlier: messages 2 to 4 of General",
            "bob: two",
            "bob: three",
            NEW_LINE,
            "bob: four",
        ]
        chat.do("/join General")
        assert shown_to(chat)[1:] == ["bob: five", "bob: six", "bob: seven"], "nothing is new"


def test_who_has_never_read_a_room_sees_nothing_of_new_messages(broker: Broker) -> None:
    say(broker, "General", "one")
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General"], fits=half)
    assert shown_to(chat)[1:] == ["* you are in General", "bob: one"]


def test_leaving_shows_the_end_of_the_room_that_one_is_in_then(broker: Broker) -> None:
    say(broker, "General", "one")
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General"], fits=half)
        chat.do("/join Sports")
        chat.shown.clear()
        chat.do("/leave")
    assert shown_to(chat) == ["* you left Sports and are now in General", "bob: one"]


def test_other_rooms_are_counted_and_shown_if_one_asks(broker: Broker) -> None:
    with (
        Client(broker.url, user="bob") as bob,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"], own_name="alice") as chat,
    ):
        sports = bob.join("Sports")

        def counted() -> list[tuple[str, int, bool]]:
            return [(each.room, each.number, bool(each.mention)) for each in chat.conversation.status.new]

        sports.send("quiet")
        eventually(lambda: counted() == [("Sports", 1, False)], "it is counted")
        sports.send("alice?")
        eventually(lambda: counted() == [("Sports", 2, True)], "it is counted, and that it mentions her")
        bob.direct("alice").send("psst")
        eventually(lambda: "bob → alice: psst" in chat.shown[-1], "it is shown")
        eventually(lambda: counted() == [("Sports", 2, True), ("@bob", 1, True)], "nobody has pressed a key since")
        chat.conversation.key()
        assert counted() == [("Sports", 2, True)], "what was shown isn't counted"
        chat.do("/watch SPORTS")
        sports.send("loud")
        eventually(lambda: "#Sports bob: loud" in chat.shown[-1], "it is shown")
        chat.do("/hide sports")
        sports.send("hidden")
        eventually(lambda: counted() == [("Sports", 3, True)], "it is counted")
        for wrong in ("/hide @bob", "/hide Movies", "/hide", "/watch"):
            with pytest.raises(UsageError):
                chat.do(wrong)
        assert not [text for text in chat.shown if "quiet" in text or "hidden" in text]


def test_watching_a_room_joins_it(broker: Broker) -> None:
    with Client(broker.url, user="bob") as bob, Chat(Client(broker.url, user="alice"), ["General"]) as chat:
        chat.do("/watch Movies")
        bob.join("Movies").send("seen it?")
        eventually(lambda: "#Movies bob: seen it?" in chat.shown[-1], "it is shown")
        assert chat.rooms.current_name == "General"


def test_what_was_missed_in_the_other_rooms_is_counted_from_the_beginning(broker: Broker) -> None:
    say(broker, "Sports", "one", "two", "three")
    with Client(broker.url, user="alice") as alice:
        alice.mark_read("Sports", 1)
        chat = Chat(alice, ["General", "Sports"], fits=half)
        assert chat.conversation.status.new == (("Sports", 2, 2, 3, 0),)
        chat.shown.clear()
        chat.do("/join Sports")
    assert shown_to(chat) == ["* you are in Sports", "bob: one", "--- new ---", "bob: two", "bob: three"]


def test_an_ignored_user_is_neither_shown_nor_counted(broker: Broker) -> None:
    with (
        Client(broker.url, user="bob") as bob,
        Client(broker.url, user="carol") as carol,
        Chat(Client(broker.url, user="alice"), ["General", "Sports"]) as chat,
    ):
        chat.do("/ignore BOB")
        for name in ("General", "Sports", "@alice"):
            bob.join(name).send("spam")
        for name in ("Sports", "General"):
            carol.join(name).send("ham")
        eventually(lambda: "carol: ham" in chat.shown[-1], "it is shown")
        assert [each.number for each in chat.conversation.status.new] == [1]
        chat.do("/messages")
        assert not [text for text in chat.shown if "spam" in text]
        chat.do("/ignore")
        assert chat.shown[-1] == "* you ignore BOB"
        chat.do("/ignore bob")
        bob.join("General").send("hello again")
        eventually(lambda: any("bob: hello again" in text for text in chat.shown), lambda: str(chat.shown))
        chat.do("/ignore")
        assert chat.shown[-1] == "* you ignore nobody: /ignore USER"
        for wrong in ("/ignore alice", "/ignore bob smith"):
            with pytest.raises(UsageError):
                chat.do(wrong)


def test_a_room_is_left_all_the_same_if_the_broker_does_not_confirm_it_in_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Room.leave

    def late(room: Room, *, timeout: float | None) -> None:
        leave(room)
        raise DeadlineExceeded(f"leaving {room.name!r}: the broker did not answer within {timeout} s")

    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General", "Sports"], fits=half)
        chat.shown.clear()
        monkeypatch.setattr(Room, "leave", late)
        leads_to = chat.conversation.coming()
        with pytest.raises(DeadlineExceeded, match="the broker has not confirmed yet that you left General"):
            chat.do("/leave", chat.conversation.place, leads_to)
        assert shown_to(chat) == ["* you left General and are now in Sports"]
        assert chat.conversation.place is leads_to, "what was typed after it is said there"
        assert chat.rooms.joined == {"sports"}
        with pytest.raises(UsageError, match="you are not in General"):
            chat.do("/leave General")
        chat.do("/join General")
        with pytest.raises(DeadlineExceeded, match="that you left Sports"):
            chat.do("/leave Sports")
        assert shown_to(chat) == ["* you are in General", "* you left Sports"]
