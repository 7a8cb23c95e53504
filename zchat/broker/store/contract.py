"""What a store is: the contract that every implementation keeps.

A store holds the rooms' logs. The loop thread calls it; no call blocks on a disk or a network.

**Answers.** Each of `append`, `set_read_mark`, `impose`, `lift`, `read`, `trim` and `locate` ends by calling its `done`
once, in the loop thread: within the call, or later within `poll`. The calls about a room are carried out in their
order, each kind for itself, and so are their answers given; only a `Full` may overtake the answers
to earlier calls. Between rooms there is no order.

**Reports.** All that becomes of a log, a store reports within `poll`, to the `Watcher` that `poll` is
given: that is the one way in which a broker learns that a log has grown, whether the block was its
own or, where several brokers share a store, another's. What an own call has brought about is
reported just before its `done`, so that `done` finds the room as the answer says.

**Waking.** The loop calls `poll` once it has handed over what it received, and before it sleeps: what
the loop thread itself asked for needs no more. For what is ready later a store calls the `wake` that
it was opened with, from any thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from zchat.broker.store.blocks import Block
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.news import News

MAX_PRODUCERS = 100_000
"""Pairs of producer and room remembered: 60 to 100 MB; a new one beyond it is refused until later."""

PRODUCER_DAY = 86_400 * 1_000_000
"""Microseconds after its last block at which a producer may be forgotten: longer than any outage."""

MAX_READ_MARKS = 100_000
"""Read marks kept, one a room and user: 25 MB, 0.3 s of an opening; a new one beyond it is refused, others move."""

MAX_SANCTIONS = 100_000
"""Sanctions kept, of all rooms and of the broker as a whole: 100 MB at most, and 0.5 s of an opening."""

ROOM_SANCTIONS = 10_000
"""Sanctions kept of one room, and as many of the broker as a whole, so that one owner doesn't take up all."""

NEVER = 1 << 62
"""Microseconds since 1970 that nothing is dated after."""

CLOSE_SECONDS = 1.5
"""Seconds that closing may block by default: several commits of a slow disk."""

TRIM_BLOCKS = 64
"""Blocks that one trim removes at most: 64 of 85 KB each take SQLite 10 to 20 ms, in which no commit runs."""


class Append(NamedTuple):
    """One block to be stored: its producer's number for the room, its sender, and the checked bodies.

    `connection` is the number that the producer's client gave the connection that the block came over. Where
    several brokers share a store, a block of an earlier connection than the producer's last one comes too late.
    """

    room: str
    producer: bytes
    number: int
    user: str
    bodies: bytes
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    connection: int
    maker: str = ""
    """Who has made the room, if this is its first block: a folded name; "" if that is nobody's to say."""


class Stored(NamedTuple):
    """The answer that the block is stored and safe, in `epoch`."""

    block: Block
    epoch: int


class Duplicate(NamedTuple):
    """The answer that the producer's block of that number is stored already, and where; `epoch` is that of `first`."""

    first: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    timestamp: int
    epoch: int


class OutOfSequence(NamedTuple):
    """The answer that another number is due: go back to `expected`."""

    expected: int


class ForgottenProducer(NamedTuple):
    """The answer that the producer goes on numbering but isn't known (any more)."""


class Fenced(NamedTuple):
    """The answer that the producer's client has gone on over a later connection, maybe to another broker."""


class NotStored(NamedTuple):
    """The answer that no block of that number is stored: of an append without messages, which was to ask for one."""


class Marked(NamedTuple):
    """The answer that a user's read mark in a room is stored and safe, and where it now stands."""

    seq: int
    displaced: tuple[str, str] | None = None
    """The room and user of the mark in whose place it is, None for none."""


BAN = "ban"
MUTE = "mute"
CLOSED = "closed"
"""The kinds of sanctions, as the protocol has them: the first two are of a user, the last is of a room."""


class Sanction(NamedTuple):
    """What a moderator has imposed on a user, in one room or at the broker as a whole; or that a room is closed.

    Times are microseconds since 1970.
    """

    room: str
    """The room's name; "" for the broker as a whole."""
    user: str
    """Whom it is for, as the moderator spelt it; "" if the room is closed."""
    kind: str
    """`BAN`, `MUTE` or `CLOSED`."""
    until: int
    """When it ends; 0 for never."""
    by: str
    """Who has imposed it, as the name was spelt."""
    at: int
    """When it was imposed."""
    reason: str
    """Why, in the moderator's words; "" for none."""
    maker: str = ""
    """Who has made the room, as in `RoomLog`: it may have nothing else that is kept."""
    number: int = 0
    """Its place in the order in which sanctions were imposed; 0 before the store has decided."""


