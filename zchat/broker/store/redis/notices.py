"""What the scripts tell all brokers: that something has changed, and of some things how."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

LOGS = b"LR"
"""The kinds of notices that count as changes of logs."""


class Notice(NamedTuple):
    """One notice of a partition.

    `kind` is `A` if a broker has attached, `L` if a log has grown, `R` if it was trimmed, `M` or `U` if a read mark has
    moved or was removed, `I` or `X` if a sanction was imposed or lifted, `H` if a user has come or gone, `G` if
    all users of a broker have gone.
    """

    partition: int
    kind: bytes
    broker: bytes
    """Who has asked for the change."""
    epoch: int
    """The partition's epoch, in which it was made."""
    count: int  # type: ignore[assignment]  # a tuple has a method of that name
    """Which change it was, of logs or of all else: `l` or `n`; 0 for `A`."""
    fields: tuple[Any, ...]
    """What there is to say of it, as the scripts have it: names in bytes, values as they are packed."""


def notice_of(partition: int, packed: bytes) -> Notice:
    """Return what was told on a partition's channel."""
    kind, broker, epoch, count, *fields = msgpack.unpackb(packed, raw=True)
    return Notice(partition, kind, broker, epoch, count, tuple(fields))
