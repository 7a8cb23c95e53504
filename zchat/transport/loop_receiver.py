"""The receiver of a client in an event loop: the loop itself drives the core, without a thread.

libzmq signals a socket's descriptor on an edge, once for all that has come, and any call of the socket may take the
edge away: a look at its EVENTS, and a send. So what comes is asked for after each of them, before the loop waits.
"""

from __future__ import annotations

import math
import os
import time
from asyncio import AbstractEventLoop, Task, TimerHandle
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any
from weakref import ref

import zmq

from zchat.errors import Refused, UsageError, ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.logs import client_log
from zchat.loops import TIMER_LOST_AFTER, Deadlines, Flag
from zchat.messages import Position
from zchat.threads import get_ident, silent_at_the_end
from zchat.transport.context import no_sockets
from zchat.transport.dealer import Dealer
from zchat.transport.hosts import Lookup
from zchat.transport.keys import NO_KEYS, Credentials
from zchat.transport.link import DROPPED_SECONDS, POLLIN, Link
from zchat.transport.loop_probes import look_up, read_mechanism

TURN_FRAMES = 16
"""Frames taken from the socket before the loop's tasks have their turn."""

MIN_WAIT = 0.001
"""Seconds until the next turn at least, if it is one for which time is waited."""

ENDINGS = 100
"""Times that the end of a client is begun again which was broken off each time: handlers of signals may raise often."""

_NEVER = 1e9  # seconds until a timer goes off that is there for the loop's end alone


class _LoopEnd:
    """What a loop holds until it is closed. Then the receiver ends, as nothing drives it any more."""

    _pid = 0  # a default of the class: one that was interrupted while it was made is finalized, too

    def __init__(self, receiver: LoopReceiver) -> None:
        self._receiver = receiver
        self._pid = os.getpid()

    def __call__(self) -> None:
        """Do nothing: that time never comes."""

    @silent_at_the_end
    def __del__(self) -> None:
        if os.getpid() == self._pid:
            with suppress(RuntimeError, zmq.ZMQError):  # of tasks that can't be woken, and sockets collected before
                self._receiver.give_up()


