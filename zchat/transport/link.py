"""A client's connections to brokers, one after the other: what every receiver shares, whatever drives it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import zmq

from zchat.address import IPC, absolute, check_address
from zchat.errors import (
    Busy,
    NotLetIn,
    ProtocolError,
    Refused,
    ServerKeyWrong,
    ZchatError,
)
from zchat.events import Disconnected, Reconnected
from zchat.logs import client_log
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.transport.context import context_of_this_process
from zchat.transport.dealer import FRAMING, Dealer, Failure
from zchat.transport.descriptor import is_counted
from zchat.transport.door import refused_key, shut_door
from zchat.transport.hosts import Lookup, host_of
from zchat.transport.keys import NO_KEYS, Credentials
from zchat.transport.trouble import check_ipc, trouble_at
from zchat.wire.replies import Welcome

POLLIN = int(zmq.POLLIN)
"""A plain number: an enum's `&` is three calls."""

DROPPED_SECONDS = 5.0
"""Seconds that a client which was dropped without `close` has to send what was accepted, as in `close`."""

CONNECT_SECONDS = 0.5
"""Seconds that one of several addresses of a host may take to be reached until the next one is tried."""

LAST_TIMES = 5
"""How many times as long the last of them may take: after it they are tried anew."""

ROUND_SECONDS = 0.25
"""Seconds until a host that the first connection can't reach is looked up again, and all its addresses are tried."""


SAMPLE_SECONDS = 0.5
"""Seconds between two samples of what has come: at the speed of a fast network 60 MB, on one machine 250."""

SHUT_OUT = 2
"""Handshakes that fail with each of the broker's keys until they are found wrong: one may fail for want of time."""

AGAIN_SECONDS = 0.1
"""Seconds between two of them."""


