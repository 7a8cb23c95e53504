"""The receive thread: from its start on it alone makes, uses and closes the client's sockets, and runs its core.

Other threads hand it work through a deque and ring an alarm if it may be asleep. It says that
it is going to sleep, checks the deque once more, then polls; a caller appends, then checks
whether it sleeps. It never runs the user's code and never waits for anything but its sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from zchat.errors import ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.logs import client_log
from zchat.messages import Position
from zchat.threads import Flag, RealThread, awaited_by_callers, join_briefly, start
from zchat.transport.alarm import SLEPT, Alarm
from zchat.transport.context import no_sockets
from zchat.transport.dealer import Dealer
from zchat.transport.greeting import ask_mechanism_in_thread
from zchat.transport.hosts import Lookup, look_up_in_thread
from zchat.transport.keys import NO_KEYS, Credentials
from zchat.transport.link import DROPPED_SECONDS, POLLIN, Link

TURN_FRAMES = 64
"""Frames taken from the socket before work from other threads is done."""


class ReceiveThread(Link):
    """A link that is run by a thread of its own, the receive thread: the callbacks are called there.

    `held` returns None once nobody holds the client any more; then the thread ends by itself. It begins with `start`.
    """

    turn_frames = TURN_FRAMES

    def __init__(
        self, held: Callable[[], object], urls: Sequence[str], user: str, producer: bytes, token: bytes, window: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[str, str, Position], None],
        on_end: Callable[[ZchatError | None], None],
        credentials: Credentials = NO_KEYS,
    ) -> None:  # fmt: skip
        self._answered = Flag()  # the first greeting is, or never will be
        self._held = held
        self._asleep = False
        self._over = False
        self._alarm: Alarm | None = None
        self._rung = (-1, POLLIN)
        self._polled: list[tuple[Any, int]] = []
        notified = on_link, on_invited, self._answered.set, on_end
        super().__init__(urls, user, producer, token, window, *notified, credentials)
        self.thread = RealThread(self._run, f"zchat-receive {self.url}")

    def start(self) -> None:
        """Start the thread, which makes the sockets; see `Link`."""
        start(self.thread)

    def do(self, *work: Any) -> None:
        """Have `work[0](*work[1:])` called in the receive thread. Any thread, wherever it was interrupted."""
        self._work.append(work)
        if self._over:
            try:
                self._work.remove(work)
            except ValueError:
                return  # the thread did it at its end
            work[0](*work[1:])
        elif self._asleep and (alarm := self._alarm) is not None:
            alarm.ring()

    def when_greeted(self, seconds: float) -> bool:
        """See `Link`."""
        return self._answered.wait(seconds)

    def when_over(self, seconds: float | None) -> None:
        """See `Link`. Any thread, those too that callers wait for."""
        self.thread.join(seconds)

    def give_up(self) -> None:
        """End it at once, and wait a moment for the thread's end; see `Link`."""
        self.do(self.core.close, 0.0)
        join_briefly(self.thread)

    def drop(self) -> None:
        """See `Link`."""
        self.do(self.core.close, time.monotonic() + DROPPED_SECONDS)

    def _carry_out(self, lookup: Lookup) -> None:
        look_up_in_thread(lookup)

    def _ask_mechanism(self, url: str, done: Callable[[str], object]) -> None:
        ask_mechanism_in_thread(url, done)

    def _watch(self, dealer: Dealer) -> None:
        self._polled = [*dealer.polled, self._rung]

    def _unwatch(self, dealer: Dealer) -> None:
        self._polled = [self._rung]

    # -- the thread ----------------------------------------------------------------------------------

    @awaited_by_callers()
    def _run(self) -> None:
        try:
            self._open_all()
            self._turns()
        except BaseException as error:  # a fault of zchat: callers that wait get it, and don't wait for ever
            self.core.fail(f"the receive thread failed: {error!r}", error)
            client_log.exception("the receive thread failed")
        finally:
            self._close(lingering=True)
            self._over = True
            self._drain()
            if self._alarm is not None:
                self._alarm.close()

    def _open_all(self) -> None:
        """Make the sockets; without them the core ends, with the reason."""
        try:
            self._alarm = Alarm()
            self._rung = (self._alarm.fd, POLLIN)
            self.open()
        except OSError as error:
            self.core.refuse(no_sockets(error))
        except ZchatError as error:
            self.core.refuse(error)

    def _turns(self) -> None:
        core, work, alarm = self.core, self._work, self._alarm
        if alarm is None:
            return
        now = time.monotonic()
        if not core.over:
            core.start(now)
        arrived = False
        while not core.over:
            arrived = self.turn(now, arrived)
            if not arrived:
                dealer = self._dealer
                self._asleep = True
                wait = 0 if work or core.over else max(1, int((self.next_turn - now) * 1000) + 1)
                before = time.monotonic()
                ready = zmq.zmq_poll(self._polled, wait)
                self._asleep = False
                if self._held() is None:
                    core.close(time.monotonic() + DROPPED_SECONDS)
                broken = False
                for socket, _ in ready:
                    if socket == alarm.fd:
                        alarm.quiet()
                    elif dealer is not None:
                        arrived = arrived or socket is dealer.socket
                        broken = broken or socket is dealer.monitor
                if broken and dealer is not None and self._broken(dealer):
                    arrived = False
                now = time.monotonic()
                self.alone = now - before > SLEPT
            else:
                now = time.monotonic()
                self.alone = False
