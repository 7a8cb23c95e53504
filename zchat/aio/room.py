"""A joined room, as a program in an event loop has it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from zchat.aio.link import AsyncLink
from zchat.aio.reading import Taken
from zchat.aio.waiting import Letter, finished
from zchat.checks import check_timeout
from zchat.deadline import Deadline
from zchat.loops import Bell
from zchat.messages import Batch, Member, Message, Sanction
from zchat.protocol.faces import moderation, steps
from zchat.protocol.faces.arguments import SEND_TIMEOUT, check_bodies
from zchat.protocol.faces.face import BaseRoom
from zchat.protocol.faces.inbox import BATCHES, MESSAGES, Inbox
from zchat.protocol.faces.joined_rooms import JoinedRooms
from zchat.protocol.faces.progress import Progress
from zchat.protocol.rooms.membership import Membership


class AsyncRoom(BaseRoom):
    """One joined room, to send to and to read from. Made by `AsyncClient.join`; the tasks of its loop may call."""

    _link: AsyncLink
    _inbox: Inbox[Bell]

    def __init__(
        self, lease: Callable[[], object], rooms: JoinedRooms[AsyncRoom], membership: Membership, inbox: Inbox[Bell]
    ) -> None:
        super().__init__(rooms.link, membership, inbox)
        self._lease = lease()  # what keeps the connection, as long as the application holds the room
        self._rooms = rooms

    async def send(self, body: Any, *, timeout: float | None = SEND_TIMEOUT) -> Message:
        """As `Room.send`.

        Cancelled, it is never sent if it was not on its way; else it may be stored, which the cancelling can't say:
        `timeout` says which.
        """
        link, membership = self._link, self._membership
        link.check()
        letter = Letter(link.waits.deadlines, self._encode(body), timeout)
        try:
            link.do(link.core.offer, membership.name, letter)
            await letter.wait(membership.shown)
        except BaseException:  # cancelled
            letter.withdraw()
            raise
        return Message(membership.shown, letter.seq, letter.timestamp, link.user, body)

    async def send_many(
        self,
        bodies: Iterable[Any] | AsyncIterable[Any],
        *,
        timeout: float | None = SEND_TIMEOUT,
        progress: Progress | None = None,
    ) -> int:
        """As `Room.send_many`; `bodies` may be asynchronous, too.

        The loop's other tasks have their turn after each 1,000 messages. Cancelled, what isn't on its way never is
        stored; `progress` shows the rest.
        """
        timeout = check_timeout(timeout)
        fetch: Callable[[], Any] | None = None
        if isinstance(bodies, AsyncIterable):
            fetch, bodies = partial(_next_of, aiter(bodies)), ()
        check_bodies(bodies)
        self._link.check()
        return await finished(
            steps.send_many(self._feeding(self._link.waits.stream(), bodies, progress), timeout, fetch)
        )

    def messages(self, timeout: float | None = None) -> AsyncIterator[Message]:
        """As `Room.messages`, for `async for`. Several tasks may take messages: each comes to one of them."""
        timeout = check_timeout(timeout)
        self._link.settle("messages")
        return Taken(self._link, self._inbox, MESSAGES, timeout, self)

    def batches(self, timeout: float | None = None) -> AsyncIterator[Batch]:
        """As `Room.batches`, for `async for`; for several tasks as `messages`."""
        timeout = check_timeout(timeout)
        self._link.settle("messages")
        return Taken(self._link, self._inbox, BATCHES, timeout, self)

    async def history(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        timeout: float | None = SEND_TIMEOUT,
    ) -> list[Message]:
        """As `Room.history`."""
        return await finished(steps.history(self._link, self.name, after, before, limit, Deadline(timeout)))

    async def members(self, *, timeout: float | None = SEND_TIMEOUT) -> list[Member]:
        """As `Room.members`."""
        return await finished(steps.members(self._link, self.name, Deadline(timeout)))

    # -- moderation --------------------------------------------------------------------------------

    async def kick(self, user: str, reason: str = "", *, timeout: float | None = SEND_TIMEOUT) -> int:
        """As `Room.kick`."""
        return await finished(moderation.kick(self._link, self.name, user, reason, Deadline(timeout)))

    async def ban(
        self, user: str, seconds: int = 0, reason: str = "", *, timeout: float | None = SEND_TIMEOUT
    ) -> float | None:
        """As `Room.ban`."""
        deadline = Deadline(timeout)
        return await finished(moderation.sanction(self._link, "ban", self.name, user, seconds, reason, deadline))

    async def unban(self, user: str, *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """As `Room.unban`."""
        return await finished(moderation.lift(self._link, "unban", self.name, user, Deadline(timeout)))

    async def mute(
        self, user: str, seconds: int = 0, reason: str = "", *, timeout: float | None = SEND_TIMEOUT
    ) -> float | None:
        """As `Room.mute`."""
        deadline = Deadline(timeout)
        return await finished(moderation.sanction(self._link, "mute", self.name, user, seconds, reason, deadline))

    async def unmute(self, user: str, *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """As `Room.unmute`."""
        return await finished(moderation.lift(self._link, "unmute", self.name, user, Deadline(timeout)))

    async def close_room(self, reason: str = "", *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """As `Room.close_room`."""
        return await finished(moderation.close_room(self._link, self.name, reason, Deadline(timeout)))

    async def open_room(self, *, timeout: float | None = SEND_TIMEOUT) -> bool:
        """As `Room.open_room`."""
        return await finished(moderation.open_room(self._link, self.name, Deadline(timeout)))

    async def sanctions(self, *, timeout: float | None = SEND_TIMEOUT) -> list[Sanction]:
        """As `Room.sanctions`."""
        return await finished(moderation.sanctions(self._link, self.name, Deadline(timeout)))

    # -- the end -----------------------------------------------------------------------------------

    async def leave(self, *, timeout: float | None = SEND_TIMEOUT) -> None:
        """As `Room.leave`."""
        await finished(steps.leave(self._link, self._rooms, self, self.name, Deadline(timeout)))


async def _next_of(bodies: AsyncIterator[Any]) -> Sequence[Any]:
    """Return the next body, none at the end."""
    try:
        return (await anext(bodies),)
    except StopAsyncIteration:
        return ()
