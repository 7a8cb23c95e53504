"""What a chat shows: harmless text, a date above the messages of its day, and read marks for what was seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import pytest

from zchat import ConnectionLost, Message, Room
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.transcript import Transcript

NOON = int(datetime(2026, 3, 1, 12, 0, 0).timestamp() * 1e6)


class Marked:
    """A room that keeps what is marked as read in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: list[int] = []
        self.closed = False

    def mark_read(self, seq: int) -> None:
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
    transcript = Transcript(shown.append, rooms)
    transcript.info("you are in \x1b[2J")
    transcript.error("no \x9b")
    transcript.listing(["  a", "  b"])
    assert shown == ["* you are in ␛[2J", "! no <U+009B>", "  a\n  b"]


def test_messages_of_a_room_are_one_text_and_others_than_the_current_one_are_named(rooms: Rooms) -> None:
    shown: list[str] = []
    transcript = Transcript(shown.append, rooms)
    transcript.messages(said("General", 1, 2))
    transcript.messages(said("Sports", 7))
    assert shown == [
        "--- 2026-03-01 ---\n[12:00:00] bob: hi\n[12:00:00] bob: hi",
        "[12:00:00] #Sports bob: hi",
    ]


def test_what_is_shown_of_the_current_room_and_direct_ones_is_marked_as_read(rooms: Rooms) -> None:
    transcript = Transcript(lambda text: None, rooms)
    for name in ("General", "Sports", "@bob", "nowhere"):
        transcript.messages(said(name, 1, 5))
    assert [marks(rooms, name) for name in ("General", "Sports", "@bob")] == [[5], [], [5]]


def test_what_could_not_be_shown_and_what_is_not_to_be_marked_stays_unread(rooms: Rooms) -> None:
    Transcript(lambda text: False, rooms).messages(said("General", 1))
    Transcript(lambda text: None, rooms, read_marks=False).messages(said("General", 1))
    assert marks(rooms, "General") == []


def test_a_mark_that_comes_too_late_is_no_failure(rooms: Rooms) -> None:
    cast(Any, rooms.get("General")).closed = True
    Transcript(lambda text: None, rooms).messages(said("General", 1))
    assert marks(rooms, "General") == []
