"""Taking messages and events in threads: what waits for them. What takes them decides nothing, and holds nothing.

A reader takes single messages out of an inbox, or single events out of the queue, each with one call of an iterator
that everyone can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from sys import is_finalizing
from threading import TIMEOUT_MAX
from time import monotonic
from typing import Any, TypeVar

from zchat.checks import check_timeout
from zchat.deadline import Deadline
from zchat.messages import Batch, Message
from zchat.protocol.faces.event_queue import EventQueue
from zchat.protocol.faces.inbox import BATCHES, MESSAGES, Chunk, End, GapChunk, Inbox, LastChunk
from zchat.threads import Bell, awaited, get_ident, refuse_to_wait

T = TypeVar("T")


def messages_of(
    inbox: Inbox[Bell], timeout: float | None, check: Callable[[], None] = lambda: None, holder: object = None
) -> Iterator[Message]:
    """Yield messages until nothing came for `timeout` seconds (None: until the connection ends).

    `check` is called before it waits, and raises if nothing can come. `holder` is kept alive meanwhile.
    """
    return _taken(inbox, timeout, MESSAGES, check, holder)


def batches_of(
    inbox: Inbox[Bell], timeout: float | None, check: Callable[[], None] = lambda: None, holder: object = None
) -> Iterator[Batch]:
    """Yield what is left of each notification as one batch, otherwise as `messages_of`."""
    return _taken(inbox, timeout, BATCHES, check, holder)


def _taken(
    inbox: Inbox[Bell], timeout: float | None, parts: Callable[[Chunk], Iterator[T]], check: Callable[[], None],
    holder: object,
) -> Iterator[T]:  # fmt: skip
    timeout = check_timeout(timeout)
    while True:
        chunk = take(inbox, timeout, check)
        if chunk is None:
            return
        if not isinstance(chunk, Chunk):
            error = inbox.interruption(chunk)
            if error is not None:
                raise error
            continue
        try:
            yield from parts(chunk)
        finally:
            inbox.finish(chunk)


def take(
    inbox: Inbox[Bell], timeout: float | None, check: Callable[[], None] = lambda: None
) -> Chunk | GapChunk | LastChunk | None:
    """Return what `Inbox.take` returns, once there is something; None after `timeout` seconds, or at the end."""
    until: float | None = None
    while True:
        over = inbox.over  # first: what comes before the end is there then
        chunk = inbox.take()
        if chunk is not None or over or timeout == 0:
            return chunk
        check()
        if get_ident() in awaited or is_finalizing():
            raise refuse_to_wait()
        left = -1.0
        if timeout is not None:
            now = monotonic()
            until = now + timeout if until is None else until
            left = min(max(0.0, until - now), TIMEOUT_MAX)
        bell = inbox.bell
        lock = bell.enter()
        rung = False
        try:
            if inbox.next is None and not inbox.over:
                rung = lock.acquire(True, left)
                if not rung:
                    return None
        finally:
            if not rung:  # else the ring has taken it out
                bell.leave(lock)


def events_of(
    queue: EventQueue[Bell], timeout: float | None, check: Callable[[], None] = lambda: None, holder: object = None,
    *, batches: bool = False,
) -> Iterator[Any]:  # fmt: skip
    """Yield events until there was none for `timeout` seconds, None for no limit, or the connection ends.

    `check` is called before it waits, and raises if nothing can come. `holder` is kept alive meanwhile. `batches`:
    messages come as batches.

    Raises:
        Refused, ConnectionLost: why the connection has ended; ProtocolError: likewise, or a block can't be read.
    """
    deadline = Deadline(timeout)
    while True:
        visit = queue.visit(batches=batches)
        if isinstance(visit, End):
            return
        if visit is None:
            if deadline.left == 0:
                return
            check()
            if not queue.bell.wait(lambda: queue.places, deadline.left):
                return
            continue
        try:
            yield from visit.events
        finally:
            queue.leave(visit.place)
        deadline = Deadline(timeout)
