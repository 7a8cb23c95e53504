"""A page in a room, from the moment it asks to come in, and what is read out of the log for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zchat.errors import ConnectionLost, NotAllowed, ZchatError
from zchat.events import Removed
from zchat.messages import START, Batch, GapReason, Position
from zchat.names import fold
from zchat.web.core import frames, refusals
from zchat.web.core.channel import Channel, Member
from zchat.web.core.commands import position
from zchat.web.core.gateway import Gateway
from zchat.web.core.limits import HISTORY_TRIES
from zchat.web.core.port import Client, Connection
from zchat.web.core.users import Place, User


class Entry:
    """A page's way into a room, and its place there: what a user's page is, see `zchat.web.core.users.Follower`.

    `user`: the page's, None if it has no name. `told`: called with why if the page is put out of the room, or with None
    if it has to come again. Put out on its way in it is not told so: that is what `come_in` raises.
    """

    def __init__(
        self, gateway: Gateway, connection: Connection, user: User | None, told: Callable[[Removed | None], None]
    ) -> None:
        self.member: Member | None = None
        self.place: Place | None = None
        self.present = False
        self._gateway = gateway
        self._connection = connection
        self._user = user
        self._told = told
        self._begins = 0
        self._begun = False
        self._put_out: ZchatError | None = None

    async def come_in(self, found: dict[str, Any]) -> dict[str, Any]:
        """Have the page follow a room as the fields of a `join` say, and return what answers that; then `begin`.

        Raises:
            ZchatError: the broker's reasons, or why the user was put out meanwhile.
        """
        channel, source = await self._enter(found)
        self.check()
        self.member = member = Member(channel, self._connection, source, self.place, self.removed)
        now = self._now(channel)
        begins = now if found["after"] is None else position(found["after"])
        self._begins = begins.seq
        if not await same_log(source, channel.name, begins, now):
            member.seq = begins.seq
            member.another_log(GapReason.RESET)
        count = max(channel.room.member_count, 0 if self.place is None else self.place.room.member_count)
        answer = {"room": channel.name, "position": frames.position_text(begins), "members": count}
        if found["after"] is None and found["history"]:
            answer |= await newest_rows(source, channel.name, begins.seq + 1, found["history"])
        self.check()  # last: whatever has ended it while it waited has said so here
        return answer

    async def _enter(self, found: dict[str, Any]) -> tuple[Channel, Client]:
        """Return a room as it is read, and who asks for its log.

        The user's own session joins first, so that sharing what is read widens no rights.
        """
        gateway, user, name = self._gateway, self._user, found["room"]
        if user is None:
            return await gateway.channel(name), gateway.reader
        self.present = not found["watch"]
        create, key = found["create"] is not False, fold(name)
        place = await user.join(self, name, create=create, reads=gateway.is_own(key))
        if place.own is None:
            try:
                return await gateway.channel(name), user.client
            except ZchatError as error:
                if refusals.is_retryable(error):
                    raise
                gateway.read_by_users(key)
                place = await user.join(self, name, create=create, reads=True)
        assert place.own is not None, "it was joined to be read"
        return place.own, user.client

    def _now(self, channel: Channel) -> Position:
        """Return how far the room has come: the broker may have let the user in further on than the gateway has read.

        What lies between was said before.
        """
        began = None if self.place is None or self.place.own is channel else self.place.began
        return channel.position if began is None or began.seq <= channel.position.seq else began

    def begin(self) -> None:
        """Write what comes from now on: the page has its answer."""
        self._begun = True
        if self.member is not None:
            self.member.begin(self._begins)

    def check(self) -> None:
        """See `zchat.web.core.users.Follower`."""
        if self._put_out is not None:
            raise self._put_out

    def removed(self, event: Removed | None) -> None:
        """See `zchat.web.core.users.Follower`."""
        if event is None or self._begun:
            self._told(event)
        else:
            self._put_out = refusals.put_out(event)

    def leave(self, *, at_once: bool) -> None:
        """Follow the room no longer; for what becomes of the user there see `zchat.web.core.users.User.unfollow`."""
        self._put_out = self._put_out or ConnectionLost("the page is gone")
        if self.place is not None:
            self.place.user.unfollow(self.place, self, at_once=at_once)
        if self.member is not None:
            self.member.leave()
            self._gateway.left(self.member.channel)


async def newest_rows(source: Client, room: str, before: int | None, limit: int) -> dict[str, Any]:
    """Return the newest messages before a seq, and whether there are older ones, as fields of an answer."""
    batch = await newest(source, room, before, limit) if limit else None
    rows = [] if batch is None else frames.rows(batch)
    return {"rows": rows, "more": bool(rows) and rows[0][0] > 1}


async def newest(client: Client, room: str, before: int | None, limit: int) -> Batch | None:
    """Return the newest messages before a seq: as many as asked for, or as one answer of the broker has.

    An answer that is full ends too early, with the older ones: then fewer are asked for.
    """
    found: Batch | None = None
    for _ in range(HISTORY_TRIES):
        found = await client.history_batch(room, before=before, limit=limit)
        if found is None or len(found) == limit or found.last + 1 == before:
            break
        if before is None and await client.history_batch(room, after=found.last, limit=1) is None:
            break
        limit = len(found)
    return found


async def same_log(client: Client, room: str, after: Position, end: Position) -> bool:
    """Return whether a position that a page has kept is one of the log that ends at `end`."""
    if after == START or after.epoch == end.epoch:
        return True
    if after.seq > end.seq:
        return False
    try:
        found = await client.history_batch(room, after=max(0, after.seq - 1), before=after.seq + 1, limit=1)
    except NotAllowed:
        return True  # all that the user didn't see is withheld anyway
    return found is None or found.position.epoch == after.epoch  # None: trimmed, as everything before it
