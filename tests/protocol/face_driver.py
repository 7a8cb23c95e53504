"""A face without threads: a link whose core is called at once, and steps that are carried out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from tests.protocol.driver import FakeFeed, Wire
from zchat.errors import UsageError
from zchat.protocol.core import ClientCore
from zchat.protocol.face import Coming
from zchat.protocol.invitations import Invitations
from zchat.protocol.membership import Membership
from zchat.protocol.outcomes import BaseAnswer, BaseLetter, BaseStream, Limit, no_turn, unacknowledged, unanswered
from zchat.protocol.steps import Steps

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


class HandLetter(BaseLetter):
    """One message that is stored when it is waited for, or never."""

    __slots__ = ("_limit",)

    def __init__(self, packed: bytes, timeout: float | None) -> None:
        super().__init__(packed, nothing)
        self._limit = Seconds(timeout)

    def wait(self, room: str) -> None:
        self.late(self._limit, room)


class HandStream(BaseStream):
    """Many messages, more of which are stored when they are waited for, or never."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(nothing)

    def wait(self, seen: int, seconds: float | None) -> None:
        if self.stored_count == seen and not self.failed:
            raise unacknowledged(Seconds(seconds))


class HandTurn:
    """A turn that is free when it is taken, or never; `taken` holds the one that is taken."""

    def __init__(self, taken: list[HandTurn]) -> None:
        self._taken = taken

    def take(self, limit: Limit, what: str) -> None:
        if self._taken:
            raise no_turn(what, limit)
        self._taken.append(self)

    def end(self) -> None:
        if self in self._taken:
            self._taken.remove(self)


class HandComing:
    """The end of a join, which has come when it is waited for, or never comes."""

    def __init__(self) -> None:
        self.ended = False

    def wait(self, limit: Limit, what: str) -> None:
        if not self.ended:
            raise unanswered(what, limit)

    def end(self) -> None:
        self.ended = True


class HandWaits:
    """What is waited by."""

    def answer(self) -> BaseAnswer:
        return HandAnswer(nothing)

    def letter(self, packed: bytes, timeout: float | None) -> BaseLetter:
        return HandLetter(packed, timeout)

    def stream(self) -> HandStream:
        return HandStream()

    def turns(self) -> Callable[[], HandTurn]:
        return partial(HandTurn, [])

    def coming(self) -> HandComing:
        return HandComing()


class HandLink:
    """The link of a client whose core is called at once; `closed` says that there are no new calls."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.user = "alice"
        self.url = "tcp://127.0.0.1:5555"
        self.waits = HandWaits()
        self.closed = False

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


class HandRoom:
    """A room, which is its membership and what takes its notifications."""

    def __init__(self, membership: Membership, inbox: FakeFeed) -> None:
        self.membership = membership
        self.inbox = inbox


class HandRooms:
    """The rooms that a client is in; `begun` has those that are being joined, by somebody else too."""

    def __init__(self, link: HandLink) -> None:
        self.link = link
        self.invitations = Invitations(wanted=True)
        self.turn = link.waits.turns()
        self.rooms: dict[str, HandRoom] = {}
        self.begun: dict[str, HandComing] = {}
        self.abandoned: list[str] = []
        self.accepted = 0

    def begin(self, key: str) -> bool:
        if key in self.begun or key in self.rooms:
            return False
        self.begun[key] = HandComing()
        return True

    def end(self, key: str) -> None:
        self.begun.pop(key).end()

    def get(self, key: str) -> HandRoom | None:
        return self.rooms.get(key)

    def coming(self, key: str) -> Coming | None:
        return self.begun.get(key)

    def inbox(self, *, invited: bool) -> FakeFeed:
        return FakeFeed()

    def joined(self, key: str, membership: Membership, inbox: FakeFeed) -> HandRoom:
        room = self.rooms[key] = HandRoom(membership, inbox)
        return room

    def abandon(self, key: str, inbox: FakeFeed) -> None:
        self.abandoned.append(key)

    def remove(self, room: HandRoom) -> Membership | None:
        for key, each in list(self.rooms.items()):
            if each is room:
                del self.rooms[key]
                return room.membership
        return None

    def accept(self) -> None:
        self.accepted += 1


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
