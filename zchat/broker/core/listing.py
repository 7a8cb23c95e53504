"""Listing rooms: of very many, most of which a user may not see, a turn goes through some."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from zchat.broker.core.access import Access
from zchat.broker.core.replies import Replies, Request
from zchat.broker.limits import TURN_LISTED
from zchat.broker.rooms.directory import Directory
from zchat.broker.rooms.room import Room
from zchat.wire.commands import Right
from zchat.wire.replies import RoomRow, RoomsPage


class Listing:
    """The requests for a list of rooms that take more than one turn."""

    def __init__(self, access: Access, directory: Directory, replies: Replies) -> None:
        self._access = access
        self._directory = directory
        self._replies = replies
        self.waiting: deque[Iterator[None]] = deque()
        """The requests to go on with, in a turn: while there are some, the loop must not sleep."""

    def begin(self, request: Request, after: str | None, limit: int) -> None:
        """Answer with up to `limit` of the rooms that the user sees, after the folded name `after`, now or later."""
        self._replies.owed += 1
        self._go_on(self._list(request, after, limit))

    def turn(self) -> None:
        """Go on with the request that has waited longest."""
        if self.waiting:
            self._go_on(self.waiting.popleft())

    def _go_on(self, listing: Iterator[None]) -> None:
        try:
            next(listing)
        except StopIteration:
            self._replies.owed -= 1
        else:
            self.waiting.append(listing)

    def _list(self, request: Request, after: str | None, limit: int) -> Iterator[None]:
        user = request.peer.user
        found: list[Room] = []
        while True:
            rooms, more = self._directory.page(user, after, limit if self._access.rules is None else TURN_LISTED)
            # Those of the turns before are asked about again, as the rules may have changed.
            found = [room for room in [*found, *rooms] if self._access.may(user, Right.SEE, room)]
            if len(found) >= limit or not more:
                break
            after = rooms[-1].folded
            yield
            if not self._replies.waits(request):
                return
        rows = [
            RoomRow(room.name, room.users, room.first, room.last, room.read_marks.get(user)) for room in found[:limit]
        ]
        self._replies.answer(request, RoomsPage(rows, more or len(found) > limit))
