"""A store over Redis as what is copied into: an empty prefix."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from secrets import token_hex
from typing import Any

from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.contract import Sanction
from zchat.broker.store.copying.records import (
    BlockRecord,
    OldSender,
    ProducerRecord,
    ReadMarkRecord,
    Record,
    RoomRecord,
)
from zchat.broker.store.copying.redis_source import answering, connected, identity_of, records_of
from zchat.broker.store.copying.sides import Target
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.attachment import COPYING, FORMAT, keys_of, something_else
from zchat.broker.store.redis.connections.server import Command, run_of
from zchat.broker.store.redis.connections.url import RedisURL
from zchat.broker.store.redis.forms import (
    field_of,
    member_of,
    pack_ends,
    pack_epochs,
    pack_head,
    pack_mark,
    pack_result,
    value_of,
)
from zchat.broker.store.redis.partitions import Keys, partition_of
from zchat.broker.store.redis.requests import called
from zchat.errors import StoreError
from zchat.names import fold

BATCH_COMMANDS = 2000
"""Commands that are sent at once at most."""

BATCH_BYTES = 4 << 20
"""Bytes of blocks after which a batch takes no more: some 50 ms of a slow disk."""

CALL_COMMANDS = 250
"""Commands that one call of the script carries out, which others wait for: a millisecond."""

CALL_BYTES = 1 << 20
"""Bytes of blocks after which such a call takes no more."""

REMOVE_SECONDS = 5.0
"""Seconds for which what an interrupted copy has written is removed; what is left then is known to be incomplete."""

AGAIN = "zchat copy --again removes what is there first"
"""What to do about that."""

BEGUN = "another copy into it, or a broker on it, has begun"
"""Why no more is written."""


class _Call:
    """The commands of one call of the script: all of one partition."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.keys: dict[bytes, int] = {}
        self.commands = 0
        self.bytes = 0
        self.arguments: list[bytes | str | int] = []

    def add(self, name: str, key: bytes, arguments: tuple[bytes | str | int, ...], size: int) -> None:
        """Add a command; `size` counts its bytes."""
        number = self.keys.setdefault(key, len(self.keys) + 2)  # the first is the partition's own
        self.arguments += (len(arguments), name, number, *arguments)
        self.commands += 1
        self.bytes += size

    @property
    def full(self) -> bool:
        """Return whether it takes no more."""
        return self.commands >= CALL_COMMANDS or self.bytes >= CALL_BYTES