class Link:
    """The core's port: a DEALER at a time, to one of several addresses.

    The first connection goes to the first of `urls`. After a loss the same is tried once more, then the others in turn.
    The name of a host is looked up for each connection, beside all else, and its addresses are tried in turn.
    `on_link` is called when a connection is lost and when there is one again, `on_invited` with each invitation to
    a direct room, `on_greeted` once when the first greeting is answered, or never will be, `on_end` once
    when all is over: with None if that was asked for, else with the reason. Whichever thread or loop drives it
    owns all of it, and calls these: `zchat.transport.receive_thread` has the thread, `loop_receiver` the loop. It has
    turns, and says how it watches a DEALER, looks a host up and asks how a broker greets.

    Raises:
        AddressError: one of `urls` is no address.
    """

    turn_frames: int
    """Frames taken from the DEALER in a turn."""
    alone = False
    """True if the first of them is taken to be the only one, and others are found by the next poll."""

    def __init__(
        self, urls: Sequence[str], user: str, producer: bytes, token: bytes, window: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[str, str, Position], None],
        on_greeted: Callable[[], None],
        on_end: Callable[[ZchatError | None], None],
        credentials: Credentials = NO_KEYS,
    ) -> None:  # fmt: skip
        for url in urls:
            check_address(url)
        urls = [absolute(url) for url in urls]
        self.core = ClientCore(self, user, producer, token, window, Random())
        self.url = urls[0]  # the address that answered last
        self.error: ZchatError | None = None  # why it has ended
        self.door: NotLetIn | None = None
        """Why the broker's door seems to stay shut, before that is certain. Any thread may read it."""
        self.due = math.inf
        """When `be_due` is to be called."""
        self.sample_at = math.inf
        """When `sample` is to be called."""
        self.next_turn = math.inf
        """When the next turn is to be, if nothing arrives before and there is no work."""
        self._work: deque[tuple[Any, ...]] = deque()  # what is to be called in the next turn
        self._urls = deque(urls)  # the one in use, or to be tried, first
        self._on_link = on_link
        self._on_invited = on_invited
        self._on_greeted = on_greeted
        self._on_end = on_end
        self._greeted = False
        self._fault = ""  # why the connection can't go on: reported to the core once its call has returned
        self._dealer: Dealer | None = None
        self._key = credentials.key
        self._servers = deque(credentials.servers)  # the broker's keys, the one to be tried first
        self._shut_out = 0  # failed handshakes since a greeting was answered; before the first, those with a wrong key
        self._asking = False  # how the broker greets
        self._again = False  # the present address is to be tried again when `be_due` is called
        self._lookups: dict[str, Lookup] = {}  # those whose results no connection has used yet
        self._left: deque[str] = deque()  # addresses of the host that are yet to be tried
        self._failed = ""  # the last one that was given up
        self._trying = False  # a connection was begun, and no greeting is answered
        self._asked = False  # a greeting was sent since then

    def do(self, *work: Any) -> None:
        """Have `work[0](*work[1:])` called by what drives the link. Any thread."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to connect, once.

        Raises:
            ZchatError: the system has no more threads.
        """
        raise NotImplementedError

    def when_greeted(self, seconds: float) -> Any:
        """Wait until the first greeting is answered, or never will be, `seconds` at most."""
        raise NotImplementedError

    def when_over(self, seconds: float | None) -> Any:
        """Wait until all is over and the sockets are closed, `seconds` at most, None for no limit."""
        raise NotImplementedError

    def give_up(self) -> None:
        """End it at once, as an exception has broken off the call that made it."""
        raise NotImplementedError

    def drop(self) -> None:
        """End it soon: nobody holds the client any more. Any thread, a finalizer's too."""
        raise NotImplementedError

    @property
    def trouble(self) -> str:
        """Return what is known of why no broker answers, "" for nothing. Any thread."""
        url, dealer = self._urls[0], self._dealer
        place = host_of(url) and self._failed  # the address of the host that was tried last
        lookup = self._lookups.get(url)
        if lookup is not None and (lookup.over or not place):
            return lookup.reason
        return "" if dealer is not None and dealer.connected else trouble_at(place or url)

    # -- the core's port ---------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Send one frame to the broker."""
        self._asked = True
        if self._dealer is not None and not self._dealer.send(frame) and self._greeted:  # else its monitor says why
            self._fault = f"{self.url} does not read what is sent to it"

    def opened(self, welcome: Welcome) -> None:
        """Report that the first greeting is answered, or that there is a connection again."""
        self.url = self._urls[0]
        self._attempt_over()
        self._failed = ""
        self._shut_out = 0
        self._lookups.clear()
        if self._greeted:
            self._on_link(Reconnected())
        else:
            self._greeted = True
            self._on_greeted()

    def invited(self, room: str, user: str, position: Position) -> None:
        """Pass an invitation on."""
        self._on_invited(room, user, position)

    def mark_refused(self, room: str, error: Refused) -> None:
        """Log it; later calls raise it as well."""
        client_log.warning("%s could not be marked as read: %s", room, error)

    def lost(self, error: ZchatError, was_open: bool) -> None:
        """Close the DEALER: a later connection has a fresh one, without stale frames."""
        self._close()
        self._attempt_over()
        if was_open:
            self._on_link(Disconnected(str(error)))
        else:
            self._urls.rotate(-1)

    def connect(self) -> None:
        """Begin a fresh connection."""
        try:
            self._begin()
        except ZchatError as error:  # no file descriptor left, say
            self._fault = f"no connection to {self._urls[0]} can be made: {error}"

    def ended(self, error: ZchatError | None) -> None:
        """Report that all is over, and why."""
        self.error = error
        if not self._greeted:
            self._greeted = True
            self._on_greeted()
        self._on_end(error)

    def _attempt_over(self) -> None:
        self._trying = False
        self._left.clear()
        self.due = math.inf

    # -- turns -------------------------------------------------------------------------------------

    def turn(self, now: float, arrived: bool) -> bool:
        """Do the work there is, take what has `arrived`, and do what is due; True if more may have arrived."""
        core, work = self.core, self._work
        core.now = now
        for left in range(len(work) - 1, -1, -1):
            function, *arguments = work.popleft()
            if left and function == core.offer == work[0][0]:
                arguments.append(True)
            function(*arguments)
            function, arguments = None, []  # what a caller was given is held by the caller alone
        if arrived:
            arrived = self._receive(now)
        if now >= self.due:
            self.be_due(now)
        if now >= self.sample_at:
            self.sample(now)
        quiet = core.quiet_until if now < core.quiet_until else core.tick(now)
        self.next_turn = min(quiet, self.due, self.sample_at)
        if self._fault:
            fault, self._fault = self._fault, ""
            if (dealer := self._dealer) is None or not (dealer.broken() and self.is_shut_out(dealer, now)):
                core.lost(fault)
            self.next_turn = now
        return arrived

    def _receive(self, now: float) -> bool:
        """Hand what has arrived to the core, a turn's worth, at least one frame; True if something may be left."""
        dealer, core = self._dealer, self.core
        if dealer is None:
            return False
        socket = dealer.socket
        for _ in range(self.turn_frames):
            frame = socket.recv(zmq.NOBLOCK)
            dealer.taken += len(frame) + FRAMING
            core.receive(frame, now)
            if self.alone or self._dealer is not dealer or not int(socket.get(zmq.EVENTS)) & POLLIN:
                return False
        return True

    def _broken(self, dealer: Dealer) -> bool:
        """Return whether the connection is given up, once all that came over it is received; the first has time."""
        broken = dealer.broken()
        if not broken:
            return False
        now = time.monotonic()
        if self.is_shut_out(dealer, now):
            return True
        if self.next_address(now):
            return True
        if not self._greeted:
            return False
        while self._dealer is dealer and int(dealer.socket.get(zmq.EVENTS)) & POLLIN:
            self._receive(now)
        if self._dealer is dealer:
            self._fault = f"{self._urls[0]}: {broken}"
        return True

    def _drain(self) -> None:
        """Do all the work there is, whatever the time; of a core that has ended, all of it fails."""
        while True:
            try:
                function, *arguments = self._work.popleft()
            except IndexError:
                return
            function(*arguments)

    # -- addresses ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin the first connection; raises ZchatError if it can't be made."""
        if self._urls[0].startswith(IPC):
            check_ipc(self._urls[0])
        self._begin()

    def be_due(self, now: float) -> None:
        """Do what is due: try the host's next address if the present one isn't reached."""
        self.due = math.inf
        if self._again:
            self._again = False
            if self._dealer is not None:
                self._reopen(self._dealer.url)
            return
        if self._dealer is None or not self._dealer.connected:
            self.next_address(now)

    def next_address(self, now: float) -> bool:
        """Give the host's present address up, and try the next one; False if it has no other.

        At the first connection, which may take its time, they are looked up and tried again.
        """
        if not self._trying or not host_of(self._urls[0]):
            return False
        if self._left:
            self._open_next(now)
        elif self._greeted:
            return False
        elif self._dealer is not None:
            self._close()
            self.due = now + ROUND_SECONDS
        else:
            self._look_up()
        return True

    def _begin(self) -> None:
        self._close()
        self._trying, self._asked = True, False
        if host_of(self._urls[0]):
            self._look_up()
        else:
            self._open(self._urls[0], patient=not self._greeted)

    def _look_up(self) -> None:
        """Have the host looked up, unless an earlier connection has begun that, and nothing has used it."""
        url = self._urls[0]
        lookup = self._lookups.get(url)
        if lookup is None or (lookup.over and not lookup.urls):
            lookup = self._lookups[url] = Lookup(url, lambda over: self.do(self._looked_up, url, over))
            self._carry_out(lookup)
        elif lookup.over:
            self._looked_up(url, lookup)

    def _looked_up(self, url: str, lookup: Lookup) -> None:
        """Take the addresses of a host, if a connection waits for them."""
        if self.core.over or not self._trying or self._dealer is not None or url != self._urls[0]:
            return
        now = time.monotonic()
        if lookup.urls:
            self._lookups.pop(url, None)
            self._left = deque(lookup.urls)
            if self._failed in self._left:  # later connections have too little time for all of them
                self._left.rotate(-1 - self._left.index(self._failed))
            self._open_next(now)
        elif self._greeted:
            self._fault = lookup.reason
        elif (error := lookup.refusal) is not None:
            self.core.refuse(error)
        else:
            self.due = now + ROUND_SECONDS

    def _open_next(self, now: float) -> None:
        """Open a DEALER to the host's next address, and greet there."""
        self._close()
        self._failed = self._left.popleft()
        self.due = now + CONNECT_SECONDS * (1 if self._left else LAST_TIMES)
        try:
            self._open(self._failed, patient=False)
        except ZchatError as error:  # no file descriptor left, say
            if self._greeted:
                self._fault = f"no connection to {self._urls[0]} can be made: {error}"
            else:
                self.core.refuse(error)
            return
        if self._asked:
            self.core.greet()

    # -- the broker's door -------------------------------------------------------------------------

    def is_shut_out(self, dealer: Dealer, now: float) -> bool:
        """Decide what a failed handshake means; True if that is seen to, and the connection not to be given up yet."""
        match dealer.failure:
            case Failure.REFUSED if self._key is not None or self._urls[0].startswith(IPC):
                self.core.refuse(refused_key(self._urls[0], self._key))
                return True
            case Failure.LATER:
                self.core.shut_out(Busy("the broker lets nobody else in for now; try again later"), now)
                return True
            case Failure.UNKNOWN | Failure.REFUSED if self._greeted:
                if not self.core.connected:  # else it was open, and has broken
                    self._shut_out_again(dealer.url)
            case Failure.UNKNOWN | Failure.REFUSED:  # nobody refuses who gives no key, over TCP
                dealer.failure = Failure.NONE
                if not self._asking:
                    self._asking = True
                    self._ask_mechanism(dealer.url, lambda mechanism: self.do(self._greeted_with, dealer, mechanism))
                return True
        return False

    def _greeted_with(self, dealer: Dealer, mechanism: str) -> None:
        """Go on with what is known of the broker at an address: the mechanism in its greeting, "" if there is none."""
        self._asking = False
        if self.core.over or self._greeted or self._dealer is not dealer:
            return
        now, error = time.monotonic(), shut_door(self._urls[0], mechanism, self._key, self._servers)
        self.door = error
        if isinstance(error, ServerKeyWrong):
            self._shut_out += 1
            if self._shut_out < self._most_tries:
                self._servers.rotate(-1)
                self._again, self.due = True, now + AGAIN_SECONDS
                return
        if error is not None:
            self.core.refuse(error)
        elif not self.next_address(now):
            self._again, self.due = True, now + AGAIN_SECONDS

    def _shut_out_again(self, url: str) -> None:
        """Count a handshake that failed after a connection was lost; find out why once it can't be by chance."""
        self._servers.rotate(-1)
        self._shut_out += 1
        if self._shut_out == self._most_tries:
            given = self._urls[0]  # another may be tried when the answer comes
            self._ask_mechanism(url, lambda mechanism: self.do(self._greeted_again_with, given, mechanism))

    def _greeted_again_with(self, url: str, mechanism: str) -> None:
        """Report why no connection is made, if that is known: the client goes on trying, for it may be an attack."""
        error = shut_door(url, mechanism, self._key, self._servers)
        if error is not None and self._shut_out and not self.core.over:
            self._on_link(Disconnected(str(error)))

    @property
    def _most_tries(self) -> int:
        """Return how many handshakes have to fail until it isn't by chance: some with each of the broker's keys."""
        return SHUT_OUT * max(1, len(self._servers))

    def _reopen(self, url: str) -> None:
        """Try an address again, over a fresh DEALER."""
        self._close()
        try:
            self._open(url, patient=not self._greeted and not host_of(self._urls[0]))
        except ZchatError as error:
            self.core.refuse(error)
            return
        self.core.greet()

    def sample(self, now: float) -> None:
        """End the client if what comes has no end: all of it would be held."""
        self.sample_at = now + SAMPLE_SECONDS
        if self._dealer is not None and (excess := self._dealer.excess()):
            self.core.refuse(ProtocolError(f"the broker at {self._urls[0]} sent {excess}"))

    # -- the DEALER --------------------------------------------------------------------------------

    def _watch(self, dealer: Dealer) -> None:
        """Begin to wait for what arrives at a DEALER and its monitor: each receiver's own."""
        raise NotImplementedError

    def _unwatch(self, dealer: Dealer) -> None:
        """Wait for them no longer; they are closed next."""
        raise NotImplementedError

    def _carry_out(self, lookup: Lookup) -> None:
        """Begin to look a host up: each receiver's own. `lookup.end` is called once that is over."""
        raise NotImplementedError

    def _ask_mechanism(self, url: str, done: Callable[[str], object]) -> None:
        """Have `done` called with the mechanism at an address, "" if none is known: each receiver's own."""
        raise NotImplementedError

    def _open(self, url: str, *, patient: bool) -> None:
        server = self._servers[0] if self._servers else ""
        context = context_of_this_process()
        dealer = self._dealer = Dealer(context, url, patient=patient, key=self._key, server=server)
        self.sample_at = time.monotonic() + SAMPLE_SECONDS if is_counted(url) else math.inf
        self._watch(dealer)

    def _close(self, *, lingering: bool = False) -> None:
        dealer = self._dealer
        self.sample_at = math.inf
        if dealer is not None:
            self._unwatch(dealer)
            dealer.close(lingering)
            self._dealer = None  # last: it may be broken off, and is then done once more
