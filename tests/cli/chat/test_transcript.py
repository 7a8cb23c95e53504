"""What a chat shows: harmless text, a date above the messages of its day, and read marks for what was seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import pytest

from tests.cli.chat.driver import keeping
from zchat import ConnectionLost, Message, Position, Room
from zchat.cli.chat.history_pages import Entry, Page
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.transcript import Transcript
from zchat.cli.text.colours import DIM, NEW, StyledText
from zchat.errors import NotAllowed

NOON = int(datetime(2026, 3, 1, 12, 0, 0).timestamp() * 1e6)


class Marked:
    """A room that keeps what is marked as read in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: list[int] = []
        self.position = Position(1, 1)
        self.closed = False
        self.refused = False

    def mark_read(self, seq: int) -> None:
        if self.refused:
            raise NotAllowed("you may not read it", code="not_allowed")
        if self.closed:
            raise ConnectionLost("closed meanwhile")
        self.marks.append(seq)


def said(room: str, *seqs: int, text: str = "hi") -> list[Message]:
    return [Message(room, seq, NOON, "bob", text) for seq in seqs]


@pytest.fixture
def rooms() -> Rooms:
    rooms = Rooms()
    for name in ("General", "Sports", "@bob"):
        rooms.add(cast(Room, Marked(name)))
    rooms.go_to(rooms.get("General"))
    return rooms


def marks(rooms: Rooms, name: str) -> list[int]:
    return cast(Marked, rooms.get(name)).marks


def test_lines_about_the_chat_begin_with_a_mark_and_cannot_touch_the_terminal(rooms: Rooms) -> None:
    shown: list[str] = []
    transcript = Transcript(keeping(shown), rooms, People("alice"))
    transcript.info("you are in \x1b[2J")
    transcript.error("no \x9b")
    transcript.listing(["  a", "  b"])
    assert shown == ["* you are in ␛[2J", "! no <U+009B>", "  a\n  b"]


def test_messages_of_a_room_are_one_text_and_others_than_the_current_one_are_named(rooms: Rooms) -> None:
    shown: list[str] = []
    transcript = Transcript(keeping(shown), rooms, People("alice"))
    transcript.history(Page("", said("General", 1, 2)))
    transcript.history(Page("", said("Sports", 7)))
    assert shown == [
        "--- 2026-03-01 ---\n[12:00:00] bob: hi\n[12:00:00] bob: hi",
        "[12:00:00] #Sports bob: hi",
    ]


def test_what_is_shown_is_marked_as_read(rooms: Rooms) -> None:
    transcript = Transcript(keeping([]), rooms, People("alice"))
    for name in ("General", "Sports", "@bob", "nowhere"):
        transcript.history(Page("", said(name, 1, 5)))
    assert [marks(rooms, name) for name in ("General", "Sports", "@bob")] == [[5], [5], [5]]


def test_what_could_not_be_shown_and_what_is_not_to_be_marked_stays_unread(rooms: Rooms) -> None:
    Transcript(lambda text, shown: None, rooms, People("alice")).history(Page("", said("General", 1)))
    Transcript(keeping([]), rooms, People("alice"), read_marks=False).history(Page("", said("General", 1)))
    assert marks(rooms, "General") == []


def test_a_room_that_may_not_be_marked_is_again_once_it_could_be_read(rooms: Rooms) -> None:
    transcript = Transcript(keeping([]), rooms, People("alice"))
    general = cast(Marked, rooms.get("General"))
    general.refused = True
    transcript.message(said("General", 1)[0])
    general.refused = False
    transcript.message(said("General", 1)[0])
    assert general.marks == []
    transcript.history(Page("", said("General", 1)))
    transcript.message(said("General", 2)[0])
    assert general.marks == [1, 1]


def test_nothing_is_marked_in_a_room_while_something_before_it_is_not_shown(rooms: Rooms) -> None:
    transcript = Transcript(keeping([]), rooms, People("alice"))
    transcript.message(said("Sports", 1)[0])
    rooms.count(said("Sports", 2)[0])
    rooms.count(said("Sports", 3)[0])
    transcript.message(said("Sports", 4)[0])
    transcript.pass_over(said("Sports", 5)[0])
    transcript.history(Page("", said("Sports", 4, 5)))
    assert marks(rooms, "Sports") == [1], "a mark covers all before it"
    transcript.entry(Entry(said("Sports", 4, 5), 2))
    cast(Marked, rooms.get("Sports")).position = Position(1, 6)
    transcript.message(said("Sports", 6)[0])
    assert marks(rooms, "Sports") == [1, 5, 6], "the end of a room that one comes to is the end of what is unread"


def test_what_waits_to_be_drawn_is_marked_by_what_was_not_shown_when_it_came(rooms: Rooms) -> None:
    drawn: list[Callable[[], object]] = []
    transcript = Transcript(lambda text, shown: drawn.append(shown), rooms, People("alice"))
    rooms.count(said("Sports", 2)[0])
    transcript.message(said("Sports", 3)[0])
    transcript.entry(Entry(said("Sports", 2, 3), 2))
    drawn[0]()
    assert marks(rooms, "Sports") == [], "the end of the room isn't drawn yet"
    drawn[1]()
    assert marks(rooms, "Sports") == [3]


