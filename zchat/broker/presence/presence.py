"""The users in each room, and which of them are typing: by user, over all their sessions and connections.

A user is in a room while a session of theirs is, at this broker or at another one that shares the
store. A session that loses its connection stays in its rooms until it expires
(`zchat.broker.core.sessions` ends it then); one that comes back has a while to join them again, so
that no member sees it leave and return.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf

from zchat.broker.figures.counters import Counters
from zchat.broker.limits import LOST_AFTER, MAX_MEMBERSHIPS, REJOIN_SECONDS, TURN_ENDS
from zchat.broker.presence.whereabouts import Whereabouts
from zchat.broker.rooms.room import Room
from zchat.broker.rooms.roster import Roster, RosterEntry
from zchat.broker.rooms.session import Session
from zchat.broker.store.contract import Present, Store
from zchat.broker.store.news import Typed
from zchat.names import fold
from zchat.wire.limits import TYPING_EVERY, TYPING_FOR


class Presence:
    """The rosters of all rooms.

    `names`: as in `Roster`. `clock` returns the microseconds since 1970. `changed` is called with a
    room whose members are to be sent its state, `empty` with one that its last user has left. `store` has other brokers
    know who is here.
    """

    def __init__(
        self,
        names: int,
        clock: Callable[[], int],
        counters: Counters,
        changed: Callable[[Room], None],
        empty: Callable[[Room], None],
        store: Store,
    ) -> None:
        self._names = names
        self._clock = clock
        self._counters = counters
        self._changed = changed
        self._empty = empty
        self._store = store
        self._typing: OrderedDict[RosterEntry, tuple[float, Room, str]] = OrderedDict()
        self._returning: OrderedDict[Session, float] = OrderedDict()
        self.elsewhere = Whereabouts()
        """Who is in rooms at other brokers."""
        self.now = -inf
        """The time, as of the last tick of the core."""
        self.due = inf
        """When `tick` is to be called again: no user's typing ends by itself before."""

    def tick(self, now: float) -> None:
        """End the typing of the users whose notice has expired."""
        self.due = inf
        while self._typing:
            ends, room, user = next(iter(self._typing.values()))
            if ends > now:
                self.due = ends
                break
            self.end_typing(room, user)

    def settle(self, now: float) -> bool:
        """Take sessions that came back out of rooms not joined again, as many as a turn allows; return True if all.

        One that has been silent since has lost its connection again: it comes back, or keeps its rooms until it
        expires. One that has ended here goes on at another broker.
        """
        work = 0
        while self._returning and next(iter(self._returning.values())) <= now:
            if work >= TURN_ENDS:
                return False
            session, _ = self._returning.popitem(last=False)
            work += 1 + len(session.present)
            if now - session.heard > LOST_AFTER and not session.ended:  # lost again before it could join
                self._returning[session] = now + REJOIN_SECONDS
                continue
            for room in [room for room in session.present if room not in session.members]:
                self.depart(session, room)
        return True

    def arrive(self, session: Session, room: Room) -> None:
        """Have a session's user be in a room."""
        if room in session.present:
            return
        if len(session.present) >= MAX_MEMBERSHIPS:  # of the connection before, too many to be joined again
            self.depart(session, next(left for left in session.present if left not in session.members))
        session.present[room] = None
        if room.roster is None:
            room.roster = Roster(room.name, self._names)
        user, since = session.peer.user, max(1, self._clock())
        read_mark = room.read_marks.get(user, 0)
        if room.roster.enter(user, session.user, since, read_mark, 0 < read_mark == room.last):
            self._changed(room)
        if room.roster.people[user].sessions == 1:
            self._store.come(Present(room.name, room.maker, session.user, since))

    def came(self, room: Room, present: Present, broker: bytes) -> None:
        """Have a user be in a room at another broker."""
        user = fold(present.user)
        if room.roster is None:
            room.roster = Roster(room.name, self._names)
        if not room.roster.is_at(user, broker):
            self.elsewhere.came(user, broker)
        read_mark = room.read_marks.get(user, 0)
        at_end = 0 < read_mark == room.last
        if room.roster.came(user, present.user, present.since, read_mark, at_end, broker):
            self._changed(room)

    def went(self, room: Room, user: str, broker: bytes) -> None:
        """End that a user, by folded name, is in a room at another broker."""
        roster = room.roster
        if roster is not None and roster.is_at(user, broker):
            self.elsewhere.went(user, broker)
            person = roster.people[user]
            if roster.went(user, broker):
                self._gone(room, roster, person)

    def watch(self, session: Session, room: Room) -> None:
        """Have a session, a member now, see who is in a room without its user being there by it."""
        if room in session.present:
            self.depart(session, room)
        if room.roster is None:
            room.roster = Roster(room.name, self._names)
            room.roster.version = 1  # so that the member is sent that nobody is here

    def left(self, session: Session, room: Room) -> None:
        """End what `arrive` or `watch` began, once the session is no member any more."""
        if room in session.present:
            self.depart(session, room)
        else:
            self._vacate(room)

    def _vacate(self, room: Room) -> None:
        """Forget a room's roster that nobody is on and nobody is sent."""
        if room.roster is not None and not (room.roster.people or room.members):
            room.roster = None
            self._empty(room)

    def depart(self, session: Session, room: Room) -> None:
        """End that a session's user is in a room; it is left with the last of the user's sessions there."""
        del session.present[room]
        roster = room.roster
        assert roster is not None, "a present user is on the roster"
        person = roster.people[session.peer.user]
        if person.sessions == 1:
            self._store.go(room.name, session.peer.user)
        if not roster.leave(session.peer.user):
            return
        self._gone(room, roster, person)

    def _gone(self, room: Room, roster: Roster, person: RosterEntry) -> None:
        """Have a room's members see that a user has left."""
        self._typing.pop(person, None)
        if roster.people or room.members:
            self._changed(room)
        else:
            self._vacate(room)

    def away(self, session: Session) -> None:
        """End that a session's user is anywhere by it."""
        self._returning.pop(session, None)
        for room in list(session.present):
            self.depart(session, room)

    def back(self, session: Session, now: float) -> None:
        """Give a session that came back time to join its rooms again."""
        if session.present:
            self._returning.pop(session, None)
            self._returning[session] = now + REJOIN_SECONDS

    def type(self, session: Session, room: Room, active: bool, now: float) -> None:
        """Record that a session's user is typing or has ended; nothing if that user isn't here by this session."""
        roster = room.roster
        if roster is None or room not in session.present:
            return
        user = session.peer.user
        person = roster.people[user]
        if not active:
            if person.typing:
                self._store.tell(Typed(room.name, user, False))
            self.end_typing(room, user)
            return
        if now < person.typed + TYPING_EVERY:
            self._counters.typing_dropped += 1
            return
        person.typed = now
        self._store.tell(Typed(room.name, user, True))
        self._type(room, roster, user, now)

    def typed(self, room: Room, user: str, active: bool) -> None:
        """Show a user, by folded name, as typing or not, as another broker has told."""
        if not active:
            self.end_typing(room, user)
        elif room.roster is not None and user in room.roster.people:
            self._type(room, room.roster, user, self.now)

    def _type(self, room: Room, roster: Roster, user: str, now: float) -> None:
        person = roster.people[user]
        self._typing.pop(person, None)
        self._typing[person] = (now + TYPING_FOR, room, user)
        self.due = min(self.due, now + TYPING_FOR)
        if roster.type(user, True):
            self._changed(room)

    def end_typing(self, room: Room, user: str) -> None:
        """Show a user, by folded name, as typing no more, if that one is."""
        roster = room.roster
        if roster is not None and roster.type(user, False):
            del self._typing[roster.people[user]]
            self._changed(room)

    def grew(self, room: Room, roster: Roster, user: str) -> None:
        """Record that a room's log has grown by a block of a user, spelt as there, who is not typing any more.

        `roster` is the room's; nothing is to be recorded where none of its users types or has read to the end.
        """
        if roster.grew():
            self._changed(room)
        if roster.typing:
            self.end_typing(room, fold(user))

    def reached(self, room: Room) -> None:
        """Record that a room's log has grown by blocks that nobody here was sent: no user is at its end any more."""
        if room.roster is not None and room.roster.grew():
            self._changed(room)

    def marked(self, room: Room, user: str, seq: int) -> None:
        """Record how far a user, by folded name, has read a room; 0: that is not known any more."""
        if seq:
            room.read_marks[user] = seq
        else:
            room.read_marks.pop(user, None)
        if room.roster is not None and room.roster.set_read_mark(user, seq, 0 < seq == room.last):
            self._changed(room)
