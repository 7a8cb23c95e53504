"""The figures over all brokers that share a store: each tells the others its own once a second, and adds up what it was
told.

Counts alone are told, and no names. A broker that has ended says so; one that was killed, or does not reach the store's
server, is left out after a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zchat.broker.limits import BROKERS_COUNTED, COUNTED_FOR
from zchat.broker.store.contract import Store
from zchat.broker.store.news import Counted
from zchat.wire.replies import BrokerRow

ADDED = (
    *("sessions", "users", "memberships", "in_flight", "lagging", "behind"),
    *("messages", "blocks", "deliveries", "received_bytes", "sent_bytes", "greeted", "expired"),
)
"""The figures that are added up; of `users` those who are at several brokers are counted once."""

LARGEST = ("rooms", "furthest")
"""The figures of which the largest is that of all: each broker knows all rooms."""

SHARED = (*ADDED, *LARGEST, "uptime")
"""The figures that brokers tell each other, by their names in `METRICS`."""


class Overall(NamedTuple):
    """The figures of all brokers together, and those of each: first of this one."""

    counts: dict[str, int]
    brokers: list[BrokerRow]


class _Other(NamedTuple):
    counts: dict[str, int]
    told: float


class BrokerFigures:
    """What each broker counts. Times are seconds of a clock that never goes back.

    `own` returns this broker's figures by name, `repeated` how often too many users are counted where each broker
    counts its own.
    """

    def __init__(self, store: Store, own: Callable[[float], dict[str, int]], repeated: Callable[[], int]) -> None:
        self._store = store
        self._own = own
        self._repeated = repeated
        self._others: dict[bytes, _Other] = {}

    def tell(self, now: float) -> None:
        """Have the other brokers know this one's figures, if there can be any. To be called once a second."""
        if self._store.broker:
            self._store.tell(Counted(self._shared(now)))
            self._forget(now)

    def end(self) -> None:
        """Have the other brokers leave this one out from now on."""
        if self._store.broker:
            self._store.tell(Counted({}))

    def told(self, news: Counted, broker: bytes, now: float) -> None:
        """Take in what another broker has told of itself."""
        if not news.counts:
            self._others.pop(broker, None)
        elif broker in self._others or len(self._others) < BROKERS_COUNTED - 1:
            self._others[broker] = _Other(news.counts, now)

    def read(self, now: float) -> Overall:
        """Return the figures of this moment, those of other brokers as of their last word."""
        self._forget(now)
        brokers = [BrokerRow(self._store.broker.hex(), 0, self._shared(now))]
        for broker, (counts, told) in self._others.items():
            brokers.append(BrokerRow(broker.hex(), round((now - told) * 1_000_000), counts))
        found = {name: [row.counts.get(name, 0) for row in brokers] for name in (*ADDED, *LARGEST)}
        counts = {name: sum(found[name]) for name in ADDED} | {name: max(found[name]) for name in LARGEST}
        # What others have told of users and of where they are may be of different moments.
        counts["users"] = max(counts["users"] - self._repeated(), *found["users"], 0)
        return Overall(counts, brokers)

    def _shared(self, now: float) -> dict[str, int]:
        own = self._own(now)
        return {name: own[name] for name in SHARED}

    def _forget(self, now: float) -> None:
        """Leave out the brokers that have said nothing for long."""
        for broker in [broker for broker, other in self._others.items() if now - other.told > COUNTED_FOR]:
            del self._others[broker]