class LoopReceiver(Link):
    """A link that an event loop drives: all of it, and the callbacks, run in the loop's thread.

    It begins with `start`. What it calls within a turn only sets the results of futures: no task runs within the core.
    """

    turn_frames = TURN_FRAMES

    def __init__(
        self, loop: AbstractEventLoop, urls: Sequence[str], user: str, producer: bytes, token: bytes, window: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[str, str, Position], None],
        on_end: Callable[[ZchatError | None], None],
        credentials: Credentials = NO_KEYS,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._thread = get_ident()
        self._deadlines = Deadlines()
        self._answered = Flag(self._deadlines)  # the first greeting is, or never will be
        self._closed = Flag(self._deadlines)  # all is over, and the sockets are closed
        self._over = False
        self._is_due = False  # a turn is, in this or the next round of the loop
        self._cause: BaseException | None = None  # why a turn was broken off, for good
        self._amid = False  # a turn is, or was broken off
        self._endings = 0  # how often what follows from that was begun
        self._sent = False  # since the socket's events were asked for
        self._rung = False  # the monitor's events are to be asked for
        self._timer: TimerHandle | None = None
        self._timer_at = math.inf
        self._loop_end: Callable[[], TimerHandle | None] = lambda: None  # which the loop alone holds
        self._watched: list[int] = []
        self._probes: set[Task[None]] = set()
        notified = on_link, on_invited, self._answered.set, on_end
        super().__init__(urls, user, producer, token, window, *notified, credentials)

    def start(self) -> None:
        """See `Link`."""
        self._loop_end = ref(self._loop.call_later(_NEVER, _LoopEnd(self)))
        try:
            self.open()
            self.core.start(time.monotonic())
        except OSError as error:
            self.core.refuse(no_sockets(error))
        except ZchatError as error:
            self.core.refuse(error)
        self._wait_until(time.monotonic() + TIMER_LOST_AFTER)  # should what is asked for next be broken off
        self._have_turn()

    def do(self, *work: Any) -> None:
        """Have `work[0](*work[1:])` called in the next turn, which tasks of one round of the loop share.

        Never at once: the caller may be called by the core.

        Raises:
            UsageError: this is not the loop's thread.
        """
        if get_ident() != self._thread:
            raise UsageError(
                "this client belongs to an event loop in another thread: "
                "use asyncio.run_coroutine_threadsafe, or loop.call_soon_threadsafe"
            )
        if self._over:
            work[0](*work[1:])
        else:
            self._work.append(work)
            if not self._is_due:
                self._have_turn()

    async def when_greeted(self, seconds: float) -> bool:
        """See `Link`."""
        return await self._answered.wait(seconds)

    async def when_over(self, seconds: float | None) -> bool:
        """See `Link`; True if it is."""
        return await self._closed.wait(seconds)

    @property
    def is_here(self) -> bool:
        """True if the caller is in the loop's thread."""
        return get_ident() == self._thread

    def give_up(self) -> None:
        """End it before this returns: what was accepted goes out with a goodbye, unanswered, as the sockets close."""
        if self._over:
            return
        try:
            now = time.monotonic()
            self._drain()
            self.core.close(now)
            self.core.tick(now)
        finally:
            self._finish()

    def drop(self) -> None:
        """See `Link`."""
        with suppress(RuntimeError):  # the loop is closed, which has ended it
            self._loop.call_soon_threadsafe(self._dropped)

    def _dropped(self) -> None:
        self.do(self.core.close, time.monotonic() + DROPPED_SECONDS)

    # -- turns -------------------------------------------------------------------------------------

    def _have_turn(self) -> None:
        if not self._is_due:
            try:
                self._loop.call_soon(self._run)
            except RuntimeError:  # the loop is closed: nothing is done any more
                return
            self._is_due = True  # last: it may be broken off

    def _run(self) -> None:
        """Have a turn; what the loop calls, also when something has arrived."""
        self._is_due = False
        if self._amid:  # what should have ended it was broken off as well
            self._fail(self._cause)
            return
        if self._over:
            return
        try:
            self._amid = True
            self._turn()
            self._amid = False
        except BaseException as error:  # a fault of zchat, or what a signal's handler has raised
            self._cause = error
            self._fail(error)
            if not isinstance(error, Exception):
                raise

    def _fail(self, cause: BaseException | None) -> None:
        """End, as a turn was broken off: nobody can know what it left undone. Tasks that wait get it as the reason."""
        self._endings += 1
        if self._endings < ENDINGS:
            self._have_turn()  # first: if this is broken off too, the next turn does it
        self.core.fail(f"the client's turn failed: {cause!r}", cause)
        self._finish()
        self._amid = False
        client_log.error("the client's turn failed", exc_info=cause)

    def _run_by_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._run()

    def _run_by_monitor(self) -> None:
        self._rung = True
        self._run()

    def _turn(self) -> None:
        now = time.monotonic()
        if self._rung:
            self._rung = False
            if self._dealer is not None:
                self._broken(self._dealer)
        more = self.turn(now, True)
        if self.core.over:
            self._finish()
            return
        if self._sent:
            self._sent = False
            more = more or self._has_arrived()
        if more or self._rung or self._work:
            self._have_turn()
        elif self.next_turn < self._timer_at or self._timer_at < now - TIMER_LOST_AFTER:  # else it is early, or lost
            self._wait_until(self.next_turn)

    def _wait_until(self, at: float) -> None:
        """Have a turn at a time at the latest. Each step is done before it is recorded: it may be broken off."""
        timer = self._loop.call_later(max(MIN_WAIT, at - time.monotonic()), self._run_by_timer)
        before, self._timer, self._timer_at = self._timer, timer, at
        if before is not None:
            before.cancel()

    def _has_arrived(self) -> bool:
        dealer = self._dealer
        return dealer is not None and bool(int(dealer.socket.get(zmq.EVENTS)) & POLLIN)

    def _receive(self, now: float) -> bool:
        return self._has_arrived() and super()._receive(now)

    def _finish(self) -> None:
        """Close the sockets; the core has ended, so that what comes too late fails. It may be called again."""
        self._close(lingering=True)  # first: in a loop that is closed no task can be cancelled
        for timer in (self._timer, self._loop_end()):
            if timer is not None:
                timer.cancel()
        for probe in self._probes:
            probe.cancel()
        self._over = True  # what comes from here on is done at once
        self._drain()
        self._closed.set()
        self._deadlines.end()

    # -- what a link asks for ------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """See `Link`."""
        self._sent = True
        super().send(frame)

    def mark_refused(self, room: str, error: Refused) -> None:
        """See `Link`. It is logged in a turn of the loop's own, which alone ends if the program's handler raises."""
        self._loop.call_soon(super().mark_refused, room, error)

    def sample(self, now: float) -> None:
        """See `Link`. It asks both sockets for their events."""
        super().sample(now)
        self._sent = True
        dealer = self._dealer
        self._rung = self._rung or (dealer is not None and bool(int(dealer.monitor.get(zmq.EVENTS)) & POLLIN))

    def _watch(self, dealer: Dealer) -> None:
        for watched, run in ((dealer.socket, self._run), (dealer.monitor, self._run_by_monitor)):
            descriptor = int(watched.getsockopt(zmq.FD))
            try:
                self._loop.add_reader(descriptor, run)
            except NotImplementedError:
                raise UsageError(
                    "this event loop can't watch sockets: use "
                    "asyncio.run(main(), loop_factory=asyncio.SelectorEventLoop)"
                ) from None
            self._watched.append(descriptor)
        self._rung = True  # what a socket did before may have taken the first edge, after which no other comes
        self._have_turn()

    def _unwatch(self, dealer: Dealer) -> None:
        while self._watched:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.remove_reader(self._watched.pop())

    def _carry_out(self, lookup: Lookup) -> None:
        self._begin_probe(look_up(self._loop, lookup))

    def _ask_mechanism(self, url: str, done: Callable[[str], object]) -> None:
        async def ask() -> None:
            done(await read_mechanism(self._loop, url))

        self._begin_probe(ask())

    def _begin_probe(self, probe: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(probe)
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)
