"""What a user may do: asked once a command, before it is carried out, by the rules as they are now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum, IntEnum
from itertools import islice

from zchat import errors
from zchat.broker.guard.rules import ALL, Rules
from zchat.broker.limits import (
    MAKER_SANCTIONS,
    MAKERS_SANCTIONS,
    MAX_MEMBERSHIPS,
    OPERATORS_ROOM_SANCTIONS,
    OPERATORS_SANCTIONS,
    USER_SANCTIONS,
)
from zchat.broker.port import Peer
from zchat.broker.rooms.directory import Directory
from zchat.broker.rooms.member import Member
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.sanctions import Sanctions
from zchat.broker.rooms.session import Session
from zchat.broker.rooms.wall_clock import SECOND
from zchat.broker.store.contract import (
    BAN,
    MAX_SANCTIONS,
    MUTE,
    ROOM_SANCTIONS,
    Places,
    Sanction,
)
from zchat.messages import Position
from zchat.names import GUEST, fold
from zchat.wire.commands import Right

_WORDS = {
    Right.JOIN: "join {}",
    Right.READ: "read what was said before in {}",
    Right.SEND: "send to {}",
    Right.MEMBERS: "ask who is in {}",
    Right.CREATE: "make the room {}",
    Right.STATS: "ask for figures",
}

_SEARCHED_MEMBERS = 100
"""Members of a room among whom moderators are searched for, to be named in a refusal: a bound on what that costs."""

_NAMED_MODERATORS = 3
"""Moderators who are named in a refusal at most."""

_BANNED = Right.JOIN | Right.READ | Right.SEND | Right.MEMBERS | Right.CREATE | Right.MODERATE
"""The rights that a ban takes."""

OPERATORS_PLACES = Places(ROOM_SANCTIONS, USER_SANCTIONS, MAX_SANCTIONS)
"""How many sanctions there may be for another one of an operator's to be kept."""

OWNERS_PLACES = Places(ROOM_SANCTIONS - OPERATORS_ROOM_SANCTIONS, USER_SANCTIONS, MAX_SANCTIONS - OPERATORS_SANCTIONS)
"""The same for one of an owner's by the rules."""

MAKERS_PLACES = Places(ROOM_SANCTIONS - OPERATORS_ROOM_SANCTIONS, MAKER_SANCTIONS, MAKERS_SANCTIONS)
"""The same for one of a user's who owns the room by having made it alone."""


