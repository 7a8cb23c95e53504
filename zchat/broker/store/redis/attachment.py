"""Attaching to the server: from then on scripts do what this broker asks for, and nothing that it asked for before."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from zchat.broker.store.contract import Sanction
from zchat.broker.store.epochs import Epoch
from zchat.broker.store.ledger import random_epoch
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.forms import Ends, ends_of, epochs_of, mark_of, name_of, pair_of, sanction_of
from zchat.broker.store.redis.partitions import Keys
from zchat.broker.store.redis.requests import Fence, called
from zchat.broker.store.redis.server import Connection, Trouble, run_of, understanding
from zchat.broker.store.redis.url import RedisURL
from zchat.errors import StoreError

FORMAT = b"1"
"""The number of the format of what is kept."""

HOLD_MS = 3_000
"""Milliseconds for which a broker has the store from each time that it says so: as long as one that was killed keeps
the next one waiting."""

HOLD_EVERY = 1.0
"""Seconds between two times: of three, two may be late."""


class Taken(StoreError):
    """Another broker has the store, for `left` milliseconds at least."""

    def __init__(self, text: str, left: int = 0) -> None:  # it may be raised anew, with another text
        super().__init__(text)
        self.left = left


class Counts(NamedTuple):
    """How often the logs of a partition, and all else in it, have changed."""

    logs: int
    others: int


class RoomState(NamedTuple):
    """What a snapshot says of one room."""

    name: str
    maker: str
    ends: Ends
    epochs: tuple[Epoch, ...]


class Snapshot(NamedTuple):
    """All that a partition has of its rooms but the logs, as of one moment."""

    counts: Counts
    rooms: dict[str, RoomState]
    """By folded name."""
    marks: dict[tuple[str, str], tuple[int, int]]
    """By folded room and user the seq, and the time at which it moved."""


class Attachment:
    """A connection over which the scripts do what this broker asks for. It belongs to one thread at a time."""

    @understanding()
    def __init__(self, url: RedisURL, keys: Keys, broker: bytes) -> None:
        """Connect, check the server, and attach to all partitions.

        Raises:
            Trouble: the server can't be used now.
            Taken: another broker has the store, and will for some time.
            StoreError: the server can't be used as it is; the text says what to set.
        """
        self._url = url
        self._keys = keys
        self.broker = broker
        self.connection = Connection(url)
        try:
            self._run = run_of(self.connection, url)
            self.new = self._check_format()
            self.connection.ask([("SCRIPT", "LOAD", script.text) for script in scripts.ALL])
            self.hold()
            attach = [called(scripts.ATTACH, [s.info], self._run, broker, random_epoch()) for s in keys.shelves]
            replies = self.connection.ask(attach)
        except BaseException:
            self.connection.close()
            raise
        self._fences = [Fence(self._run, broker, reply[0]) for reply in replies]
        self.counts = [Counts(*reply[2:]) for reply in replies]
        """What had changed in each partition when this was attached."""

    def _check_format(self) -> bool:
        """Return whether there was no store, so that one begins."""
        (found,) = self.connection.ask([("GET", self._keys.format)])
        if found is None:
            self.connection.ask([("SET", self._keys.format, FORMAT)])
        elif found != FORMAT:
            raise StoreError(
                f"{self._url.place}: what is under the prefix {self._url.prefix} is of another format "
                f"({found.decode(errors='replace')}): upgrade zchat, or choose another prefix"
            )
        return found is None

    @understanding()
    def hold(self) -> None:
        """Say that this broker goes on having the store; raises Taken, Trouble."""
        (left,) = self.connection.ask([called(scripts.HOLD, [self._keys.holder], self.broker, HOLD_MS)])
        if int(left):
            raise Taken(
                f"{self._url.place}: another broker has what is under the prefix {self._url.prefix}: "
                "stop it, or choose another prefix",
                int(left),
            )

    def fence(self, partition: int) -> Fence:
        """Return what the scripts of a partition go by."""
        return self._fences[partition]

    @understanding()
    def snapshots(self, partitions: Iterable[int]) -> dict[int, Snapshot]:
        """Return what partitions have."""
        chosen = list(partitions)
        commands = [called(scripts.SNAPSHOT, list(self._keys.shelves[each][:5])) for each in chosen]
        return {each: _snapshot(*reply) for each, reply in zip(chosen, self.connection.ask(commands), strict=True)}

    @understanding()
    def sanctions(self) -> list[Sanction]:
        """Return all sanctions in the order of their numbers."""
        (values,) = self.connection.ask([("HVALS", self._keys.sanctions)])
        return sorted(map(sanction_of, values), key=lambda sanction: sanction.number)

    @understanding()
    def producers(self) -> list[tuple[bytes, str, str, int]]:
        """Return the producers that are remembered, the one idle for longest first: with user, room, and time."""
        found = []
        for members in self.connection.ask(
            [("ZRANGE", shelf.producers, 0, -1, "WITHSCORES") for shelf in self._keys.shelves]
        ):
            for member, score in zip(members[::2], members[1::2], strict=True):
                found.append((*pair_of(member), int(float(score))))
        found.sort(key=lambda each: each[3])
        return found

    def release(self, *, begun: bool = False) -> None:
        """Let go of the store, and of the connection; `begun`: remove the store too, which this began for nothing."""
        with suppress(Trouble, StoreError):  # the server keeps it for some seconds
            if begun:
                self.connection.ask([("DEL", self._keys.format, *(shelf.info for shelf in self._keys.shelves))])
            self.connection.ask([called(scripts.RELEASE, [self._keys.holder], self.broker)])
        self.connection.close()


def _snapshot(logs: int, others: int, *fields: list[bytes]) -> Snapshot:
    ends, names, epochs, marks = (dict(zip(each[::2], each[1::2], strict=True)) for each in fields)
    rooms = {}
    for folded, value in ends.items():
        name, maker = name_of(names[folded])
        rooms[folded.decode()] = RoomState(name, maker, ends_of(value), epochs_of(epochs[folded]))
    return Snapshot(Counts(logs, others), rooms, {_mark(key): mark_of(value) for key, value in marks.items()})


def _mark(key: bytes) -> tuple[str, str]:
    room, _, user = key.decode().partition("\0")
    return room, user
