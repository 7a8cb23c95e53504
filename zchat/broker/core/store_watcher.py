"""What follows from the store's reports: rooms grow and shrink, members are served, read marks move, and sanctions
begin and end.

The sender of a block is answered elsewhere, in `zchat.broker.core.acknowledging`, by the outcome of its own request.
"""

from __future__ import annotations

from zchat.broker.core.access import Access
from zchat.broker.core.enforcement import Enforcement
from zchat.broker.core.sessions import Sessions
from zchat.broker.delivery.pusher import Pusher
from zchat.broker.figures.counters import Counters
from zchat.broker.figures.histograms import Histograms
from zchat.broker.figures.log_lines import LogLines
from zchat.broker.figures.overall import BrokerFigures
from zchat.broker.guard.rates import Rates
from zchat.broker.presence.presence import Presence
from zchat.broker.presence.state_frames import StateFrames
from zchat.broker.rooms.directory import Directory
from zchat.broker.store.blocks import Block
from zchat.broker.store.contract import Commit, Present, RoomLog, Sanction
from zchat.broker.store.news import Counted, Greeted, News, Spent, Typed
from zchat.names import fold


class StoreWatcher:
    """The broker's `Watcher`: it keeps the rooms what their logs are."""

    def __init__(
        self,
        directory: Directory,
        sessions: Sessions,
        pusher: Pusher,
        presence: Presence,
        state_frames: StateFrames,
        access: Access,
        enforcement: Enforcement,
        broker_figures: BrokerFigures,
        rates: Rates,
        counters: Counters,
        histograms: Histograms,
        log_lines: LogLines,
    ) -> None:
        self._directory = directory
        self._sessions = sessions
        self._rooms = directory.rooms
        self._pusher = pusher
        self._presence = presence
        self._state_frames = state_frames
        self._access = access
        self._enforcement = enforcement
        self._broker_figures = broker_figures
        self._rates = rates
        self._counters = counters
        self._histograms = histograms
        self._log_lines = log_lines

    def appeared(self, log: RoomLog) -> None:
        """Take in a room that another broker has begun, or of which this one had given up the first block."""
        self._directory.restore(log)

    def grew(self, room: str, block: Block, epoch: int, user: str) -> None:
        """Have a room's members served with a block, and its sender type no more."""
        grown = self._rooms[fold(room)]
        self._pusher.grew(grown, block, grown.grow(block, epoch))
        roster = grown.roster
        if roster is not None and (roster.typing or roster.at_end):
            self._presence.grew(grown, roster, user)
        if grown.direct:
            self._state_frames.grew(grown)

    def reached(self, log: RoomLog) -> None:
        """Have a room be as long as another broker has made it."""
        room = self._rooms[fold(log.name)]
        self._pusher.reached(room, log)
        self._presence.reached(room)
        if room.direct:
            self._state_frames.grew(room)

    def parted(self, log: RoomLog) -> None:
        """Have a room's log be what is left of it, and its members join again; that is logged."""
        room = self._rooms.get(fold(log.name))
        if room is None:  # it was empty, and forgotten
            return
        text = f"the store has lost messages of {log.name!r}, which had {room.last:,} and has {log.last:,}"
        self._log_lines.add("messages_lost", text, grave=True, room=log.name, had=room.last, has=log.last)
        self._counters.rooms_lost_messages += 1
        self._pusher.parted(room, log)
        self._directory.vacate(room)

    def trimmed(self, room: str, first: int) -> None:
        """Let go of a room's messages before `first`."""
        self._pusher.trimmed(self._rooms[fold(room)], first)

    def marked(self, room: str, user: str, seq: int) -> None:
        """Move a user's read mark, or forget it."""
        if not seq:
            self._counters.read_marks_forgotten += 1
        self._presence.marked(self._rooms[fold(room)], user, seq)

    def imposed(self, sanction: Sanction) -> None:
        """Enforce a sanction."""
        self._enforcement.imposed(sanction)

    def lifted(self, sanction: Sanction) -> None:
        """Enforce a sanction no more."""
        self._enforcement.lifted(sanction)

    def recovered(self, sanctions: list[Sanction]) -> None:
        """Enforce the sanctions that there are after a failure."""
        self._enforcement.recovered(sanctions)

    def came(self, present: Present, broker: bytes) -> None:
        """Have a user be in a room at another broker; the room is there then, as that has it."""
        room = self._directory.restore(RoomLog(present.room, 1, 0, (), present.maker))
        self._presence.came(room, present, broker)

    def went(self, room: str, user: str, broker: bytes) -> None:
        """End that a user is in a room at another broker."""
        if (left := self._rooms.get(fold(room))) is not None:
            self._presence.went(left, user, broker)

    def told(self, news: News, broker: bytes) -> None:
        """Show a user as typing at another broker, put one out who was kicked there, or end a session left behind.

        Or have its figures added to those of the others, and what was sent through it taken from what is left here.
        """
        if isinstance(news, Counted):
            self._broker_figures.told(news, broker, self._presence.now)
            return
        if isinstance(news, Spent):
            if self._access.rules is not None:
                self._rates.told(news, self._access.rules, self._presence.now)
            return
        if isinstance(news, Greeted):
            self._sessions.left_behind(news.user, news.producer, news.connection)
            return
        room = self._rooms.get(fold(news.room))
        if room is None:
            return
        if isinstance(news, Typed):
            self._presence.typed(room, news.user, news.active)
        else:
            self._enforcement.kicked(room, news)

    def forgot(self, producers: int) -> None:
        """Count producers that were forgotten for others of their users."""
        self._counters.producers_forgotten += producers

    def committed(self, commit: Commit) -> None:
        """Count a commit."""
        self._counters.commits += 1
        self._counters.commit_bytes += commit.size
        self._histograms.commit.add(commit.microseconds)
        self._histograms.commit_bytes.add(commit.size)

    def failed(self, reason: str) -> None:
        """Report that storing fails."""
        self._log_lines.trouble("storing", reason)
