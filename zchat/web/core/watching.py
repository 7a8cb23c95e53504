"""One who follows a public room and sends nothing: a connection for server-sent events."""

from __future__ import annotations

from collections.abc import Callable

from zchat.events import Removed
from zchat.messages import GapReason, Position
from zchat.web.core.channel import Member
from zchat.web.core.entry import same_log
from zchat.web.core.gateway import Gateway
from zchat.web.core.letting_in import Caller
from zchat.web.core.port import Connection
from zchat.web.core.refusals import Close


class Watching:
    """A connection that follows one room. What comes is bounded by what the connection takes alone."""

    def __init__(self, gateway: Gateway, connection: Connection, caller: Caller) -> None:
        self.caller = caller
        self.connection = connection
        self._gateway = gateway
        self._member: Member | None = None
        self._over = False
        gateway.context.counters.watching += 1
        gateway.enter(self)

    async def begin(self, room: str, after: Position | None, begun: Callable[[], None]) -> None:
        """Follow a room after a position, None for from now on; `begun` is called before what comes.

        Raises:
            ZchatError: the broker's reasons.
        """
        channel = await self._gateway.channel(room)
        if self._over:
            return
        reader = self._gateway.reader
        self._member = member = Member(channel, self.connection, reader, None, self._removed, counted=False)
        begins = channel.position if after is None else after
        if not await same_log(reader, channel.name, begins, channel.position):
            member.seq = begins.seq
            member.another_log(GapReason.RESET)
        if not self._over:
            begun()
            member.begin(begins.seq)

    def resumed(self) -> None:
        """Go on: what waited in the connection has gone out."""
        if self._member is not None:
            self._member.go_on()

    def lost(self) -> None:
        """End: there is no connection any more."""
        if not self._over:
            self._over = True
            if self._member is not None:
                self._member.leave()
                self._gateway.left(self._member.channel)
            self._gateway.gone(self)

    def say_bye(self, text: str) -> None:
        """Close the connection: the browser comes again by itself."""
        self.lost()
        self.connection.close(Close.AGAIN, text)

    def tell_if_nameless(self, frame: bytes) -> None:
        """Do nothing: this connection is sent messages and gaps alone."""

    def _removed(self, event: Removed | None) -> None:
        self.say_bye("the room can't be read any more")
