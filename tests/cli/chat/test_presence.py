"""Who comes, goes and types is reported quietly: a line for many, and none for who only looked in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.chat.driver import Chat
from tests.cli.driver import masked, settled
from tests.running import Start, eventually
from zchat import Client, Message
from zchat.broker import Broker
from zchat.cli.chat import presence
from zchat.cli.chat.presence import GATHER_SECONDS, Presence
from zchat.cli.text.columns import cells
from zchat.events import Crowd, MemberJoined, MemberLeft, ReadMark, Typing


class Alarm:
    """A timer that goes off when the test says so."""

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        assert seconds == GATHER_SECONDS
        self.function = function
        self.running = False
        _alarms.append(self)

    def start(self) -> None:
        self.running = True

    def cancel(self) -> None:
        self.running = False

    def go_off(self) -> None:
        assert self.running
        self.running = False
        self.function()


_alarms: list[Alarm] = []


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Alarm]:
    _alarms.clear()
    monkeypatch.setattr(presence, "Timer", Alarm)
    return _alarms


def everywhere(room: str) -> bool:
    """Show what happens in any room."""
    return True


def test_many_who_come_and_go_at_once_make_a_line_a_room(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    for user in ("bob", "carol", "dave", "erin", "frank"):
        company.take(MemberJoined("General", user))
    for user in ("grace", "heidi", "ivan"):
        company.take(MemberLeft("General", user))
    company.take(MemberJoined("Sports", "bob"))
    company.take(MemberLeft("Sports", "carol"))
    company.take(MemberLeft("Sports", "dave"))
    assert (told, len(alarms)) == ([], 1)
    alarms[0].go_off()
    assert told == [
        "bob, carol and 3 others joined General",
        "grace, heidi and ivan left General",
        "bob joined Sports",
        "carol and dave left Sports",
    ]
    company.take(MemberJoined("General", "judy"))
    alarms[1].go_off()
    assert told[4:] == ["judy joined General"]


def test_names_that_read_like_the_line_are_quoted(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    company.take(MemberJoined("G1", "alice left G1 and bob"))
    company.take(MemberJoined("My room", "dave"))
    alarms[0].go_off()
    assert told == ["“alice left G1 and bob” joined G1", "dave joined “My room”"]


def test_who_only_looked_in_is_not_reported_and_delays_nobody(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    company.take(MemberJoined("General", "Bob"))
    company.take(MemberLeft("General", "bob"))
    assert not alarms[0].running
    company.take(MemberLeft("General", "carol"))
    company.take(MemberJoined("General", "bob"))
    company.take(MemberLeft("General", "bob"))
    alarms[1].go_off()
    assert told == ["carol left General"]


def test_nothing_is_reported_of_direct_rooms_or_rooms_that_were_left_or_after_the_end(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    company.take(MemberJoined("@bob", "bob"))
    company.take(ReadMark("General", "bob", 7))
    assert not alarms
    company.take(MemberJoined("General", "bob"))
    company.take(Typing("General", "bob", True))
    company.forget("General")
    alarms[0].go_off()
    assert (told, company.typing("General")) == ([], "")
    company.take(MemberJoined("Sports", "bob"))
    company.end()
    assert not alarms[1].running
    company.take(MemberJoined("Crypto", "bob"))
    alarms[1].function()  # it was going off just then
    assert (told, len(alarms)) == ([], 2)


def test_of_rooms_that_are_not_shown_nothing_is_reported(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, lambda room: room == "General")
    for room in ("General", "Sports"):
        company.take(MemberJoined(room, "bob"))
        company.take(MemberLeft(room, "carol"))
    company.take(Crowd("Movies", 500, 3, 1))
    alarms[0].go_off()
    assert told == ["bob joined General", "carol left General"]


def test_that_somebody_joined_is_not_reported_after_their_words(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    company.spoke("general", "Bob")
    company.take(MemberJoined("General", "bob"))
    company.take(MemberJoined("General", "carol"))
    company.take(MemberJoined("Sports", "bob"))
    alarms[0].go_off()
    assert told == ["carol joined General", "bob joined Sports"]
    company.take(MemberLeft("General", "bob"))
    alarms[1].go_off()
    assert told[2:] == ["bob left General"]


def test_no_more_who_spoke_are_kept_than_a_bound(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    company.take(MemberJoined("General", "first"))
    for number in range(presence.SPEAKERS + 1):
        company.spoke("General", "first" if not number else f"user {number}")
    alarms[0].go_off()
    assert told == ["first joined General"]


def test_quiet_means_that_nothing_is_reported(alarms: list[Alarm]) -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere, quiet=True)
    for event in (MemberJoined("General", "bob"), Typing("General", "bob", True), Crowd("General", 500, 3, 1)):
        company.take(event)
    assert (told, alarms, company.typing("General")) == ([], [], "")


def test_who_types_is_said_in_few_words_until_they_stop() -> None:
    changes: list[str] = []
    company = Presence(lambda text: None, lambda: changes.append(company.typing("general")), everywhere)
    for user in ("bob", "carol", "dave smith"):
        company.take(Typing("General", user, True))
    for user in ("dave smith", "carol", "BOB"):
        company.take(Typing("General", user, False))
    company.take(Typing("General", "x" * 64, True))
    company.take(Typing("General", "x" * 64, False))
    company.take(Typing("General", "宇" * 6, True))
    assert changes == [
        "bob is typing",
        "bob and carol are typing",
        "3 people are typing",
        "bob and carol are typing",
        "bob is typing",
        "",
        "someone is typing",
        "",
        f"{'宇' * 6} is typing",
    ]
    assert max(map(cells, changes)) <= presence.TYPING_CELLS
    assert company.typing("Sports") == ""


def test_a_name_that_would_steer_the_terminal_is_harmless_where_it_types() -> None:
    company = Presence(lambda text: None, lambda: None, everywhere)
    company.take(Typing("General", "b\x1b[2J", True))
    assert company.typing("General") == "“b␛[2J” is typing"


def test_a_crowd_is_reported_once_and_how_many_type() -> None:
    company = Presence((told := list[str]()).append, lambda: None, everywhere)
    company.take(Crowd("General", 250, 0, 1))
    company.take(Crowd("General", 251, 4, 1))
    assert told == ["General has 250 members: arrivals and departures are hidden; /members lists them"]
    assert company.typing("General") == "4 people are typing"
    company.take(Typing("General", "bob", True))
    assert company.typing("General") == "bob is typing"


# -- end to end --------------------------------------------------------------------------------------


def test_comings_and_goings_are_lines_in_a_pipe_and_typing_is_not(start: Start, broker: Broker) -> None:
    chat = start("client", "General")
    chat.until("* you are in General\n")
    settled(broker)
    with Client(broker.url, user="bob smith") as bob:
        room = bob.join("General")
        chat.until("* “bob smith” joined General\n")
        room.typing()
        eventually(lambda: any(member.typing for member in room.members()), "the broker knows that bob types")
        chat.write("/members\n")
        chat.until("  “bob smith”  since ")
        room.send("hello")
        chat.until("bob smith: hello\n")
    chat.until("* “bob smith” left General\n")
    assert chat.end() == 0
    lines = masked(chat.text).splitlines()[2:]
    assert lines[:2] == ["* “bob smith” joined General", "* General has 2 members, 1 typing"]
    assert [line.split("since")[0] for line in lines[2:4]] == ["  alice        ", "  “bob smith”  "]
    assert lines[3].endswith("  typing")
    assert lines[4:] == ["[12:00:00] bob smith: hello", "* “bob smith” left General"]


def test_who_speaks_is_not_said_to_have_joined_after_that(broker: Broker) -> None:
    with Client(broker.url, user="alice") as alice:
        chat = Chat(alice, ["General"])
        chat.conversation.take(Message("General", 1, 0, "bob", "hello"))
        for user in ("bob", "carol"):
            chat.conversation.take(MemberJoined("General", user))
        eventually(lambda: chat.shown[-1] == "* carol joined General", lambda: str(chat.shown))
        chat.conversation.close()


def test_a_quiet_chat_shows_what_is_said_alone(start: Start, broker: Broker) -> None:
    quiet, other = start("client", "-q", "General"), start("client", "--user", "carol", "General")
    for chat in (quiet, other):
        chat.until("* you are in General\n")
    settled(broker)
    with Client(broker.url, user="bob") as bob:
        bob.join("General")
        other.until("bob joined General\n")
        bob.join("General").send("hello")
        quiet.until("bob: hello\n")
    other.until("bob left General\n")
    assert quiet.end() == 0
    assert masked(quiet.text).splitlines()[2:] == ["[12:00:00] bob: hello"]