class RedisTarget(Target):
    """The store at `url`, which is begun by `begin`.

    Raises:
        StoreError: the server can't be used, or can't keep what the URL asks for.
    """

    def __init__(self, url: RedisURL) -> None:
        self.place = url.place
        self._url = url
        self._keys = Keys(url.prefix)
        self._connection = connected(url)
        try:
            with answering(url.place):
                run_of(self._connection, self._connection.url)
            self.identity = identity_of(url, self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._id = token_hex(8)
        self._mark = COPYING + self._id.encode()
        self._room = ""
        self._calls: list[_Call] = []
        self._open: dict[int, _Call] = {}
        """The last call of each partition, which takes more."""
        self._commands = 0
        self._bytes = 0
        self._last_sanction = 0

    def begin(self, *, again: bool) -> None:
        """Mark the place as that of a copy that is not complete; `again`: remove what is left of one first.

        Raises:
            StoreError: something is there.
        """
        (found,) = self._ask([("GET", self._keys.format)])
        if found is None:
            self._check_empty()
            if self._ask([("SET", self._keys.format, self._mark, "NX")]) == [None]:
                raise StoreError(f"{self.place}: {BEGUN}")
        else:
            if not found.startswith(COPYING):
                raise StoreError(f"{self.place}: {self._there('a store')}")
            if not again:
                raise StoreError(f"{self.place}: {self._there('a copy that is not complete')} ({AGAIN})")
            if self._ask([called(scripts.FINISH, [self._keys.format], found, self._mark)]) != [1]:
                raise StoreError(f"{self.place}: {BEGUN}")
            self._remove(None)
        self._ask([("HSET", shelf.info, "copy", self._id) for shelf in self._keys.shelves])

    def _there(self, what: str) -> str:
        return f"there is {what} under the prefix {self._url.prefix}, and nothing is overwritten: choose another prefix"

    def _check_empty(self) -> None:
        """See that no key of a store is there: the copy would take it for its own, and remove it if it fails."""
        with answering(self.place):
            for found in keys_of(self._connection, self._keys):
                if found:
                    begun = self._connection.ask([("GET", self._keys.format)]) != [None]
                    raise StoreError(f"{self.place}: {BEGUN if begun else something_else(self._url, found[0])}")

    def put(self, record: Record) -> None:
        """See `Target.put`."""
        keys = self._keys
        if isinstance(record, Sanction):
            self._put_sanction(record)
            return
        if isinstance(record, OldSender):
            self._add(0, "SADD", keys.old_senders, record.user)
            return
        if isinstance(record, RoomRecord):
            self._room = fold(record.name)
        folded = self._room
        partition, encoded = partition_of(folded), folded.encode()
        shelf = keys.shelves[partition]
        if isinstance(record, BlockRecord):
            head, size = pack_head(record.first, record.timestamp), len(record.suffix)
            key = keys.log(partition, encoded)
            self._add(partition, "XADD", key, f"{record.last}-0", "h", head, "s", record.suffix, size=size)
        elif isinstance(record, RoomRecord):
            epoch = record.epochs[-1].epoch if record.epochs else 0
            self._add(partition, "HSET", shelf.ends, encoded, pack_ends(*record[2:5], epoch))
            self._add(partition, "HSET", shelf.names, encoded, f"{record.maker}\0{record.name}")
            self._add(partition, "HSET", shelf.epochs, encoded, pack_epochs(record.epochs))
        elif isinstance(record, ReadMarkRecord):
            mark = f"{folded}\0{record.user}"
            self._add(partition, "HSET", shelf.marks, mark, pack_mark(record.seq, record.moved))
        else:
            self._put_producer(partition, encoded, record)

    def _put_producer(self, partition: int, encoded: bytes, record: ProducerRecord) -> None:
        fields: list[bytes | str | int] = ["n", record.last, "c", record.connection, "u", record.user]
        for number, result in enumerate(record.results, record.last - len(record.results) + 1):
            digest = result.digest or scripts.ANY_DIGEST
            fields += (f"r{number % MAX_REQUESTS}", pack_result(number, *result[:4], digest))
        self._add(partition, "HSET", self._keys.seen(partition, record.producer, encoded), *fields)
        member = member_of(record.producer, record.user, encoded.decode())
        self._add(partition, "ZADD", self._keys.shelves[partition].producers, record.seen, member)

    def _put_sanction(self, sanction: Sanction) -> None:
        keys = self._keys
        field = field_of(sanction.room, sanction.user, sanction.kind)
        self._add(0, "HSET", keys.sanctions, field, value_of(sanction))
        self._add(0, "HINCRBY", keys.counts, f"room\0{fold(sanction.room)}", 1)
        self._add(0, "HINCRBY", keys.counts, f"by\0{fold(sanction.by)}", 1)
        self._last_sanction = max(self._last_sanction, sanction.number)

    def _add(self, partition: int, name: str, key: bytes, *arguments: bytes | str | int, size: int = 0) -> None:
        call = self._open.get(partition)
        if call is None or call.full:
            call = self._open[partition] = _Call(partition)
            self._calls.append(call)
        call.add(name, key, arguments, size)
        self._commands += 1
        self._bytes += size
        if self._commands >= BATCH_COMMANDS or self._bytes >= BATCH_BYTES:
            self._write()

    def _write(self) -> None:
        commands: list[Command] = []
        for call in self._calls:
            where = [self._keys.shelves[call.partition].info, *call.keys]
            commands.append(called(scripts.PUT, where, self._id, *call.arguments))
        self._calls.clear()
        self._open.clear()
        self._commands = self._bytes = 0
        if any(reply != 1 for reply in self._ask(commands)):
            raise StoreError(f"{self.place}: {BEGUN}")

    def records(self) -> Iterator[Record]:
        """See `Target.records`."""
        if self._last_sanction:
            self._add(0, "HSET", self._keys.shelves[0].info, "s", self._last_sanction)
        self._write()
        return records_of(self.place, self._keys, self._connection)

    def complete(self) -> None:
        """See `Target.complete`."""
        for partition, shelf in enumerate(self._keys.shelves):
            self._add(partition, "HDEL", shelf.info, "copy")
        self._write()
        if self._ask([called(scripts.FINISH, [self._keys.format], self._mark, FORMAT)]) != [1]:
            raise StoreError(f"{self.place}: {BEGUN}")

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()

    def give_up(self) -> bool:
        """Remove what was written, in a bounded time; return whether nothing is left of it."""
        self._connection.close()  # over a new one: an answer may still be on its way
        with suppress(StoreError):
            self._connection = connected(self._url)
            if self._ask([("GET", self._keys.format)]) != [self._mark]:
                return True  # it is another copy's
            if self._remove(time.monotonic() + REMOVE_SECONDS):
                return self._ask([called(scripts.FINISH, [self._keys.format], self._mark, "")]) == [1]
        return False

    def _remove(self, until: float | None) -> bool:
        """Remove all keys of the store but `format`, until a time by the monotonic clock; return whether all is gone.

        Those that say which copy this partition is of go first, so that nothing is written there any more.
        """
        self._ask([("UNLINK", shelf.info) for shelf in self._keys.shelves])
        with answering(self.place):
            for found in keys_of(self._connection, self._keys):
                if until is not None and time.monotonic() > until:
                    return False
                gone = [key for key in found if key != self._keys.format]
                if gone:
                    self._connection.ask([("UNLINK", *gone)])
        return True

    def _ask(self, commands: list[Command]) -> list[Any]:
        with answering(self.place):
            return self._connection.ask(commands) if commands else []


@contextmanager
def redis_target(url: RedisURL, source: tuple[object, ...], *, again: bool) -> Iterator[RedisTarget]:
    """Give a store over Redis that is made while the block runs; `source` is the identity of what is copied.

    If the block fails, what was written is removed; where that can't be done, it is known to be incomplete.

    Raises:
        StoreError: something is there, or the server can't be used.
    """
    with closing(RedisTarget(url)) as target:
        if target.identity == source:
            raise StoreError(f"{target.place} can't be copied into itself: name another store")
        target.begin(again=again)
        try:
            yield target
        except BaseException as error:
            if not target.give_up() and isinstance(error, StoreError):
                raise StoreError(f"{error}; a part of the copy is left at {target.place}: {AGAIN}") from error
            raise
