"""The producers that this broker has met, by user: how many there are, and which one goes for another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zchat.broker.limits import USER_PRODUCERS
from zchat.broker.store.ledger import EXPIRED_AT_ONCE
from zchat.broker.store.quotas import Quota


class Pair(NamedTuple):
    """A producer in a room, and whose it is."""

    producer: bytes
    user: str
    room: str


class Producers:
    """The known producers; with `quotas` each user has a bounded number."""

    def __init__(self, *, quotas: bool) -> None:
        self._seen: dict[Pair, int] = {}
        """The time of each one's last block, the one idle for longest first."""
        self._pairs_of: dict[bytes, set[Pair]] = {}
        self._quota: Quota[Pair] | None = Quota(USER_PRODUCERS) if quotas else None

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def have_quotas(self) -> bool:
        """Return whether each user has a bounded number."""
        return self._quota is not None

    def of(self, producer: bytes) -> list[Pair]:
        """Return a producer in all rooms in which it is known."""
        return list(self._pairs_of.get(producer, ()))

    def displaced(self, user: str) -> Pair | None:
        """Return which one goes if a user, by folded name, gets a further one; None if none does."""
        return None if self._quota is None else self._quota.displaced(user)

    def used(self, pair: Pair, seen: int) -> tuple[Pair, int] | None:
        """Note that a producer has stored a block at a time; return the one that goes for it, and its time."""
        gone = None
        if pair in self._seen:
            del self._seen[pair]
        elif (displaced := self.displaced(pair.user)) is not None:
            gone = displaced, self._seen[displaced]
        self._seen[pair] = seen
        self._pairs_of.setdefault(pair.producer, set()).add(pair)
        if self._quota is not None:
            self._quota.used(pair.user, pair)
        return gone

    def forget(self, pairs: Iterable[Pair]) -> None:
        """Note that producers are forgotten, those of them that are known."""
        for pair in pairs:
            if self._seen.pop(pair, None) is not None:
                left = self._pairs_of[pair.producer]
                left.remove(pair)
                if not left:
                    del self._pairs_of[pair.producer]
                if self._quota is not None:
                    self._quota.remove(pair.user, pair)

    def forget_rooms(self, rooms: set[str]) -> None:
        """Note that all producers in rooms are forgotten."""
        if rooms:
            self.forget([pair for pair in self._seen if pair.room in rooms])

    def expire(self, before: int) -> None:
        """Forget some of those whose last block that is known was stored by a time: another broker sees to the rest."""
        old: list[Pair] = []
        for pair, seen in self._seen.items():
            if seen > before or len(old) >= EXPIRED_AT_ONCE:
                break
            old.append(pair)
        self.forget(old)