class Places(NamedTuple):
    """How many sanctions there may be for another one to be kept: of its room, by its moderator, and in all."""

    room: int
    moderator: int
    all: int


class Imposed(NamedTuple):
    """The answer that a sanction is stored and safe, and which one it replaces, None for none."""

    sanction: Sanction
    replaced: Sanction | None


class Lifted(NamedTuple):
    """The answer that a sanction is gone for certain; None: there was none."""

    sanction: Sanction | None


class TooMany(NamedTuple):
    """The answer that no further one is kept, as a bound is reached that others must make room in."""

    reason: str


class Present(NamedTuple):
    """A user in a room, by sessions at one of the brokers that share a store."""

    room: str
    """The room's name; it may have no log."""
    maker: str
    """Who has made the room, as in `RoomLog`."""
    user: str
    """The user's name as it is spelt there."""
    since: int
    """When the user came, in microseconds since 1970 by that broker's clock."""


class Full(NamedTuple):
    """The answer that the store can't do it now, and may later: a bound is reached, or nothing is there yet."""

    reason: str


class Failed(NamedTuple):
    """The answer that the store could not do it; `reason` says why, in the words of the disk."""

    reason: str
    damaged: bool = False
    """True if what is stored is damaged: to try again doesn't help."""


class LogPage(NamedTuple):
    """The answer to a read: whole blocks in order; none if there is nothing after the position."""

    blocks: list[Block]


class Trimmed(NamedTuple):
    """The answer to a trim: the first seq that the room now has, and whether more is to be trimmed."""

    first: int
    more: bool


class Health(NamedTuple):
    """How the connection of a store to its server is; a store without a server is always there."""

    connected: bool = True
    """Whether it is attached to the server."""
    silent: float = 0.0
    """Seconds since the server last answered."""
    waiting: int = 0
    """Blocks, read marks and sanctions that wait for its answer."""
    attachments: int = 0
    """How often it was attached anew since the opening."""
    looks: int = 0
    """Partitions that were looked at as a whole, as something that another broker has told had not been heard."""
    tends: bool = True
    """Whether this broker is the one of those that share the store that tends it: retention is its own."""


class Commit(NamedTuple):
    """One commit: how many microseconds it took, and how many bytes of blocks are in it."""

    microseconds: int
    size: int


class RoomLog(NamedTuple):
    """A room's log at the opening of the store. An empty log has `first == last + 1`."""

    name: str
    first: int
    last: int
    epochs: tuple[Epoch, ...]
    maker: str = ""
    """Who has made the room, by folded name; "" if that is not known."""


Appended: TypeAlias = Stored | Duplicate | OutOfSequence | ForgottenProducer | Fenced | NotStored | Full | Failed


class Watcher(Protocol):
    """What a store reports to, within `poll`, in the loop thread.

    Rooms are named as the store has them, users by folded names unless it says otherwise. A store that several
    brokers share reports what any of them has brought about.
    """

    def appeared(self, log: RoomLog) -> None:
        """Follow a room that has a log, which this broker has not begun; what is in it is reported next."""

    def grew(self, room: str, block: Block, epoch: int, user: str) -> None:
        """Follow a block that was stored and is safe: the one after the last reported of its room.

        `user` is its sender, spelt as in the block.
        """

    def reached(self, log: RoomLog) -> None:
        """Follow a room that others have filled, in which this broker had no members when that was found: up to where.

        Where it has some meanwhile, they are to read what lies between.
        """

    def parted(self, log: RoomLog) -> None:
        """Follow a room whose log is no longer what was reported: it has lost its end, or all of it.

        It is now as `log` says, which may have none; what is stored from now on follows that.
        """

    def trimmed(self, room: str, first: int) -> None:
        """Follow the removal of a room's messages before `first`, by `trim` or by a bound of the store."""

    def marked(self, room: str, user: str, seq: int) -> None:
        """Follow a user's read mark, which has moved, is safe, and stands at `seq`; 0: it made place for another."""

    def imposed(self, sanction: Sanction) -> None:
        """Follow a sanction that is safe; it takes the place of the user's of that kind in that room."""

    def lifted(self, sanction: Sanction) -> None:
        """Follow the end of a sanction, which will not be back after a failure."""

    def recovered(self, sanctions: list[Sanction]) -> None:
        """Follow which sanctions there are after a failure, in the order of their numbers.

        What was answered `Failed` may have been kept, or removed, all the same.
        """

    def came(self, present: Present, broker: bytes) -> None:
        """Follow that a user is in a room at another broker, or is spelt otherwise there, or since another time."""

    def went(self, room: str, user: str, broker: bytes) -> None:
        """Follow that a user is in a room at another broker no more."""

    def told(self, news: News, broker: bytes) -> None:
        """Follow what another broker has told."""

    def forgot(self, producers: int) -> None:
        """Follow that so many producers were forgotten, each for another of the same user."""

    def committed(self, commit: Commit) -> None:
        """Follow a commit; a store that makes none reports none."""

    def failed(self, reason: str) -> None:
        """Follow that storing fails from now on, noticed when nothing was to be stored; `reason` says why."""


