"""What the thread that writes is asked for: calls of scripts, each about one partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from zchat.broker.store.contract import Append, Places, Present, Sanction
from zchat.broker.store.news import News
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.connections.server import Command
from zchat.broker.store.redis.forms import digest_of, field_of, member_of, pack_present, pack_sanction, suffix_of
from zchat.broker.store.redis.notices import words_of
from zchat.broker.store.redis.partitions import Keys, partition_of
from zchat.broker.store.redis.scripts import Script
from zchat.names import fold


class Fence(NamedTuple):
    """What a script goes by: nothing is done for an earlier attachment, or for another run of the server."""

    run: bytes
    broker: bytes
    generation: int


def called(script: Script, keys: list[bytes], *arguments: bytes | str | int) -> Command:
    """Return the command that calls a script."""
    return ("EVALSHA", script.sha, len(keys), *keys, *arguments)


class Write:
    """One block to be stored in a room; `crowded`: no further producer may be remembered; `untold`: the script tells
    nobody of it."""

    __slots__ = ("append", "crowded", "room", "suffix", "untold")

    def __init__(self, room: str, append: Append, crowded: bool, untold: bool = False) -> None:
        self.room = room
        """The room's folded name, here and below."""
        self.append = append
        self.crowded = crowded
        self.untold = untold
        self.suffix = suffix_of(append)
        """The block after its time: it is sent, and reported once it is stored."""

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it; `time` is "" for the server's own, here and below."""
        append, partition, folded = self.append, partition_of(self.room), self.room.encode()
        shelf = keys.shelves[partition]
        return called(
            scripts.APPEND,
            [
                *(shelf.info, shelf.ends, shelf.names, shelf.epochs),
                keys.log(partition, folded),
                keys.seen(partition, append.producer, folded),
                shelf.producers,
                shelf.feed,
            ],
            *fence,
            folded,
            f"{append.maker}\0{append.room}",
            append.connection,
            append.number,
            append.count,
            digest_of(append),
            self.suffix,
            fold(append.user),
            int(self.crowded),
            append.producer,
            time,
            int(self.untold),
        )

    @property
    def size(self) -> int:
        """The bytes that wait in it."""
        return len(self.append.bodies)


class SetReadMark(NamedTuple):
    """A user's read mark to be moved; `crowded`: no further mark may be kept."""

    room: str
    user: str
    seq: int
    crowded: bool

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        shelf = keys.shelves[partition_of(self.room)]
        where = [shelf.info, shelf.ends, shelf.marks, shelf.feed]
        return called(scripts.MARK, where, *fence, self.room, self.user, self.seq, int(self.crowded), time)


class Unmark(NamedTuple):
    """A user's read mark to be removed, if it has not moved since `moved`."""

    room: str
    user: str
    moved: int

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        shelf = keys.shelves[partition_of(self.room)]
        where = [shelf.info, shelf.marks, shelf.feed]
        return called(scripts.UNMARK, where, *fence, f"{self.room}\0{self.user}", self.moved)


LATE_MS = 3_600_000
"""Milliseconds for which late blocks of a producer that said goodbye are known: a broker that its client has left may
hold some for as long as it stands still, and then for `HELD_SECONDS`."""


class Forget(NamedTuple):
    """A producer to be forgotten in a room, if no block of it was stored after `until`.

    `late_ms`: for how long its blocks that come late are still known, though it takes nobody's place any more.
    """

    room: str
    producer: bytes
    user: str
    until: int
    late_ms: int = 0

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        partition = partition_of(self.room)
        shelf = keys.shelves[partition]
        where = [shelf.info, shelf.producers, keys.seen(partition, self.producer, self.room.encode())]
        member = member_of(self.producer, self.user, self.room)
        return called(scripts.FORGET, where, *fence, member, self.until, self.late_ms)


class Impose(NamedTuple):
    """A sanction to be imposed."""

    room: str
    sanction: Sanction
    places: Places

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        sanction = self.sanction
        return called(
            scripts.IMPOSE,
            [keys.shelves[0].info, keys.sanctions, keys.counts, keys.shelves[0].feed],
            *fence,
            field_of(sanction.room, sanction.user, sanction.kind),
            self.room,
            fold(sanction.by),
            pack_sanction(sanction),
            *self.places,
        )


class Lift(NamedTuple):
    """A sanction to be lifted; `number` 0: whichever it is."""

    room: str
    user: str
    kind: str
    number: int

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        where = [keys.shelves[0].info, keys.sanctions, keys.counts, keys.shelves[0].feed]
        return called(scripts.LIFT, where, *fence, field_of(self.room, self.user, self.kind), self.room, self.number)


class Here(NamedTuple):
    """It is to be known whether a user is in a room by sessions at this broker, and since when: None for no more."""

    room: str
    user: str
    present: Present | None

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        partition = partition_of(self.room)
        shelf = keys.shelves[partition]
        where, field = [shelf.info, keys.here(partition, fence.broker), shelf.feed], f"{self.room}\0{self.user}"
        if self.present is None:
            return called(scripts.GONE, where, *fence, field)
        return called(scripts.HERE, where, *fence, field, pack_present(self.present))


class Tell(NamedTuple):
    """News to be told."""

    room: str
    news: News

    def command(self, keys: Keys, fence: Fence, time: str) -> Command:
        """Return the command that does it."""
        shelf = keys.shelves[partition_of(self.room)]
        return called(scripts.TELL, [shelf.info, shelf.feed], *fence, *words_of(self.news))


Request: TypeAlias = Write | SetReadMark | Unmark | Forget | Impose | Lift | Here | Tell


class Trim(NamedTuple):
    """A request to trim a room, as `Store.trim` says."""

    room: str
    keep: int
    before: int
    ahead: int


class Expire(NamedTuple):
    """A request to forget the producers whose last block was stored by a time."""

    before: int


class Call:
    """One request on its way, and `done`, which is called with the answer; None for nobody."""

    __slots__ = ("again", "done", "request")

    def __init__(self, request: Request, done: Callable[[Any], None] | None = None) -> None:
        self.request = request
        self.done = done
        self.again = False
        """True once it may have been carried out, and is sent again."""

    @property
    def partition(self) -> int:
        """The partition that it is about."""
        request = self.request
        return 0 if isinstance(request, Impose | Lift) else partition_of(request.room)
