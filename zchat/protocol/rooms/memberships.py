"""The rooms that the client's core is in, joined again over one connection after the other."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

from zchat import errors
from zchat.messages import SAME_LOG, Position
from zchat.names import is_same, shown_name
from zchat.protocol.requests import Done
from zchat.protocol.rooms import removal
from zchat.protocol.rooms.membership import Feed, Membership
from zchat.protocol.rooms.removal import Removal
from zchat.protocol.rooms.room_state import RoomStates
from zchat.protocol.send_queues import SendQueues
from zchat.wire.commands import encode_command
from zchat.wire.limits import JOIN_FLAGS, LOG, OWN
from zchat.wire.notices import GapNotice, Push, Removed
from zchat.wire.replies import Joined


class Memberships:
    """The joined rooms of `user`, by name as the broker writes it, and those to be joined again."""

    def __init__(self, user: str, queues: SendQueues, states: RoomStates) -> None:
        self._user = user
        self._queues = queues
        self._states = states
        self.rooms: dict[str, Membership] = {}
        self.again: deque[Membership] = deque()  # to be joined again over this connection
        self._joins = 0
        self._window = 0  # what was agreed on with the broker of this connection

    # -- calls -------------------------------------------------------------------------------------

    def join(
        self, name: str, position: Position | None, create: bool, feed: Feed, flags: int
    ) -> tuple[tuple[Any, ...], Done]:
        """Return the fields of a request to join a room, and what makes the `Membership` of its reply."""
        self._joins += 1
        fields = (name, self._joins, None if position is None else tuple(position), 0, create, *_asked(flags))
        return fields, partial(self._joined, name, self._joins, feed, flags)

    def leave(self, room: Membership) -> bool:
        """Forget a room; True unless the broker of this connection has yet to learn that it was joined."""
        asked = room not in self.again
        self._forget(room)
        return asked

    def credit(self, room: Membership) -> bytes | None:
        """Return the frame that returns credit for the notifications that were taken, None if none is due."""
        if room.live and not room.left and (credit := room.cursor.credit()):
            return encode_command("credit", room.name, room.join, credit)
        return None

    # -- what comes in -----------------------------------------------------------------------------

    def notified(self, notice: Push | GapNotice) -> bool:
        """Take a notification; True if it is the gap that a join began with.

        Raises:
            ProtocolError: it isn't the one after the last, goes back, or there is no credit for it.
        """
        room = self.rooms.get(notice.room)
        if room is None or not room.live:
            return False  # left meanwhile
        cursor = room.cursor
        if notice.after != cursor.upto:
            raise errors.ProtocolError(f"{room.name}: a notification after {notice.after}, not after {cursor.upto}")
        if notice.upto <= notice.after and isinstance(notice, Push):
            raise errors.ProtocolError(f"{room.name}: a notification from {notice.after} back to {notice.upto}")
        if cursor.full:
            raise errors.ProtocolError(f"{room.name}: more notifications than there was credit for")
        gap_came = cursor.receive(notice.epoch, notice.upto)
        room.feed.push(notice)
        if gap_came:
            room.began = Position(notice.epoch, notice.upto)
            self._states.settled(room, another_log=isinstance(notice, GapNotice) and notice.reason not in SAME_LOG)
        return gap_came

    def stored(self, name: str, epoch: int, first: int, last: int) -> None:
        """Record that own messages are stored in a room; where the log comes with them, that says it all."""
        room = self.rooms.get(name)
        if room is not None and room.flags & (LOG | OWN) == LOG:
            room.cursor.own(epoch, first, last)
            room.feed.moved()

    def removed(self, notice: Removed) -> None:
        """End a room that the user was removed from, unless it is not joined, or was joined anew meanwhile."""
        room = self.rooms.get(notice.room)
        if room is not None and room.live and room.join == notice.join:
            self._end(room, removal.removed(room.shown, notice))

    # -- the connection ----------------------------------------------------------------------------

    def opened(self, window: int) -> None:
        """Record that there is a connection, with that window at most: all rooms are to be joined again."""
        self._window = window
        self.again.extend(self.rooms.values())

    def lost(self) -> None:
        """Record that the connection is lost."""
        self.again.clear()
        for room in self.rooms.values():
            room.live = False
        self._queues.lost(self.rooms)
        self._states.lost(self.rooms.values())

    def rejoin(self) -> tuple[Membership, tuple[Any, ...]]:
        """Return the next room to be joined again, and the fields of the request."""
        room = self.again.popleft()
        self._joins += 1
        room.join = self._joins
        held = room.cursor.rejoin(self._window)
        # A room that was empty, and that the broker has forgotten meanwhile, is made again.
        return room, (room.name, room.join, tuple(room.cursor.received_position), held, True, *_asked(room.flags))

    def rejoined(self, room: Membership, answer: Joined) -> bytes | None:
        """Go on with a room: its notifications, its queue, its state; returns the frame of its credit, if any.

        Raises:
            ProtocolError: the answer is another join's, or has another window than was agreed on.
        """
        self._check(room.name, answer)
        name = answer.room
        if name != room.name:  # another broker spells it in its own way
            self.rooms[name] = self.rooms.pop(room.name)
            self._queues.renamed(name)
            room.name = name
        room.shown = shown_name(self._user, name)
        room.cursor.rejoined(answer.window, gap=answer.gap)
        room.began = _beginning(answer, room.began)  # first: it is of the membership that is live
        room.live = True
        room.feed.begin(room)
        self._queues.open(name)
        self._states.joined(room, self._user)
        return self.credit(room)

    def refused(self, room: Membership, error: errors.Refused) -> None:
        """End a room that can't be joined any more."""
        self._end(room, removal.refused(room.shown, error))

    # -- within ------------------------------------------------------------------------------------

    def _joined(self, asked: str, number: int, feed: Feed, flags: int, answer: Joined) -> Membership:
        self._check(asked, answer)
        name = answer.room
        if error := unfit(flags, answer):
            raise error
        feed.cursor.begin(Position(answer.epoch, answer.seq), answer.window, gap=answer.gap)
        room = self.rooms[name] = Membership(name, shown_name(self._user, name), number, feed, flags)
        room.began = _beginning(answer, None)
        feed.begin(room)
        self._states.joined(room, self._user)
        return room

    def _check(self, asked: str, answer: Joined) -> None:
        if not is_same(answer.room, asked):
            raise errors.ProtocolError(f"the broker has joined another room than {shown_name(self._user, asked)}")
        if answer.window > self._window:
            raise errors.ProtocolError(f"{answer.room}: a window of {answer.window}, not of {self._window} at most")

    def _end(self, room: Membership, why: Removal) -> None:
        room.removed = why.error
        self._forget(room)
        self._queues.end(room.name, why.error)
        room.feed.removed(why)

    def _forget(self, room: Membership) -> None:
        room.left = True
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]
        if room in self.again:
            self.again.remove(room)
        self._queues.open(room.name)
        self._states.left(room)


def unfit(flags: int, answer: Joined) -> errors.VersionRefused | None:
    """Return the error if a broker has not honoured a join's flags: an older version doesn't know them."""
    if flags == JOIN_FLAGS or answer.flags == flags:
        return None
    return errors.VersionRefused(
        f"the broker is of an older version and can't have {answer.room} joined in this way (flags {flags}); "
        "update it, or join as usual"
    )


def _beginning(answer: Joined, before: Position | None) -> Position | None:
    """Return where a membership begins that has begun `before`; None if the gap says so that comes first."""
    return None if answer.gap else before or Position(answer.epoch, answer.seq)


def _asked(flags: int) -> tuple[int, ...]:
    """Return the last fields of a join: none but for what an older version can't do."""
    return () if flags == JOIN_FLAGS else (flags,)
