"""The sanctions that the store keeps, in force: who is banned is put out, and what is over is removed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from zchat.broker.core.access import Access, refusal_of
from zchat.broker.core.removal import Removal
from zchat.broker.limits import SANCTIONS_AT_ONCE
from zchat.broker.presence.presence import Presence
from zchat.broker.rooms.directory import Directory
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.sanctions import Sanctions
from zchat.broker.rooms.session_table import SessionTable
from zchat.broker.store.contract import BAN, RoomLog, Sanction, Store
from zchat.broker.store.news import Kicked
from zchat.names import fold
from zchat.wire.commands import Right


def logs_with(sanctions: Iterable[Sanction], logs: list[RoomLog]) -> list[RoomLog]:
    """Return the rooms that there are: those with a log, and those of which the store has nothing but sanctions."""
    known = {fold(log.name) for log in logs}
    others = {fold(each.room): log_of(each) for each in sanctions if each.room}
    return [*logs, *(log for folded, log in others.items() if folded not in known)]


def log_of(sanction: Sanction) -> RoomLog:
    """Return the empty log of a sanction's room, as which it is there if the store has nothing else of it."""
    return RoomLog(sanction.room, 1, 0, (), sanction.maker)


class Enforcement:
    """The sanctions in force: those that the store has reported.

    `sanctions` are those that the opened store has; all their rooms are there.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        access: Access,
        table: SessionTable,
        removal: Removal,
        presence: Presence,
        sanctions: Iterable[Sanction],
    ) -> None:
        self._store = store
        self._directory = directory
        self._access = access
        self._table = table
        self._removal = removal
        self._presence = presence
        self._kept: dict[int, Sanction] = {}
        """All sanctions by their numbers."""
        self._ending: dict[int, Sanction] = {}
        """Those that end by themselves."""
        self._round: deque[Sanction] = deque()
        """Those of them that are yet to be checked in this round."""
        for sanction in sanctions:
            self._keep(sanction)

    def imposed(self, sanction: Sanction) -> None:
        """Enforce a sanction that is stored and safe; a broker without names of users' own enforces none."""
        if not self._access.binds_names:
            return
        room = self._keep(sanction)
        user = fold(sanction.user)
        if room is None:
            self._end_sessions(user)
        elif sanction.kind != BAN:
            self._silence(room)
        elif self._access.sanction(user, room, Right.JOIN) is not None:
            self._removal.put_user_out(user, room, "banned", sanction.reason, sanction.by, sanction.until)

    def kicked(self, room: Room, news: Kicked) -> None:
        """Put a user out of a room who was kicked at another broker."""
        self._removal.put_user_out(news.user, room, "kicked", news.reason, news.by)

    def lifted(self, sanction: Sanction) -> None:
        """Enforce a sanction no more; a room that had nothing else is forgotten."""
        if not self._access.binds_names:
            return
        self._let_go(sanction)
        if not sanction.room:
            self._access.at_broker.remove(sanction)
            return
        room = self._directory.rooms.get(fold(sanction.room))
        if room is not None and room.sanctions is not None:
            room.sanctions.remove(sanction)
            if not room.sanctions:
                room.sanctions = None
                self._directory.vacate(room)

    def rules_changed(self) -> None:
        """Enforce the bans from the broker as a whole that other rules have put in force again.

        All at once: that is a look-up for each of up to 10,000, and few of them have sessions.
        """
        for user in self._access.at_broker.bans:
            self._end_sessions(user)

    def recovered(self, sanctions: Iterable[Sanction]) -> None:
        """Enforce these sanctions, and no others: they are all that the store has after a failure."""
        there = {sanction.number: sanction for sanction in sanctions}
        for number, sanction in there.items():
            if number not in self._kept:
                self.imposed(sanction)
        for number in self._kept.keys() - there.keys():
            self.lifted(self._kept[number])

    def expire(self, earliest: int) -> None:
        """Have some of the sanctions removed that are over for certain; it is not before `earliest`.

        To be called about once a second.
        """
        if not self._round:
            self._round.extend(self._ending.values())
        for _ in range(min(len(self._round), SANCTIONS_AT_ONCE)):
            sanction = self._round.popleft()
            if sanction.until <= earliest:
                self._store.lift(sanction.room, sanction.user, sanction.kind, lambda _: None, sanction.number)

    def _silence(self, room: Room) -> None:
        """End the typing of those who may not send to a room."""
        roster = room.roster
        if roster is not None and roster.typing:
            for user in [user for user, person in roster.people.items() if person.typing]:
                if not self._access.may(user, Right.SEND, room):
                    self._presence.end_typing(room, user)

    def _end_sessions(self, user: str) -> None:
        """End the sessions of a user, by folded name, who is banned from the broker as a whole."""
        sessions = self._table.of(user)
        if sessions and (ban := self._access.ban_at_broker(user)) is not None:
            for session in sessions:
                self._removal.end(session, refusal_of(ban))

    def _keep(self, sanction: Sanction) -> Room | None:
        """Have a sanction known; return its room, None for the broker as a whole, from which users are only banned."""
        room = None
        if sanction.room:
            room = self._directory.restore(log_of(sanction))
            if room.sanctions is None:
                room.sanctions = Sanctions()
            replaced = room.sanctions.put(sanction)
        else:
            replaced = self._access.at_broker.put(sanction)
        if replaced is not None:
            self._let_go(replaced)
        self._kept[sanction.number] = sanction
        if sanction.until:
            self._ending[sanction.number] = sanction
        return room

    def _let_go(self, sanction: Sanction) -> None:
        self._kept.pop(sanction.number, None)
        self._ending.pop(sanction.number, None)
