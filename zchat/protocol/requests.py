"""The requests of the client's core: those that wait for a place, and those without an answer yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from zchat import errors
from zchat.protocol.port import Call
from zchat.protocol.send_queue import SWEEP
from zchat.wire.commands import encode_command

Done: TypeAlias = Callable[[Any], Any]
Special: TypeAlias = Callable[[Any, errors.Refused | None], None]


class Request(NamedTuple):
    """Hold a question: `done` makes the call's result of its answer, `special` takes it for the core itself."""

    word: str
    fields: tuple[Any, ...]
    call: Call | None
    done: Done | None = None
    special: Special | None = None

    @property
    def withdrawn(self) -> bool:
        """Tell whether nobody waits for the answer any more."""
        return self.call is not None and self.call.withdrawn


class Nobody:
    """Stand for a caller that has gone. A call, as `zchat.protocol.port.Call` says."""

    withdrawn = False

    def resolve(self, result: Any) -> bool:
        """Take the answer."""
        return True

    def fail(self, error: Exception) -> None:
        """Take the reason why there is none."""


class Requests:
    """Number requests, and keep them until they are answered."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._out: dict[int, Request] = {}
        self._number = 0
        self._sweep_at = SWEEP
        self.waiting: deque[Request] = deque()

    def __len__(self) -> int:
        return len(self._out)

    @property
    def pending(self) -> bool:
        """Tell whether an answer is awaited by somebody."""
        return bool(self._out) or any(not request.withdrawn for request in self.waiting)

    def add(self, request: Request) -> None:
        """Have a request wait for a place."""
        if len(self.waiting) >= self._sweep_at:
            self.waiting = deque(each for each in self.waiting if not each.withdrawn)
            self._sweep_at = max(SWEEP, 2 * len(self.waiting))
        self.waiting.append(request)

    def pump(self, places: int) -> None:
        """Send what waits, until so many have no answer."""
        while self.waiting and len(self._out) < places:
            request = self.waiting.popleft()
            if not request.withdrawn:
                self.issue(request)

    def issue(self, request: Request) -> None:
        """Send a request at once."""
        self._send(encode_command(request.word, self.enter(request), *request.fields))

    def enter(self, request: Request) -> int:
        """Return the number under which a request's answer is awaited; the caller sends it."""
        self._number += 1
        self._out[self._number] = request
        return self._number

    def answered(self, number: int) -> Request | None:
        """Return the request that an answer is to, None if it is awaited no more."""
        return self._out.pop(number, None)

    def put_back(self) -> None:
        """Have calls without an answer asked again; to leave is done by having lost the connection."""
        again = [request for request in (*self._out.values(), *self.waiting) if request.call is not None]
        self._out.clear()
        self.waiting.clear()
        for request in again:
            assert request.call is not None
            if request.word == "leave":
                request.call.resolve(None)
            elif not request.call.withdrawn:
                self.waiting.append(request)

    def fail(self, error: errors.ZchatError) -> None:
        """Fail all of them."""
        failed = [*self._out.values(), *self.waiting]
        self._out.clear()
        self.waiting.clear()
        for request in failed:
            if request.call is not None:
                request.call.fail(error)
