"""The rooms that a client is in: joined by the application, or because somebody wrote in a direct room."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import ref

from zchat.client.inbox import Inbox
from zchat.client.link import ClientLink
from zchat.errors import UsageError
from zchat.messages import Position
from zchat.names import fold
from zchat.protocol.faces.invitations import Invitation, Invitations
from zchat.protocol.faces.outcomes import BaseAnswer
from zchat.protocol.port import Call
from zchat.protocol.requests import Nobody
from zchat.protocol.rooms.membership import Membership
from zchat.wire.limits import JOIN_FLAGS, OWN

log = logging.getLogger("zchat.client")

R = TypeVar("R")


class Joined(Generic[R]):
    """A room that is joined; `room` is what the application has of it, as long as it holds it."""

    __slots__ = ("after", "holders", "inbox", "invitation", "membership", "room")

    def __init__(
        self, membership: Membership, inbox: Inbox, after: Position | None, invitation: Invitation | None
    ) -> None:
        self.membership = membership
        self.inbox = inbox
        self.after = after  # where the application asked to begin
        self.invitation = invitation  # that it was joined at
        self.holders = 0  # calls that were given it
        self.room: Callable[[], R | None] = lambda: None


class JoinedRooms(Generic[R]):
    """A client's rooms, one object each, whichever thread joins it first. See `zchat.protocol.faces.steps.JoinedRooms`.

    `make` makes a room of this table, a membership and an inbox. The receive thread alone uses the table, which other
    threads ask to do what they want: a call that is interrupted has asked, or it hasn't. The table doesn't keep what
    the application drops, so that a client may be dropped.
    """

    def __init__(
        self,
        link: ClientLink,
        invitations: Invitations,
        make: Callable[[JoinedRooms[R], Membership, Inbox], R],
    ) -> None:
        self.link = link
        self.invitations = invitations
        self._make = make
        self._rooms: dict[str, Joined[R]] = {}
        self._coming: dict[str, list[Callable[[], None]]] = {}  # being joined: what is done then

    # -- the receive thread: what the steps of a join or leave ask for -------------------------------

    def join(
        self, wire: str, shown: str, after: Position | None, create: bool, answer: BaseAnswer, echo: bool = False
    ) -> None:
        """Join a room; the answer is the room, and what `give_back` takes."""
        if answer.withdrawn:
            return
        key = fold(wire)
        joined = self._rooms.get(key)
        if joined is not None and joined.membership.left:  # a broker refused to have it joined again
            self._forget(key, joined)
            joined = None
        if joined is not None:
            if after is not None and not (after == joined.after and joined.inbox.untouched):
                answer.fail(UsageError(f"you are in {shown} already: leave it before you join at a position"))
            elif echo and not joined.membership.flags & OWN:
                answer.fail(
                    UsageError(f"you are in {shown} without your own messages: leave it before you join with them")
                )
            else:
                self._give(joined, answer)
        elif key in self._coming:
            self._coming[key].append(partial(self.join, wire, shown, after, create, answer, echo))
        else:
            invitation = None if after is not None else self.invitations.take(key)
            position = after if invitation is None else invitation.position
            join = _Join(self, key, self._inbox(invitation), answer, after, invitation)
            self._begin(join, wire, position, create, JOIN_FLAGS | OWN if echo else JOIN_FLAGS)

    def give_back(self, joined: Joined[R]) -> None:
        """Leave a room whose only caller was interrupted before it had it."""
        joined.holders -= 1
        if not joined.holders:
            for key, each in list(self._rooms.items()):
                if each is joined:
                    self._leave(key, joined, Nobody())

    def leave(self, room: R, answer: Call) -> None:
        """Leave a room, which nobody is in any more if it was left before."""
        for key, joined in list(self._rooms.items()):
            if joined.room() is room:
                self._leave(key, joined, answer)
                self.link.do(self._accept)  # an invitation that waits has a place now
                return
        answer.resolve(None)

    # -- the application's threads -----------------------------------------------------------------

    def begin_to_accept(self) -> None:
        """From now on join the rooms of invitations, also of those that have come already."""
        if not self.invitations.begun:
            self.link.do(self._begin_to_accept)

    # -- the receive thread ------------------------------------------------------------------------

    def close(self, at: float) -> None:
        """Have those rooms marked that keep their mark by themselves, then close the core by the moment `at`."""
        for joined in self._rooms.values():
            joined.inbox.mark_read()
        self.link.do(self.link.core.close, at)

    def _begin_to_accept(self) -> None:
        self.invitations.begin(self._accept)
        self._accept()

    def _accept(self) -> None:
        for key in self.invitations.due:
            if key in self._rooms:
                self.invitations.take(key)
            elif key not in self._coming and (invitation := self.invitations.take_up(key)) is not None:
                join = _Join(self, key, self._inbox(invitation), None, None, invitation)
                self._begin(join, invitation.room, invitation.position, True, JOIN_FLAGS)

    def _inbox(self, invitation: Invitation | None) -> Inbox:
        link = self.link
        do, core = link.do, link.core
        inbox = Inbox(link.events.arrived, partial(do, core.credit), partial(do, core.mark_read), link.check_process)
        inbox.keeps_mark = invitation is not None
        return inbox

    def _begin(self, join: _Join[R], wire: str, position: Position | None, create: bool, flags: int) -> None:
        self._coming[join.key] = []
        self.link.events.inboxes.append(join.inbox)
        self.link.core.join(wire, position, create, join, join.inbox, flags)

    def keep(self, key: str, joined: Joined[R]) -> None:
        """Keep a room that is joined now."""
        self._rooms[key] = joined

    def _give(self, joined: Joined[R], answer: BaseAnswer) -> bool:
        room = joined.room()
        if room is None:
            room = self._make(self, joined.membership, joined.inbox)
            joined.room = ref(room)
        joined.holders += 1
        if answer.resolve((room, joined)):
            return True
        joined.holders -= 1
        return False

    def given(self, joined: Joined[R], answer: BaseAnswer) -> bool:
        """Give a room to the call that joined it; False if that waits no longer."""
        return self._give(joined, answer)

    def ended(self, key: str) -> None:
        """End a join, and have done what waited for that."""
        for then in self._coming.pop(key):
            self.link.do(then)
        if self.invitations.waiting:
            self.link.do(self._accept)

    def awaited(self, key: str) -> bool:
        """Return whether other calls wait for a room that is being joined."""
        return bool(self._coming[key])

    def _forget(self, key: str, joined: Joined[R]) -> None:
        self._rooms.pop(key, None)
        self.abandon(key, joined.inbox)

    def abandon(self, key: str, inbox: Inbox) -> None:
        """Forget a room that could not be joined."""
        inbox.left = True
        self.link.events.forget(inbox)
        self.invitations.left(key)

    def _leave(self, key: str, joined: Joined[R], answer: Call) -> None:
        self._forget(key, joined)
        joined.inbox.leave()
        self.link.core.leave(joined.membership, answer)


class _Join(Generic[R]):
    """The join of a room. A call, as `zchat.protocol.port.Call` says; `answer` is None for that of an invited room."""

    def __init__(
        self, rooms: JoinedRooms[R], key: str, inbox: Inbox, answer: BaseAnswer | None, after: Position | None,
        invitation: Invitation | None,
    ) -> None:  # fmt: skip
        self._rooms = rooms
        self.key = key
        self.inbox = inbox
        self._answer = answer
        self._after = after
        self._invitation = invitation

    @property
    def withdrawn(self) -> bool:
        """Return whether nobody waits for it."""
        return self._answer is not None and self._answer.withdrawn and not self._rooms.awaited(self.key)

    def resolve(self, result: Any) -> bool:
        """Keep the room, and report an invited one to the application before its first message."""
        rooms, answer, invitation = self._rooms, self._answer, self._invitation
        joined: Joined[R] = Joined(result, self.inbox, self._after, invitation)
        rooms.keep(self.key, joined)
        if answer is None:
            assert invitation is not None
            self.inbox.roster.invited(invitation.user)
        elif not rooms.given(joined, answer) and not rooms.awaited(self.key):
            joined.holders = 1
            rooms.give_back(joined)
            self._restore()
        rooms.ended(self.key)
        return True

    def fail(self, error: Exception) -> None:
        """Give an invitation up: the next message in the room brings another."""
        if self._answer is not None:
            self._answer.fail(error)
        elif self._invitation is not None:
            log.info("the direct room with %s can't be joined: %s", self._invitation.user, error)
        self._rooms.abandon(self.key, self.inbox)
        if self._answer is not None:
            self._restore()
        self._rooms.ended(self.key)

    def _restore(self) -> None:
        if self._invitation is not None:
            self._rooms.invitations.put_back(self.key, self._invitation)