class Store(ABC):
    """The place where the logs of rooms are kept. Every method belongs to the loop thread."""

    new = True
    """True if the opening found no store there and began one."""

    broker = b""
    """What tells this broker from the others that share the store, once that is open; b"" where none can."""

    caution = ""
    """What an operator has to know of what is promised of the store, as a sentence; "" if nothing."""

    @abstractmethod
    def open(self, wake: Callable[[], None], *, quotas: bool = False) -> list[RoomLog]:
        """Make the store ready and return the rooms that have a log; may block.

        `wake` is called, from any thread, whenever `poll` has something to do. `quotas`: a name is one user's alone, so
        that each user has a bounded number of producers and read marks.

        Raises:
            StoreError: it can't be opened: the place, another program's file, a newer schema,
                another broker.
        """

    @abstractmethod
    def append(self, append: Append, done: Callable[[Appended], None]) -> None:
        """Store one block: number its messages, give it its time, know duplicates, in one step.

        The producer's next number is stored; one that is remembered is a `Duplicate`; one
        below what is remembered, or above the next, is `OutOfSequence`; one other than 1 of
        an unknown producer is a `ForgottenProducer`. A block that isn't stored uses up no
        number; one without messages isn't: where it would be, the answer is `NotStored`. The
        first block of a room since its log may have lost its end, since the opening or a failure,
        begins an epoch, a random number; where a server keeps the log, since that was started. With
        quotas a user's `USER_PRODUCERS` + 1st producer is remembered in place of the one that is idle
        for longest, and `Watcher.forgot` is called.
        `Stored` comes when the block is as safe as the store makes it, and not before can it
        be read: `Watcher.grew` is called, then `done`; in a room that isn't followed `Watcher.reached` may
        have been called instead. After a failure everything that was waiting after it fails too, in order.
        """

    @abstractmethod
    def set_read_mark(self, room: str, user: str, seq: int, done: Callable[[Marked | Full | Failed], None]) -> None:
        """Store how far `user`, a folded name, has read a room that has a log.

        A read mark never goes back: a lower `seq` is answered with the one that stands; and never
        beyond the room's last seq, which a higher one becomes. The room's trimming doesn't move it.
        `Marked` comes when the mark is as safe as the store makes it, and after every block
        of the room that was appended before; if the mark has moved, after `Watcher.marked`.
        With quotas a user's `USER_READ_MARKS` + 1st mark takes the place of the one that has not moved for longest.
        `Full`: the room has no log, as the block that was to begin it was refused; or as with `append`.
        `Failed`: as with `append`.
        """

    @abstractmethod
    def read_marks(self) -> list[tuple[str, str, int]]:
        """Return every read mark: room, folded user, seq. To be called once, right after `open`."""

    @abstractmethod
    def impose(
        self, sanction: Sanction, places: Places, done: Callable[[Imposed | TooMany | Full | Failed], None]
    ) -> None:
        """Store a sanction, in place of the one of that kind that the user has in that room, whatever their case.

        `Imposed` comes when it is as safe as the store makes it, after `Watcher.imposed`, and after every block
        that was appended before. `TooMany`: there are as many as `places` says; one in the place of another's counts
        as one more of its moderator alone, and in the place of one's own as none.
        `Full`, `Failed`: as with `append`.
        """

    @abstractmethod
    def lift(
        self, room: str, user: str, kind: str, done: Callable[[Lifted | Full | Failed], None], number: int = 0
    ) -> None:
        """Remove the sanction of that kind that a user has in a room; with `number` only if it is the one of that.

        `Lifted` comes as `Imposed` does, after `Watcher.lifted` if there was one.
        """

    @abstractmethod
    def sanctions(self) -> list[Sanction]:
        """Return every sanction in the order of their numbers. To be called once, right after `open`."""

    def old_senders(self) -> list[str]:
        """Return the users who have sent what was stored when names had fewer rules, and whose names break today's.

        To be asked once, right after `open`. A store that was never there before the rules has none.
        """
        return []

    @abstractmethod
    def read(
        self, room: str, after: int, upto: int, max_bytes: int, done: Callable[[LogPage | Full | Failed], None]
    ) -> None:
        """Read whole blocks from the one that holds `after` + 1 (or the first kept after it) on.

        The first comes however large, more as long as all have `max_bytes` at most, none that
        begins after `upto`. `Full`: too many reads are waiting.
        """

    @abstractmethod
    def trim(
        self, room: str, keep: int, before: int, done: Callable[[Trimmed | Failed], None], ahead: int = NEVER
    ) -> None:
        """Remove a room's oldest whole blocks, a bounded number in one call.

        A block goes if at least `keep` messages follow it (0: no such rule), or if it was
        stored before `before`, in microseconds since 1970 (0: no such rule). `Watcher.trimmed`
        is called before `Trimmed` comes, if the room has a log.
        Blocks dated after `ahead` were dated by a wrong clock, and go with the next one that goes.
        """

    @abstractmethod
    def forget(self, producer: bytes) -> None:
        """Forget the numbers and results of a producer that said goodbye."""

    @abstractmethod
    def expire(self, before: int, now: int) -> None:
        """Forget some of the producers whose last block was stored by `before`, in microseconds since 1970.

        It is not later than `now`: a block after that was dated by a wrong clock.
        """

    @abstractmethod
    def poll(self, watcher: Watcher) -> None:
        """Report what has happened, and call what is done; return soon, and call `wake` if more waits for another call.

        Raises:
            StoreError: the store has failed for good and will answer no more; close it.
        """

    def follow(self, room: str, wanted: bool) -> None:  # noqa: B027  # that nothing is done is what most stores do
        """Say whether the broker has members in a room: True with the first that comes, False with the last that goes.

        Where several brokers share a store, only of such rooms the blocks of others are handed over, and of the rest
        up to where they go. A store with one broker hands over its own blocks all the same, and does nothing here.
        """

    def locate(self, room: str, done: Callable[[], None]) -> None:
        """Call `done` once all that a room's log holds at the time of this call is reported.

        It is asked for a position after what was reported: where several brokers share a store, this one may be
        late. A store with one broker has reported all there is, and calls `done` at once.
        """
        done()

    def come(self, present: Present) -> None:  # noqa: B027  # that nothing is done is what most stores do
        """Have the other brokers that share the store know that a user is in a room: with the user's first session.

        It is not answered, and not kept: what this broker has told is forgotten soon after it has ended, and all that
        holds is told again by the store where that is needed.
        """

    def go(self, room: str, user: str) -> None:  # noqa: B027  # as above
        """Have the other brokers know that a user, by folded name, is in a room no more: with the last session."""

    def tell(self, news: News) -> None:  # noqa: B027  # as above
        """Have the other brokers that share the store hear of something that isn't kept.

        It is not answered. A broker that does not hear just now never does, nor do any if too much waits to be told.
        """

    def health(self) -> Health:
        """Return how the connection to the store's server is. Any thread."""
        return Health()

    @abstractmethod
    def close(self, seconds: float = CLOSE_SECONDS) -> str:
        """Finish what was appended, call what is done, and let go of everything; may block for `seconds`.

        Nothing is reported any more: no member is served any more. Returns what is left of it that an operator has
        to know, as a sentence; "" if nothing.
        """

    def undo_open(self) -> None:
        """Close, and remove what the opening made: the broker did not start after all, and nothing was appended."""
        self.close()
