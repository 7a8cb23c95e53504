"""Who is in a room as the client knows it: the latest values, and which of them the application knows.

Events are the difference between the two, made when they are taken: however much has happened
meanwhile, there are no more of them than the room has people.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from math import inf
from operator import length_hint

from zchat.errors import ProtocolError, Refused
from zchat.events import Crowd, Event, Invited, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.names import fold
from zchat.wire.notices import PersonEntry

RETURN_SECONDS = 3.0
"""Seconds that a user who was here before a lost connection still counts as here after it: a broker that was
started again takes some time to see its members come back."""


MAX_PEOPLE = 10_000
"""Users of a room whose names are kept, with those who are missing after a lost connection: a broker can be set to name
a thousand."""


class _News:
    """What has changed since the application took something last, as it is at one moment.

    Either the application takes it, or it is merged into the next one: whichever sets `owner` decides, and what was
    made of it is found there. `before` and `now` change only after they were merged, so that what the application has
    made of them counts only if nothing changed meanwhile.
    """

    __slots__ = ("before", "crowd", "crowd_over", "crowd_told", "invited", "now", "owner")

    def __init__(
        self, before: dict[str, PersonEntry | None], now: dict[str, PersonEntry | None], crowd: Crowd | None,
        crowd_told: Crowd | None, crowd_over: Crowd | None, invited: Invited | None,
    ) -> None:  # fmt: skip
        self.before = before
        self.now = now
        self.crowd = crowd
        self.crowd_told = crowd_told
        self.crowd_over = crowd_over
        self.invited = invited
        self.owner: dict[None, Iterator[Event] | None] = {}  # its events as they are taken, None if it was merged


class Roster:
    """Who is in a room, who is typing and how far each has read; and what of it the application knows.

    `changed` is called when there is something to report. What drives the core changes it; the application takes its
    events in any thread, may be interrupted anywhere, and needs no lock.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self.room = ""
        """What the application calls the room; "" before it is known."""
        self._own = ""  # the own user, folded
        self._own_asked = 0  # up to where this session is having the room marked as read
        self._own_stored = 0  # up to where it has
        self._first = True  # the next update is the first of a join
        self._begun = False  # there were names once
        self.members = 0  # how many users are here, 0 until the broker's first report
        self._people: dict[str, PersonEntry] = {}  # by their folded names
        self._before: dict[str, PersonEntry | None] = {}  # of those who have changed: what the application knows
        self._now: dict[str, PersonEntry | None] = {}  # of the same: what is so now
        self._missing: set[str] = set()  # here before a lost connection, and not back yet
        self._missing_until = inf
        self._crowd: Crowd | None = None  # in place of names: too many are here
        self._crowd_told: Crowd | None = None
        self._crowd_over: Crowd | None = None  # what ends the typing of a crowd that is none any more
        self._invited: Invited | None = None
        self._latest: _News | None = None  # what was made of the changes
        self._news: deque[_News] = deque()  # it, after one that is being taken
        self._refused: Refused | None = None

    # -- what drives the core ----------------------------------------------------------------------

    def begin(self, room: str, user: str) -> None:
        """Record that `user` has joined the room, or joined it again: the next update is the first of a join."""
        self.room = room
        self._own = fold(user)
        self._first = True

    def named(self, whole: bool, members: int, people: dict[str, PersonEntry | None], now: float) -> None:
        """Take who is here, by folded names: all of them if `whole`, else what has changed (None: gone).

        The first names make no events: that is how the room was found.

        Raises:
            ProtocolError: they are more than MAX_PEOPLE.
        """
        if len(people) + len(self._people) > MAX_PEOPLE and len(people.keys() | self._people.keys()) > MAX_PEOPLE:
            raise ProtocolError(f"{self.room}: more than {MAX_PEOPLE} users have names")
        self._take_back()
        if self._crowd_told is not None and self._crowd_told.typing:
            self._crowd_over = replace(self._crowd_told, members=members, typing=0)
        self._crowd = self._crowd_told = None
        if whole:
            gone = self._people.keys() - people.keys()
            if self._first and gone:
                self._missing, self._missing_until = gone, now + RETURN_SECONDS
            for key in gone - self._missing:
                self._change(key, None)
        for key, person in people.items():
            self._missing.discard(key)
            self._change(key, person)
        if not self._begun:
            self._before.clear()
            self._now.clear()
        self._begun = True
        self._first = False
        self.members = members + len(self._missing)
        self._tell()

    def crowded(self, members: int, typing: int, caught_up: int) -> None:
        """Take the counts of a room with too many members to name; names stay until there are new ones."""
        self._take_back()
        if self._crowd is None:  # else nobody of those who have names is typing
            self._stop_typing()
        self._missing.clear()
        self._missing_until = inf
        self._crowd_over = None
        self._crowd = Crowd(self.room, members, typing, caught_up)
        self._first = False
        self.members = members
        self._tell()

    @property
    def is_crowd(self) -> bool:
        """True if the latest report has counts in place of names."""
        return self._crowd is not None

    def marked_read(self, seq: int) -> None:
        """Record that it is this session which has the room marked as read up to there."""
        self._own_asked = seq

    def mark_stored(self, seq: int) -> None:
        """Record that it was this session which marked the room as read up to there; the broker reports it later."""
        self._own_stored = max(self._own_stored, seq)
        self._own_asked = 0

    def marks_lost(self) -> None:
        """Record that the log in which this session marked the room as read is no more."""
        self._own_stored = self._own_asked = 0

    def mark_refused(self, error: Refused) -> None:
        """Record that the broker will not store a read mark, and why."""
        self._refused = error
        self._own_asked = 0

    def expire(self, now: float) -> float:
        """Have those gone who did not come back in time; returns when to call again, infinity for never."""
        if now >= self._missing_until:
            self._take_back()
            self.members -= len(self._missing)
            for key in self._missing:
                self._change(key, None)
            self._missing = set()
            self._missing_until = inf
            self._tell()
        return self._missing_until

    def lost(self) -> None:
        """Record that the connection is lost: nobody is typing."""
        self._take_back()
        self._stop_typing()
        self._missing_until = inf
        self._tell()

    def invited(self, user: str) -> None:
        """Report, before anything else, that the room was joined because `user` has written there."""
        self._take_back()
        self._invited = Invited(self.room, user)
        self._tell()

    # -- the application's threads -----------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Return whether `take` may find something."""
        return bool(self._news) and self._oldest() is not None

    @property
    def begun(self) -> bool:
        """Return whether a part of what was found is yet to be taken."""
        news = self._oldest()
        return news is not None and bool(news.owner)

    def take(self) -> Iterator[Event]:
        """Return what the application doesn't know yet, to be taken one by one. What isn't taken is found again."""
        while (news := self._oldest()) is not None:
            try:
                made = self._events(news)
            except (KeyError, RuntimeError):
                if not news.owner:
                    raise
                continue  # it was merged meanwhile, and changes
            events = news.owner.setdefault(None, iter(made))
            if events is not None:
                return events
        return iter(())

    def _oldest(self) -> _News | None:
        """Return the oldest news of which something may be left, None without any."""
        while self._news:
            try:
                news = self._news[0]
                if not news.owner or ((events := news.owner[None]) is not None and length_hint(events)):
                    return news
                self._news.remove(news)
            except (IndexError, ValueError):
                pass  # another thread was faster
        return None

    def _events(self, news: _News) -> list[Event]:
        events: list[Event] = [] if news.invited is None else [news.invited]
        if news.crowd_over is not None:
            events.append(news.crowd_over)
        for key, was in news.before.items():
            self._difference(key, was, news.now[key], events)
        if news.crowd is not None and news.crowd != news.crowd_told:
            events.append(news.crowd)
        return events

    def refusal(self) -> Refused | None:
        """Return, once, why the broker would not store a read mark."""
        refused, self._refused = self._refused, None
        return refused

    # -- within --------------------------------------------------------------------------------------

    def _change(self, key: str, person: PersonEntry | None) -> None:
        was = self._people.get(key)
        if person == was:
            return
        if key == self._own and not self._moved_elsewhere(was, person):
            pass
        elif key not in self._before:
            self._before[key] = was
        elif self._before[key] == person:
            del self._before[key], self._now[key]
        if key in self._before:
            self._now[key] = person
        if person is None:
            del self._people[key]
        else:
            self._people[key] = person

    def _moved_elsewhere(self, was: PersonEntry | None, now: PersonEntry | None) -> bool:
        """Return whether the own user's read mark was moved by another session."""
        own = max(self._own_asked, self._own_stored)
        return was is not None and now is not None and now.read_mark > max(was.read_mark, own)

    def _stop_typing(self) -> None:
        for key, person in self._people.items():
            if person.typing:
                self._change(key, person._replace(typing=False))
        if self._crowd is not None and self._crowd.typing:
            self._crowd = replace(self._crowd, typing=0)

    def _difference(self, key: str, was: PersonEntry | None, now: PersonEntry | None, events: list[Event]) -> None:
        if key == self._own:
            if now is not None and self._moved_elsewhere(was, now):
                events.append(ReadMark(self.room, now.user, now.read_mark))
            return
        if was is not None and was.typing and not (now is not None and now.typing):
            events.append(Typing(self.room, was.user, False))
        if was is None and now is not None:
            events.append(MemberJoined(self.room, now.user))
        elif was is not None and now is None:
            events.append(MemberLeft(self.room, was.user))
        if now is not None:
            if now.read_mark != (was.read_mark if was else 0):
                events.append(ReadMark(self.room, now.user, now.read_mark))
            if now.typing and not (was is not None and was.typing):
                events.append(Typing(self.room, now.user, True))

    def _take_back(self) -> None:
        """Go on from what the application knows: nothing of what it takes meanwhile is reported twice."""
        news, self._latest = self._latest, None
        if news is None:
            return
        if news.owner.setdefault(None, None) is None:
            with suppress(ValueError):  # the application has seen already that it is merged
                self._news.remove(news)
        else:
            self._before, self._now = {}, {}
            self._invited = self._crowd_over = None
            self._crowd_told = news.crowd

    def _tell(self) -> None:
        if self._invited or self._before or self._crowd_over or self._crowd != self._crowd_told:
            news = (self._before, self._now, self._crowd, self._crowd_told, self._crowd_over, self._invited)
            self._latest = _News(*news)
            self._news.append(self._latest)
            self._changed()
