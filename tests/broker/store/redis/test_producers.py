"""The producers that a broker has met: how many a user has, and which one goes."""

from __future__ import annotations

import pytest

from zchat.broker.store.redis import producers
from zchat.broker.store.redis.producers import Pair, Producers


def pair(number: int, user: str = "bob", room: str = "general") -> Pair:
    return Pair(bytes([number]) * 16, user, room)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Producers:
    monkeypatch.setattr(producers, "USER_PRODUCERS", 2)
    return Producers(quotas=True)


def test_of_a_user_with_too_many_the_one_idle_for_longest_goes(known: Producers) -> None:
    assert known.have_quotas
    assert [known.used(pair(number), number) for number in (1, 2)] == [None, None]
    assert known.used(pair(1), 3) is None, "it is known"
    assert known.displaced("bob") == pair(2)
    assert known.used(pair(4, "carol"), 4) is None
    assert known.used(pair(3), 5) == (pair(2), 2)
    known.forget([pair(2), pair(9)])
    assert len(known) == 3
    assert known.of(pair(2).producer) == []
    assert known.of(pair(3).producer) == [pair(3)]


def test_without_quotas_none_goes() -> None:
    known = Producers(quotas=False)
    assert not known.have_quotas
    assert {known.used(pair(number), number) for number in range(9)} == {None}
    assert known.displaced("bob") is None


def test_those_of_rooms_that_are_gone_are_forgotten_and_so_are_old_ones_some_at_a_time(
    known: Producers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (user, room) in enumerate([("a", "x"), ("b", "y"), ("c", "y"), ("d", "z"), ("e", "z")]):
        known.used(pair(number, user, room), number)
    known.forget_rooms(set())
    known.forget_rooms({"x"})
    assert len(known) == 4
    monkeypatch.setattr(producers, "EXPIRED_AT_ONCE", 1)
    known.expire(2)
    assert (len(known), known.of(pair(1).producer)) == (3, [])
    known.expire(2)
    known.expire(2)
    assert len(known) == 2, "those of later are kept"
