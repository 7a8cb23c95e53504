"""A room: a log with an end, its members, its users' state."""

from __future__ import annotations

from typing import TypeAlias

from zchat.broker.limits import SHARED_NOTIFICATIONS
from zchat.broker.presence.roster import Roster
from zchat.broker.rooms.member import Member, MemberState
from zchat.broker.store.blocks import Block, Blocks
from zchat.broker.store.contract import RoomLog
from zchat.broker.store.epochs import Epochs
from zchat.messages import Position
from zchat.names import DIRECT, fold

Shared: TypeAlias = tuple[bytes, int, int, frozenset[bytes]]
"""A notification for whoever stands at its place: frame, `upto`, number of messages, producers of the blocks."""


class Room:
    """Keep one room: the ends of its log, the newest blocks at hand, its members, its users' state.

    `pending` counts blocks that the store has yet to answer for. `shared` maps
    (covered, cursor) to the notification last made for members who stand there, for the last few.
    `members` and `caught_up` keep the order in which members came to be: they are served in it.
    `roster` is there while anybody is; `read_marks` says how far a user, by folded name, has read.
    `told` is when the members were last told of changes, `scheduled` that they are about to be.
    `sampled` is the log's end at the last sample of what was said, `delivered` the messages in notifications since.
    Of a direct room `direct` are the two users' folded names, `grew` says that they are to be invited.
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
        "members",
        "name",
        "pending",
        "read_marks",
        "roster",
        "sampled",
        "scheduled",
        "shared",
        "tail",
        "told",
    )

    def __init__(self, log: RoomLog, *, fixed: bool = False) -> None:
        self.name = log.name
        self.folded = fold(log.name)
        self.first = log.first
        self.last = log.last
        self.sampled = log.last
        self.delivered = 0
        self.epochs = Epochs(log.epochs)
        self.fixed = fixed
        self.pending = 0
        self.tail = Blocks()
        self.members: dict[Member, None] = {}
        self.caught_up: dict[Member, None] = {}
        self.shared: dict[tuple[int, int], Shared] = {}
        self.roster: Roster | None = None
        self.read_marks: dict[str, int] = {}
        self.told = float("-inf")
        self.scheduled = False
        self.direct = tuple(self.folded[1:].split("\n")) if self.folded.startswith(DIRECT) else ()
        self.grew = False

    @property
    def users(self) -> int:
        """Return how many users are here."""
        return len(self.roster.people) if self.roster is not None else 0

    def other(self, user: str) -> str:
        """Return the other user of a direct room, as its name spells it."""
        return self.name[1:].split("\n")[self.direct.index(user) - 1]

    def share(self, place: tuple[int, int], made: Shared) -> None:
        """Keep a notification for the next member who stands at `place`; the one kept for longest goes."""
        if len(self.shared) >= SHARED_NOTIFICATIONS:
            del self.shared[next(iter(self.shared))]
        self.shared[place] = made

    def add(self, member: Member) -> None:
        """Take a member in."""
        self.members[member] = None
        self.caught_up[member] = None

    def remove(self, member: Member) -> None:
        """Let a member go."""
        self.members.pop(member, None)
        self.caught_up.pop(member, None)
        member.session.stale.pop(member, None)
        member.state = MemberState.LEFT

    def grow(self, block: Block, epoch: int) -> None:
        """Take note of a block that is stored and safe."""
        self.epochs.begin(epoch, block.first)
        self.last = block.last
        self.tail.append(block)
        self.shared.clear()

    def trim(self, first: int) -> int:
        """Take note that the log now begins at `first`; returns the bytes let go of the tail."""
        self.first = max(self.first, first)
        freed = 0
        self.shared.clear()
        while (oldest := self.tail.oldest) is not None and oldest.last < self.first:
            freed += self.tail.drop().cost
        return freed

    def reaches(self, position: Position) -> bool:
        """Tell whether a position lies within what is known of the log, so that it can be judged."""
        return position.seq <= self.last and (not position.epoch or self.epochs.knows(position.epoch))

    @property
    def idle(self) -> bool:
        """Tell whether the room holds nothing that must be kept."""
        return not (self.fixed or self.roster or self.last or self.pending)
