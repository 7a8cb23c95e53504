"""A room as the gateway reads it, once for all browsers that follow it; and a browser in it, a cursor and a credit.

Nothing is queued for a browser. One that has credit and takes what is written is *live*: each frame is written to it as
it comes. Any other one goes on later, from the ring of the newest frames or from the log, and is live again once it
stands where the channel does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, Protocol

from zchat.errors import Banned, KeyRemoved, UsageError, ZchatError
from zchat.events import Crowd, Gap, ReadMark, Removed, Typing
from zchat.messages import SAME_LOG, Batch, GapReason, Position
from zchat.web.core import frames
from zchat.web.core.counters import Counters
from zchat.web.core.limits import AGAIN_SECONDS, CATCH_UP_ROWS, MAX_HAPPENED, RING_BYTES, WINDOW
from zchat.web.core.port import Client, Connection, Room, World
from zchat.web.core.refusals import is_retryable
from zchat.web.core.timers import Timer, Timers

_OVER = Banned, KeyRemoved, UsageError
"""What history fails with if the user's session has ended, or is no longer in the room."""


class Context(NamedTuple):
    """What channels and their members need."""

    world: World
    timers: Timers
    counters: Counters


class Frame(NamedTuple):
    """A frame of the ring: it covers what comes after one seq up to another."""

    last: int
    data: bytes


class Presence(Protocol):
    """A user's own membership of the room."""

    @property
    def up(self) -> bool:
        """False while the user isn't in the room at the broker: there is no connection, or it is being joined again."""

    @property
    def began(self) -> Position | None:
        """Where it begins: what was said before, the user was not there for. None while that isn't known."""

    @property
    def sees_names(self) -> bool:
        """True if the broker tells the user who is there, and not only how many."""


class Channel:
    """A room that is read: its newest frames, and the browsers that follow it. `source`: whose session reads it."""

    def __init__(self, context: Context, room: Room, source: Client) -> None:
        self.context = context
        self.room = room
        self.source = source
        self.name = room.name
        self.position = room.position
        """How far the room was read: where those who are live stand."""
        self.members: set[Member] = set()
        """All that follow it."""
        self.live: set[Member] = set()
        """Those who receive each frame as it comes."""
        self.ahead: set[Member] = set()
        """Those who have read further than it has."""
        self.logs = 0
        """How often it turned out that the log is another one."""
        self.crowded = False
        """True if the room has too many members for names, as far as the latest event says."""
        self.happened: list[frames.Shown] = []
        """Events that have yet to be shown."""
        self.idle: Timer | None = None
        """When it is read no longer, as nobody follows it."""
        self._ring: OrderedDict[int, Frame] = OrderedDict()  # by the seq that a frame follows
        self._ring_bytes = 0
        self._cuts: set[int] = set()

    # -- what comes --------------------------------------------------------------------------------

    def batch(self, batch: Batch) -> None:
        """Take messages: one frame, for all who are live."""
        counters = self.context.counters
        rows = frames.rows(batch)
        counters.rows += len(batch)
        if self._cuts:
            for cut in sorted(self._cuts):
                if self.position.seq < cut < batch.last and (first := [row for row in rows if row[0] <= cut]):
                    self._messages(first, Position(batch.position.epoch, cut))
                    del rows[: len(first)]
            self._cuts = {cut for cut in self._cuts if cut > batch.last}
        self._messages(rows, batch.position)

    def _messages(self, rows: list[list[Any]], position: Position) -> None:
        self.context.counters.frames += 1
        self._frame(frames.messages(self.name, rows, position), position)

    def cut(self, seq: int) -> None:
        """Have a frame end at a seq that is yet to come: somebody may have what follows it, and not what it ends."""
        if seq > self.position.seq:
            self._cuts.add(seq)

    def gap(self, gap: Gap, position: Position) -> None:
        """Take a gap, after which the room is read on from `position`."""
        if gap.reason in SAME_LOG:
            withheld = gap.reason == GapReason.WITHHELD  # from the session that reads the room, and maybe from no other
            others = [member for member in self.live if withheld and member.source is not self.source]
            for member in others:
                member.stop()
            frame = frames.gap(self.name, gap.after, gap.upto, gap.reason, position)
            self._frame(frame, position, kept=not withheld)
            for member in others:
                member.go_on()
            return
        self._ring.clear()
        self._ring_bytes = 0
        self._cuts.clear()
        self.logs += 1
        self.position = position
        self.live.clear()
        for member in tuple(self.members):
            member.another_log(gap.reason)
            member.go_on()

    def event(self, happened: frames.Shown) -> None:
        """Take an event that is shown soon and then forgotten: not counted, and dropped for who can't keep up."""
        self.crowded = isinstance(happened, Crowd)
        if not self.happened:
            self.context.timers.at(self.context.world.now(), self._show)
        self.happened.append(happened)
        if len(self.happened) >= MAX_HAPPENED:
            self._show()

    def _show(self) -> None:
        """Write what has happened to all who may see it, in one piece; made once for those who may see the same."""
        happened, self.happened = self.happened, []
        made: dict[tuple[int, bool], list[bytes]] = {}
        for member in self.members:
            since, member.since = member.since, 0
            if member.presence is None:
                continue
            which = since, member.presence.sees_names
            found = made.get(which)
            if found is None:
                found = made[which] = _shown(self.name, happened[since:], names=which[1])
            member.show(found)

    def _frame(self, data: bytes, position: Position, *, kept: bool = True) -> None:
        """Write a frame to all who are live; unless it is `kept` in the ring, who is late has it from the log."""
        before, self.position = self.position.seq, position
        if kept:
            self._ring[before] = Frame(position.seq, data)
            self._ring_bytes += len(data)
        else:
            self._ring.clear()
            self._ring_bytes = 0
        while self._ring_bytes > RING_BYTES and len(self._ring) > 1:
            self._ring_bytes -= len(self._ring.popitem(last=False)[1].data)
        for member in tuple(self.live):
            if member.sent - member.taken >= WINDOW or member.connection.paused:
                member.seq = before
                self.live.discard(member)
                self.context.counters.late += 1
            else:
                member.connection.write(data)
                member.sent += 1
        ahead, self.ahead = self.ahead, set()
        for member in ahead:
            member.go_on()

    # -- those who are late ------------------------------------------------------------------------

    def frame_after(self, seq: int) -> Frame | None:
        """Return the frame of the ring that goes on after a seq, None if there is none."""
        return self._ring.get(seq)

    def kept_from(self, seq: int) -> int:
        """Return the first seq, from `seq` on, after which the ring goes on up to the channel's position."""
        return next((before for before in self._ring if before >= seq), self.position.seq)


