"""A face without threads: a link whose core is called at once, and steps that are carried out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tests.protocol.driver import Wire
from zchat.errors import UsageError
from zchat.protocol.core import ClientCore
from zchat.protocol.faces.event_queue import EventQueue
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.faces.invitations import Invitations
from zchat.protocol.faces.joined_rooms import JoinedRooms
from zchat.protocol.faces.outcomes import BaseAnswer, BaseStream, Limit, unacknowledged
from zchat.protocol.faces.steps import Steps
from zchat.protocol.rooms.membership import Membership
from zchat.threads import Bell

T = TypeVar("T")


class Seconds:
    """A deadline of so many seconds, all of which have passed when something waits."""

    def __init__(self, seconds: float | None = 5.0) -> None:
        self.seconds = seconds
        self.left = 0.0


LIMIT = Seconds()


def nothing() -> None:
    """Wake nobody."""


class HandAnswer(BaseAnswer):
    """An answer that is there when it is waited for, or never."""

    __slots__ = ()

    def wait(self, limit: Limit, what: str) -> Any:
        return self.late(limit, what)


class HandStream(BaseStream):
    """Many messages, more of which are stored when they are waited for, or never."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(nothing)

    def wait(self, seen: int, seconds: float | None) -> Exception | None:
        return unacknowledged(Seconds(seconds)) if self.stored_count == seen and not self.failed else None


class HandWaits:
    """What is waited by."""

    def answer(self) -> BaseAnswer:
        return HandAnswer(nothing)

    def stream(self) -> HandStream:
        return HandStream()

    def bell(self) -> Bell:
        return Bell()


class HandLink:
    """The link of a client whose core is called at once; `closed` says that there are no new calls."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.user = "alice"
        self.url = "tcp://127.0.0.1:5555"
        self.waits = HandWaits()
        self.events = EventQueue(Bell())
        self.closed = False
        self.notes: list[str] = []

    @property
    def core(self) -> ClientCore:
        return self.wire.core

    def do(self, function: Callable[..., object], *arguments: Any) -> None:
        function(*arguments)

    def check(self) -> None:
        if self.closed:
            raise UsageError("this client is closed: make another one")

    def now(self) -> float:
        return self.wire.now

    def note(self, text: str) -> None:
        self.notes.append(text)


class HandRoom:
    """A room, which is its membership and what takes its notifications."""

    def __init__(self, rooms: JoinedRooms[HandRoom], membership: Membership, inbox: Inbox[Bell]) -> None:
        self.membership = membership
        self.inbox = inbox


class HandRooms(JoinedRooms[HandRoom]):
    """The rooms that a client is in."""

    def __init__(self, link: HandLink) -> None:
        super().__init__(link, Invitations(wanted=True), HandRoom)

    @property
    def names(self) -> list[str]:
        """Return those that are joined or being joined."""
        return [*self._rooms, *self._coming]


def carry_out(steps: Steps[T], *before: Callable[[], object]) -> T:
    """Carry out steps: before the first wait the first of `before` is called, and so on.

    What such a call raises ends the wait, as Ctrl-C would, or the cancelling of a task.
    """
    calls = [*before]
    try:
        wait = next(steps)
        while True:
            try:
                if calls:
                    calls.pop(0)()
                result = wait()
            except BaseException as error:
                wait = steps.throw(error)
            else:
                wait = steps.send(result)
    except StopIteration as end:
        assert not calls, "there were fewer waits"
        value: T = end.value
        return value
