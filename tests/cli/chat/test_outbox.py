"""What one says goes out in order while one types on, and what can't be stored is told."""

from __future__ import annotations

from threading import Event
from typing import cast

import pytest

from tests.running import DEADLINE, eventually
from zchat import Room, UsageError
from zchat.cli.chat import outbox
from zchat.cli.chat.conversation import Chat
from zchat.cli.chat.outbox import Draft, Outbox
from zchat.errors import ConnectionLost, DeadlineExceeded, OutcomeUnknown, ZchatError
from zchat.messages import Message


class Slow:
    """Be a room that stores a message when told to, or fails with the errors that are given, by text."""

    name = "General"

    def __init__(self, **failures: ZchatError) -> None:
        self.go = Event()
        self._failures = failures

    def send(self, text: str, timeout: float) -> Message:
        assert self.go.wait(DEADLINE)
        if text in self._failures:
            raise self._failures[text]
        return Message("General", 1, 0, "alice", text)


def test_what_waits_is_seen_until_it_is_stored_in_order() -> None:
    room = Slow(two=DeadlineExceeded("no answer"))
    stored: list[str] = []
    failed: list[tuple[str, str]] = []
    box = Outbox(lambda message: stored.append(message.body), lambda draft, why: failed.append((draft.text, str(why))))
    for text in ("one", "two", "three"):
        box.put(cast(Room, room), text)
    assert [draft.text for draft in box.waiting] == ["one", "two", "three"]
    box.drain(0.01)
    assert len(box.waiting) == 3
    room.go.set()
    box.drain(DEADLINE)
    assert (stored, failed, box.waiting) == (["one", "three"], [("two", "no answer")], [])
    box.end(DEADLINE)
    assert not box._thread.is_alive()


def test_no_more_than_a_bound_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT_SECONDS", 0.01)
    room = Slow()
    box = Outbox(lambda message: None, lambda draft, why: None)
    for number in range(outbox.WAITING):
        box.put(cast(Room, room), str(number))
    with pytest.raises(DeadlineExceeded, match="wait to be stored already"):
        box.put(cast(Room, room), "one too many")
    room.go.set()
    box.put(cast(Room, room), "there is a place again")
    box.end(DEADLINE)
    assert box.waiting == []


def test_what_still_waits_at_the_end_is_told() -> None:
    room = Slow(never=UsageError("the client is closed"))
    failed: list[Draft] = []
    box = Outbox(lambda message: None, lambda draft, why: failed.append(draft))
    box.put(cast(Room, room), "never")
    room.go.set()
    box.end(DEADLINE)
    assert [draft.text for draft in failed] == ["never"]


def test_the_chat_tells_what_is_not_stored_and_why() -> None:
    shown: list[str] = []
    chat = Chat(shown.append, waits=False)
    room = Slow(lost=OutcomeUnknown("on its way when the connection ended"), gone=ConnectionLost("the broker is gone"))
    room.go.set()
    chat._current = cast(Room, room)
    chat.do("lost")
    chat.do("gone")
    eventually(lambda: len(shown) == 2, "both are told")
    assert shown == [
        "! perhaps not stored: lost (on its way when the connection ended)",
        "! not stored: gone (the broker is gone)",
    ]
    assert chat.outbox is not None
    chat.outbox.end(DEADLINE)
