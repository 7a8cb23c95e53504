"""The rooms that a client is in: joined by the application, or because somebody wrote in a direct room."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from zchat.client.inbox import Inbox
from zchat.client.link import ClientLink
from zchat.client.waiting import Coming
from zchat.protocol.invitations import Invitations
from zchat.protocol.membership import Membership

log = logging.getLogger("zchat.client")

R = TypeVar("R")


class _Joined(NamedTuple, Generic[R]):
    room: R
    membership: Membership
    inbox: Inbox


class JoinedRooms(Generic[R]):
    """A client's rooms, one object each, whichever thread joins it first. See `zchat.protocol.steps.JoinedRooms`.

    `make` makes a room of this table, a membership and an inbox. Joins and leaves of the
    application take turns. What else touches the table does so under a lock that is never held
    while anything waits: the receive thread joins the rooms of invitations.
    """

    def __init__(
        self,
        link: ClientLink,
        invitations: Invitations,
        make: Callable[[JoinedRooms[R], Membership, Inbox], R],
    ) -> None:
        self.link = link
        self.invitations = invitations
        self.turn = link.waits.turns()
        self._make = make
        self._lock = threading.Lock()
        self._rooms: dict[str, _Joined[R]] = {}
        self._coming: dict[str, Coming] = {}

    # -- what the steps of a join or leave use: any thread -------------------------------------------

    def begin(self, key: str) -> bool:
        """Begin to join a room; False if it is joined, or another thread is joining it."""
        with self._lock:
            joined = self._rooms.get(key)
            if key in self._coming or (joined is not None and not joined.membership.left):
                return False
            if joined is not None:  # a broker refused to have it joined again
                self.link.events.inboxes.remove(joined.inbox)
                del self._rooms[key]
                self.invitations.left(key)
            self._coming[key] = self.link.waits.coming()
            return True

    def end(self, key: str) -> None:
        """End what `begin` began, whether the room is joined or not."""
        with self._lock:
            self._coming.pop(key).end()

    def get(self, key: str) -> R | None:
        """Return a room that is joined, None if it isn't."""
        joined = self._rooms.get(key)
        return None if joined is None else joined.room

    def coming(self, key: str) -> Coming | None:
        """Return the end of the join that another thread has begun, None if it has ended."""
        return self._coming.get(key)

    def inbox(self, *, invited: bool) -> Inbox:
        """Return what takes a room's notifications; `invited`: it keeps the room's read mark by itself."""
        do, core = self.link.do, self.link.core
        inbox = Inbox(self.link.events.arrived, partial(do, core.credit), partial(do, core.mark_read))
        inbox.keeps_mark = invited
        self.link.events.inboxes.append(inbox)
        return inbox

    def joined(self, key: str, membership: Membership, inbox: Inbox) -> R:
        """Return the room of a membership, and keep it."""
        room = self._make(self, membership, inbox)
        with self._lock:
            self._rooms[key] = _Joined(room, membership, inbox)
        return room

    def abandon(self, key: str, inbox: Inbox) -> None:
        """Forget a room that could not be joined."""
        with self._lock:
            self._rooms.pop(key, None)
        self.link.events.forget(inbox)
        self.invitations.left(key)

    def remove(self, room: R) -> Membership | None:
        """Forget a room that is left, and return its membership; None if it was left before."""
        with self._lock:
            found = [(key, joined) for key, joined in self._rooms.items() if joined.room is room]
            for key, _ in found:
                del self._rooms[key]
        for key, (_, membership, inbox) in found:
            self.invitations.left(key)
            inbox.left = True
            inbox.end(None)
            self.link.events.forget(inbox)
            return membership
        return None

    # -- the application's threads -----------------------------------------------------------------

    def begin_to_accept(self) -> None:
        """From now on join the rooms of invitations, also of those that have come already."""
        if self.invitations.begin(self._accept):
            self.accept()

    def accept(self) -> None:
        """Have the invitations that are due taken up."""
        if self.invitations.waiting:
            self.link.do(self._accept)

    def mark_read(self) -> None:
        """Have those rooms marked that keep their mark by themselves."""
        for inbox in list(self.link.events.inboxes):
            inbox.mark_read()

    # -- the receive thread ------------------------------------------------------------------------

    def _accept(self) -> None:
        for key in self.invitations.due:
            if not self.begin(key):
                if key in self._rooms:
                    self.invitations.take(key)
                continue  # else it is being joined
            invitation = self.invitations.take_up(key)
            if invitation is None:
                self.end(key)
                continue
            inbox = self.inbox(invited=True)
            guest = _Guest(self, key, invitation.user, inbox)
            self.link.core.join(invitation.room, invitation.position, True, guest, inbox)


class _Guest(Generic[R]):
    """The join of an invited room, for which no caller waits. A call, as `zchat.protocol.port.Call` says."""

    withdrawn = False

    def __init__(self, rooms: JoinedRooms[R], key: str, user: str, inbox: Inbox) -> None:
        self._rooms = rooms
        self._key = key
        self._user = user
        self._inbox = inbox

    def resolve(self, result: Any) -> bool:
        """Keep the room, and report it to the application before its first message."""
        self._rooms.joined(self._key, result, self._inbox)
        self._rooms.end(self._key)
        self._inbox.roster.invited(self._user)
        return True

    def fail(self, error: Exception) -> None:
        """Give the invitation up: the next message in the room brings another."""
        log.info("the direct room with %s can't be joined: %s", self._user, error)
        self._rooms.abandon(self._key, self._inbox)
        self._rooms.end(self._key)
