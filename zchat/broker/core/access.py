"""What a user may do: asked once a command, before it is carried out, by the rules as they are now."""

from __future__ import annotations

from enum import Enum

from zchat import errors
from zchat.broker.guard.rules import ALL, Rules
from zchat.broker.limits import MAX_MEMBERSHIPS
from zchat.broker.port import Peer
from zchat.broker.rooms.directory import Directory
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.session import Session
from zchat.names import fold
from zchat.wire.commands import Right

_WORDS = {
    Right.JOIN: "join {}",
    Right.READ: "read what was said before in {}",
    Right.SEND: "send to {}",
    Right.MEMBERS: "ask who is in {}",
    Right.CREATE: "make the room {}",
    Right.STATS: "ask for figures",
}


class Answer(Enum):
    """Whether something may be done; what is refused is refused with the code that is the value."""

    YES = "yes"
    NOT_ALLOWED = "not_allowed"
    NO_SUCH_ROOM = "no_such_room"


def judge(rights: int, right: Right) -> Answer:
    """Return whether something may be done that requires `right`, by one who has `rights`, as bits."""
    if rights & right:
        return Answer.YES
    return Answer.NOT_ALLOWED if rights & Right.SEE else Answer.NO_SUCH_ROOM


class Access:
    """The rules of a broker, asked about its users and rooms; `rules` is None if there are none: nothing is refused.

    That a direct room does not exist for others than its two users is true without rules: see
    `zchat.broker.rooms.directory`.
    """

    def __init__(self, rules: Rules | None, directory: Directory) -> None:
        self.rules = rules
        self._directory = directory

    def rights(self, user: str, room: Room) -> int:
        """Return what a user, by folded name, may in a room: rights as bits; "": what everybody may."""
        rules = self.rules
        return ALL if rules is None else rules.rights(user, room.folded, bool(user) and room.maker == user)

    def may(self, user: str, right: Right, room: Room) -> bool:
        """Return whether a user, by folded name, has a right in a room."""
        return bool(self.rights(user, room) & right)

    def sees(self, user: str, name: str) -> bool:
        """Return whether a user may see the room of that name; "": whether everybody may."""
        if self.rules is None:
            return True
        room = self._directory.rooms.get(fold(name))
        return room is not None and self.may(user, Right.SEE, room)

    def check(self, peer: Peer, right: Right, room: Room, name: str) -> None:
        """Raise a `Refused` unless a peer has a right in a room, which it calls `name`."""
        rules = self.rules
        if rules is not None:
            self._check(rules.rights(peer.user, room.folded, room.maker == peer.user), right, name)

    def check_making(self, peer: Peer, folded: str, name: str) -> None:
        """Raise a `Refused` unless a peer may make the room of that folded name, called `name`; there is none."""
        if self.rules is not None:
            self._check(self.rules.rights(peer.user, folded, False), Right.CREATE, name)

    def check_at_broker(self, peer: Peer, right: Right) -> None:
        """Raise a `Refused` unless a peer has a right at the broker as a whole."""
        if self.rules is not None:
            self._check(self.rules.at_broker(peer.user) | Right.SEE, right, "")

    def _check(self, rights: int, right: Right, name: str) -> None:
        if rights & right:
            return
        if judge(rights, right) is Answer.NO_SUCH_ROOM:
            raise self._directory.no_such_room(name)
        raise errors.NotAllowed(f"you may not {_WORDS[right].format(repr(name))}: ask who runs the broker")

    def check_place(self, session: Session, room: Room) -> None:
        """Raise a `LimitReached` if a room has as many members as the rules allow, and a session would be one more.

        One that comes back has its place, and an owner has one anyway.
        """
        if self.rules is None or room.direct or room in session.present:
            return
        most = self.rules.table(room.folded).most
        if most and len(room.members) >= most and not self.may(session.peer.user, Right.MODERATE, room):
            raise errors.LimitReached(f"{room.name!r} has {most:,} members, the most it may have; try again later")

    def is_named_to(self, member: Member) -> bool:
        """Return whether a member may see who is in its room, and not only how many."""
        return self.may(member.session.peer.user, Right.MEMBERS, member.room)

    def floor(self, session: Session, room: Room) -> int:
        """Return the seq after which a session that joins a room may read it, and remember it for when it joins again.

        It is the log's end when the session, over whatever connection, joined first since it left; 0 with the right to
        read all.
        """
        if self.rules is None:
            return 0
        floors = session.floors
        if len(floors) >= 2 * MAX_MEMBERSHIPS:  # rooms of connections before that were not joined again
            for folded in floors.keys() - {each.folded for each in session.members}:
                del floors[folded]
        floor = floors.setdefault(room.folded, room.last)
        return 0 if self.may(session.peer.user, Right.READ, room) else floor
