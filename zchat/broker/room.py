"""A room and its members: a log with an end, cursors with credit."""

from __future__ import annotations

from collections import deque
from enum import Enum

from zchat.broker.limits import SHARED_NOTIFICATIONS
from zchat.broker.session import Session
from zchat.broker.store.base import RoomLog
from zchat.broker.store.blocks import Block, Blocks
from zchat.broker.store.epochs import Epochs
from zchat.events import Gap
from zchat.names import fold


class State(Enum):
    """Say where a member stands.

    CAUGHT_UP: has been sent all. READY: on the list of those to serve. STARVED: has something
    to read and no credit. READING: waits for a page from the store. UNREAD: the store could
    not read, and is to be asked again. HELD: waits for its session's pipe. LEFT: no member any more.
    """

    CAUGHT_UP = "caught up"
    READY = "ready"
    STARVED = "starved"
    READING = "reading"
    UNREAD = "unread"
    HELD = "held"
    LEFT = "left"


class Member:
    """Keep one session's cursor and credit in one room.

    `cursor` is how far the log has been gone through for it, `covered` the `upto` of the last
    notification it was sent: own messages move the cursor and are not sent. `sent` and `taken`
    are running counts of notifications since the join; `out` holds the sizes of those between.
    `tries` counts the reads that failed in a row.
    """

    __slots__ = (
        "covered",
        "cursor",
        "gap",
        "join",
        "mark",
        "out",
        "producer",
        "room",
        "sent",
        "session",
        "state",
        "taken",
        "tries",
    )

    def __init__(self, session: Session, room: Room, join: int, cursor: int, held: int) -> None:
        self.session = session
        self.room = room
        self.join = join
        self.producer = session.producer
        self.mark = session.mark
        self.cursor = cursor
        self.covered = cursor
        self.sent = held
        self.taken = 0
        self.out: deque[int] = deque([0] * held)
        self.gap: Gap | None = None
        self.state = State.CAUGHT_UP
        self.tries = 0

    @property
    def behind(self) -> bool:
        """Tell whether there is something to send."""
        return self.cursor < self.room.last or self.gap is not None


class Room:
    """Keep one room: the ends of its log, the newest blocks at hand, and its members.

    `pending` counts blocks that the store has yet to answer for. `shared` maps
    (covered, cursor) to the notification last made for members who stand there, for the last few.
    `caught_up` keeps the order in which members came to be: they are served in it.
    """

    __slots__ = (
        "caught_up",
        "epochs",
        "first",
        "fixed",
        "folded",
        "last",
        "members",
        "name",
        "pending",
        "shared",
        "tail",
        "users",
    )

    def __init__(self, log: RoomLog, *, fixed: bool = False) -> None:
        self.name = log.name
        self.folded = fold(log.name)
        self.first = log.first
        self.last = log.last
        self.epochs = Epochs(log.epochs)
        self.fixed = fixed
        self.pending = 0
        self.tail = Blocks()
        self.members: set[Member] = set()
        self.users: dict[str, int] = {}
        self.caught_up: dict[Member, None] = {}
        self.shared: dict[tuple[int, int], tuple[bytes, int, frozenset[bytes]]] = {}

    def share(self, place: tuple[int, int], made: tuple[bytes, int, frozenset[bytes]]) -> None:
        """Keep a notification for the next member who stands at `place`; the one kept for longest goes."""
        if len(self.shared) >= SHARED_NOTIFICATIONS:
            del self.shared[next(iter(self.shared))]
        self.shared[place] = made

    def add(self, member: Member) -> None:
        """Take a member in."""
        self.members.add(member)
        user = fold(member.session.user)
        self.users[user] = self.users.get(user, 0) + 1
        self.caught_up[member] = None

    def remove(self, member: Member) -> None:
        """Let a member go."""
        self.members.discard(member)
        self.caught_up.pop(member, None)
        user = fold(member.session.user)
        self.users[user] -= 1
        if not self.users[user]:
            del self.users[user]
        member.state = State.LEFT

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

    def at_hand(self, seq: int) -> bool:
        """Tell whether the message after `seq` is among the newest blocks."""
        oldest = self.tail.oldest
        return oldest is not None and oldest.first <= seq + 1

    @property
    def idle(self) -> bool:
        """Tell whether the room holds nothing that must be kept."""
        return not (self.fixed or self.members or self.last or self.pending)
