"""The scripts' twin: what they do, in Python, over dictionaries instead of a server."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack
from typing import Any

from zchat.broker.limits import MAX_REQUESTS
from zchat.broker.store.epochs import MAX_EPOCHS
from zchat.broker.store.ledger import JUMP, MAX_SEQ
from zchat.broker.store.redis import scripts
from zchat.broker.store.redis.scripts import Script

DETACHED = [b"detached"]


class Twin:
    """A server that holds what its scripts write: hashes, sorted sets and strings as they are, streams as lists.

    `told` is what they have told, with the channel.
    """

    def __init__(self) -> None:
        self.keys: dict[bytes, Any] = {}
        self.told: list[tuple[bytes, list[Any]]] = []
        self._ways: dict[Script, Callable[..., Any]] = {
            scripts.ATTACH: self._attach,
            scripts.APPEND: self._append,
            scripts.MARK: self._mark,
            scripts.UNMARK: self._unmark,
            scripts.FORGET: self._forget,
            scripts.IMPOSE: self._impose,
            scripts.LIFT: self._lift,
            scripts.TRIM: self._trim,
            scripts.HERE: self._here,
            scripts.GONE: self._gone,
            scripts.TELL: self._told,
            scripts.SWEEP: self._sweep,
            scripts.SNAPSHOT: self._snapshot,
        }

    def call(self, script: Script, keys: list[bytes], *arguments: Any) -> Any:
        """Return what a script answers."""
        given = [each if isinstance(each, bytes) else str(each).encode() for each in arguments]
        return self._ways[script](keys, *given)

    def _hash(self, key: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.keys.get(key, {})
        return found

    def _set(self, key: bytes, field: bytes, value: bytes) -> None:
        self.keys.setdefault(key, {})[field] = value

    def _remove(self, key: bytes, field: bytes) -> None:
        del self.keys[key][field]
        if not self.keys[key]:
            del self.keys[key]

    def _add(self, key: bytes, field: bytes, change: int = 1) -> int:
        number = int(self._hash(key).get(field, b"0")) + change
        self._set(key, field, b"%d" % number)
        return number

    def _is_attached(self, info: bytes, run: bytes, broker: bytes, generation: bytes) -> bool:
        stands = self._hash(info)
        return stands.get(b"run") == run and stands.get(b"g:" + broker) == generation

    def _tell(self, channel: bytes, kind: bytes, broker: bytes, info: bytes, *fields: Any) -> None:
        self.told.append((channel, [kind, broker, int(self._hash(info)[b"epoch"]), *fields]))

    def _attach(self, keys: list[bytes], run: bytes, broker: bytes, epoch: bytes) -> Any:
        info, feed = keys
        if self._hash(info).get(b"run") != run:
            self._set(info, b"run", run)
            self._set(info, b"epoch", epoch)
        self._tell(feed, b"A", broker, info, 0)
        generation = self._add(info, b"gens")
        self._set(info, b"g:" + broker, b"%d" % generation)
        return [generation, *(int(self._hash(info).get(count, b"0")) for count in (b"epoch", b"l", b"n"))]

    def _append(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, *arguments: bytes) -> Any:
        info, ends, names, epochs, log, seen, producers, feed = keys
        folded, spelled, connection, number, count, digest, suffix, user, crowded, producer, now, untold = arguments
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        known = self._hash(seen)
        slot = b"r%d" % (int(number) % MAX_REQUESTS)
        if known and int(connection) < int(known[b"c"]):
            return [b"fenced"]
        gone = b"gone" in known
        if gone:
            if slot in known and connection == known[b"c"]:
                of, *place, kept = unpack(">QQQQQ8s", known[slot])
                if of == int(number) and digest in (b"", kept):
                    return [b"duplicate", *place]
            known = {}
        due = int(known.get(b"n", b"0")) + 1
        if int(number) != due:
            if not known:
                return [b"forgotten"]
            if slot in known:
                of, *place, kept = unpack(">QQQQQ8s", known[slot])
                if of == int(number):
                    other = digest and digest != kept and kept != scripts.ANY_DIGEST
                    return [b"taken", due] if other else [b"duplicate", *place]
            return [b"order", due]
        if not known and crowded == b"1":
            return [b"crowded"]
        if count == b"0":
            return [b"absent"]
        there = self._hash(ends).get(folded)
        first, last, at, epoch = unpack(">QQQQ", there) if there else (1, 0, 0, 0)
        begins, last = last + 1, last + int(count)
        if last > MAX_SEQ:
            return [b"full"]
        at = at if int(now) < at <= int(now) + JUMP else int(now)
        if not there and folded not in self._hash(names):
            self._set(names, folded, spelled)
        current = int(self._hash(info)[b"epoch"])
        if epoch != current:
            epoch = current
            all_epochs = self._hash(epochs).get(folded, b"") + pack(">QQ", epoch, begins)
            self._set(epochs, folded, all_epochs[-16 * MAX_EPOCHS :])
        head = b"\x95\xcf" + pack(">Q", begins) + b"\xcf" + pack(">Q", at)
        self.keys.setdefault(log, []).append((b"%d-0" % last, [b"h", head, b"s", suffix]))
        self._set(ends, folded, pack(">QQQQ", first, last, at, epoch))
        user = known.get(b"u", user)
        if gone:
            del self.keys[seen]
        result = pack(">QQQQQ", int(number), begins, int(count), at, epoch) + digest
        for field, value in {b"n": number, b"c": connection, b"u": user, slot: result}.items():
            self._set(seen, field, value)
        self._set(producers, producer + user + b"\0" + folded, now)
        change = self._add(info, b"l")
        if untold != b"1":
            self._tell(feed, b"L", broker, info, change, folded, last)
        return [b"stored", begins, at, epoch, change]

    def _mark(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, *arguments: bytes) -> Any:
        info, ends, marks, feed = keys
        folded, user, seq, crowded, now = arguments
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        if folded not in self._hash(ends):
            return [b"none"]
        last = unpack(">QQQQ", self._hash(ends)[folded])[1]
        mark, reached = folded + b"\0" + user, min(int(seq), last)
        value = self._hash(marks).get(mark)
        if value:
            stood = unpack(">QQ", value)[0]
            if reached <= stood:
                return [b"stands", stood]
        elif crowded == b"1":
            return [b"crowded"]
        self._set(marks, mark, pack(">QQ", reached, int(now)))
        change = self._add(info, b"n")
        self._tell(feed, b"M", broker, info, change, mark, reached, int(now))
        return [b"marked", reached, int(now), change]

    def _unmark(
        self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, mark: bytes, moved: bytes
    ) -> Any:
        info, marks, feed = keys
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        value = self._hash(marks).get(mark)
        if not value or unpack(">QQ", value)[1] > int(moved):
            return [b"none"]
        self._remove(marks, mark)
        change = self._add(info, b"n")
        self._tell(feed, b"U", broker, info, change, mark, unpack(">QQ", value)[1])
        return [b"gone", change]

    def _forget(
        self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, member: bytes, until: bytes, late: bytes
    ) -> Any:
        info, producers, seen = keys
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        score = self._hash(producers).get(member)
        if score is None or int(score) > int(until):
            return [b"none"]
        self._remove(producers, member)
        if late == b"0":
            del self.keys[seen]
        else:
            self._set(seen, b"gone", b"1")
        return [b"gone"]

    def _count(self, counts: bytes, kind: bytes, change: int) -> None:
        if not self._add(counts, kind, change):
            self._remove(counts, kind)

    def _impose(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, *arguments: bytes) -> Any:
        info, sanctions, counts, feed = keys
        field, folded, moderator, value, *places = arguments
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        room, by = b"room\0" + folded, b"by\0" + moderator
        replaced = self._hash(sanctions).get(field)
        of_room, of_moderator = (int(self._hash(counts).get(each, b"0")) for each in (room, by))
        all_there_are = len(self._hash(sanctions))
        if not replaced and of_room >= int(places[0]):
            return [b"crowded", b"room", of_room]
        if not (replaced and _moderator(replaced) == moderator) and of_moderator >= int(places[1]):
            return [b"crowded", b"moderator", of_moderator]
        if not replaced and all_there_are >= int(places[2]):
            return [b"crowded", b"all", all_there_are]
        number = self._add(info, b"s")
        imposed = pack(">Q", number) + moderator + b"\0" + value
        self._set(sanctions, field, imposed)
        if replaced:
            self._count(counts, b"by\0" + _moderator(replaced), -1)
        else:
            self._count(counts, room, 1)
        self._count(counts, by, 1)
        change = self._add(info, b"n")
        self._tell(feed, b"I", broker, info, change, imposed, unpack(">Q", replaced[:8])[0] if replaced else 0)
        return [b"imposed", number, replaced, change]

    def _lift(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, *arguments: bytes) -> Any:
        info, sanctions, counts, feed = keys
        field, folded, number = arguments
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        value = self._hash(sanctions).get(field)
        if not value or int(number) not in (0, unpack(">Q", value[:8])[0]):
            return [b"none"]
        self._remove(sanctions, field)
        self._count(counts, b"room\0" + folded, -1)
        self._count(counts, b"by\0" + _moderator(value), -1)
        change = self._add(info, b"n")
        self._tell(feed, b"X", broker, info, change, value)
        return [b"lifted", value, change]

    def _trim(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, folded: bytes, upto: bytes) -> Any:
        info, ends, log, feed = keys
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        if folded not in self._hash(ends):
            return [b"none"]
        first, last, at, epoch = unpack(">QQQQ", self._hash(ends)[folded])
        begins = min(int(upto), last) + 1
        if begins <= first:
            return [b"stands", first]
        self.keys[log] = [entry for entry in self.keys[log] if int(entry[0][:-2]) >= begins]
        self._set(ends, folded, pack(">QQQQ", begins, last, at, epoch))
        change = self._add(info, b"l")
        self._tell(feed, b"R", broker, info, change, folded, begins)
        return [b"trimmed", begins, change]

    def _here(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, field: bytes, value: bytes) -> Any:
        info, here, feed = keys
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        if self._hash(here).get(field) == value:
            return [b"stands"]
        self._set(here, field, value)
        change = self._add(info, b"n")
        self._tell(feed, b"H", broker, info, change, field, value)
        return [b"here", change]

    def _gone(self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, field: bytes) -> Any:
        info, here, feed = keys
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        if field not in self._hash(here):
            return [b"none"]
        self._remove(here, field)
        change = self._add(info, b"n")
        self._tell(feed, b"H", broker, info, change, field, b"")
        return [b"went", change]

    def _told(
        self, keys: list[bytes], run: bytes, broker: bytes, generation: bytes, kind: bytes, *fields: bytes
    ) -> Any:
        info, feed = keys
        if not self._is_attached(info, run, broker, generation):
            return DETACHED
        self._tell(feed, kind, broker, info, 0, *fields)
        return [b"told"]

    def _sweep(self, keys: list[bytes], ended: bytes, broker: bytes) -> Any:
        info, here, feed = keys
        if b"g:" + ended in self._hash(info):
            self._remove(info, b"g:" + ended)
        if not self.keys.pop(here, None):
            return [b"none"]
        change = self._add(info, b"n")
        self._tell(feed, b"G", broker, info, change, ended)
        return [b"gone", change]

    def _snapshot(self, keys: list[bytes], base: bytes) -> Any:
        info, *rest = keys
        brokers = [field[2:] for field in self._hash(info) if field[:2] == b"g:"]
        here = [each for broker in brokers for each in (broker, list(self._hash(base + broker).values()))]
        counts = [int(self._hash(info).get(count, b"0")) for count in (b"epoch", b"l", b"n")]
        found: list[Any] = [*counts, *([each for pair in self._hash(key).items() for each in pair] for key in rest[:4])]
        return [*found, here, *(list(self._hash(key).values()) for key in rest[4:])]


def _moderator(value: bytes) -> bytes:
    return value[8 : value.index(b"\0", 8)]
