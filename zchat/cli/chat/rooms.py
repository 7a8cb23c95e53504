"""The rooms that the user of a chat is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from zchat import Room
from zchat.cli.text.safe import named
from zchat.errors import UsageError
from zchat.messages import Message
from zchat.names import DIRECT, fold

INVITED = 400
"""Direct rooms that a chat is in because somebody wrote there: fewer than the client may be in by itself, so that
whoever writes next is shown too."""


class Draft(NamedTuple):
    """A text on its way to a room."""

    room: str
    """The room's name."""
    text: str
    line: str
    """What was typed, to be reported if it can't be sent."""
    open: Callable[[float], Room]
    """Returns the room; it is joined first if it has to be, within so many seconds."""


class Unread(NamedTuple):
    """The messages of others in a room that the user has yet to see."""

    room: str
    number: int
    first: int
    """The seq of the first."""
    last: int
    """The seq of the last."""
    mention: int = 0
    """The seq of the last that is meant for the user; 0 if none is."""


class Place:
    """A stay of the user in a room or in none, or one that is to come. What is typed is meant for one of them.

    One that is to come is where a line leads that is not done yet, or the beginning of the chat. If it doesn't lead
    there nothing else does: what was typed for it is for nowhere else.

    `removals`: how often the user had been removed from a room when that line was entered.
    """

    __slots__ = ("removals", "room")

    def __init__(self, removals: int = 0) -> None:
        self.removals = removals
        self.room: str | None = None
        """The room's name, "" for none; None until the user has come there."""


class MeantElsewhere(UsageError):
    """A line that is about the current room, and was meant for another place than the one where the user is."""


