"""How much may be sent in a second, by the rules: by each user, and by all together to one of the rooms."""

from __future__ import annotations

from typing import NamedTuple

from zchat.broker.guard.rules import Rate
from zchat.broker.limits import BYTES_BURST, MESSAGES_BURST, RATES_KEPT
from zchat.buckets import Bucket
from zchat.names import account_of


class TooFast(NamedTuple):
    """A block that may not be sent yet."""

    seconds: float
    """How long it is until it may."""
    slowed: str
    """The counter of what there is too much of."""


class Rates:
    """What is left to whom. Users and rooms are folded names; times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, Rate], tuple[Bucket | None, Bucket | None]] = {}

    def take(
        self, user: str, limits: Rate, room: str, rate: Rate, messages: int, size: int, now: float
    ) -> TooFast | None:
        """Count a block of so many messages and bytes; return how much too early it is, if so, and then don't count it.

        `limits` are those of each user, `rate` is that of the room.
        """
        found = []
        if any(limits):
            found.append(self._of("@" + account_of(user), limits, now))
        if any(rate):
            found.append(self._of(room, rate, now))
        for of_messages, of_bytes in found:
            if of_messages is not None and (seconds := of_messages.wait(now)):
                return TooFast(seconds, "slowed_messages")
            if of_bytes is not None and (seconds := of_bytes.wait(now)):
                return TooFast(seconds, "slowed_bytes")
        for of_messages, of_bytes in found:
            if of_messages is not None:
                of_messages.take(messages)
            if of_bytes is not None:
                of_bytes.take(size)
        return None

    def _of(self, name: str, rate: Rate, now: float) -> tuple[Bucket | None, Bucket | None]:
        buckets = self._buckets.get((name, rate))
        if buckets is None:
            if len(self._buckets) >= RATES_KEPT:  # all begin anew: with a burst each, which is what is risked
                self._buckets.clear()
            buckets = self._buckets[name, rate] = (
                Bucket(rate.messages, rate.messages * MESSAGES_BURST, now) if rate.messages else None,
                Bucket(rate.bytes, rate.bytes * BYTES_BURST, now) if rate.bytes else None,
            )
        return buckets
