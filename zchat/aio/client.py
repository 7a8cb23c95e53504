"""The client in an event loop: what a program that talks in rooms holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from os import PathLike
from types import TracebackType
from typing import Literal, Self, overload
from weakref import ref

from zchat.address import DEFAULT_URL
from zchat.aio.link import AsyncLink
from zchat.aio.reading import Events
from zchat.aio.room import AsyncRoom
from zchat.aio.waiting import finished
from zchat.checks import check_finite_timeout, check_flag, check_timeout, shown
from zchat.deadline import Deadline
from zchat.errors import UsageError, ZchatError
from zchat.events import Event
from zchat.messages import Batch, Member, Message, Position, RoomInfo, Sanction
from zchat.protocol.faces import moderation, steps
from zchat.protocol.faces.arguments import ASK_TIMEOUT, REPORT, UNMARKED, direct_room, join_flags
from zchat.protocol.faces.face import BaseClient
from zchat.protocol.faces.invitations import Invitations
from zchat.protocol.faces.joined_rooms import JoinedRooms
from zchat.stats import OverallStats, Stats
from zchat.transport.connection import Lease
from zchat.transport.keys import Key
from zchat.transport.settings import settings


class AsyncClient(BaseClient):
    """A connection to a broker, and the rooms joined over it, for the tasks of one event loop.

    It is `zchat.Client` without threads: the same calls, parameters and errors, to be awaited. It is made anywhere, and
    reads the files of its keys then; it connects with `connect`, or at the beginning of an `async with` block, and
    belongs to the loop in which it does. The arguments are those of `Client`, which has one more: what is `on_event`
    there is a task that takes `events()` here.

    A call may be cancelled at any moment. What had not gone out then never does; a room that was being joined is left,
    one that was being left is left all the same; no message is lost that was to be read.
    """

    _link: AsyncLink

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        user: str | None = None,
        timeout: float = 5.0,
        high_water_mark: int = 0,
        invitations: bool | Literal["report", "unmarked"] = True,
        key: Key | str | PathLike[str] | None = None,
        server_key: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    ) -> None:
        given = settings(url, user, timeout, high_water_mark, invitations, key, server_key)
        kept = Invitations(
            wanted=bool(given.invitations),
            reported=given.invitations == REPORT,
            unmarked=given.invitations == UNMARKED,
        )
        self._timeout = given.timeout
        self._lease = lease = Lease(given.user)
        link = lease.link = AsyncLink(given, kept.receive)
        super().__init__(link)
        self._rooms: JoinedRooms[AsyncRoom] = JoinedRooms(link, kept, partial(AsyncRoom, ref(lease)))

    async def connect(self) -> Self:
        """Connect, once, and return the client. Cancelled, nothing is left of it.

        Raises:
            UsageError: it was called before, the client is closed, or the event loop can't watch sockets.
            ConnectionLost, Refused, AddressError: as `Client`, when it is made.
        """
        link = self._link
        link.begin()
        try:
            await finished(link.connecting(self._lease, Deadline(self._timeout)))
            link.check()
        except BaseException:
            self._lease.give_up()
            raise
        return self

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except ZchatError:
            raise
        except BaseException:  # of a signal's handler, perhaps before closing had begun
            if self._link.begin_close() and self._link.connected:
                self._link.receiver.give_up()
            raise

    @property
    def max_message(self) -> int:
        """Return the broker's limit of one message, in bytes of MessagePack.

        Raises:
            UsageError: the client has not connected.
        """
        self._link.check_connected()
        return super().max_message

    # -- rooms -----------------------------------------------------------------------------------

    async def join(
        self,
        name: str,
        *,
        after: Position | None = None,
        create: bool = True,
        echo: bool = False,
        reads: bool = True,
        present: bool = True,
        timeout: float | None = ASK_TIMEOUT,
    ) -> AsyncRoom:
        """As `Client.join`."""
        flags = join_flags(echo, reads, present)
        return await finished(steps.join(self._link, self._rooms, name, after, create, flags, Deadline(timeout)))

    async def direct(self, user: str, *, timeout: float | None = ASK_TIMEOUT) -> AsyncRoom:
        """As `Client.direct`."""
        return await self.join(direct_room(user), timeout=timeout)

    async def leave(self, room: AsyncRoom, *, timeout: float | None = ASK_TIMEOUT) -> None:
        """As `Client.leave`."""
        if not isinstance(room, AsyncRoom):
            raise UsageError(f"leave is given an AsyncRoom, as join returns it, not {shown(room)}")
        await finished(steps.leave(self._link, self._rooms, room, room.name, Deadline(timeout)))

    async def rooms(
        self, *, after: str | None = None, limit: int | None = None, timeout: float | None = ASK_TIMEOUT
    ) -> list[RoomInfo]:
        """As `Client.rooms`."""
        return await finished(steps.rooms(self._link, Deadline(timeout), after, limit))

    async def members(
        self, name: str, *, after: str | None = None, limit: int | None = None, timeout: float | None = ASK_TIMEOUT
    ) -> list[Member]:
        """As `Client.members`."""
        return await finished(steps.members(self._link, name, Deadline(timeout), after, limit))

    async def stats(self, *, timeout: float | None = ASK_TIMEOUT) -> Stats:
        """As `Client.stats`."""
        return await finished(steps.stats(self._link, Deadline(timeout)))

    async def overall_stats(self, *, timeout: float | None = ASK_TIMEOUT) -> OverallStats:
        """As `Client.overall_stats`."""
        return await finished(steps.overall_stats(self._link, Deadline(timeout)))

    async def mark_read(self, name: str, seq: int, *, timeout: float | None = ASK_TIMEOUT) -> int:
        """As `Client.mark_read`."""
        return await finished(steps.mark_read(self._link, name, seq, Deadline(timeout)))

    async def history(
        self,
        name: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        timeout: float | None = ASK_TIMEOUT,
    ) -> list[Message]:
        """As `Client.history`."""
        return await finished(steps.history(self._link, name, after, before, limit, Deadline(timeout)))

    async def history_batch(
        self,
        name: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 1000,
        timeout: float | None = ASK_TIMEOUT,
    ) -> Batch | None:
        """As `Client.history_batch`."""
        return await finished(steps.history_batch(self._link, name, after, before, limit, Deadline(timeout)))

    # -- moderation of the broker as a whole -------------------------------------------------------

    async def ban(
        self, user: str, seconds: int = 0, reason: str = "", *, timeout: float | None = ASK_TIMEOUT
    ) -> float | None:
        """As `Client.ban`."""
        return await finished(moderation.sanction(self._link, "ban", None, user, seconds, reason, Deadline(timeout)))

    async def unban(self, user: str, *, timeout: float | None = ASK_TIMEOUT) -> bool:
        """As `Client.unban`."""
        return await finished(moderation.lift(self._link, "unban", None, user, Deadline(timeout)))

    async def sanctions(self, *, timeout: float | None = ASK_TIMEOUT) -> list[Sanction]:
        """As `Client.sanctions`."""
        return await finished(moderation.sanctions(self._link, None, Deadline(timeout)))

    # -- events ----------------------------------------------------------------------------------

    @overload
    def events(self, timeout: float | None = None, *, batches: Literal[False] = False) -> AsyncIterator[Event]: ...

    @overload
    def events(self, timeout: float | None = None, *, batches: bool) -> AsyncIterator[Event | Batch]: ...

    def events(self, timeout: float | None = None, *, batches: bool = False) -> AsyncIterator[Event | Batch]:
        """As `Client.events`, for `async for`. Several tasks may take events: each comes to one of them."""
        timeout = check_timeout(timeout)
        check_flag("batches", batches)
        self._take_events("events")
        return Events(self._link, timeout, self._lease, batches=batches)

    async def wait(self, timeout: float | None = None) -> bool:
        """As `Client.wait`."""
        return await self._link.wait(Deadline(timeout))

    async def close(self, timeout: float = 5.0) -> None:
        """As `Client.close`. Cancelled, it ends at once: the goodbye goes out, and the sockets are closed before.

        Raises:
            UsageError: the timeout is below 0 or no number, or this is another loop; the client stays open.
        """
        deadline = Deadline(check_finite_timeout("closing", timeout))
        link = self._link
        link.check_close()  # first: a call that is refused changes nothing
        try:
            if link.begin_close() and link.connected:
                link.do(self._rooms.close, deadline.at)
                await link.join(deadline)
        finally:
            if link.begin_close() and link.connected:  # or what has broken that off may have come amid it
                link.receiver.give_up()  # what isn't over by now

    aclose = close

    def _take_events(self, way: str) -> None:
        """Settle on taking events in this way, and join the rooms of invitations from now on."""
        self._link.settle(way)
        self._rooms.begin_to_accept()
