"""The connection of a client in an event loop. Its sockets are `zchat.transport.loop_receiver`'s."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop, _get_running_loop, get_running_loop
from collections.abc import Callable

from zchat.aio.waiting import LoopWaits
from zchat.deadline import Deadline
from zchat.errors import ConnectionLost, UsageError
from zchat.loops import Flag
from zchat.messages import Position
from zchat.protocol.requests import CLOSED
from zchat.transport.connection import CLOSE_GRACE, Connection, Lease
from zchat.transport.loop_receiver import LoopReceiver
from zchat.transport.settings import Settings


class AsyncLink(Connection):
    """A connection for which the tasks of one loop wait: the one in which `begin` is called, once."""

    receiver: LoopReceiver
    waits: LoopWaits

    def __init__(self, settings: Settings, invited: Callable[[str, str, Position], None]) -> None:
        self.waits = LoopWaits()
        self.ended = Flag(self.waits.deadlines)
        """Set when it is all over, as asked or for good."""
        super().__init__(settings, self.waits, invited, self._over)
        self._loop: AbstractEventLoop | None = None

    def begin(self) -> None:
        """Belong to the running loop, from now on; a connection is made next.

        Raises:
            UsageError: that was done before, or the client is closed.
        """
        Connection.check(self)
        if self._loop is not None:
            raise UsageError("this client has connected before: make another one")
        self._loop = get_running_loop()

    def check(self) -> None:
        """See `zchat.protocol.faces.face.FaceLink`."""
        if self.closed or not self.connected or _get_running_loop() is not self._loop:  # in a child no loop runs
            Connection.check(self)
            self.check_place()

    def check_connected(self) -> None:
        """Check that there was a connection.

        Raises:
            UsageError: there wasn't.
        """
        if not self.connected:
            raise UsageError("this client has not connected: await client.connect(), or use async with")

    def check_place(self) -> None:
        """Check that a call may wait here.

        Raises:
            UsageError: there is no connection yet, or this is another loop, or another process.
        """
        self.check_connected()
        self._check_loop()

    def check_close(self) -> None:
        """Check that closing may begin here, before it does; a forked child closes nothing, and may.

        Raises:
            UsageError: this is not the loop in which `begin` was called.
        """
        if self._loop is not None and os.getpid() == self._pid:
            self._check_loop()

    def _check_loop(self) -> None:
        if _get_running_loop() is not self._loop:
            self.check_process()
            raise UsageError(
                "this client belongs to another event loop: call it there (from another thread by "
                "asyncio.run_coroutine_threadsafe), or make one in each loop"
            )

    async def wait(self, deadline: Deadline) -> bool:
        """As `zchat.client.link.ClientLink.wait`."""
        self.check_place()
        ended = await self.ended.wait(deadline.left)
        if ended:
            self.verdict()
        return ended

    async def join(self, deadline: Deadline) -> None:
        """Wait until the sockets are closed, until the deadline and CLOSE_GRACE."""
        left = deadline.left
        await self.receiver.when_over(None if left is None else left + CLOSE_GRACE)

    def _over(self) -> None:
        """Tell all that waits: what became of it is known by now, or never will be, as the end broke it off."""
        self.ended.set()
        self.waits.deadlines.end(self.receiver.error or ConnectionLost(CLOSED))

    def _make(self, urls: list[str], lease: Lease) -> LoopReceiver:
        return LoopReceiver(get_running_loop(), *self._given(urls))
