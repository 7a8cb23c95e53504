"""A client's connections to brokers, one after the other: what every receiver shares, whatever drives it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from zchat.address import check_address
from zchat.errors import ZchatError
from zchat.events import Disconnected, Reconnected
from zchat.messages import Position
from zchat.protocol.core import ClientCore
from zchat.transport.context import context_of_this_process
from zchat.transport.dealer import Dealer
from zchat.wire.replies import Welcome


class Link:
    """The core's port: a DEALER at a time, to one of several addresses.

    The first connection goes to the first of `urls`. After a loss the same is tried once more, then the others in turn.
    `on_link` is called when a connection is lost and when there is one again, `on_invited` with each invitation to
    a direct room, `on_greeted` once when the first greeting is answered, or never will be, `on_end` once
    when all is over: with None if that was asked for, else with the reason. Whichever thread or loop drives it
    owns all of it, and calls these: `zchat.transport.receive_thread` has the thread.

    Raises:
        AddressError: one of `urls` is no address.
    """

    def __init__(
        self, urls: Sequence[str], user: str, producer: bytes, token: bytes, window: int,
        on_link: Callable[[Disconnected | Reconnected], None],
        on_invited: Callable[[str, str, Position], None],
        on_greeted: Callable[[], None],
        on_end: Callable[[ZchatError | None], None],
    ) -> None:  # fmt: skip
        for url in urls:
            check_address(url)
        self.core = ClientCore(self, user, producer, token, window, Random())
        self.url = urls[0]  # the address that answered last
        self.error: ZchatError | None = None  # why it has ended
        self._urls = deque(urls)  # the one in use, or to be tried, first
        self._on_link = on_link
        self._on_invited = on_invited
        self._on_greeted = on_greeted
        self._on_end = on_end
        self._greeted = False
        self._fault = ""  # why the connection can't go on: the core is told once it has returned
        self._dealer: Dealer | None = None

    # -- the core's port ---------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Send one frame to the broker."""
        if self._dealer is not None and not self._dealer.send(frame):
            self._fault = f"{self.url} does not read what is sent to it"

    def opened(self, welcome: Welcome) -> None:
        """Report that the first greeting is answered, or that there is a connection again."""
        self.url = self._urls[0]
        if self._greeted:
            self._on_link(Reconnected())
        else:
            self._greeted = True
            self._on_greeted()

    def invited(self, room: str, user: str, position: Position) -> None:
        """Pass an invitation on."""
        self._on_invited(room, user, position)

    def lost(self, error: ZchatError, was_open: bool) -> None:
        """Close the DEALER: a later connection has a fresh one, without stale frames."""
        self._close()
        if was_open:
            self._on_link(Disconnected(str(error)))
        else:
            self._urls.rotate(-1)

    def connect(self) -> None:
        """Open a fresh DEALER."""
        self._close()
        try:
            self._open(patient=False)
        except ZchatError as error:  # no file descriptor left, say
            self._fault = f"no connection to {self._urls[0]} can be made: {error}"

    def ended(self, error: ZchatError | None) -> None:
        """Report that all is over, and why."""
        self.error = error
        if not self._greeted:
            self._greeted = True
            self._on_greeted()
        self._on_end(error)

    # -- the DEALER --------------------------------------------------------------------------------

    def _watch(self, dealer: Dealer) -> None:
        """Begin to wait for what arrives at a DEALER and its monitor: each receiver's own."""
        raise NotImplementedError

    def _unwatch(self, dealer: Dealer) -> None:
        """Wait for them no longer; they are closed next."""
        raise NotImplementedError

    def open(self) -> None:
        """Open the first DEALER; raises ZchatError if it can't be."""
        self._open(patient=True)

    def _open(self, *, patient: bool) -> None:
        dealer = self._dealer = Dealer(context_of_this_process(), self._urls[0], patient=patient)
        self._watch(dealer)

    def _close(self, *, lingering: bool = False) -> None:
        dealer, self._dealer = self._dealer, None
        if dealer is not None:
            self._unwatch(dealer)
            dealer.close(lingering)