class Level(IntEnum):
    """How far up a user stands in a room: each moderates those below, and nobody their equals."""

    OTHERS = 0
    OWNER = 1
    OPERATOR = 2


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
    """The rules of a broker and what its moderators have imposed, asked about its users and rooms.

    `rules` is None if there are none: nothing is refused by them, and who has made a room owns it. `time` returns the
    microseconds since 1970 by which sanctions end. `binds_names`: each name is one user's; else nobody moderates.
    That a direct room does not exist for others than its two users is true without rules: see
    `zchat.broker.rooms.directory`.
    """

    def __init__(
        self, rules: Rules | None, directory: Directory, time: Callable[[], int], *, binds_names: bool
    ) -> None:
        self.rules = rules
        """None: there are none."""
        self.time = time
        """Returns the microseconds since 1970 by which sanctions end."""
        self.at_broker = Sanctions()
        """What is imposed at the broker as a whole."""
        self.binds_names = binds_names
        self._directory = directory

    def rights(self, user: str, room: Room) -> int:
        """Return what a user, by folded name, may in a room: rights as bits; "": what everybody may."""
        rules = self.rules
        rights = ALL if rules is None else rules.rights(user, room.folded, bool(user) and room.maker == user)
        return rights if room.sanctions is None else rights & ~self._taken(user, room)

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
        if room.sanctions is not None:
            sanction = self.sanction(peer.user, room, right)
            if sanction is not None:
                raise refusal_of(sanction)

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

    def check_place(self, session: Session, room: Room, start: Position | None) -> None:
        """Raise a `Refused` if a room is closed, or has as many members as the rules allow, and a session is new there.

        One that comes back has its place, and an owner has one anyway. In a closed room who joins at a position of the
        room's log comes back too, however long that was away, or the broker: positions are known to who has read.
        """
        if room.direct or room in session.present:
            return
        closed = None if room.sanctions is None else room.sanctions.closed
        came = room.folded in session.floors or (start is not None and room.epochs.knows(start.epoch))
        if closed is not None and not came and self.level(session.peer.user, room) is Level.OTHERS:
            raise refusal_of(closed)
        if self.rules is None:
            return
        most = self.rules.table(room.folded).most
        if most and room.places >= most and not self.may(session.peer.user, Right.MODERATE, room):
            raise errors.LimitReached(f"{room.name!r} has {most:,} members, the most it may have; try again later")

    def level(self, user: str, room: Room | None) -> Level:
        """Return how far up a user, by folded name, stands in a room; None: at the broker as a whole."""
        rules = self.rules
        if not user or user.startswith(GUEST):
            return Level.OTHERS
        if rules is None:
            return Level.OWNER if room is not None and room.maker == user else Level.OTHERS
        if user in rules.operators:
            return Level.OPERATOR
        if room is not None and rules.rights(user, room.folded, room.maker == user) & Right.MODERATE:
            return Level.OWNER
        return Level.OTHERS

    def check_moderator(self, peer: Peer, room: Room | None, name: str) -> None:
        """Raise a `Refused` unless a peer may moderate a room, which it calls `name`; None: the broker as a whole."""
        if not self.binds_names:
            raise errors.NotAllowed(
                "names are claims here: nobody can be told from another; start the broker with --keys"
            )
        if room is None:
            if self.level(peer.user, None) is not Level.OPERATOR:
                raise errors.NotAllowed("operators alone moderate the broker as a whole: ask one of them")
            return
        self.check(peer, Right.SEE, room, name)
        if room.direct:
            raise errors.NotAllowed("nobody moderates a direct room: leave it, or ask an operator to ban the other")
        if self.level(peer.user, room) is Level.OTHERS:
            raise errors.NotAllowed(f"you may not moderate {name!r}: ask {self._moderators(peer, room)}")
        self.check(peer, Right.MODERATE, room, name)

    def _moderators(self, peer: Peer, room: Room) -> str:
        """Return in words whom a peer is to ask who may moderate a room: by name, if such are there to be seen."""
        if self.may(peer.user, Right.MEMBERS, room):
            users = [member.session.user for member in islice(room.members, _SEARCHED_MEMBERS)]
            found = list(dict.fromkeys(user for user in users if self.level(fold(user), room) is not Level.OTHERS))
            if found:
                return f"{' or '.join(map(repr, found[:_NAMED_MODERATORS]))}, who may"
        if self.rules is not None and self.rules.operators:
            return "one of its owners or an operator"
        return "one of its owners, or who runs the broker" if self.rules or room.maker else "who runs the broker"

    def check_above(self, peer: Peer, room: Room | None, user: str) -> None:
        """Raise a `NotAllowed` unless a peer that may moderate stands above a user, spelt as it is named."""
        folded = fold(user)
        if folded == peer.user:
            raise errors.NotAllowed("nobody moderates themselves: ask another")
        level = self.level(folded, room)
        if level >= self.level(peer.user, room):
            if level is Level.OPERATOR or room is None:
                raise errors.NotAllowed(f"{user!r} is an operator: ask who runs the broker")
            raise errors.NotAllowed(f"{user!r} owns {room.name!r} too: ask an operator")

    def places(self, user: str, room: Room | None) -> Places:
        """Return how many sanctions there may be for one of a moderator's, by folded name, to be kept in a room.

        One who stands higher, or owns the room by the rules, has places that others can't take up.
        """
        if self.level(user, room) is Level.OPERATOR or room is None:
            return OPERATORS_PLACES
        named = self.rules is not None and self.rules.rights(user, room.folded, False) & Right.MODERATE
        return OWNERS_PLACES if named else MAKERS_PLACES

    def sanction(self, user: str, room: Room, right: Right) -> Sanction | None:
        """Return what keeps a user, by folded name, from something in a room; None if nothing that was imposed does."""
        sanctions = room.sanctions
        if sanctions is None:
            return None
        ban = sanctions.bans.get(user)
        if ban is not None and right & _BANNED and self._holds(ban, user, room):
            return ban
        if right is not Right.SEND:
            return None
        mute = sanctions.mutes.get(user)
        if mute is not None and self._holds(mute, user, room):
            return mute
        if sanctions.closed is not None and self.level(user, room) is Level.OTHERS:
            return sanctions.closed
        return None

    def ban_at_broker(self, user: str) -> Sanction | None:
        """Return what keeps a user, by folded name, out of the broker as a whole, None if nothing does."""
        ban = self.at_broker.bans.get(user)
        return ban if ban is not None and self._holds(ban, user, None) else None

    def ends(self, sanction: Sanction) -> bool:
        """Return whether a sanction is over."""
        return 0 < sanction.until <= self.time()

    def _holds(self, sanction: Sanction, user: str, room: Room | None) -> bool:
        """Return whether a sanction is in force: not over, and not of somebody who has come to stand as high since."""
        if self.ends(sanction):
            return False
        level = self.level(user, room)
        return level is Level.OTHERS or self.level(fold(sanction.by), room) > level

    def _taken(self, user: str, room: Room) -> int:
        """Return what sanctions take from a user in a room: rights as bits."""
        sanction = self.sanction(user, room, Right.SEND)
        if sanction is None:
            return Right.NOTHING
        return _BANNED if sanction.kind == BAN else Right.SEND

    def is_named_to(self, member: Member) -> bool:
        """Return whether a member may see who is in its room, and not only how many."""
        return self.may(member.session.peer.user, Right.MEMBERS, member.room)

    def floor(self, session: Session, room: Room) -> int:
        """Return the seq after which a session that joins a room may read it, and remember it for when it joins again.

        It is the log's end when the session, over whatever connection, joined first since it left; 0 with the right to
        read all.
        """
        if self.rules is None and not self.binds_names:
            return 0
        floors = session.floors
        if len(floors) >= 2 * MAX_MEMBERSHIPS:  # rooms of connections before that were not joined again
            for folded in floors.keys() - {each.folded for each in session.members}:
                del floors[folded]
        floor = floors.setdefault(room.folded, room.last)
        return 0 if self.may(session.peer.user, Right.READ, room) else floor


def refusal_of(sanction: Sanction) -> errors.Refused:
    """Return the error of what a sanction keeps its user from."""
    place = repr(sanction.room) if sanction.room else "this broker"
    why = f", by {sanction.by}: {sanction.reason}" if sanction.reason else f", by {sanction.by}"
    seconds = -(-sanction.until // SECOND)
    until = f"until {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else "for ever"
    if sanction.kind == BAN:
        return errors.Banned(f"you are banned from {place} {until}{why}", detail=seconds)
    if sanction.kind == MUTE:
        return errors.Muted(f"you are muted in {place} {until}{why}", detail=seconds)
    return errors.RoomClosed(f"{sanction.room!r} is closed{why}")
