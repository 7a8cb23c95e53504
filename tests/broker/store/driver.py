"""A store as the tests drive it: open, ask, wait for the answer, open again."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

from tests.running import DEADLINE
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import (
    NEVER,
    PRODUCER_DAY,
    Append,
    Appended,
    Commit,
    Duplicate,
    Failed,
    Full,
    LogPage,
    Marked,
    Places,
    Present,
    RoomLog,
    Sanction,
    Store,
    Stored,
    Trimmed,
)
from zchat.broker.store.news import News
from zchat.messages import Message
from zchat.wire.blocks import encode_body, join_bodies, messages_of
from zchat.wire.values import unpack

ALICE = b"alice's producer"
BOB = b"bob's producer.."
EVERYTHING = 1 << 62

DECIDING = {
    "MAX_PRODUCERS": ("ledger", "redis.mirror"),
    "MAX_READ_MARKS": ("ledger", "redis.marks"),
    "USER_PRODUCERS": ("ledger", "redis.producers"),
    "USER_READ_MARKS": ("ledger", "redis.marks"),
}
"""The modules that know how much a store keeps of something at most, by the bound's name."""


class Clock:
    """Tell a time that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now


class Reports:
    """Note what a store reports, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def appeared(self, log: RoomLog) -> None:
        self.all.append(("appeared", log))

    def grew(self, room: str, block: Block, epoch: int, user: str) -> None:
        self.all.append(("grew", room, block, epoch, user))

    def reached(self, log: RoomLog) -> None:
        self.all.append(("reached", log))

    def parted(self, log: RoomLog) -> None:
        self.all.append(("parted", log))

    def trimmed(self, room: str, first: int) -> None:
        self.all.append(("trimmed", room, first))

    def marked(self, room: str, user: str, seq: int) -> None:
        self.all.append(("marked", room, user, seq))

    def imposed(self, sanction: Sanction) -> None:
        self.all.append(("imposed", sanction))

    def lifted(self, sanction: Sanction) -> None:
        self.all.append(("lifted", sanction))

    def recovered(self, sanctions: list[Sanction]) -> None:
        self.all.append(("recovered", sanctions))

    def came(self, present: Present, broker: bytes) -> None:
        self.all.append(("came", present, broker))

    def went(self, room: str, user: str, broker: bytes) -> None:
        self.all.append(("went", room, user, broker))

    def told(self, news: News, broker: bytes) -> None:
        self.all.append(("told", news))

    def forgot(self, producers: int) -> None:
        self.all.append(("forgot", producers))

    def committed(self, commit: Commit) -> None:
        self.all.append(("committed", commit))

    def failed(self, reason: str) -> None:
        self.all.append(("failed", reason))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """Return the reports of one kind, without the word."""
        return [report[1:] for report in self.all if report[0] == kind]


class Driver:
    """Drive the stores that `make` makes, one after the other, as if they were one.

    `keeps`: what was stored is there after a reopening; `begins`: that begins an epoch.
    """

    def __init__(self, make: Callable[[Clock], Store], keeps: bool, begins: bool = True) -> None:
        self.clock = Clock()
        self.quotas = False
        self.places = Places(100, 100, 100)
        self.keeps = keeps
        self.begins = begins
        self._make = make
        self.woken = Event()
        self.reports = Reports()
        self.open()

    def open(self) -> list[RoomLog]:
        self.store = self._make(self.clock)
        self.logs = self.store.open(self.woken.set, quotas=self.quotas)
        return self.logs

    def reopen(self) -> list[RoomLog]:
        self.store.close()
        return self.open()

    def wait(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while True:
            self.woken.clear()
            self.store.poll(self.reports)
            if until():
                return
            assert self.woken.wait(max(0.0, end - time.monotonic())), "the store did not answer"

    def answer(self, ask: Callable[..., None], *arguments: object) -> Any:
        answers: list[Any] = []
        ask(*arguments, answers.append)
        self.wait(lambda: answers)
        return answers[0]

    def append(
        self, number: int, *texts: str, room: str = "General", producer: bytes = ALICE, user: str = "alice"
    ) -> Appended:
        answer: Appended = self.answer(
            self.store.append, block(number, *texts, room=room, producer=producer, user=user)
        )
        return answer

    def stored(self, number: int, *texts: str, room: str = "General", producer: bytes = ALICE) -> Stored:
        answer = self.append(number, *texts, room=room, producer=producer)
        assert isinstance(answer, Stored), answer
        return answer

    def say(self, *texts: str, room: str = "General") -> None:
        """Store each text as a block of its own, by a producer that speaks only once."""
        for text in texts:
            self.stored(1, text, room=room, producer=time.monotonic_ns().to_bytes(16, "big"))

    def mark(self, seq: int, user: str = "bob", room: str = "General") -> Marked | Full | Failed:
        answer: Marked | Full | Failed = self.answer(self.store.set_read_mark, room, user, seq)
        return answer

    def marks(self) -> list[tuple[str, str, int]]:
        """Return the marks that a store opened now has."""
        self.reopen()
        return sorted(self.store.read_marks())

    def impose(self, kind: str, user: str = "bob", room: str = "General", until: int = 0) -> Any:
        """Return what is answered to a sanction of alice's."""
        sanction = Sanction(room, user, kind, until, "alice", self.clock.now, "spam", "maker")
        return self.answer(self.store.impose, sanction, self.places)

    def lift(self, kind: str, user: str = "bob", room: str = "General", number: int = 0) -> Any:
        def ask(done: Callable[[Any], None]) -> None:
            self.store.lift(room, user, kind, done, number)

        return self.answer(ask)

    def kept(self) -> list[Sanction]:
        """Return the sanctions that a store opened now has."""
        self.reopen()
        return self.store.sanctions()

    def expire(self) -> None:
        """Have the producers of more than a day ago forgotten."""
        self.store.expire(self.clock.now - PRODUCER_DAY, self.clock.now)

    def blocks(
        self, after: int = 0, upto: int = EVERYTHING, max_bytes: int = EVERYTHING, room: str = "General"
    ) -> list[Block]:
        page = self.answer(self.store.read, room, after, upto, max_bytes)
        assert isinstance(page, LogPage), page
        return page.blocks

    def messages(self, room: str = "General", after: int = 0) -> list[Message]:
        """Return a room's messages as a reader gets them, page by page."""
        messages: list[Message] = []
        while blocks := self.blocks(after=after, max_bytes=1000, room=room):
            messages += messages_of(room, [unpack(each.data) for each in blocks], after, EVERYTHING)
            after = blocks[-1].last
        return messages

    def texts(self, room: str = "General") -> list[str]:
        return [message.body for message in self.messages(room)]

    def trim(self, keep: int = 0, before: int = 0, room: str = "General", ahead: int = NEVER) -> Trimmed | Failed:
        def ask(done: Callable[[Trimmed | Failed], None]) -> None:
            self.store.trim(room, keep, before, done, ahead)

        answer: Trimmed | Failed = self.answer(ask)
        return answer


def duplicate(stored: Stored) -> Duplicate:
    """Return what a block that was stored is answered with when it comes again."""
    block = stored.block
    return Duplicate(block.first, block.last - block.first + 1, block.timestamp, stored.epoch)


def block(number: int, *texts: str, room: str = "General", producer: bytes = ALICE, user: str = "alice") -> Append:
    """Return what asks to store texts."""
    return Append(room, producer, number, user, join_bodies([encode_body(text) for text in texts]), len(texts), 1)
