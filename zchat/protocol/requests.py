"""The numbered questions of the client's core: those that wait for a place, and those without an answer yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from zchat import errors
from zchat.protocol.port import Call
from zchat.protocol.send_queue import SWEEP
from zchat.wire.commands import COMMANDS, encode_command
from zchat.wire.limits import OLDEST_VERSION

CLOSED = "the client was closed before this was answered"
"""Why a call fails that still waits when its client is closed."""

Done: TypeAlias = Callable[[Any], Any]
Special: TypeAlias = Callable[[Any, errors.Refused | None], None]


class Request(NamedTuple):
    """A question to the broker.

    `done` makes the call's result of the reply; `special` takes the reply, or the refusal, for the core itself.
    """

    word: str
    fields: tuple[Any, ...]
    call: Call | None
    done: Done | None = None
    special: Special | None = None

    @property
    def withdrawn(self) -> bool:
        """Return whether the caller has given up, so that it isn't sent; a room is left by then, and to leave it is."""
        return self.call is not None and self.call.withdrawn and self.word != "leave"


request_of: Callable[[tuple[Any, ...]], Request] = partial(tuple.__new__, Request)
"""As `Request._make`, without a call of Python's."""


class Nobody:
    """A caller that has gone. A call, as `zchat.protocol.port.Call` says."""

    withdrawn = False

    def resolve(self, result: Any) -> bool:
        """Drop the answer."""
        return True

    def fail(self, error: Exception) -> None:
        """Drop the reason why there is none."""


class Requests:
    """The requests of one client, numbered and kept until they are answered."""

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()  # for a place
        self.out: dict[int, Request] = {}  # sent and not answered, by their numbers: the answer takes it out
        self._number = 0
        self._sweep_at = SWEEP
        self._version = OLDEST_VERSION  # of the protocol, over the connection that there is

    @property
    def pending(self) -> bool:
        """Return whether a caller, or the core itself, awaits an answer."""
        return bool(self.out) or any(not request.withdrawn for request in self.waiting)

    def opened(self, version: int) -> None:
        """Record that there is a connection, and which version of the protocol was agreed on."""
        self._version = version

    def add(self, request: Request) -> None:
        """Have a request wait for a place."""
        if len(self.waiting) >= self._sweep_at:
            waiting, self.waiting = self.waiting, deque()
            self.waiting.extend(each for each in waiting if not self._given_up(each))
            self._sweep_at = max(SWEEP, 2 * len(self.waiting))
        self.waiting.append(request)

    def next(self) -> bytes | None:
        """Return the frame of the next request that waits, which is sent now; None if there is none."""
        while self.waiting:
            request = self.waiting.popleft()
            if self._given_up(request):
                continue
            since = COMMANDS[request.word].since
            if since <= self._version:
                return self.frame(request)
            if request.call is not None:
                text = f"{request.word} requires version {since} of the protocol, the broker speaks {self._version}"
                request.call.fail(errors.VersionRefused(f"{text}: update it"))
        return None

    def _given_up(self, request: Request) -> bool:
        """Return whether the caller has given up, and then end the call: it isn't sent."""
        if request.call is None or not request.withdrawn:
            return False
        request.call.fail(errors.ConnectionLost("the caller has given up"))
        return True

    def frame(self, request: Request) -> bytes:
        """Return the frame of a request, which is sent now."""
        return encode_command(request.word, self.enter(request), *request.fields)

    def enter(self, request: Request) -> int:
        """Return the number under which a request's answer is awaited; it is sent now."""
        self._number += 1
        self.out[self._number] = request
        return self._number

    def put_back(self) -> None:
        """Have calls without an answer asked again; to leave is done by having lost the connection."""
        again = [request for request in (*self.out.values(), *self.waiting) if request.call is not None]
        self.out.clear()
        self.waiting.clear()
        for request in again:
            assert request.call is not None
            if request.word == "leave":
                request.call.resolve(None)
            elif not self._given_up(request):
                self.waiting.append(request)

    def fail(self, error: errors.ZchatError) -> None:
        """Fail all of them."""
        failed = [*self.out.values(), *self.waiting]
        self.out.clear()
        self.waiting.clear()
        for request in failed:
            if request.call is not None:
                request.call.fail(error)
