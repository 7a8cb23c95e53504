"""What one says goes out in order while one types on, and what can't be stored is reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from threading import Event
from typing import cast

import pytest

from tests.cli.chat.driver import keeping
from tests.cli.driver import masked
from tests.running import DEADLINE
from zchat import Room, UsageError
from zchat.cli.chat.conversation import KEPT_SECONDS
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Draft, Rooms
from zchat.cli.chat.terminal import outbox
from zchat.cli.chat.terminal.outbox import Outbox
from zchat.cli.chat.transcript import Transcript
from zchat.errors import ConnectionLost, DeadlineExceeded, OutcomeUnknown, ZchatError
from zchat.messages import Message


class Slow:
    """A room that stores a message when the test says so, or fails with the errors that are given, by text."""

    name = "General"

    def __init__(self, **failures: ZchatError) -> None:
        self.go = Event()
        self._failures = failures

    def send(self, text: str, timeout: float) -> Message:
        assert self.go.wait(DEADLINE)
        if text in self._failures:
            raise self._failures[text]
        return Message("General", 1, time.time_ns() // 1000, "alice", text)


def draft(room: Slow, text: str) -> Draft:
    return Draft("General", text, text, lambda seconds: cast(Room, room))


def made() -> tuple[list[str], Outbox]:
    """Return the texts that are shown, and an outbox that shows them."""
    shown: list[str] = []
    return shown, Outbox(Transcript(keeping(shown), Rooms(), People("alice")), lambda: None)


def test_what_waits_is_seen_until_it_is_stored_in_order() -> None:
    before = set(threading.enumerate())
    room = Slow(two=DeadlineExceeded("no answer"))
    shown, box = made()
    for text in ("one", "two", "three"):
        box.put(draft(room, text))
    assert [draft.text for draft in box.waiting] == ["one", "two", "three"]
    box.drain(0.01)
    assert len(box.waiting) == 3
    room.go.set()
    box.drain(DEADLINE)
    assert [masked(text) for text in shown] == [
        "[12:00:00] #General alice: one",
        "! not stored: two (no answer)",
        "[12:00:00] #General alice: three",
    ]
    assert (box.unsent, box.waiting) == (1, [])
    box.end(DEADLINE)
    assert set(threading.enumerate()) <= before


def test_a_draft_is_seen_until_its_message_or_the_reason_is_drawn() -> None:
    drawn: list[Callable[[], object]] = []
    room = Slow(lost=ConnectionLost("the broker is gone"))
    box = Outbox(Transcript(lambda text, shown: drawn.append(shown), Rooms(), People("alice")), lambda: None)
    for text in ("one", "lost"):
        box.put(draft(room, text))
    room.go.set()
    box.drain(DEADLINE)
    assert (box.waiting, [draft.text for draft in box.unseen]) == ([], ["one", "lost"])
    drawn[0]()
    assert [draft.text for draft in box.unseen] == ["lost"]
    drawn[1]()
    assert box.unseen == []
    box.end(DEADLINE)


def test_no_more_than_a_bound_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Slow()
    shown, box = made()
    for number in range(outbox.WAITING):
        box.put(draft(room, str(number)))
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "KEPT_SECONDS", 0.01)
        box.put(draft(room, "one too many"))
    why = "100 messages are already waiting to be stored: send it again later"
    assert shown == [f"! not sent: one too many ({why})"]
    assert (box.unsent, len(box.waiting)) == (1, outbox.WAITING)
    room.go.set()
    box.put(draft(room, "there is a place again"))
    box.end(DEADLINE)
    assert box.waiting == []


def test_what_still_waits_at_the_end_is_reported() -> None:
    room = Slow(never=UsageError("the client is closed"))
    shown, box = made()
    box.put(draft(room, "never"))
    room.go.set()
    box.end(DEADLINE)
    assert shown == ["! not stored: never (the client is closed)"]


def test_what_is_not_stored_is_reported_with_the_reason_and_counted() -> None:
    room = Slow(lost=OutcomeUnknown("on its way when the connection ended"), gone=ConnectionLost("the broker is gone"))
    room.go.set()
    shown, box = made()
    box.put(draft(room, "lost"))
    box.put(draft(room, "gone"))
    box.drain(DEADLINE)
    assert shown == [
        "! possibly not stored: lost (on its way when the connection ended)",
        "! not stored: gone (the broker is gone)",
    ]
    assert box.unsent == 2
    box.end(DEADLINE)


def test_of_many_texts_that_are_not_sent_the_first_are_quoted() -> None:
    shown, box = made()
    box.refuse(["one", "two", "x" * 100, "four", "five"], "you were not in that room")
    assert shown == [
        "! not sent: one (you were not in that room)",
        "! not sent: two (you were not in that room)",
        f"! not sent: {'x' * 59}… (you were not in that room)",
        "! not sent: 2 more",
    ]
    assert box.unsent == 5
    box.end(DEADLINE)


def test_what_is_not_being_sent_yet_when_the_user_leaves_is_reported_as_not_sent() -> None:
    room = Slow(one=ConnectionLost("closed"))
    shown, box = made()
    for text in ("one", "two"):
        box.put(draft(room, text))
    box.leave(["/join Sports", "/quit"])
    assert shown == [
        "! not sent: two (you left before it was sent)",
        "! not done: /join Sports (you left before it was sent)",
    ]
    room.go.set()
    box.end(DEADLINE)
    assert shown[2:] == ["! not stored: one (you left before the broker answered)"]
    assert box.unsent == 2, "messages"


def test_a_text_whose_room_can_not_be_reached_is_reported_as_it_was_typed() -> None:
    def opened(seconds: float) -> Room:
        assert seconds == KEPT_SECONDS
        raise DeadlineExceeded("joining @erin: the broker did not answer within 60 s")

    shown, box = made()
    box.put(Draft("@erin", "secret", "/msg erin secret", opened))
    box.drain(DEADLINE)
    assert shown == ["! not sent: /msg erin secret (joining @erin: the broker did not answer within 60 s)"]
    assert box.unsent == 1
    box.end(DEADLINE)