@pytest.mark.parametrize(
    ("pages", "marked"),
    [
        ([[3, 4], [5, 6], [7, 8]], [4, 6, 8]),
        ([[7, 8], [5, 6], [3, 4]], [8]),
        ([[6, 7, 8], [2, 3, 4]], [4]),
        ([[6, 7, 8], [2, 3, 4], [5, 6]], [4, 8]),
        ([[8], [1]], []),
    ],
)
def test_pages_are_marked_as_far_as_nothing_is_left_out_before(
    rooms: Rooms, pages: list[list[int]], marked: list[int]
) -> None:
    transcript = Transcript(keeping([]), rooms, People("alice"))
    for seq in range(3, 9):
        rooms.count(said("Sports", seq)[0])
    for page in pages:
        transcript.history(Page("", said("Sports", *page)))
    assert marks(rooms, "Sports") == marked


def test_what_is_there_no_longer_is_not_left_out(rooms: Rooms) -> None:
    transcript = Transcript(keeping([]), rooms, People("alice"))
    rooms.count(said("Sports", 3)[0])
    transcript.history(Page("", said("Sports", 7, 8), begin=3))
    assert marks(rooms, "Sports") == [8]
    assert not rooms.unread


def test_a_mark_that_comes_too_late_is_no_failure(rooms: Rooms) -> None:
    cast(Any, rooms.get("General")).closed = True
    Transcript(keeping([]), rooms, People("alice")).history(Page("", said("General", 1)))
    assert marks(rooms, "General") == []


def test_a_cut_message_of_another_room_ends_with_that_rooms_name(rooms: Rooms) -> None:
    shown: list[str] = []
    transcript = Transcript(keeping(shown), rooms, People("alice"), on_terminal=True)
    transcript.message(Message("a b; c", 7, NOON, "bob", "x\n" * 200))
    transcript.message(Message("General", 8, NOON, "bob", "x\n" * 200))
    rests = [text.parts[0].rest.strip() for text in shown if isinstance(text, StyledText)]
    assert rests == ["… cut here; for more: /show 7 a b; c", "… cut here; /show 8 shows more"]


# -- the end of a room that one comes to -------------------------------------------------------------


def entered(rooms: Rooms, entry: Entry, *ignored: str) -> tuple[Transcript, list[str]]:
    shown: list[str] = []
    people = People("alice")
    for user in ignored:
        people.ignore(user)
    transcript = Transcript(keeping(shown), rooms, people, own_name="alice")
    transcript.entry(entry)
    return transcript, shown


def lines(shown: list[str]) -> list[str]:
    (text,) = shown
    return text.split("\n")[1:]  # the date


def styles(shown: list[str]) -> list[str]:
    (text,) = shown
    assert isinstance(text, StyledText)
    return [style for _, _, style in text.spans]


def test_what_is_new_stands_under_a_line_and_the_rest_is_dimmed(rooms: Rooms) -> None:
    _, shown = entered(rooms, Entry(said("General", 4, 5, 6, 7), 6))
    seen, line = "[12:00:00] bob: hi", "--- new ---"
    assert lines(shown) == [seen, seen, line, seen, seen]
    assert styles(shown)[:3] == [DIM, DIM, NEW]
    assert DIM not in styles(shown)[3:]
    assert marks(rooms, "General") == [7]


def test_of_more_than_fits_the_number_is_said(rooms: Rooms) -> None:
    _, shown = entered(rooms, Entry(said("General", 6, 7), 3))
    assert shown[0].split("\n")[0] == "--- the last 2 of 5 new ---"
    _, shown = entered(rooms, Entry(said("General", 6, 7), 6))
    assert shown[0].split("\n")[0] == "--- new ---"


def test_where_nothing_is_new_no_line_says_so(rooms: Rooms) -> None:
    _, shown = entered(rooms, Entry(said("General", 6, 7), 0))
    assert lines(shown) == ["[12:00:00] bob: hi"] * 2
    assert styles(shown) == [DIM, DIM]


def test_what_was_shown_as_history_is_not_shown_again_when_it_comes(rooms: Rooms) -> None:
    transcript, shown = entered(rooms, Entry(said("General", 6, 7), 0))
    for seq in (3, 7, 8):
        transcript.message(said("General", seq)[0])
    assert len(shown) == 2
    transcript.forget_history()
    transcript.message(said("General", 3)[0])
    assert len(shown) == 3


def test_a_page_hides_nothing_of_what_is_before_it(rooms: Rooms) -> None:
    shown: list[str] = []
    transcript = Transcript(keeping(shown), rooms, People("alice"))
    transcript.history(Page("", said("General", 6, 7)))
    for seq in (5, 6, 7, 8):
        transcript.message(said("General", seq)[0])
    assert len(shown) == 3


def test_what_an_ignored_user_said_is_left_out_and_still_read(rooms: Rooms) -> None:
    _, shown = entered(rooms, Entry(said("General", 6, 7), 6), "Bob")
    assert shown == []
    assert marks(rooms, "General") == [7]


def test_a_mention_is_one_of_ones_own_name_as_a_word(rooms: Rooms) -> None:
    transcript = Transcript(keeping([]), rooms, People("alice"), own_name="alice")
    texts = ("Alice?", "malice", ["alice"])
    assert [transcript.mentions(Message("General", 1, NOON, "bob", text)) for text in texts] == [True, False, False]
    assert not Transcript(keeping([]), rooms, People("alice")).mentions(said("General", 1, text="alice")[0])
