"""Waiting in threads: what a caller's thread holds while the receive thread works."""

from __future__ import annotations

from sys import is_finalizing
from threading import TIMEOUT_MAX
from typing import Any, TypeVar

from zchat.checks import check_timeout
from zchat.deadline import Deadline
from zchat.protocol.faces.outcomes import SETTLING, BaseAnswer, BaseLetter, BaseStream, Limit, unacknowledged
from zchat.protocol.faces.steps import Steps
from zchat.threads import Bell, Lock, allocate_lock, awaited, get_ident, refuse_to_wait

T = TypeVar("T")


def acquire(lock: Lock, limit: Limit) -> bool:
    """Take a lock before a deadline; True if it was taken."""
    left = limit.left
    return lock.acquire() if left is None else lock.acquire(timeout=left)


class Answer(BaseAnswer):
    """The answer to one request, for which one thread waits."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        if get_ident() in awaited or is_finalizing():
            raise refuse_to_wait()
        self._done = done = allocate_lock()
        done.acquire()
        super().__init__(done.release)

    def wait(self, limit: Limit, what: str) -> Any:
        """See `zchat.protocol.faces.outcomes.BaseAnswer`."""
        return self.verdict() if acquire(self._done, limit) else self.late(limit, what)


class Letter(BaseLetter):
    """One message on its way, for which one thread waits; `timeout` is in seconds, None for no limit."""

    __slots__ = ("_done", "_seconds")

    def __init__(self, packed: bytes, timeout: float | None) -> None:
        if get_ident() in awaited or is_finalizing():
            raise refuse_to_wait()
        self._seconds = check_timeout(timeout)
        self._done = done = allocate_lock()
        done.acquire()
        super().__init__(packed, done.release)

    def wait(self, room: str) -> None:
        """See `zchat.protocol.faces.outcomes.BaseLetter`."""
        seconds = self._seconds
        if not (self._done.acquire() if seconds is None else self._done.acquire(True, min(seconds, TIMEOUT_MAX))):
            self.late(seconds, room)
        elif self._error is not None:
            self.verdict()


class Stream(BaseStream):
    """The messages of one `send_many` on their way, for which threads wait."""

    __slots__ = ("_changed",)

    def __init__(self) -> None:
        self._changed = Bell()
        super().__init__(self._changed.ring)

    def wait(self, seen: int, seconds: float | None) -> Exception | None:
        """See `zchat.protocol.faces.outcomes.BaseStream`."""
        limit = Deadline(seconds)
        changed = self._changed.wait(lambda: self.stored_count != seen or self.failed, limit.left)
        return None if changed else unacknowledged(limit)

    def settle(self, seconds: float | None) -> bool:
        """See `zchat.protocol.faces.outcomes.BaseStream`."""
        limit = Deadline(seconds)
        while not self.certain:
            left = limit.left
            if left == 0:
                break
            # It falls without a call of `wake`, too, when the core finds nothing to take.
            self._changed.wait(lambda: not self.out, SETTLING if left is None else min(left, SETTLING))
        return self.out == 0


class ThreadWaits:
    """What threads wait by. See `zchat.protocol.faces.face.Waits`."""

    answer = Answer
    stream = Stream
    bell = Bell


def finish(steps: Steps[T]) -> T:
    """Carry out steps in this thread, and return what they return. Each wait blocks it."""
    try:
        wait = next(steps)
        while True:
            try:
                result = wait()
            except BaseException as error:  # also Ctrl-C: the steps clean up
                wait = steps.throw(error)
            else:
                wait = steps.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned
    finally:
        steps.close()  # an exception from a signal may come between two steps, too
