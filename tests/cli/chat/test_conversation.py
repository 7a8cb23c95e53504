"""The chat with people in it: who is there, what is said to one alone, and what counts as read."""

from __future__ import annotations

import re
from contextlib import closing

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from tests.cli.driver import bodies, masked, say
from tests.running import Start, Zchat, eventually
from zchat import Client, RoomInfo
from zchat.broker import Broker
from zchat.cli.chat.completion import ChatCompleter
from zchat.cli.chat.conversation import Chat, Manners, quoted
from zchat.cli.chat.listings import MEMBERS_SHOWN, messages_in
from zchat.cli.chat.slash import addressed


def unread(client: Client) -> dict[str, int | None]:
    return {room.name: room.unread for room in client.rooms()}


# -- /members ----------------------------------------------------------------------------------------


def test_members_of_a_crowd_are_counted_and_the_first_of_them_shown() -> None:
    chat = Chat((shown := list[str]()).append)
    with Broker("tcp://127.0.0.1:*", store="memory:", names=2) as small:
        others = [Client(small.url, user=f"user {number:02}") for number in range(MEMBERS_SHOWN + 4)]
        for other in others:
            other.join("General")
        with Client(small.url, user="alice", on_event=chat.on_event) as client:
            chat.begin(client, ["General"])
            eventually(lambda: any("is a crowd of" in text for text in shown), "it is told to be a crowd")
            others[0].join("General").typing()
            eventually(lambda: "typing" in chat.presence.typing("General"), "somebody types")
            shown.clear()
            chat.do("/members")
        for other in others:
            other.close()
        chat.close()
    count, listed, more = shown[-3:]
    assert count == f"* {MEMBERS_SHOWN + 5} people are in General, 1 typing"
    assert listed.count("\n") == MEMBERS_SHOWN - 1
    assert re.search(r"^  user 00  since \d\d:\d\d:\d\d  typing$", listed, re.MULTILINE)
    assert more == "* and 5 more; zchat members lists all"


# -- /msg --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "user", "text"),
    [
        ("bob hello there", "bob", "hello there"),
        ("bob", "bob", ""),
        ("@bob  hello", "bob", "hello"),
        ('"bob smith" hello "you"', "bob smith", 'hello "you"'),
        ('"bob smith"', "bob smith", ""),
        ('"""" hi', '"', "hi"),
        ('"a"" b" hi', 'a" b', "hi"),
        ('bob "quoted"', "bob", '"quoted"'),
    ],
)
def test_whom_msg_names(argument: str, user: str, text: str) -> None:
    assert addressed(argument) == (user, text)


@pytest.mark.parametrize("name", ["bob", "bob smith", '"bob', 'b"ob', 'bob" b', 'a "b" c', "宇 宙", "宇\u3000宙"])
def test_a_name_as_completion_writes_it_is_the_one_that_msg_reads(name: str) -> None:
    assert addressed(f"{quoted(name)} hi") == (name, "hi")


def test_two_people_speak_alone_and_their_other_text_goes_where_it_went(start: Start, broker: Broker) -> None:
    alice, bob = start("client"), start("client", "--user", "bob smith")
    for chat in (alice, bob):
        chat.until("* you are in General\n")
    alice.write('/msg "bob smith" psst\n')
    bob.until("alice: psst\n")
    bob.write("/msg alice what\nfor all\n/list\n")
    bob.until("Technology")
    alice.until("bob smith: for all\n")
    alice.write('/msg "bob smith"\nthis\n/leave\n/list\n')
    bob.until("alice: this\n")
    alice.until("Technology")
    assert (alice.end(), bob.end()) == (0, 0)
    seen = masked(bob.text)
    assert "* alice writes to you; /msg alice TEXT answers\n[12:00:00] #@alice alice: psst\n" in seen
    assert "[12:00:00] #@alice bob smith: what\n" in seen
    assert re.search(r"^  \* @alice +2 in it  2 messages$", seen, re.MULTILINE)
    seen = masked(alice.text)
    assert "[12:00:00] #@bob smith alice: psst\n" in seen
    assert "* you are in @bob smith\n[12:00:00] alice: this\n* you left @bob smith and are in General\n" in seen
    assert re.search(r"^    @bob smith +1 in it  3 messages$", seen, re.MULTILINE)
    assert bodies(broker, "General") == ["for all"]


