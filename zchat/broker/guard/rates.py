"""How much may be sent in a second, by the rules: by each user, and by all together to one of the rooms.

Brokers that share a store tell each other once a second what was sent through them, and each takes that from what is
left: so what is over, as all had something left, is paid back before anything else is sent. Who has sent less than what
a second allows is not told of before it is more, so that those who say something now and then cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from zchat.broker.guard.rules import Rate, Rules
from zchat.broker.limits import BYTES_BURST, MESSAGES_BURST, RATES_KEPT, SPENT_TOLD
from zchat.broker.store.news import Amount, Spent
from zchat.buckets import Bucket
from zchat.names import account_of

USER = "@"
"""What the names of users begin with here; rooms have folded names that don't."""


class TooFast(NamedTuple):
    """A block that may not be sent yet."""

    seconds: float
    """How long it is until it may."""
    slowed: str
    """The counter of what there is too much of."""


NOTHING = 0, 0
"""Neither messages nor bytes."""


class Rates:
    """What is left to whom. Users and rooms are folded names; times are seconds of a clock that never goes back.

    `tell` has the brokers that share the store know what was sent; None where there are none.
    """

    def __init__(self, tell: Callable[[Spent], None] | None = None) -> None:
        self._tell = tell
        self._buckets: dict[tuple[str, Rate], tuple[Bucket | None, Bucket | None]] = {}
        self._untold: dict[tuple[str, Rate], tuple[int, int]] = {}
        """The messages and bytes that others were not told of."""
        self._due: dict[tuple[str, Rate], None] = {}
        """Of which they are to be told, in order."""

    def take(
        self, user: str, limits: Rate, room: str, rate: Rate, messages: int, size: int, now: float
    ) -> TooFast | None:
        """Count a block of so many messages and bytes; return how much too early it is, if so, and then don't count it.

        `limits` are those of each user, `rate` is that of the room.
        """
        keys = []
        if any(limits):
            keys.append((USER + account_of(user), limits))
        if any(rate):
            keys.append((room, rate))
        found = [self._of(key, now) for key in keys]
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
        if self._tell is not None:
            for key in keys:
                untold = self._untold.get(key, NOTHING)
                self._untold[key] = untold = untold[0] + messages, untold[1] + size
                _, allowed = key
                if 0 < allowed.messages <= untold[0] or 0 < allowed.bytes <= untold[1]:
                    self._due[key] = None
        return None

    def tell(self) -> None:
        """Have the other brokers know what was sent. To be called once a second."""
        if self._tell is not None and self._due:
            keys = list(islice(self._due, SPENT_TOLD))
            self._tell(Spent(tuple(Amount(key[0], *self._untold.pop(key)) for key in keys)))
            for key in keys:
                del self._due[key]

    def told(self, news: Spent, rules: Rules, now: float) -> None:
        """Take what was sent through another broker from what is left here, by the rules of this one."""
        for name, messages, size in news.amounts:
            rate = rules.limits if name.startswith(USER) else rules.table(name).rate
            if any(rate):
                for bucket, amount in zip(self._of((name, rate), now), (messages, size), strict=True):
                    if bucket is not None:
                        bucket.wait(now)  # so that it has no more than a burst before
                        bucket.take(amount)

    def _of(self, key: tuple[str, Rate], now: float) -> tuple[Bucket | None, Bucket | None]:
        buckets = self._buckets.get(key)
        if buckets is None:
            if len(self._buckets) >= RATES_KEPT:  # all begin anew: with a burst each, which is what is risked
                for kept in (self._buckets, self._untold, self._due):
                    kept.clear()
            _, rate = key
            buckets = self._buckets[key] = (
                Bucket(rate.messages, rate.messages * MESSAGES_BURST, now) if rate.messages else None,
                Bucket(rate.bytes, rate.bytes * BYTES_BURST, now) if rate.bytes else None,
            )
        return buckets
