"""What is true of the rooms' state, and what applications received of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.promises.simulation.truth import Truth
from tests.promises.simulation.world import Violation
from zchat.broker.core.core import Core
from zchat.events import Crowd, Event, Invited, MemberJoined, MemberLeft, ReadMark, Typing
from zchat.names import fold
from zchat.wire.limits import MAX_INT, PRESENT
from zchat.wire.notices import PersonEntry
from zchat.wire.values import unpack

if TYPE_CHECKING:
    from tests.promises.simulation.client import Client
    from tests.promises.simulation.joined import Joined


class Told:
    """Keep what an application knows of a room by what it has received alone: the first picture, and events since.

    Of its own user it receives only what another session has read: `own_mark`. `inviter` is who must
    be reported before all else. `comings` counts those who were reported to have come or gone.
    """

    def __init__(self, truth: Truth, who: str, room: str, user: str, inviter: str | None) -> None:
        self._truth = truth
        self._who = who
        self._room = room
        self._own = fold(user)
        self._inviter = inviter
        self._highest: dict[str, int] = {}
        self.here: dict[str, str] = {}
        self.typing: set[str] = set()
        self.marks: dict[str, int] = {}
        self.crowd: Crowd | None = None
        self.comings = 0
        self.own_mark = 0

    def first(self, people: dict[str, PersonEntry]) -> None:
        """Take the first names."""
        for key, person in people.items():
            if key == self._own:
                self.own_mark = person.read_mark
            else:
                self.here[key] = person.user
                self._read(key, person.read_mark)
                if person.typing:
                    self.typing.add(key)

    def took(self, events: list[Event]) -> None:
        """Take events, each of which must follow from what is known."""
        for event in events:
            inviter, self._inviter = self._inviter, None
            if inviter is not None or isinstance(event, Invited):
                invited = isinstance(event, Invited) and event.user == inviter
                self._require(invited, f"{event} comes first, and {inviter} wrote")
            elif isinstance(event, Crowd):
                self.crowd = event
            else:
                self._took(event)

    def _took(self, event: Event) -> None:
        assert isinstance(event, MemberJoined | MemberLeft | Typing | ReadMark)
        key = fold(event.user)
        if isinstance(event, ReadMark) and key == self._own:
            self._read(key, event.seq)
            self.own_mark = event.seq
            return
        here = key in self.here
        self._require(here != isinstance(event, MemberJoined) and key != self._own, f"{event}, and here is {self.here}")
        if isinstance(event, MemberJoined):
            self.here[key] = event.user
            self.marks[key] = 0
            self.comings += 1
        elif isinstance(event, MemberLeft):
            self._require(key not in self.typing, f"{event}, who types")
            del self.here[key]
            del self.marks[key]
            self.comings += 1
        elif isinstance(event, ReadMark):
            self._require(event.seq != self.marks[key], f"{event} comes again")
            self._read(key, event.seq)
        else:
            self._require(event.active != (key in self.typing), f"{event} comes again")
            self.typing ^= {key}

    def _read(self, key: str, seq: int) -> None:
        """Take a mark, which is safe, and never goes back unless there was a disaster, or another broker is behind."""
        if not self._truth.losses:
            safe = self._truth.marks.get((self._room, key), 0)
            self._require(seq <= safe, f"{key} is reported to have read {seq}, and safe is {safe}")
            highest = self._highest.get(key, 0)
            self._require(
                seq >= highest or self._truth.shared, f"{key} is reported to have read {seq}, after {highest}"
            )
            self._highest[key] = max(seq, highest)
        if key != self._own:
            self.marks[key] = seq

    def check(self, people: dict[str, PersonEntry], read: int) -> None:
        """Check that this is what the picture shows; the application itself has marked the room up to `read`."""
        own = people.get(self._own)
        if own is not None and not self._truth.losses:
            known = max(read, self.own_mark)
            self._require(own.read_mark <= known, f"the own mark is {own.read_mark}, and known is {known}")
        others = {key: each for key, each in people.items() if key != self._own}
        self._require(
            self.here.keys() == others.keys(), f"here were reported {list(self.here)}, and are {list(others)}"
        )
        typing = {key for key, each in others.items() if each.typing}
        self._require(self.typing == typing, f"typing were reported {self.typing}, and are {typing}")
        marks = {key: each.read_mark for key, each in others.items()}
        self._require(self.marks == marks, f"read was reported to be {self.marks}, and is {marks}")

    def _require(self, condition: bool, what: str) -> None:
        if not condition:
            raise Violation(f"{self._who}: {self._room}: {what}")


def versions(core: Core) -> dict[str, int]:
    """Return what changes whenever a room's state does."""
    return {name: room.roster.version for name, room in core.context.directory.rooms.items() if room.roster is not None}


