"""Waiting for answers: what a caller's thread holds while the receive thread works."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from zchat.errors import DeadlineExceeded, OutcomeUnknown, UsageError, ZchatError


def check_timeout(seconds: float | None) -> float | None:
    """Return a timeout in seconds; None, which is for ever, for infinity. Any thread.

    Raises:
        UsageError: it is below 0, or no number.
    """
    if seconds is None or seconds == float("inf"):
        return None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        raise UsageError(f"a timeout is seconds from 0 on, or None for ever, not {seconds!r}")
    return min(seconds, threading.TIMEOUT_MAX)


class Deadline:
    """Hold one moment for a wait of several steps; `None` seconds is never.

    Raises:
        UsageError: the seconds are below 0, or no number.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds = check_timeout(seconds)
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Return the seconds left, 0 if none are, None if it never comes."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    @property
    def at(self) -> float:
        """Return the moment on the monotonic clock, infinity if it never comes."""
        return float("inf") if self._at is None else self._at


def acquire(lock: Any, deadline: Deadline) -> bool:
    """Take a lock before a deadline; True if it was taken."""
    left = deadline.left
    return bool(lock.acquire() if left is None else lock.acquire(timeout=min(left, threading.TIMEOUT_MAX)))


class Answer:
    """Wait for the answer to one request.

    `wait` and `withdraw` are the caller's, the rest the receive thread's. `result` is None
    before the answer.
    """

    __slots__ = ("_answered", "_deciding", "_done", "_error", "result", "withdrawn")

    def __init__(self) -> None:
        self._deciding = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self._answered = False
        self._error: Exception | None = None
        self.result: Any = None
        self.withdrawn = False

    def resolve(self, result: Any) -> bool:
        """Hand the answer to the caller; False if he has given up, and never looks at it."""
        with self._deciding:  # giving up and being answered exclude each other
            if self.withdrawn:
                return False
            self._answered = True
            self.result = result
            self._done.release()
            return True

    def fail(self, error: Exception) -> None:
        """Hand the caller the reason why there is no answer."""
        with self._deciding:
            self._answered = True
            self._error = error
            self._done.release()

    def wait(self, deadline: Deadline, what: str) -> Any:
        """Return the answer; `what` was asked, for the error's text.

        Raises:
            DeadlineExceeded: the deadline came first; an answer that comes later is dropped.
            ZchatError: what the request failed with.
        """
        try:
            answered = acquire(self._done, deadline)
        except BaseException:  # Ctrl-C
            self.withdraw()
            raise
        if not answered and self.withdraw():
            raise DeadlineExceeded(f"{what}: the broker did not answer within {deadline.seconds:g} s")
        if self._error is not None:
            raise fresh(self._error)
        return self.result

    def withdraw(self) -> bool:
        """Give up; False if the answer, or the failure, has come before."""
        with self._deciding:
            self.withdrawn = not self._answered
            return self.withdrawn


class Letter:
    """Wait until one message is stored. A batch of one, as `zchat.protocol.send_queue.Batch` says."""

    __slots__ = ("_done", "_error", "bodies", "failed", "out", "queued", "seq", "timestamp")

    def __init__(self, packed: bytes) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._error: Exception | None = None
        self.bodies = deque((packed,))
        self.out = 0
        self.queued = True
        self.failed = False
        self.seq = 0
        self.timestamp = 0

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """Take note that it is stored."""
        self.seq, self.timestamp = first, timestamp
        self._done.release()

    def fail(self, error: Exception) -> None:
        """Take the reason why it isn't, or why nobody knows."""
        self.failed = True
        self._error = error
        self._done.release()

    def wait(self, deadline: Deadline, room: str) -> None:
        """Return once it is stored. Interrupted, by Ctrl-C for example, what isn't sent never will be.

        Raises:
            DeadlineExceeded: the deadline came before it was sent; it never will be.
            OutcomeUnknown: the deadline came while it was on its way.
        """
        try:
            told = acquire(self._done, deadline)
        except BaseException:
            self.bodies.clear()
            raise
        if not told:
            try:
                self.bodies.popleft()
            except IndexError:
                if acquire(self._done, Deadline(0)):
                    return self._verdict()
                raise OutcomeUnknown(
                    f"a message to {room} was not acknowledged within {deadline.seconds:g} s: "
                    "it may or may not be stored; look in the room's history before you send it again"
                ) from None
            raise DeadlineExceeded(
                f"a message to {room} could not be sent within {deadline.seconds:g} s; send it again"
            )
        return self._verdict()

    def _verdict(self) -> None:
        if self._error is not None:
            raise fresh(self._error)


SETTLING = 0.05
"""Seconds between two looks at what is on its way, once nothing more is handed over."""


class Stream:
    """Wait for the messages of one `send_many`. A batch, as `zchat.protocol.send_queue.Batch` says."""

    __slots__ = ("_changed", "bodies", "error", "failed", "handed", "last", "out", "queued", "stored_count")

    def __init__(self) -> None:
        self._changed = threading.Event()
        self.error: Exception | None = None
        self.bodies: deque[bytes] = deque()
        self.queued = False
        self.failed = False
        self.handed = 0
        self.out = 0
        self.stored_count = 0
        self.last = 0

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """Take note that more is stored."""
        self.stored_count += count
        self.last = first + count - 1
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Take the first reason why the rest isn't stored."""
        self.failed = True
        self.queued = False  # what is handed over looks at it
        if self.error is None:
            self.error = error
        self._changed.set()

    def progress(self, seconds: float | None) -> None:
        """Return when more is stored than now, or the rest can't be; raises DeadlineExceeded."""
        deadline = Deadline(seconds)
        stored = self.stored_count
        while self.stored_count == stored and not self.failed:
            self._changed.clear()
            if self.stored_count == stored and not self.failed and not self._changed.wait(deadline.left):
                raise DeadlineExceeded(f"no message was acknowledged for {seconds:g} s")

    def withdraw(self) -> None:
        """Take back what isn't sent: it never will be."""
        self.failed = True
        self.bodies.clear()

    def settle(self, seconds: float | None) -> bool:
        """Wait until nothing is on its way; False if that is not so in time, or can't be known any more."""
        deadline = Deadline(seconds)
        while self.out and (self.error is None or not isinstance(self.error, OutcomeUnknown)):
            left = deadline.left
            if left == 0:
                break
            self._changed.clear()
            if self.out:  # it falls without a ring, too, when the core finds nothing to take
                self._changed.wait(SETTLING if left is None else min(left, SETTLING))
        return self.out == 0


def fresh(error: Exception) -> Exception:
    """Return an error that one caller may raise; several may have been failed with the same object."""
    if isinstance(error, ZchatError):
        copy = error.__class__.__new__(error.__class__)
        copy.args = error.args
        copy.__dict__.update(error.__dict__)
        copy.__cause__ = error.__cause__
        return copy
    return error