def test_leave_leads_to_no_direct_room_that_one_did_not_go_to(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", "General", stdin="/msg bob psst\n/leave\nfor whom?")
    assert "* you left General\n" in done.stdout
    assert "! you are in no room" in done.stdout
    with Client(broker.url, user="bob") as bob:
        assert [message.body for message in bob.history("@alice")] == ["psst"]


# -- read marks --------------------------------------------------------------------------------------


def test_what_is_shown_of_the_current_room_and_direct_ones_is_marked_as_read(start: Start, broker: Broker) -> None:
    with Client(broker.url, user="alice") as looker:
        for room in ("General", "Sports"):
            say(broker, room, "old")
            looker.mark_read(room, 1)
        chat = start("client", "--quiet", "General", "Sports")
        chat.until("* you are in Sports as well\n")
        say(broker, "Sports", "elsewhere")
        say(broker, "General", "here")
        chat.until("bob: here\n")
        chat.until("bob: elsewhere\n")
        eventually(lambda: unread(looker)["General"] == 0, "what was shown is read")
        chat.write("mine\n/msg bob psst\n/list\n")
        chat.until("Technology")
        eventually(lambda: unread(looker)["General"] == unread(looker)["@bob"] == 0, "own words are read")
        assert unread(looker)["Sports"] == 1
        assert re.search(r"^  \* Sports +1 in it  1 of 2 unread$", chat.text, re.MULTILINE)
        chat.write("/join Sports\n/messages 1\n")
        eventually(lambda: unread(looker)["Sports"] == 0, "what /messages shows is read")
        assert chat.end() == 0


def test_what_could_not_be_shown_stays_unread(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(lambda text: False)
        chat.begin(alice, ["General"])
        chat.do("mine")
    with Client(broker.url, user="alice") as looker:
        assert unread(looker)["General"] is None


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


def test_typing_is_told_while_a_line_holds_text_that_is_no_command(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="bob") as bob:
        chat = Chat(lambda text: None)
        silent = Chat(lambda text: None, Manners(typing=False))
        chat.typed("too early")
        for each in (silent, chat):
            each.begin(alice, ["General"])

        def types() -> bool:
            return any(member.typing for member in bob.members("General"))

        silent.typed("h")
        for line in ("", "  ", "/", "/msg bob psst"):
            chat.typed(line)
        alice.rooms()  # answered behind what went out before
        assert not types()
        chat.typed("//s")
        eventually(types, "alice types")
        chat.typed("")
        eventually(lambda: not types(), "alice types no more")
    chat.typed("too late")


def test_tab_completes_the_names_of_people_behind_msg_and_in_what_is_said(broker: Broker) -> None:
    chat = Chat(lambda text: None)

    def completed(text: str) -> list[str]:
        found = ChatCompleter(chat).get_completions(Document(text), CompleteEvent())
        return [completion.text for completion in found]

    assert completed("/msg ") == []
    with Client(broker.url, user="alice") as alice, Client(broker.url, user="Bob Smith") as bob:
        chat.begin(alice, ["General"])
        bob.join("General")
        with Client(broker.url, user="bert") as bert:
            bert.join("General")
            assert completed("/msg ") == ["bert ", '"Bob Smith" ']
            assert completed("/msg bo") == completed('/msg "BOB s') == ['"Bob Smith" ']
            assert completed("/msg bert h") == completed("/msg x") == []
            assert completed("/ms") == ["/msg "]
            assert completed("be") == ["bert: "]
            assert completed("hello BE") == completed("hello\nbe") == completed("//be be") == ["bert "]
            assert completed("") == completed("hello ") == completed("x") == []
    assert completed("/msg ") == []


def test_rooms_count_what_is_unread_in_the_place_of_what_there_is() -> None:
    assert messages_in(RoomInfo("General", 1, 1, 12, 3)) == "3 of 12 unread"
    assert messages_in(RoomInfo("General", 1, 1, 12, 0)) == "12 messages"
    assert messages_in(RoomInfo("General", 1, 1, 1, None)) == "1 message"


def test_what_one_said_oneself_elsewhere_is_not_told_as_the_others_writing(broker: Broker) -> None:
    shown: list[str] = []
    chat = Chat(shown.append)
    with (
        Client(broker.url, user="alice") as elsewhere,
        Client(broker.url, user="bob") as bob,
        closing(Client(broker.url, user="alice", on_event=chat.on_event)),
    ):
        elsewhere.direct("bob").send("said elsewhere")
        eventually(lambda: any("said elsewhere" in text for text in shown), "it is shown")
        assert not [text for text in shown if "writes to you" in text]
        bob.direct("alice").send("answered")
        eventually(lambda: any("answered" in text for text in shown), "it is shown")
        assert shown[-2] == "* bob writes to you; /msg bob TEXT answers"
    chat.close()