class Rooms:
    """The rooms that the user is in: the current one, which text goes to, and what was not shown of the others.

    A direct room may be joined without the user's going there: because somebody wrote, or to send
    one message. Leaving another room never leads to such a room. Any thread.

    `all_shown`: True to show the messages of all rooms, but for those that the user hides.
    """

    def __init__(self, *, all_shown: bool = False) -> None:
        self._all_shown = all_shown
        self._chosen: dict[str, bool] = {}
        """The rooms that the user chose to have shown (True) or hidden while in another."""
        self._lock = Lock()
        self._current: Room | None = None
        self._rooms: dict[str, Room] = {}
        """All rooms, by their folded names, in the order in which they were joined."""
        self._aside: set[str] = set()
        """The direct rooms that the user did not go to."""
        self._invited: dict[str, None] = {}
        """The direct rooms that the client joined by itself, that in which something was said last at the end."""
        self._inviters: dict[str, str] = {}
        """Who invited to a direct room and has not been reported yet, by room."""
        self._unread: dict[str, Unread] = {}
        """What was not shown, by room."""
        self._removed: Counter[str] = Counter()
        """How often the user was removed from each room."""
        self.place = Place()
        """Where the user is, which only this class changes; before the chat has begun, where that leads."""
        self._meant: Place | None = None
        """Where the line is meant for that is being carried out; None for a script's."""
        self.leads_to: Place | None = None
        """Where it leads; None for nowhere, or a script's."""

    @property
    def current(self) -> Room | None:
        """Return the room that text goes to; None if the user is in no room."""
        return self._current

    def here(self) -> Room:
        """Return the room that text goes to, and which a command without a room is about.

        Raises:
            UsageError: the user is in no room.
            MeantElsewhere: the line that is being carried out was meant for another place.
        """
        with self._lock:
            room, place, meant = self._current, self.place, self._meant
        if meant is not None and meant is not place:
            if meant.room is None:
                raise MeantElsewhere("you were not in that room")
            then, now = (named(each) if each else "no room" for each in (meant.room, place.room))
            raise MeantElsewhere(f"you began it in {then}, and are in {now} now")
        if room is None:
            raise UsageError("you are not in a room: go to one with /join ROOM")
        return room

    def begin_line(self, meant: Place | None, leads_to: Place | None) -> None:
        """Record where the line is meant for that is carried out next, and where it leads; None for a script's."""
        self._meant, self.leads_to = meant, leads_to

    def coming(self) -> Place:
        """Return a place to which a line leads that is entered now."""
        return Place(self._removed.total())

    @property
    def current_name(self) -> str:
        """Return the name of that room, "" if there is none."""
        room = self._current
        return room.name if room else ""

    def is_current(self, name: str) -> bool:
        """Return True if a room is the one that text goes to."""
        return fold(name) == fold(self.current_name)

    def get(self, name: str) -> Room | None:
        """Return a room by its name, None if the user did not join it."""
        return self._rooms.get(fold(name))

    @property
    def joined(self) -> set[str]:
        """Return the folded names of all rooms."""
        with self._lock:
            return set(self._rooms)

    @property
    def public(self) -> list[Room]:
        """Return all rooms but the direct ones, in the order in which they were joined."""
        with self._lock:
            return [room for room in self._rooms.values() if not room.name.startswith(DIRECT)]

    def removals_from(self, name: str) -> int:
        """Return how often the user was removed from a room."""
        return self._removed[fold(name)]

    def add(self, room: Room, removals: int = 0, missed: Unread | None = None) -> bool:
        """Add a room that the user joined; False if the user may not be in it any more.

        `removals`: how often the user had been removed from it before the join; `missed`: what was unread in it then.
        """
        key = fold(room.name)
        with self._lock:
            if self._removed[key] != removals:
                return False
            self._rooms[key] = room
            self._aside.discard(key)
            self._inviters.pop(key, None)
            if missed is not None:
                self._unread[key] = merged(self._unread.get(key), missed)
            return True

    def add_aside(self, room: Room) -> None:
        """Add a direct room that the user writes to without going there."""
        key = fold(room.name)
        with self._lock:
            if key not in self._rooms:
                self._aside.add(key)
            self._rooms[key] = room
            self._inviters.pop(key, None)
            self._unread.pop(key, None)

    def go_to(self, room: Room | None, place: Place | None = None) -> int | None:
        """Make a room the current one; None: there is none. Return the first message not shown in it, 0 for none.

        What is not shown stays so until `read_upto`. The user stays, and this returns None, if the user is in that
        room no longer.

        `place`: what this was while it was to come; None if nobody knew that it would.
        """
        with self._lock:
            if room is not None and self._rooms.get(fold(room.name)) is not room:
                return None
            return self._come_to(room, place)

    def go_on(self, place: Place | None = None) -> tuple[Room | None, int]:
        """Make the room the current one that was joined last, of those that there still are; None: there is none.

        Return it, and what `go_to` returns. `place`: as there; nobody knew if the user was removed from a room since.
        """
        with self._lock:
            visited = [each for name, each in self._rooms.items() if name not in self._aside]
            room = visited[-1] if visited else None
            known = place is not None and place.removals == self._removed.total()
            return room, self._come_to(room, place if known else None)

    def stay(self) -> None:
        """Record that the line being carried out, which might have led elsewhere, leaves the user there."""
        with self._lock:
            if self.leads_to is not None and self._meant is self.place:
                self.leads_to.room = self.place.room
                self.place = self.leads_to

    def _come_to(self, room: Room | None, place: Place | None) -> int:
        self._current = room
        self.place = place or Place()
        self.place.room = room.name if room else ""
        unread = None if room is None else self._unread.get(fold(room.name))
        return unread.first if unread else 0

    def next_with_news(self) -> str:
        """Return the room with news to go to next, "" if there is none: one in which the user is meant, if there is."""
        unread = sorted(self.unread, key=lambda each: not each.mention)
        return unread[0].room if unread else ""

    def shows(self, name: str) -> bool:
        """Return True if the messages of a room are to be shown, wherever the user is."""
        return name.startswith(DIRECT) or self.is_current(name) or self._chosen.get(fold(name), self._all_shown)

    def choose(self, name: str, *, shown: bool) -> None:
        """Have the messages of a room shown, or hidden, while the user is in another."""
        self._chosen[fold(name)] = shown

    def left(self, name: str) -> bool:
        """Remove a room that the user has left; return True if it was the current one: there is none then."""
        with self._lock:
            if self._meant is not self.place:
                self.leads_to = None  # from elsewhere, so nobody could know where from here
            return self._remove(fold(name))

    def removed(self, name: str) -> bool:
        """Likewise one that the user was removed from, or is to be removed from once it is joined."""
        with self._lock:
            self._removed[fold(name)] += 1
            return self._remove(fold(name))

    def _remove(self, key: str) -> bool:
        self._rooms.pop(key, None)
        self._aside.discard(key)
        self._invited.pop(key, None)
        self._inviters.pop(key, None)
        self._unread.pop(key, None)
        here = self._current is not None and fold(self._current.name) == key
        if here:
            self._come_to(None, None)
        return here

    def invited(self, room: Room, user: str) -> None:
        """Add a direct room that the client joined because `user` wrote there."""
        key = fold(room.name)
        with self._lock:
            if key not in self._rooms:
                self._aside.add(key)
                self._inviters[key] = user
            self._rooms[key] = room
            self._invited[key] = None

    def is_invited(self, name: str) -> bool:
        """Return True if the client joined a room by itself."""
        return fold(name) in self._invited

    def spoken_in(self, name: str) -> None:
        """Record that something was said in a room."""
        key = fold(name)
        with self._lock:
            if key in self._invited:
                del self._invited[key]
                self._invited[key] = None

    def take_quiet(self) -> Room | None:
        """Take out and return the room that is quiet longest of too many that the client joined by itself.

        None if they are no more than `INVITED`, or the user went to all of them.
        """
        with self._lock:
            quiet = next((key for key in self._invited if key in self._aside), None)
            if quiet is None or len(self._invited) <= INVITED:
                return None
            room = self._rooms[quiet]
            self._remove(quiet)
            return room

    def inviter(self, message: Message) -> str | None:
        """Return the name of whom a message shows to have invited, once; None otherwise.

        A direct room's first message may be the user's own, from elsewhere.
        """
        key = fold(message.room)
        with self._lock:
            user = self._inviters.get(key)
            if user is None or fold(message.user) != fold(user):
                return None
            return self._inviters.pop(key)

    def count(self, message: Message, *, mentions: bool = False) -> None:
        """Count a message that is not shown; `mentions`: True if it mentions the user."""
        key = fold(message.room)
        with self._lock:
            unread = Unread(message.room, 1, message.seq, message.seq, message.seq if mentions else 0)
            self._unread[key] = merged(self._unread.get(key), unread)

    def recount(self, recounted: Callable[[Unread], Unread]) -> None:
        """Change what counts as unread, room by room; `recounted` is quick, and uses no rooms."""
        with self._lock:
            self._unread = {key: recounted(unread) for key, unread in self._unread.items()}

    def forget_unread(self, name: str) -> None:
        """Forget what was not shown of a room: it can't be had any more."""
        with self._lock:
            self._unread.pop(fold(name), None)

    def read_upto(self, name: str, seq: int) -> None:
        """Record that the user was shown a room up to `seq`, here or in another session."""
        key = fold(name)
        with self._lock:
            unread = self._unread.pop(key, None)
            if unread is None or unread.last <= seq:
                return
            if unread.first <= seq:  # own messages may lie among the others: never more than were counted
                left = min(unread.number, unread.last - seq)
                unread = unread._replace(number=left, first=seq + 1, mention=unread.mention * (unread.mention > seq))
            self._unread[key] = unread

    @property
    def unread(self) -> tuple[Unread, ...]:
        """Return what was not shown of the rooms, but for the current one."""
        current = fold(self.current_name)
        with self._lock:
            return tuple(unread for key, unread in self._unread.items() if key != current)

    def unread_in(self, name: str) -> Unread | None:
        """Return what was not shown of a room; None if nothing is."""
        return self._unread.get(fold(name))

    @property
    def visited(self) -> list[str]:
        """Return the names of the rooms that the user went to or joined, the current one first, then the latest."""
        with self._lock:
            rooms = [each for key, each in reversed(self._rooms.items()) if key not in self._aside]
        return [room.name for room in sorted(rooms, key=lambda room: room is not self._current)]


def merged(before: Unread | None, unread: Unread) -> Unread:
    """Return messages of one room together with those counted before."""
    if before is None:
        return unread
    _, number, first, last, mention = before
    return Unread(
        unread.room,
        number + unread.number,
        min(first, unread.first),
        max(last, unread.last),
        max(mention, unread.mention),
    )
