"""Waiting in an event loop: what a task holds while the core works."""

from __future__ import annotations

from asyncio import get_running_loop
from functools import partial
from typing import Any, TypeVar

from zchat.deadline import Deadline
from zchat.loops import Bell, Deadlines, Waiting, others, wake
from zchat.protocol.faces.outcomes import SETTLING, BaseAnswer, BaseLetter, BaseStream, Limit, unacknowledged
from zchat.protocol.faces.steps import Steps

T = TypeVar("T")

TURN_MESSAGES = 1_000
"""Messages of a `send_many` that are handed over before the loop's other tasks have their turn."""


class Answer(BaseAnswer):
    """The answer to one request, for which one task waits."""

    __slots__ = ("_deadlines", "_future")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._future: Waiting = get_running_loop().create_future()
        super().__init__(partial(wake, self._future))

    async def wait(self, limit: Limit, what: str) -> Any:
        """See `zchat.protocol.faces.outcomes.BaseAnswer`."""
        answered = await self._deadlines.limit(self._future, limit.left)
        return self.verdict() if answered else self.late(limit, what, self._deadlines.over)


class Letter(BaseLetter):
    """One message on its way, for which one task waits; `timeout` is in seconds from now, None for no limit."""

    __slots__ = ("_deadlines", "_future", "_limit")

    def __init__(self, deadlines: Deadlines, packed: bytes, timeout: float | None) -> None:
        self._deadlines = deadlines
        self._limit = Deadline(timeout)
        self._future: Waiting = get_running_loop().create_future()
        super().__init__(packed, partial(wake, self._future))

    async def wait(self, room: str) -> None:
        """See `zchat.protocol.faces.outcomes.BaseLetter`."""
        limit = self._limit
        known = await self._deadlines.by(self._future, limit.at)
        return self.verdict() if known else self.late(limit.seconds, room, self._deadlines.over)


class Stream(BaseStream):
    """The messages of one `send_many` on their way, for which tasks wait."""

    __slots__ = ("_changed", "_deadlines")

    turn = TURN_MESSAGES

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._changed = Bell(deadlines)
        super().__init__(self._changed.ring)

    async def wait(self, seen: int, seconds: float | None) -> Exception | None:
        """See `zchat.protocol.faces.outcomes.BaseStream`."""
        limit = Deadline(seconds)
        while self.stored_count == seen and not self.failed:
            if not await self._changed.wait(limit.left):
                return unacknowledged(limit, self._deadlines.over)
        return None

    async def settled(self, seconds: float | None) -> bool:
        """See `zchat.protocol.faces.outcomes.BaseStream`."""
        limit = Deadline(seconds)
        while not self.certain:
            left = limit.left
            if left == 0 or self._deadlines.over is not None:
                break
            # It falls without a call of `wake`, too, when the core finds nothing to take.
            await self._changed.wait(SETTLING if left is None else min(left, SETTLING))
        return self.out == 0

    async def give_way(self) -> None:
        """See `zchat.protocol.faces.outcomes.BaseStream`."""
        await others()


class LoopWaits:
    """What tasks wait by. See `zchat.protocol.faces.face.Waits`."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        """Those of all the client's waits."""

    def answer(self) -> Answer:
        """See `Waits`."""
        return Answer(self.deadlines)

    def stream(self) -> Stream:
        """See `Waits`."""
        return Stream(self.deadlines)

    def bell(self) -> Bell:
        """See `Waits`."""
        return Bell(self.deadlines)


async def finished(steps: Steps[T]) -> T:
    """Carry out steps in this task, and return what they return. Whatever ends a wait is thrown into them."""
    try:
        wait = next(steps)
        while True:
            try:
                result = await wait()
            except BaseException as error:  # also the task's cancellation: the steps clean up
                wait = steps.throw(error)
            else:
                wait = steps.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned
