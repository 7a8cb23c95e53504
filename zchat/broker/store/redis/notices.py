"""What the scripts tell all brokers: that something has changed, and of some things how."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from zchat.broker.store.news import Amount, Counted, Greeted, Kicked, News, Spent, Typed

LOGS = b"LR"
"""The kinds of notices that count as changes of logs."""


NEWS = b"TKSCV"
"""The kinds of notices that are news."""


class Notice(NamedTuple):
    """One notice of a partition.

    `kind` is `A` if a broker has attached, `L` if a log has grown, `R` if it was trimmed, `M` or `U` if a read mark has
    moved or was removed, `I` or `X` if a sanction was imposed or lifted, `H` if a user has come or gone, `G` if
    all users of a broker have gone. `T`, `K`, `S`, `C` and `V` are news, which nothing is kept of: see `news_of`.
    """

    partition: int
    kind: bytes
    broker: bytes
    """Who has asked for the change."""
    epoch: int
    """The partition's epoch, in which it was made."""
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    """Which change it was, of logs or of all else: `l` or `n`; 0 for `A`, and for news."""
    fields: tuple[Any, ...]
    """What there is to say of it, as the scripts have it: names in bytes, values as they are packed."""


def notice_of(partition: int, packed: bytes) -> Notice:
    """Return what was told on a partition's channel."""
    kind, broker, epoch, count, *fields = msgpack.unpackb(packed, raw=True)
    return Notice(partition, kind, broker, epoch, count, tuple(fields))


def grown(broker: bytes, epoch: int, count: int, room: str, last: int) -> bytes:
    """Return what tells that a room's log has grown, as the script that stores a block has it."""
    packed: bytes = msgpack.packb([b"L", broker, epoch, count, room.encode(), last])
    return packed


def words_of(news: News) -> tuple[str, ...]:
    """Return the kind of notice that news are told by, and its fields."""
    if isinstance(news, Typed):
        return "T", news.room, news.user, "1" if news.active else ""
    if isinstance(news, Greeted):
        return "S", news.user, news.producer.hex(), str(news.connection)
    if isinstance(news, Counted):
        return "C", *(f"{name}={count}" for name, count in news.counts.items())
    if isinstance(news, Spent):
        return "V", *(f"{messages} {size} {name}" for name, messages, size in news.amounts)
    return "K", *news


def news_of(notice: Notice) -> News:
    """Return what a notice of one of the kinds `NEWS` says."""
    fields = [field.decode() for field in notice.fields]
    if notice.kind == b"C":
        return Counted({name: int(count) for name, _, count in (field.partition("=") for field in fields)})
    if notice.kind == b"V":
        found = (field.split(" ", 2) for field in fields)
        return Spent(tuple(Amount(name, int(messages), int(size)) for messages, size, name in found))
    first, second, *rest = fields
    if notice.kind == b"T":
        return Typed(first, second, bool(rest[0]))
    if notice.kind == b"S":
        return Greeted(first, bytes.fromhex(second), int(rest[0]))
    return Kicked(first, second, *rest)
