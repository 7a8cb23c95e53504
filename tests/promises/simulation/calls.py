"""Who waits in a simulated client: for what becomes of messages, and for answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.promises.simulation.checks import require
from tests.promises.simulation.ruling import SEND
from zchat import errors
from zchat.wire.values import pack

if TYPE_CHECKING:
    from tests.promises.simulation.client import Client


class Outgoing:
    """Be a submission, and follow what its sender learns of each message."""

    def __init__(self, client: Client, room: str, names: list[str], padding: str) -> None:
        self.client = client
        self.room = room
        self.names = names
        self.bodies = deque(pack(name + padding) for name in names)
        self.out = 0
        self.queued = True
        self.failed = False
        self.told = 0
        self.done = False
        self.unknown = False
        self.since = client.world.now

    def stored(self, count: int, first: int, timestamp: int) -> None:
        """See `zchat.protocol.send_queue.Submission`."""
        for name in self.names[self.told : self.told + count]:
            self.client.truth.told_stored(name, first)
            first += 1
        self.told += count
        require(self.told <= len(self.names), "more was acknowledged than sent")
        if self.told == len(self.names):
            self.finish()

    def fail(self, error: Exception) -> None:
        """See `zchat.protocol.send_queue.Submission`."""
        self.failed = True
        if isinstance(error, errors.OutcomeUnknown) or (
            self.client.truth.shared and isinstance(error, errors.StoreFailed)
        ):
            self.unknown = True
        if self.client.ruling is not None:
            self.client.ruling.check_refusal(error, self.client.user, self.room, SEND, self.since)
        if not self.unknown and not self.done:
            for name in self.names[self.told :]:
                self.client.truth.told_refused(name, type(error).__name__)
        self.finish()

    def withdraw(self) -> None:
        """Give up, as a call does at its deadline: what has no number yet is not sent."""
        if self.done:
            return
        left = len(self.bodies)
        self.bodies.clear()
        if len(self.names) > 1:
            self.failed = True
        self.unknown = True
        for name in self.names[len(self.names) - left :] if left else ():
            self.client.truth.told_refused(name, "that it was not sent in time")
        self.finish()

    def finish(self) -> None:
        """Record that the sender waits no longer."""
        if not self.done:
            self.done = True
            self.client.waiting -= 1


class Question:
    """Be a call."""

    def __init__(self, client: Client, then: Callable[[Any], object], failed: Callable[[Exception], object]) -> None:
        self.withdrawn = False
        self._client = client
        self._then = then
        self._failed = failed
        self.answered = False
        client.waiting += 1

    def resolve(self, result: Any) -> bool:
        """See `zchat.protocol.port.Call`."""
        self._end()
        self._then(result)
        return True

    def fail(self, error: Exception) -> None:
        """See `zchat.protocol.port.Call`."""
        self._end()
        self._failed(error)

    def _end(self) -> None:
        require(not self.answered, "a question was answered twice")
        self.answered = True
        self._client.waiting -= 1
