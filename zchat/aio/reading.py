"""Taking messages and events in an event loop: iterators whose only state is where the reader is.

They are classes: an asynchronous generator that is dropped is closed later, and would hold what it has. What is being
taken stays in the room; several tasks may take from the same. What is there already is taken without a wait, so that
others have their turn between two portions, or every `TURN_SECONDS` where events come as batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from time import monotonic
from typing import Any, Generic, TypeVar

from zchat.aio.link import AsyncLink
from zchat.deadline import Deadline
from zchat.events import Event
from zchat.loops import Bell, others
from zchat.messages import Batch
from zchat.protocol.faces.event_queue import Visit
from zchat.protocol.faces.inbox import Chunk, End, Inbox
from zchat.protocol.faces.outcomes import fresh
from zchat.threads import silent_at_the_end

T = TypeVar("T")

_NOTHING: Iterator[Any] = iter(())

TURN_SECONDS = 0.005
"""Seconds for which batches and other events that have come are taken before others have their turn: a loop with much
to do has long turns, and many rooms with a batch each are many portions."""


class Silence:
    """How long nothing may come: `timeout` seconds from the first wait on, None for no limit, 0 for one turn."""

    __slots__ = ("_deadline", "_link", "_over", "_timeout")

    def __init__(self, link: AsyncLink, timeout: float | None) -> None:
        self._link = link
        self._timeout = timeout
        self._deadline: Deadline | None = None
        self._over = False

    async def lasts(self, bell: Bell) -> bool:
        """Wait until a bell rings, or all the time has passed; False once that was so before.

        Raises:
            UsageError: this is not the client's loop.
            ConnectionLost: it never will ring any more, and nothing has said so before.
        """
        if self._deadline is None:
            self._link.check_place()
            self._deadline = Deadline(self._timeout)
        left = self._deadline.left
        if left != 0:
            if not await bell.wait(left) and (why := self._link.waits.deadlines.over) is not None:
                raise fresh(why)
        elif self._over:
            return False
        else:
            self._over = True
            await others()
        return True


class Taken(Generic[T]):
    """What comes in a room, until nothing came for `timeout` seconds.

    `parts` is what a notification is taken in: `MESSAGES` or `BATCHES`. `holder` is kept alive meanwhile.
    """

    __slots__ = ("_chunk", "_holder", "_inbox", "_link", "_parts", "_run", "_timeout")

    def __init__(
        self, link: AsyncLink, inbox: Inbox[Bell], parts: Callable[[Chunk], Iterator[T]], timeout: float | None,
        holder: object,
    ) -> None:  # fmt: skip
        self._link = link
        self._inbox = inbox
        self._parts = parts
        self._timeout = timeout
        self._holder = holder
        self._chunk: Chunk | None = None
        self._run: Iterator[T] = _NOTHING

    def __aiter__(self) -> Taken[T]:
        return self

    async def __anext__(self) -> T:
        for part in self._run:
            return part
        return await self._next()

    async def _next(self) -> T:
        inbox = self._inbox
        silence: Silence | None = None
        while True:
            chunk, self._chunk, self._run = self._chunk, None, _NOTHING
            if chunk is not None:
                inbox.finish(chunk)
                if inbox.waiting:
                    await others()
            over = inbox.over  # first: what comes before the end is there then
            found = inbox.take()
            if isinstance(found, Chunk):
                self._chunk, self._run = found, self._parts(found)
                for part in self._run:
                    return part
            elif found is not None:
                error = inbox.interruption(found)
                if error is not None:
                    raise error
            else:
                silence = silence or Silence(self._link, self._timeout)
                if over or not await silence.lasts(inbox.bell):
                    raise StopAsyncIteration

    @silent_at_the_end
    def __del__(self) -> None:
        chunk = getattr(self, "_chunk", None)  # its making may have been broken off
        if chunk is not None and self._link.receiver.is_here:  # a loop that is left; else the next one finds it
            self._inbox.finish(chunk)


class Events:
    """The events of all rooms, until there was none for `timeout` seconds. `holder` is kept alive meanwhile.

    `batches`: messages come as batches.
    """

    __slots__ = ("_batches", "_holder", "_link", "_run", "_timeout", "_turn_ends", "_visit")

    def __init__(self, link: AsyncLink, timeout: float | None, holder: object, *, batches: bool = False) -> None:
        self._batches = batches
        self._link = link
        self._timeout = timeout
        self._holder = holder
        self._turn_ends = -inf
        self._visit: Visit | None = None
        self._run: Iterator[Event | Batch] = _NOTHING

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event | Batch:
        for event in self._run:
            return event
        return await self._next()

    async def _next(self) -> Event | Batch:
        queue = self._link.events
        silence: Silence | None = None
        while True:
            visit, self._visit, self._run = self._visit, None, _NOTHING
            if visit is not None:
                queue.leave(visit.place)
                if queue.places and not (self._batches and monotonic() < self._turn_ends):
                    await others()
                    self._turn_ends = monotonic() + TURN_SECONDS
            found = queue.visit(batches=self._batches)
            if isinstance(found, End):
                raise StopAsyncIteration
            if found is not None:
                self._visit, self._run = found, found.events
                for event in self._run:
                    return event
            else:
                silence = silence or Silence(self._link, self._timeout)
                if not await silence.lasts(queue.bell):
                    raise StopAsyncIteration
                self._turn_ends = monotonic() + TURN_SECONDS

    @silent_at_the_end
    def __del__(self) -> None:
        visit = getattr(self, "_visit", None)
        if visit is not None and self._link.receiver.is_here:
            self._link.events.leave(visit.place)
