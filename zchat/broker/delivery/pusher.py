"""Serving members: one that has credit and something to read is sent the log from its cursor on."""

from __future__ import annotations

import heapq
from collections import deque
from functools import partial
from itertools import count
from math import inf

from zchat.broker.delivery.pipes import Pipes
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.limits import (
    CROWDED_BYTES,
    IN_FLIGHT_BYTES,
    NOTIFICATION_BYTES,
    READ_AGAIN_FIRST,
    READ_AGAIN_MAX,
    READ_BUSY,
    READ_TRIES,
    RETRY_FIRST,
    TAIL_BYTES,
    TAIL_TOTAL_BYTES,
    TURN_BYTES,
    TURN_SENDS,
)
from zchat.broker.port import Port, Sent
from zchat.broker.rooms.member import Member, MemberState, withheld
from zchat.broker.rooms.room import Room, Shared
from zchat.broker.rooms.session import Session
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Failed, Full, LogPage, RoomLog, Store
from zchat.errors import Refused, StoreFailed
from zchat.events import Gap
from zchat.messages import GapReason
from zchat.wire.notices import GapNotice, encode_gap, encode_push


class Pusher:
    """The members to serve, and how they are served in turns.

    `given_up` are sessions that can't be served any more, with the reason: they are to be ended.
    """

    def __init__(self, port: Port, store: Store, pipes: Pipes, counters: Counters, log_lines: LogLines) -> None:
        self._port = port
        self._store = store
        self._counters = counters
        self._log_lines = log_lines
        self._pipes = pipes
        self.given_up: list[tuple[Session, Refused]] = []
        self.ready: deque[Member] = deque()
        """The members to serve: while there are some, the loop must not sleep."""
        self._unread: list[tuple[float, int, Member]] = []
        self._tie = count()
        self._tails: dict[Room, None] = {}
        self._tail_bytes = 0
        self.in_flight = 0
        self.now = 0.0
        """The time, as of the last turn."""
        self.due = inf
        """When the next failed read is to be tried again, infinity if there is none."""
        self.memberships = 0
        """How many members all rooms have."""

    # -- what happens to members ---------------------------------------------------------------

    def grew(self, room: Room, block: Block, cost: int) -> None:
        """Serve a room's members from a block that has just become safe, and by which its tail costs more."""
        self._tails.pop(room, None)  # a key that is set again keeps its old place
        self._tails[room] = None
        self._tail_bytes += cost
        while room.tail.cost > TAIL_BYTES and len(room.tail) > 1:
            self._tail_bytes -= room.tail.drop().cost
        while self._tail_bytes > TAIL_TOTAL_BYTES:
            oldest = next(iter(self._tails))
            del self._tails[oldest]
            if len(oldest.tail):
                self._tail_bytes -= oldest.tail.drop().cost
                oldest.shared.clear()
                self._tails[oldest] = None
        waiting, room.caught_up = room.caught_up, {}
        ready, roomy = self.ready, self.in_flight < IN_FLIGHT_BYTES
        for member in waiting:
            if member.producer == block.producer:  # its own messages: there is nothing to serve
                member.cursor = block.last
                room.caught_up[member] = None
            elif roomy and member.sent - member.taken < member.window:  # `_wake`, without a call: once a member
                member.state = MemberState.READY
                ready.append(member)
            else:
                self._wake(member)

    def reached(self, room: Room, log: RoomLog) -> None:
        """Serve a room's members from its log, as far as that now goes: its newest blocks aren't at hand."""
        self._tail_bytes -= room.reach(log)
        self._tails.pop(room, None)
        waiting, room.caught_up = room.caught_up, {}
        for member in waiting:
            self._wake(member)

    def trimmed(self, room: Room, first: int) -> None:
        """Record that a room's messages before `first` were removed."""
        self._tail_bytes -= room.trim(first)

    def parted(self, room: Room, log: RoomLog) -> None:
        """Record that a room's log has lost what was reported of it.

        Its members' sessions are given up: what they were sent lies in no log any more. As they join again, each at
        its position, they are sent what has become of that.
        """
        self._tail_bytes -= room.part(log)
        self._tails.pop(room, None)
        room.caught_up.clear()
        error = StoreFailed(f"the store has lost messages of {room.name}: join again")
        for member in room.members:
            member.state = MemberState.UNREAD
            self.given_up.append((member.session, error))

    def joined(self, member: Member, old: Member | None) -> None:
        """Serve a new member from its cursor on; `old` is the membership that it takes the place of."""
        room = member.room
        if old is not None:
            self._forget(old)
        elif not room.members:
            self._store.follow(room.name, True)
        self.memberships += 1
        room.add(member)
        if not member.follows:
            self._set_apart(member)
        if member.behind:
            room.caught_up.pop(member, None)
            self._wake(member)

    def _set_apart(self, member: Member) -> None:
        """Send a member nothing of what is stored."""
        member.state = MemberState.APART
        member.room.caught_up.pop(member, None)

    def credited(self, member: Member, taken: int) -> bool:
        """Count what a member has taken; False if it claims more than it was sent."""
        if taken > member.sent:
            return False
        if taken <= member.taken:
            self._counters.stale_credit += 1
            return True
        for _ in range(taken - member.taken):
            self.in_flight -= member.out.pop(0)
        member.taken = taken
        if member.state is MemberState.STARVED:
            self._wake(member)
        return True

    def withhold(self, member: Member, upto: int) -> None:
        """Have a member sent nothing more of the log up to `upto`, but that it is withheld."""
        gap = member.gap
        if not member.follows or member.cursor >= upto or (gap is not None and gap.upto >= upto):
            return
        member.gap = withheld(member.room, member.covered, upto, gap)

    def left(self, member: Member) -> None:
        """Forget a member that left its room."""
        self._forget(member)
        if not member.room.members:
            self._store.follow(member.room.name, False)

    def _forget(self, member: Member) -> None:
        member.room.remove(member)
        self.memberships -= 1
        self.in_flight -= sum(member.out)
        member.out.clear()

    def opened(self, session: Session) -> None:
        """Serve the members whose notifications had to wait for their session's pipe, which has room again."""
        held, session.held = session.held, []
        for member in held:
            if member.state is MemberState.HELD:
                self._wake(member)

    def take_given_up(self) -> list[tuple[Session, Refused]]:
        """Return the sessions that can't be served any more, and forget them."""
        given_up, self.given_up = self.given_up, []
        return given_up

    def _wake(self, member: Member) -> None:
        window = member.window
        if self.in_flight >= IN_FLIGHT_BYTES:  # half a window, not less: credit comes back once that much is taken
            window = max(1, window // 2)
        if member.sent - member.taken < window:
            member.state = MemberState.READY
            self.ready.append(member)
        else:
            member.state = MemberState.STARVED
            self._counters.deferred += 1

    @property
    def _most(self) -> int:
        return NOTIFICATION_BYTES if self.in_flight < IN_FLIGHT_BYTES else CROWDED_BYTES

    # -- a turn ----------------------------------------------------------------------------------

    def turn(self) -> None:
        """Try failed reads again that are due, then serve ready members in turn, within bounds."""
        unread = self._unread
        while unread and unread[0][0] <= self.now:
            member = heapq.heappop(unread)[2]
            if member.state is MemberState.UNREAD:
                self._wake(member)
        self.due = unread[0][0] if unread else inf
        sends = size = 0
        ready = self.ready
        while ready and sends < TURN_SENDS and size < TURN_BYTES:
            member = ready.popleft()
            if member.state is MemberState.READY:
                sends += 1
                size += self._serve(member)

    def _serve(self, member: Member) -> int:
        """Send a member its next notification; returns its bytes, 0 if none went out."""
        session, room = member.session, member.room
        if session.blocked or session.gone:
            self._hold(member)
            return 0
        if member.cursor < room.first - 1 and member.gap is None:
            member.gap = Gap(room.name, member.covered, room.first - 1, GapReason.TRIMMED)
        if member.gap is not None:
            return self._send_gap(member, member.gap)
        if member.cursor >= room.last:
            member.state = MemberState.CAUGHT_UP
            room.caught_up[member] = None
            return 0
        key = (member.covered, member.cursor)
        made = room.shared.get(key)
        if made is None or member.producer in made[3]:
            block = room.tail.newest
            if block is not None and block.first == member.cursor + 1 and block.producer != member.producer:
                upto = block.last  # as it mostly is: no lists for one block
                frame = encode_push(room.name, room.epochs.current, member.covered, upto, (block.data,))
                made = frame, upto, upto - member.cursor, frozenset((block.producer,))
            elif room.tail.reach(member.cursor):
                made = self._make(member, room.tail.after(member.cursor, self._most))
            else:
                member.state = MemberState.READING
                self._counters.reads += 1
                most, end = self._most, room.last
                self._store.read(room.name, member.cursor, end, most, partial(self._page, member, end))
                return 0
            if self.ready and member.producer not in made[3]:  # else nobody else waits for it
                room.share(key, made)
        return self._send(member, made[0], made[1], made[2])

    def _make(self, member: Member, blocks: list[Block]) -> Shared:
        room = member.room
        epochs = room.epochs
        epoch = epochs.at(blocks[0].first)
        if epoch != epochs.current:  # a reader that stops in the middle has a position in the one epoch that it names
            blocks = [block for block in blocks if epochs.at(block.first) == epoch]
        upto = blocks[-1].last
        others = [block for block in blocks if block.producer != member.producer]
        frame = b""
        messages = 0
        if others:
            frame = encode_push(room.name, epoch, member.covered, upto, [block.data for block in others])
            messages = upto - member.cursor
            if len(others) < len(blocks):
                messages = sum(block.last - block.first + 1 for block in others)
                messages -= max(0, member.cursor + 1 - others[0].first)  # a block is sent whole: its reader drops that
        return frame, upto, messages, frozenset(block.producer for block in blocks)

    def _page(self, member: Member, end: int, page: LogPage | Full | Failed) -> None:
        """Go on with a member for whom the store has read, up to `end`."""
        if member.state is not MemberState.READING:
            return  # left meanwhile
        if not isinstance(page, LogPage):
            self._unreadable(member, page)
            return
        self._log_lines.well("reading for members")
        member.tries = 0
        member.state = MemberState.READY
        room = member.room
        if member.gap is not None:  # what was read was withheld meanwhile
            self.ready.append(member)
            return
        if not page.blocks or page.blocks[0].first > member.cursor + 1:
            first = page.blocks[0].first if page.blocks else end + 1
            member.gap = Gap(room.name, member.covered, first - 1, GapReason.TRIMMED)
            self.ready.append(member)
            return
        if member.session.blocked or member.session.gone:
            self._hold(member)
            return
        frame, upto, messages, _ = self._make(member, page.blocks)
        self._send(member, frame, upto, messages)

    def _unreadable(self, member: Member, why: Full | Failed) -> None:
        """Ask again later for this member alone, or give its session up when that has failed too often."""
        self._counters.unread += 1
        wait = READ_BUSY
        if isinstance(why, Failed):
            self._log_lines.trouble("reading for members", *why)
            member.tries += 1
            if member.tries >= READ_TRIES:
                text = f"{member.room.name} can't be read: {why.reason}; try again later"
                member.state = MemberState.UNREAD
                self.given_up.append((member.session, StoreFailed(text)))
                return
            wait = min(READ_AGAIN_FIRST * 2 ** (member.tries - 1), READ_AGAIN_MAX)
        member.state = MemberState.UNREAD
        heapq.heappush(self._unread, (self.now + wait, next(self._tie), member))
        self.due = self._unread[0][0]

    def _hold(self, member: Member) -> None:
        member.state = MemberState.HELD
        member.session.held.append(member)

    def _send_gap(self, member: Member, gap: Gap) -> int:
        epoch = member.room.epochs.at(gap.upto)
        frame = encode_gap(GapNotice(gap.room, epoch, gap.after, gap.upto, gap.reason))
        size = self._send(member, frame, gap.upto, 0)
        if size:
            member.gap = None
            self._counters.gaps += 1
            if not member.follows:
                self._set_apart(member)
        return size

    def _send(self, member: Member, frame: bytes, upto: int, messages: int) -> int:
        """Send one notification of so many messages and move the cursor, or leave everything as it was."""
        if frame:
            session = member.session
            outcome = self._port.send(session.peer.routing_id, frame)
            if outcome != Sent.SENT:
                self._hold(member)
                if outcome == Sent.FULL:
                    self._pipes.block(session, member.room.name)
                else:
                    self._pipes.lost(session, member.room.name)
                return 0
            session.backoff = RETRY_FIRST
            member.sent += 1
            member.out.append(len(frame))
            self.in_flight += len(frame)
            member.covered = upto
            counters = self._counters
            counters.pushes += 1
            counters.push_bytes += len(frame)
            counters.deliveries += messages
            member.room.delivered += messages
        member.cursor = upto
        if upto < member.room.last:
            self._wake(member)
        else:
            member.state = MemberState.CAUGHT_UP
            member.room.caught_up[member] = None
        return len(frame)
