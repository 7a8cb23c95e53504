"""Whether all that was told was heard, without I/O: notices and looks at the server come in, what is missing comes out.

A notice may be lost with its connection, and a connection may be there and bring none. So each partition counts its
changes, notices say which one they are, and once in a while the server is asked how many there are: what is counted
and was not heard is missing, and is to be looked at as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zchat.broker.store.redis.notices import LOGS, Notice


class Changes(NamedTuple):
    """How far a partition is: its epoch, and how often its logs, and all else in it, have changed."""

    epoch: int
    logs: int
    others: int


class Hearing:
    """How far a broker has heard of each partition, beginning with what it has seen at its opening."""

    def __init__(self, seen: Iterable[Changes]) -> None:
        self._heard = list(seen)
        self._probed = list(self._heard)
        self.missing: set[int] = set()
        """The partitions that are to be looked at."""

    def heard(self, notice: Notice) -> None:
        """Take in a notice, in the order in which they come."""
        partition = notice.partition
        epoch, logs, others = self._heard[partition]
        if notice.epoch != epoch:
            self.missing.add(partition)
        elif notice.kind in LOGS:
            if notice.count > logs + 1:
                self.missing.add(partition)
            self._heard[partition] = Changes(epoch, max(logs, notice.count), others)
        elif notice.count:
            if notice.count > others + 1:
                self.missing.add(partition)
            self._heard[partition] = Changes(epoch, logs, max(others, notice.count))

    def probed(self, found: Iterable[Changes], *, at_once: bool) -> None:
        """Take in how far the partitions are.

        What the server has told meanwhile may be on its way: only what it was ahead by the last time is missing.
        `at_once`: nothing is on its way, as nobody has listened.
        """
        for partition, (now, before) in enumerate(zip(found, self._probed, strict=True)):
            epoch, logs, others = self._heard[partition]
            due = now if at_once else before
            if now.epoch != epoch or due.logs > logs or due.others > others:
                self.missing.add(partition)
            self._probed[partition] = now

    def looked(self, partition: int, seen: Changes) -> None:
        """Note that a partition was looked at as a whole: what was told before is missing no more."""
        epoch, logs, others = self._heard[partition]
        if seen.epoch == epoch:
            seen = Changes(epoch, max(logs, seen.logs), max(others, seen.others))
        self._heard[partition] = self._probed[partition] = seen
        self.missing.discard(partition)
