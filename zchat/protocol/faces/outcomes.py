"""What became of a request, of one message and of many: what is known, and what is reported to a caller.

Nothing here waits. A face adds the waiting: it is given `wake`, which is called after each change,
by whichever thread runs the core. All texts about deadlines are made here, so that every face
reports the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sized
from typing import Any, Protocol

from zchat.errors import DeadlineExceeded, OutcomeUnknown, UsageError, ZchatError

SETTLING = 0.05
"""Seconds between two samples of what is on its way, once nothing more is handed over."""


class Limit(Protocol):
    """The deadline of a wait that may have several steps."""

    @property
    def seconds(self) -> float | None:
        """How long the wait could be when it began, None for no limit."""

    @property
    def left(self) -> float | None:
        """How many seconds are left, 0 if none are, None for no limit."""


class Bell(Protocol):
    """Wakes what waits for a change: threads or tasks, which check for themselves then."""

    @property
    def waiting(self) -> Sized:
        """What waits."""

    def ring(self) -> None:
        """Wake all that waits."""


class BaseAnswer:
    """The answer to one request, or why there is none. A call, as `zchat.protocol.port.Call` says.

    Either it is answered or it is withdrawn: whichever takes the one entry out of `_undecided` decides.
    """

    __slots__ = ("_error", "_undecided", "_wake", "result", "withdrawn")

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._undecided = [True]
        self._error: Exception | None = None
        self.result: Any = None
        """The answer, None before it."""
        self.withdrawn = False
        """True if the caller has given up before there was an answer or a failure."""

    def resolve(self, result: Any) -> bool:
        """Hand the answer to the caller; False if it has given up. The core's thread."""
        self.result = result  # first: a caller that is too late to give up finds it
        if not self._decide():
            self.result = None
            return False
        self._wake()
        return True

    def fail(self, error: Exception) -> None:
        """Hand the caller the reason why there is no answer. The core's thread."""
        self._error = error
        if self._decide():
            self._wake()

    def wait(self, limit: Limit, what: str) -> Any:
        """Wait for the answer and return it; `what` was asked, for the error's text. The caller's thread.

        Raises:
            DeadlineExceeded: the deadline came first; an answer that comes later is dropped.
            ZchatError: what the request failed with.
        """
        raise NotImplementedError

    def withdraw(self) -> bool:
        """Give up; False if the answer, or the failure, came before. The caller's thread."""
        if not self.withdrawn:
            self.withdrawn = self._decide()
        return self.withdrawn

    def verdict(self) -> Any:
        """Return the answer, once there is one.

        Raises:
            ZchatError: what the request failed with.
        """
        if self._error is not None:
            raise fresh(self._error)
        return self.result

    def late(self, limit: Limit, what: str, why: Exception | None = None) -> Any:
        """Return the answer if it has come by the deadline, else give up; raises as `wait`, or `why` none comes."""
        if self.withdraw():
            raise unanswered(what, limit) if why is None else fresh(why)
        return self.verdict()

    def _decide(self) -> bool:
        try:
            return self._undecided.pop()
        except IndexError:
            return False