def check_pictures(core: Core, clients: Iterable[Client]) -> None:
    """Check that every client's pictures are the broker's rosters, and that the events told make the same."""
    for client in clients:
        for joined in client.joins.values():
            _check_picture(core, joined, client.name)


def _check_picture(core: Core, joined: Joined, who: str) -> None:
    picture = joined.feed.roster
    roster = core.context.directory.rooms[fold(joined.name)].roster
    where = f"{who}: {joined.name}"
    assert roster is not None
    while picture.waiting:
        joined.told.took(list(picture.take()))
    if picture.members != len(roster.people):
        raise Violation(f"{where}: {picture.members} are shown, and {len(roster.people)} are here")
    crowd = picture._crowd
    if roster.crowd:
        counts = Crowd(joined.name, len(roster.people), roster.typing, len(roster.at_end))
        shown = None if crowd is None else Crowd(joined.name, crowd.members, crowd.typing, crowd.caught_up)
        told = joined.told.crowd
        if shown != counts or crowd != told:
            raise Violation(f"{where}: it should be {counts}, shown is {crowd} and told {told}")
    else:
        here = roster.people.items()
        people = {key: PersonEntry(each.name, each.since, each.typing, each.read_mark) for key, each in here}
        if crowd is not None or picture._people != people:
            raise Violation(f"{where}: it should be {people}, and shown is {crowd or picture._people}")
    client = joined.client
    # Of an own user who comes by another session, and isn't here by this one, the mark is not told at once.
    joined.told.check(picture._people, client.read.get(joined.name, 0) if client.flags & PRESENT else MAX_INT)


def check_presence(core: Core, clients: Iterable[Client], others: dict[str, set[str]]) -> None:
    """Check that those are here who are, beside `others` by room."""
    here = {fold(room): set(users) for room, users in others.items()}
    for client in clients:
        for room in client.joins if client.flags & PRESENT else ():
            here.setdefault(fold(room), set()).add(fold(client.user))
    rosters = {
        name: set(room.roster.people)
        for name, room in core.context.directory.rooms.items()
        if room.roster is not None and room.roster.people
    }
    if rosters != here:
        raise Violation(f"here are {here}, and the rosters have {rosters}")


def check_invited(core: Core, truth: Truth, clients: Iterable[Client]) -> None:
    """Check that clients are in all direct rooms in which something is unread, but those that they left since."""
    for client in clients:
        user = fold(client.user)
        for room in core.context.directory.directs_of(user):
            if room.name in client.joins or room.read_marks.get(user, 0) >= room.last:
                continue
            left = client.left_at.get(room.name, 0)
            if left <= max(client.greeted_at, truth.logs[room.name][-1].stored_at):
                raise Violation(f"{client.name} is not in {room.name!r}, where something is unread")


def check_marks(core: Core, truth: Truth, clients: Iterable[Client]) -> None:
    """Check that marks are what is safe, that no answered one is lost, nor one that a client was to have stored."""
    truth.check_marks()
    for (name, user), seq in truth.marks.items():
        stands = core.context.directory.rooms[fold(name)].read_marks.get(user, 0)
        if stands != seq:
            raise Violation(f"{name}: {user} has read {seq}, and the broker knows of {stands}")
    stored = sum(len(room.read_marks) for room in core.context.directory.rooms.values())
    if stored != len(truth.marks):
        raise Violation(f"the broker knows {stored} marks, and {len(truth.marks)} are safe")
    for client in clients if not truth.losses else ():
        for name, seq in client.read.items():
            if name not in client.unsure and truth.marks.get((name, fold(client.user)), 0) < seq:
                raise Violation(f"{client.name}: {name!r} was marked as read up to {seq}, and that is not stored")


class Shown:
    """Follow the state frames of each connection: one is out until it is answered, and they are numbered."""

    HEAD = b"\x94\xa5state"
    SEEN = b"\x92\xa4seen"

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._out: set[int] = set()

    def sent(self, connection: int, frame: bytes, *, proves: bool) -> None:
        """Take a frame that was sent to a client; `proves`: to see whether it has read what it was sent before."""
        if frame.startswith(self.HEAD):
            _, number, rooms, invitations = unpack(frame)
            if connection in self._out or number != self._last.get(connection, 0) + 1:
                raise Violation(f"state {number} was sent, and {self._last.get(connection)} is not answered")
            if not rooms and not invitations and not proves:
                raise Violation("a state frame tells nothing")
            self._last[connection] = number
            self._out.add(connection)

    def received(self, connection: int, frame: bytes) -> None:
        """Take a frame that a client sent."""
        if frame.startswith(self.SEEN) and unpack(frame)[1] == self._last.get(connection):
            self._out.discard(connection)
