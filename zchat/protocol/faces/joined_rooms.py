"""The rooms that a client is in: joined by the application, or because somebody wrote in a direct room."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import ref

from zchat.errors import UsageError
from zchat.events import Invited
from zchat.messages import Position
from zchat.names import fold, shown_name
from zchat.protocol.faces.face import FaceLink
from zchat.protocol.faces.inbox import Inbox
from zchat.protocol.faces.invitations import Invitation, Invitations
from zchat.protocol.faces.outcomes import BaseAnswer
from zchat.protocol.port import Call
from zchat.protocol.requests import Nobody
from zchat.protocol.rooms.membership import Membership
from zchat.wire.limits import JOIN_FLAGS, LOG, OWN, PRESENT

R = TypeVar("R")


class Joined(Generic[R]):
    """A room that is joined; `room` is what the application has of it, as long as it holds it."""

    __slots__ = ("after", "holders", "inbox", "invitation", "membership", "room")

    def __init__(
        self, membership: Membership, inbox: Inbox[Any], after: Position | None, invitation: Invitation | None
    ) -> None:
        self.membership = membership
        self.inbox = inbox
        self.after = after  # where the application asked to begin
        self.invitation = invitation  # that it was joined at
        self.holders = 0  # calls that were given it
        self.room: Callable[[], R | None] = lambda: None


class JoinedRooms(Generic[R]):
    """A client's rooms, one object each, whichever thread or task joins it first.

    `make` makes a room of this table, a membership and an inbox. What drives the core alone uses the table, and is
    asked, through `FaceLink.do`, to do what a caller wants: a call that is interrupted has asked, or it hasn't. The
    table doesn't keep what the application drops, so that a client may be dropped.
    """

    def __init__(
        self,
        link: FaceLink,
        invitations: Invitations,
        make: Callable[[JoinedRooms[R], Membership, Inbox[Any]], R],
    ) -> None:
        self.link = link
        self.invitations = invitations
        self._make = make
        self._rooms: dict[str, Joined[R]] = {}
        self._coming: dict[str, list[Callable[[], None]]] = {}  # being joined: what is done then

    # -- what drives the core: what the steps of a join or leave ask for ------------------------------

    def join(
        self, wire: str, shown: str, after: Position | None, create: bool, answer: BaseAnswer, flags: int = JOIN_FLAGS
    ) -> None:
        """Join a room, or wait for another caller's join of it; the answer is the room, and what `give_back` takes."""
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
            elif difference := _difference(flags, joined.membership.flags):
                answer.fail(UsageError(f"you are in {shown} {difference}: leave it before you join in another way"))
            else:
                self._give(joined, answer)
        elif key in self._coming:
            self._coming[key].append(partial(self.join, wire, shown, after, create, answer, flags))
        else:
            invitation = None if after is not None else self.invitations.take(key)
            position = after if invitation is None else invitation.position
            join = _Join(self, key, self._inbox(invitation), answer, after, invitation)
            self._begin(join, wire, position, create, flags)

    def give_back(self, joined: Joined[R]) -> None:
        """Leave a room whose caller was interrupted before it had it, unless another one has it."""
        joined.holders -= 1
        if not joined.holders:
            for key, each in list(self._rooms.items()):
                if each is joined:
                    self._leave(key, joined, Nobody())

    def leave(self, room: R, answer: Call) -> None:
        """Leave a room, at once; the answer comes when the broker knows.

        Nobody is in one any more that was left before.
        """
        for key, joined in list(self._rooms.items()):
            if joined.room() is room:
                self._leave(key, joined, answer)
                self.link.do(self._accept)  # an invitation that waits has a place now
                return
        answer.resolve(None)

    # -- the application ---------------------------------------------------------------------------

    def begin_to_accept(self) -> None:
        """From now on join the rooms of invitations, also of those that have come already."""
        if not self.invitations.begun:
            self.link.do(self._begin_to_accept)

    # -- what drives the core ------------------------------------------------------------------------

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
            elif self.invitations.reported and key not in self._coming:
                if (invitation := self.invitations.take(key)) is not None:
                    shown = shown_name(self.link.user, invitation.room)
                    self.link.events.invited(Invited(shown, invitation.user))
            elif key not in self._coming and (invitation := self.invitations.take_up(key)) is not None:
                join = _Join(self, key, self._inbox(invitation), None, None, invitation)
                self._begin(join, invitation.room, invitation.position, True, JOIN_FLAGS)

    def _inbox(self, invitation: Invitation | None) -> Inbox[Any]:
        link = self.link
        do, core = link.do, link.core
        credit, mark = partial(do, core.credit), partial(do, core.mark_read)
        inbox: Inbox[Any] = Inbox(link.waits.bell(), link.events.arrived, credit, mark)
        inbox.keeps_mark = invitation is not None and not self.invitations.unmarked
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
        self.accept_again()

    def accept_again(self) -> None:
        """Take up the invitations that wait and may be taken up now."""
        if self.invitations.waiting:
            self.link.do(self._accept)

    def awaited(self, key: str) -> bool:
        """Return whether other calls wait for a room that is being joined."""
        return bool(self._coming[key])

    def _forget(self, key: str, joined: Joined[R]) -> None:
        self._rooms.pop(key, None)
        self.abandon(key, joined.inbox)

    def abandon(self, key: str, inbox: Inbox[Any]) -> None:
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
        self, rooms: JoinedRooms[R], key: str, inbox: Inbox[Any], answer: BaseAnswer | None, after: Position | None,
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
            rooms.ended(self.key)
        else:
            given = rooms.given(joined, answer)
            rooms.ended(self.key)
            if not given:
                rooms.link.do(self._let_go, joined)  # after those that waited for it, who may have given up as well
        return True

    def _let_go(self, joined: Joined[R]) -> None:
        """Leave the room, as no call has it."""
        if not joined.holders:
            joined.holders = 1
            self._rooms.give_back(joined)
            self._restore()
            self._rooms.accept_again()

    def fail(self, error: Exception) -> None:
        """Give an invitation up: the next message in the room brings another."""
        rooms = self._rooms
        if self._answer is not None:
            self._answer.fail(error)
        rooms.abandon(self.key, self.inbox)
        if self._answer is not None:
            self._restore()
        rooms.ended(self.key)
        if self._answer is None and self._invitation is not None:
            rooms.link.note(f"the direct room with {self._invitation.user} can't be joined: {error}")

    def _restore(self) -> None:
        if self._invitation is not None:
            self._rooms.invitations.put_back(self.key, self._invitation)


def _difference(asked: int, has: int) -> str:
    """Return how a room is joined that is asked for otherwise, "" if it has what is asked for."""
    if asked & OWN and has & LOG and not has & OWN:
        return "without your own messages"
    if (asked ^ has) & LOG:
        return "and read it" if has & LOG else "and don't read it"
    if (asked ^ has) & PRESENT:
        return "among its members" if has & PRESENT else "without being one of its members"
    return ""
