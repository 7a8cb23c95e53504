"""One joined room, as the application of a simulated client has it: what it takes of it, and what it receives."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from operator import length_hint
from typing import TYPE_CHECKING

from tests.promises.simulation.checks import require
from tests.promises.simulation.ruling import READ
from tests.promises.simulation.state import Told
from tests.promises.simulation.truth import Stream
from tests.promises.simulation.world import Violation
from zchat.messages import Position
from zchat.protocol.faces.inbox import Chunk, GapChunk, Inbox, LastChunk
from zchat.protocol.rooms.membership import Membership
from zchat.protocol.rooms.roster import Roster
from zchat.threads import Bell
from zchat.wire.limits import LOG, OWN
from zchat.wire.notices import GapNotice, PersonEntry, Push

if TYPE_CHECKING:
    from tests.promises.simulation.client import Client


class _Roster(Roster):
    """Be a picture that shows what it knew first, which comes as no event."""

    def __init__(self, changed: Callable[[], None], told: Told) -> None:
        super().__init__(changed)
        self._told = told

    def named(self, whole: bool, members: int, people: dict[str, PersonEntry | None], now: float) -> None:
        begun = self._begun
        super().named(whole, members, people, now)
        if not begun:
            self._told.first(self._people)


class _Feed(Inbox[Bell]):
    """Be a reading that looks at what it is pushed.

    `since`: how many messages had been acknowledged when the room was joined, or joined again: it isn't told
    the places of its own among them any more.
    """

    def __init__(self, client: Client, told: Told, arrived: Callable[[Inbox[Bell]], None]) -> None:
        super().__init__(Bell(), arrived, client.credit, client.store_mark)
        self._client = client
        self.roster: Roster = _Roster(lambda: arrived(self), told)
        self.heads: deque[Push | GapNotice] = deque()
        self.since = 0

    def begin(self, membership: Membership) -> None:
        self.since = len(self._client.truth.acknowledged)
        super().begin(membership)

    def push(self, notice: Push | GapNotice) -> None:
        if isinstance(notice, Push):
            producer, flags = self._client.producer, self._client.flags
            own = any(block[3] == producer for block in notice.blocks)
            require(flags & OWN or not own, "a session was sent its own message")
            require(flags & LOG, "a session was sent the log, and asked for none of it")
        self.heads.append(notice)
        require(len(self.heads) <= self._client.mark_now, f"{len(self.heads)} notifications are held, over the mark")
        super().push(notice)


class Joined:
    """Be one joined room, as the application has it. `inviter` is who wrote in it, if that is why it is joined."""

    def __init__(self, client: Client, name: str, position: Position | None, inviter: str | None = None) -> None:
        self.client = client
        self.name = name
        self.since = client.world.now
        self.asked = position
        self.inviter = inviter
        self.told = Told(client.truth, client.name, name, client.user, inviter)
        self.feed = _Feed(client, self.told, lambda reading: self.arrived())
        self.feed.keeps_mark = inviter is not None
        self.membership: Membership | None = None
        self.stream: Stream | None = None
        self.leaving = False
        self.paused_until = 0.0
        self._taking = False
        self._chunk: Chunk | None = None
        self._taken: list[tuple[int, str, str, int]] = []

    def begun(self, membership: Membership) -> None:
        """Record that the room is joined."""
        client = self.client
        self.membership = membership
        position = self.feed.position
        if self.asked is not None:
            require(position == self.asked, f"{self.name}: joined at {position}, not at {self.asked}")
        producer = b"" if client.flags & OWN else client.producer
        self.stream = Stream(client.truth, self.name, *position, producer, client.name, self._withheld)
        if self.inviter is not None:
            self.feed.roster.invited(self.inviter)

    def _withheld(self) -> bool:
        """Return whether what was said before may have been withheld."""
        ruling = self.client.ruling
        return ruling is not None and ruling.lacked(self.client.user, self.name, READ, self.since)

    def arrived(self) -> None:
        """Take what came, soon."""
        if not self._taking:
            self._taking = True
            world = self.client.world
            delay = self.client.pace * world.random.random()
            world.after(max(delay, self.paused_until - world.now), self._take)

    def _take(self) -> None:
        self._taking = False
        client = self.client
        if not client.alive or self.leaving or self.stream is None:
            return
        now = client.world.now
        if max(self.paused_until, client.stopped_until) > now:
            self.paused_until = max(self.paused_until, client.stopped_until)
            self.arrived()
            return
        self.take_changes()
        for _ in range(client.world.random.randint(1, 4)):
            if not self.take():
                return
        self.arrived()

    def take_changes(self) -> None:
        """Take what is new of the room's state; now and then the application breaks off before it has seen it."""
        picture = self.feed.roster
        if picture.waiting:
            changes = picture.take()
            if length_hint(changes) and self.client.world.random.random() < 0.1:
                self.arrived()
            else:
                self.told.took(list(changes))

    def take(self) -> bool:
        """Take a part of a notification, or all of it; False if there is none."""
        stream, feed = self.stream, self.feed
        assert stream is not None
        chunk = feed.take()
        if chunk is None:
            return False
        if isinstance(chunk, LastChunk):
            next(chunk.messages)
            feed.finish(chunk)
            self.client.put_out(self, chunk.error)
            return False
        if isinstance(chunk, GapChunk):
            [gap] = chunk.messages
            feed.finish(chunk)
            head = feed.heads.popleft()
            assert isinstance(head, GapNotice)
            _, epoch, after, upto, reason = head
            require((gap.after, gap.upto, gap.reason) == (after, upto, reason), "a gap is another one")
            self.client.world.note(f"{self.client.name} gap {self.name} {after} {upto} {reason}")
            stream.skipped(epoch, after, upto, reason)
            return True
        assert isinstance(chunk, Chunk), "nobody moderates here"
        random = self.client.world.random
        many = random.random() < 0.8
        for message in chunk.messages:
            self._taken.append((message.seq, message.user, message.body.rstrip(), message.timestamp))
            if not many and random.random() < 0.2:
                break
        if not length_hint(chunk.rest):
            _, epoch, after, upto, *_ = feed.heads.popleft()
            self.client.world.delivered += len(self._taken)
            stream.took(epoch, after, upto, self._taken)
            self._taken = []
        feed.finish(chunk)
        return True

    def position(self) -> Position | None:
        """Return how far the room was read, once it is checked that only own messages were passed over."""
        if self.stream is None:
            return None
        position = self.feed.position
        truth = self.client.truth
        stream = self.stream
        taken = self._taken[-1][0] if self._taken else stream.seq
        if position.seq < taken:
            raise Violation(f"{self.client.name}: {self.name} was read up to {taken}, its position is {position}")
        log = truth.log_at(self.name, *position)
        for seq in range(taken + 1, position.seq + 1):
            if log[seq - 1].producer != stream.producer:
                raise Violation(f"{self.client.name}: {self.name}: the position {position} is after {taken}, unread")
        return position
