"""A room: a log with an end, its members, its users' state."""

from __future__ import annotations

from typing import TypeAlias

from zchat.broker.limits import SHARED_NOTIFICATIONS
from zchat.broker.rooms.member import Member, MemberState
from zchat.broker.rooms.roster import Roster
from zchat.broker.rooms.sanctions import Sanctions
from zchat.broker.store.blocks import Block, Blocks
from zchat.broker.store.contract import RoomLog
from zchat.broker.store.epochs import Epochs
from zchat.messages import Position
from zchat.names import DIRECT, fold
from zchat.wire.limits import PRESENT

Shared: TypeAlias = tuple[bytes, int, int, frozenset[bytes]]
"""A notification for every member at its place: frame, `upto`, number of messages, producers of the blocks."""


class Room:
    """One room: the ends of its log, the newest blocks at hand, its members, its users' state.

    The ends and the read marks are what the store has reported: this is the one place that keeps them.
    """

    __slots__ = (
        "caught_up",
        "delivered",
        "direct",
        "epochs",
        "first",
        "fixed",
        "folded",
        "grew",
        "last",
        "maker",
        "members",
        "name",
        "pending",
        "read_marks",
        "roster",
        "sampled",
        "sanctions",
        "scheduled",
        "shared",
        "tail",
        "unseen",
        "updated",
    )

    def __init__(self, log: RoomLog, *, fixed: bool = False) -> None:
        self.name = log.name
        self.folded = fold(log.name)
        self.first = log.first
        """The first seq that can be read; of an empty log `last` + 1."""
        self.last = log.last
        self.maker = log.maker
        """Who has made it, by folded name; "" if that is not known."""
        self.epochs = Epochs(log.epochs)
        self.fixed = fixed
        """True if the room always exists."""
        self.pending = 0
        """Calls about the room that the store has yet to answer."""
        self.sanctions: Sanctions | None = None
        """What moderators have imposed here; None if there is nothing."""
        self.tail = Blocks()
        """The newest blocks."""
        self.members: dict[Member, None] = {}
        """The members, in the order in which they came."""
        self.unseen = 0
        """How many of them the others aren't shown: the user isn't in the room by them."""
        self.caught_up: dict[Member, None] = {}
        """Those of them that have been sent all, in the order in which they are served next."""
        self.shared: dict[tuple[int, int], Shared] = {}
        """By (covered, cursor) the notification last made for members that stand there, for the last few places."""
        self.roster: Roster | None = None
        """The users in the room; None while there are none."""
        self.read_marks: dict[str, int] = {}
        """By folded name how far each user has read."""
        self.updated = float("-inf")
        """When the members were last sent the room's state."""
        self.scheduled = False
        """True while they are to be sent it."""
        self.direct = tuple(self.folded[1:].split("\n")) if self.folded.startswith(DIRECT) else ()
        """Of a direct room the two users' folded names."""
        self.grew = False
        """True if the users of this direct room are to be invited to what was said."""
        self.sampled = log.last
        """The log's end when the busiest rooms were last sampled."""
        self.delivered = 0
        """Messages in the notifications sent since."""

    @property
    def users(self) -> int:
        """The number of users in the room."""
        return len(self.roster.people) if self.roster is not None else 0

    @property
    def places(self) -> int:
        """How many places are taken: by members, and by sessions that lost their connections and have theirs yet."""
        return self.unseen + (self.roster.sessions if self.roster is not None else 0)

    def other(self, user: str) -> str:
        """Return the other user of a direct room, as its name spells it."""
        return self.name[1:].split("\n")[self.direct.index(user) - 1]

    def share(self, place: tuple[int, int], made: Shared) -> None:
        """Keep a notification for the next member that stands at `place`; the one kept for longest goes."""
        if len(self.shared) >= SHARED_NOTIFICATIONS:
            del self.shared[next(iter(self.shared))]
        self.shared[place] = made

    def add(self, member: Member) -> None:
        """Take a member in."""
        self.members[member] = None
        self.unseen += not member.flags & PRESENT
        self.caught_up[member] = None

    def remove(self, member: Member) -> None:
        """Let a member go."""
        if member in self.members:
            del self.members[member]
            self.unseen -= not member.flags & PRESENT
        self.caught_up.pop(member, None)
        member.session.stale.pop(member, None)
        member.state = MemberState.LEFT

    def grow(self, block: Block, epoch: int) -> int:
        """Record a block that is stored and safe; return what the tail costs more."""
        if epoch != self.epochs.current:
            self.epochs.begin(epoch, block.first)
        self.last = block.last
        self.shared.clear()
        return self.tail.append(block)

    def reach(self, log: RoomLog) -> int:
        """Record how far the log goes, whose newest blocks aren't at hand; return the bytes let go of the tail."""
        freed = self.tail.cost
        self.first = max(self.first, log.first)
        self.last = log.last
        self.epochs = Epochs(log.epochs)
        self.tail = Blocks()
        self.shared.clear()
        return freed

    def part(self, log: RoomLog) -> int:
        """Record that the log is another than it was; return the bytes let go of the tail."""
        freed = self.tail.cost
        self.first = log.first
        self.last = self.sampled = log.last
        self.epochs = Epochs(log.epochs)
        self.tail = Blocks()
        self.shared.clear()
        return freed

    def trim(self, first: int) -> int:
        """Record that the log now begins at `first`; return the bytes let go of the tail."""
        self.first = max(self.first, first)
        freed = 0
        self.shared.clear()
        while (oldest := self.tail.oldest) is not None and oldest.last < self.first:
            freed += self.tail.drop().cost
        return freed

    def reaches(self, position: Position) -> bool:
        """Return whether a position lies within what is known of the log, so that it can be judged."""
        return position.seq <= self.last and (not position.epoch or self.epochs.knows(position.epoch))

    @property
    def idle(self) -> bool:
        """True if the room holds nothing that must be kept."""
        return not (self.fixed or self.roster or self.last or self.pending or self.sanctions)