class BaseLetter:
    """One message on its way. A submission of one, as `zchat.protocol.send_queue.Submission` says."""

    __slots__ = ("_error", "_wake", "bodies", "failed", "out", "queued", "seq", "timestamp")

    def __init__(self, packed: bytes, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._error: Exception | None = None
        self.bodies = deque((packed,))
        self.out = 0
        self.queued = True
        self.failed = False
        self.seq = 0
        """Its seq, 0 before it is stored."""
        self.timestamp = 0
        """When it was stored, in microseconds since 1970."""

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """Record where it is stored. The core's thread."""
        self.timestamp = timestamp
        self.seq = first
        self._wake()

    def fail(self, error: Exception) -> None:
        """Record why it isn't stored, or why that can't be known. The core's thread."""
        self.failed = True
        self._error = error
        self._wake()

    def wait(self, room: str) -> Any:
        """Wait until it is stored; `room` is named in the error's text. The caller's thread.

        Interrupted, by Ctrl-C for example, what isn't sent never will be.

        Raises:
            DeadlineExceeded: the deadline came before it was sent; it never will be.
            OutcomeUnknown: the deadline came while it was on its way.
            ZchatError: what it failed with.
        """
        raise NotImplementedError

    def withdraw(self) -> None:
        """Take it back: what the core hasn't taken never will be sent. The caller's thread."""
        self.bodies.clear()

    def verdict(self) -> None:
        """Return once it is stored.

        Raises:
            ZchatError: what it failed with.
        """
        if self._error is not None:
            raise fresh(self._error)

    def late(self, seconds: float | None, room: str, why: Exception | None = None) -> None:
        """Return if it is stored by the deadline, after so many seconds, else take it back; raises as `wait`.

        `why`: nothing becomes of it any more, which is so before the deadline.
        """
        try:
            self.bodies.popleft()
        except IndexError:
            if self.seq or self.failed:
                return self.verdict()
            within = f"was not acknowledged within {seconds:g} s" if why is None else f"was on its way ({why})"
            raise OutcomeUnknown(
                f"a message to {room!r} {within}: "
                "it may or may not be stored; look in the room's history before you send it again"
            ) from why
        if why is not None:
            raise fresh(why)
        raise DeadlineExceeded(f"a message to {room!r} could not be sent within {seconds:g} s; send it again")


class BaseStream:
    """The messages of one `send_many` on their way. A submission, as `zchat.protocol.send_queue.Submission` says."""

    __slots__ = ("_wake", "bodies", "error", "failed", "handed", "last", "out", "queued", "stored_count")

    turn: int | None = None
    """After how many messages others have their turn, None where nothing waits for that: threads run at once."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self.error: Exception | None = None
        """The first reason why the rest isn't stored, None without one."""
        self.bodies: deque[bytes] = deque()
        self.queued = False
        self.failed = False
        """True if nothing more of it is sent."""
        self.handed = 0
        """How many messages were handed over."""
        self.out = 0
        self.stored_count = 0
        """How many messages are known to be stored: the first ones of those handed over."""
        self.last = 0
        """The seq of the last of them, 0 before the first."""

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """Record that more is stored. The core's thread."""
        self.stored_count += count
        self.last = first + count - 1
        self._wake()

    def fail(self, error: Exception) -> None:
        """Record the first reason why the rest isn't stored. The core's thread."""
        self.failed = True
        self.queued = False  # the thread that hands over checks it
        if self.error is None:
            self.error = error
        self._wake()

    def wait(self, seen: int, seconds: float | None) -> Any:
        """Wait until more than `seen` messages are stored, or the rest can't be. The caller's thread.

        The count is one that the caller saw before it found out that it has to wait, so that what
        is stored between the two ends the wait. Returns None, or `unacknowledged` if that took more than `seconds`
        (None for no limit): what is raised breaks it off.
        """
        raise NotImplementedError

    def settle(self, seconds: float | None) -> bool:
        """Wait until nothing is on its way; False if that is not so in time, or can't be known any more.

        `seconds` is how long, None for no limit. A thread waits so.

        Raises:
            UsageError: tasks wait for it, by `settled`.
        """
        raise UsageError("this send_many was a task's: await progress.settled(timeout)")

    async def settled(self, seconds: float | None) -> bool:
        """As `settle`, for tasks.

        Raises:
            UsageError: threads wait for it, by `settle`.
        """
        raise UsageError("this send_many was a thread's, which waits for it: progress.settle(timeout)")

    def give_way(self) -> Any:
        """Let others have their turn, where `turn` says so."""
        raise NotImplementedError

    def withdraw(self) -> None:
        """Take back what isn't sent: it never will be. The caller's thread."""
        self.failed = True
        self.bodies.clear()

    @property
    def unanswered(self) -> bool:
        """True while an answer to what was handed over may still come."""
        return self.stored_count < self.handed and not self.failed

    @property
    def certain(self) -> bool:
        """True if nothing is on its way, or what became of it can't be known any more."""
        return not self.out or isinstance(self.error, OutcomeUnknown)


def unanswered(what: str, limit: Limit) -> DeadlineExceeded:
    """Return the error of a question that the broker didn't answer in time."""
    return DeadlineExceeded(f"{what}: the broker did not answer within {limit.seconds:g} s")


def unacknowledged(limit: Limit, why: Exception | None = None) -> Exception:
    """Return the error of a `send_many` of which nothing more was acknowledged in time, or `why` nothing will be."""
    return DeadlineExceeded(f"no message was acknowledged for {limit.seconds:g} s") if why is None else fresh(why)


def fresh(error: Exception) -> Exception:
    """Return an error that one caller may raise; several may have been failed with the same object."""
    if isinstance(error, ZchatError):
        copy = error.__class__.__new__(error.__class__)
        copy.args = error.args
        copy.__dict__.update(error.__dict__)
        copy.__cause__ = error.__cause__
        return copy
    return error