class Member:
    """A browser in a room. Its `seq` is how far it was written, but while it is live: then that is the channel's.

    `source`: whose session asks for the log, so that the broker decides what this one may read. `presence`: the
    user's own membership, None for one who only watches. `removed`: called if the room ends for this one, or with None
    if it can only be followed anew, as it is read by another session. `counted`: False if nothing is acknowledged. It
    is written nothing before `begin`.
    """

    __slots__ = (
        "_began", "_begun", "_catching", "_floor", "_owed", "channel", "connection", "gone", "presence", "removed",
        "sent", "seq", "since", "source", "taken",
    )  # fmt: skip

    def __init__(
        self, channel: Channel, connection: Connection, source: Client, presence: Presence | None,
        removed: Callable[[Removed | None], None], *, counted: bool = True,
    ) -> None:  # fmt: skip
        self.channel = channel
        self.connection = connection
        self.removed = removed
        self.source = source
        self.presence = presence
        self.seq = channel.position.seq
        self.sent = 0
        """Frames written that count."""
        self.taken: float = 0 if counted else inf
        """Those that were acknowledged."""
        self.since = len(channel.happened)
        """How many of the events that have yet to be shown happened before it came."""
        self.gone = False
        """True once it follows the room no longer."""
        self._begun = False
        self._floor = channel.position.seq  # what came before, the user may not have been there for: the broker decides
        self._began: Position | None = None  # where the membership begins that this counts
        self._owed: bytes | None = None  # a frame that comes before all others
        self._catching = False  # the log is being read
        channel.members.add(self)
        self._mind_beginning()

    @property
    def open(self) -> bool:
        """True if another frame may be written."""
        return self._up and self.sent - self.taken < WINDOW and not self.connection.paused

    @property
    def _up(self) -> bool:
        """True if the page may be shown what there is in the room."""
        return self._begun and not self.gone and (self.presence is None or self.presence.up)

    def begin(self, seq: int) -> None:
        """Go on after a seq, or, if the log turned out to be another one, as `another_log` has said."""
        self._begun = True
        if self._owed is None:
            self.seq = seq
        self.go_on()

    def acknowledge(self, taken: int) -> bool:
        """Take the running count of frames that the page has taken; False if it changes nothing."""
        if not self.taken < taken <= self.sent:
            return False
        self.taken = taken
        self.go_on()
        return True

    def show(self, events: list[bytes]) -> None:
        """Write events, unless the page can't keep up, or may not be shown them."""
        if not self._up:
            return
        if self.connection.paused:
            self.channel.context.counters.dropped_events += len(events)
        elif events:
            self.connection.write(*events)

    def stop(self) -> None:
        """Be live no longer, until `go_on`."""
        if self in self.channel.live:
            self.channel.live.discard(self)
            self.seq = self.channel.position.seq

    def leave(self) -> None:
        """Follow the room no longer."""
        self.gone = True
        self.channel.live.discard(self)
        self.channel.members.discard(self)
        self.channel.ahead.discard(self)

    def another_log(self, reason: str) -> None:
        """Go on where the channel stands, in a log that isn't the one that was read until now."""
        channel = self.channel
        self._owed = frames.gap(channel.name, self.seq, channel.position.seq, reason, channel.position)
        self.seq = self._floor = channel.position.seq
        if self._began is not None and self._began.epoch == channel.position.epoch:
            self._began = None  # it counts in this log; any other one is of the log that was read until now

    def _mind_beginning(self) -> None:
        """Have the ring, which another session's right fills, used only for what the user's own membership covers.

        That may have begun anew since the last time, and further on than the channel stands.
        """
        channel, presence = self.channel, self.presence
        if presence is None or self.source is channel.source or (began := presence.began) in (None, self._began):
            return
        self._began = began
        here = channel.position
        self._floor = max(self._floor, began.seq, 0 if began.epoch == here.epoch else here.seq)
        channel.cut(self._floor)

    def go_on(self) -> None:
        """Write what comes next, as far as there is credit and place; be live once it is all that there is."""
        channel = self.channel
        if self in channel.live or self._catching:
            return
        if self._owed is not None and self.open:
            owed, self._owed = self._owed, None
            self._write(owed)
        if self.open:
            self._mind_beginning()
        while self.open:
            if self.seq == channel.position.seq >= self._floor:
                channel.live.add(self)
                return
            if self.seq >= channel.position.seq:  # another gateway was faster, or the user's own session
                channel.ahead.add(self)
                return
            frame = channel.frame_after(self.seq) if self.seq >= self._floor else None
            if frame is None:
                self._catching = True  # first: the task may end at once
                channel.context.world.spawn(self._read_log(channel.logs))
                return
            self._write(frame.data)
            self.seq = frame.last

    def _write(self, data: bytes) -> None:
        self.connection.write(data)
        self.sent += 1

    async def _read_log(self, log: int) -> None:
        """Go on from the log: one answer's worth of messages."""
        channel, upto = self.channel, self.channel.position.seq
        error: ZchatError | None = None
        try:
            found = await self.source.history_batch(channel.name, after=self.seq, before=upto + 1, limit=CATCH_UP_ROWS)
        except ZchatError as raised:
            found, error = None, raised
        finally:
            self._catching = False
        if self.gone:
            return
        if log == channel.logs:
            if error is None:
                self._take_log(found, upto)
            elif is_retryable(error) or isinstance(error, _OVER):  # then its end is about to be notified
                context = channel.context
                context.timers.at(context.world.now() + AGAIN_SECONDS, self.go_on)
                return
            else:
                self._skip(channel.kept_from(max(self.seq + 1, self._floor)), GapReason.WITHHELD)
        self.go_on()

    def _take_log(self, found: Batch | None, upto: int) -> None:
        first = upto + 1 if found is None else found.first
        if first > self.seq + 1:
            self._skip(first - 1, GapReason.TRIMMED)
        if found is not None and self.open:
            self.channel.context.counters.caught_up_from_log += 1
            self._write(frames.messages(self.channel.name, frames.rows(found), found.position))
            self.seq = found.position.seq

    def _skip(self, upto: int, reason: str) -> None:
        position = Position(self.channel.position.epoch, upto)
        self._write(frames.gap(self.channel.name, self.seq, upto, reason, position))
        self.seq = upto


def _shown(room: str, happened: list[frames.Shown], *, names: bool) -> list[bytes]:
    """Return the frames of events for those who may see names or not: of what has a state, only the latest."""
    latest: dict[object, frames.Shown] = {}
    for number, each in enumerate(happened):
        key: object = number
        if isinstance(each, Crowd):
            key = Crowd
        elif not names:
            continue
        elif isinstance(each, Typing | ReadMark):
            key = type(each), each.user
        latest.pop(key, None)
        latest[key] = each
    return [frames.event(room, each) for each in latest.values()]
