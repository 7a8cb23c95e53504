"""The rooms that the client's core is in, joined again over one connection after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from zchat import errors
from zchat.direct import shown_name
from zchat.messages import GapReason, Position
from zchat.protocol.membership import Feed, Membership
from zchat.protocol.requests import Done, Request, Requests
from zchat.protocol.room_state import RoomStates
from zchat.protocol.send_queues import SendQueues
from zchat.wire.commands import encode_command
from zchat.wire.notices import GapNotice, Push
from zchat.wire.replies import Joined


class Memberships:
    """Keep the joined rooms, by name as the broker writes it, and those to be joined again.

    `lose` is called when a join can't be repeated for now: the connection is given up.
    """

    def __init__(
        self,
        user: str,
        send: Callable[[bytes], None],
        requests: Requests,
        queues: SendQueues,
        lose: Callable[[errors.ZchatError], None],
    ) -> None:
        self._user = user
        self._send = send
        self._requests = requests
        self._queues = queues
        self._lose = lose
        self.rooms: dict[str, Membership] = {}
        self.states: RoomStates
        self._again: deque[Membership] = deque()
        self._joins = 0
        self._connected = False

    # -- calls -------------------------------------------------------------------------------------

    def join(self, name: str, position: Position | None, create: bool, feed: Feed) -> tuple[tuple[Any, ...], Done]:
        """Return the fields of a request to join a room, and what makes the `Membership` of its answer."""
        self._joins += 1
        fields = (name, self._joins, None if position is None else tuple(position), 0, create)
        return fields, partial(self._joined, self._joins, feed)

    def leave(self, room: Membership) -> bool:
        """Forget a room; True if the broker has to be told that it is left."""
        told = self._connected and room not in self._again
        self._forget(room)
        return told

    def credit(self, room: Membership) -> None:
        """Return credit for the notifications that were taken."""
        if room.live and not room.left and (credit := room.cursor.credit()):
            self._send(encode_command("credit", room.name, room.join, credit))

    # -- what comes in -----------------------------------------------------------------------------

    def notified(self, notice: Push | GapNotice) -> None:
        """Take a notification; raises ProtocolError if it isn't the one behind the last."""
        room = self.rooms.get(notice.room)
        if room is None or not room.live:
            return  # left meanwhile
        cursor = room.cursor
        if notice.after != cursor.upto:
            raise errors.ProtocolError(f"{room.name}: a notification after {notice.after}, not after {cursor.upto}")
        gap_came = cursor.receive(notice.epoch, notice.upto)
        room.feed.push(notice)
        if gap_came:
            self.states.settled(room, another_log=isinstance(notice, GapNotice) and notice.reason != GapReason.TRIMMED)

    def own(self, name: str, epoch: int, first: int, last: int) -> None:
        """Take note that own messages are stored there."""
        room = self.rooms.get(name)
        if room is not None:
            room.cursor.own(epoch, first, last)
            room.feed.moved()

    # -- the connection ----------------------------------------------------------------------------

    def opened(self) -> None:
        """Take note that there is a connection: all rooms are to be joined again."""
        self._connected = True
        self._again.extend(self.rooms.values())
        self.states.opened()

    def lost(self) -> None:
        """Take note that the connection is lost."""
        self._connected = False
        self._again.clear()
        for room in self.rooms.values():
            room.live = False
        self._queues.lost(self.rooms)
        self.states.lost()

    def pump(self, free: Callable[[], bool], window: int) -> None:
        """Join rooms again while there are places for requests, with windows of `window`."""
        while self._again and free():
            room = self._again.popleft()
            self._joins += 1
            room.join = self._joins
            held = room.cursor.rejoin(window)
            # A room that the broker has forgotten meanwhile, as nobody was in it, is made again.
            fields = (room.name, room.join, tuple(room.cursor.received_position), held, True)
            self._requests.issue(Request("join", fields, None, special=partial(self._rejoined, room)))

    # -- within ------------------------------------------------------------------------------------

    def _joined(self, number: int, feed: Feed, answer: Joined) -> Membership:
        name = answer.room
        feed.cursor.begin(Position(answer.epoch, answer.seq), answer.window, gap=answer.gap)
        room = self.rooms[name] = Membership(name, shown_name(self._user, name), number, feed)
        feed.begin(room)
        self.states.joined(room, self._user)
        return room

    def _rejoined(self, room: Membership, answer: Joined | None, error: errors.Refused | None) -> None:
        """Go on with a room: its notifications, its credit, its queue; or end it if it can't be joined any more."""
        if self.rooms.get(room.name) is not room:
            return  # left meanwhile
        if error is not None and error.retryable:
            self._lose(error)
        elif error is not None:
            queue = self._queues.queue(room.name)
            self._forget(room)
            if queue is not None:
                queue.fail(error)
            room.feed.end(error)
        elif answer is not None:
            name = answer.room
            if name != room.name:  # another broker spells it in its own way
                self.rooms[name] = self.rooms.pop(room.name)
                if (queue := self._queues.queue(name)) is not None:
                    queue.name = name
            room.name = name
            room.shown = shown_name(self._user, name)
            room.cursor.rejoined(answer.window, gap=answer.gap)
            room.live = True
            room.feed.begin(room)
            self.credit(room)
            self._queues.open(name)
            self.states.joined(room, self._user)

    def _forget(self, room: Membership) -> None:
        room.left = True
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]
        if room in self._again:
            self._again.remove(room)
        self._queues.open(room.name)
        self.states.left(room)
