"""What each user has of what a store keeps: another one takes the place of the user's own oldest."""

from __future__ import annotations

import pytest

from tests.broker.store.driver import ALICE, BOB, DECIDING, Driver, block
from zchat.broker.store.contract import Duplicate, ForgottenProducer, Full, Marked, Stored
from zchat.broker.store.quotas import Quota


def producer(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def bound(store: Driver, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Give a store in which a user has two producers and two read marks, and all together four."""
    for name, most in (("USER_PRODUCERS", 2), ("USER_READ_MARKS", 2), ("MAX_PRODUCERS", 4), ("MAX_READ_MARKS", 4)):
        for module in DECIDING[name]:
            monkeypatch.setattr(f"zchat.broker.store.{module}.{name}", most)
    store.quotas = True
    store.reopen()
    return store


def test_the_thing_that_goes_is_the_one_unused_for_longest() -> None:
    quota = Quota[str](2)
    assert quota.displaced("alice") is None
    for thing in ("a", "b", "a"):
        quota.used("alice", thing)
    assert quota.displaced("alice") == "b"
    assert quota.displaced("bob") is None
    quota.remove("alice", "b")
    assert quota.displaced("alice") is None


def test_guests_have_one_quota_together_and_nobody_has_none() -> None:
    quota = Quota[str](1)
    quota.used("", "a")
    quota.remove("", "a")
    quota.used("guest-1", "b")
    assert quota.displaced("") is None
    assert quota.displaced("guest-2") == "b"


def test_a_user_with_too_many_producers_forgets_its_own_oldest_and_nobody_elses(bound: Driver) -> None:
    bob = bound.append(1, "b", producer=BOB, user="bob")
    assert isinstance(bob, Stored)
    for number in range(1, 8):
        assert isinstance(bound.append(1, f"{number}", producer=producer(number)), Stored)
        assert isinstance(bound.append(2, f"{number}", producer=producer(number)), Stored)
    for _ in range(2):
        assert isinstance(bound.append(2, "b", producer=BOB, user="bob"), Duplicate | Stored)
        assert bound.append(3, "5", producer=producer(5)) == ForgottenProducer()
        assert isinstance(bound.append(2, "6", producer=producer(6)), Duplicate)
        assert isinstance(bound.append(2, "7", producer=producer(7)), Duplicate)
        if not bound.keeps:
            break
        bound.reopen()
    assert sum(count for (count,) in bound.reports.of("forgot")) == 5


def test_a_producer_that_goes_on_sending_is_not_the_oldest(bound: Driver) -> None:
    for number, name in ((1, 1), (1, 2), (2, 1), (1, 3)):
        assert isinstance(bound.append(number, "a", producer=producer(name)), Stored)
    assert isinstance(bound.append(3, "a", producer=producer(1)), Stored)
    assert bound.append(2, "a", producer=producer(2)) == ForgottenProducer()


def test_the_spelling_of_a_name_gives_no_second_quota(bound: Driver) -> None:
    for number, user in enumerate(("alice", "ALICE", "Alice")):
        assert isinstance(bound.append(1, "a", producer=producer(number), user=user), Stored)
    assert bound.append(2, "a", producer=producer(0)) == ForgottenProducer()


def test_a_block_that_is_not_stored_forgets_nobody(bound: Driver) -> None:
    for number in (1, 2):
        bound.append(1, "a", producer=producer(number))
    bound.append(1, producer=producer(3))
    assert isinstance(bound.append(2, "a", producer=producer(1)), Stored)
    assert bound.reports.of("forgot") == []


def test_a_user_with_too_many_read_marks_loses_its_own_oldest_and_nobody_elses(bound: Driver) -> None:
    rooms = ["A", "B", "C"]
    for room in rooms:
        bound.stored(1, "a", "b", room=room)
    bound.mark(1, user="alice", room="A")
    for room in ("A", "B"):
        bound.mark(1, room=room)
    bound.mark(2, room="A")
    assert bound.mark(1, room="C") == Marked(1, ("B", "bob"))
    assert bound.reports.of("marked")[-2:] == [("C", "bob", 1), ("B", "bob", 0)]
    kept = [("A", "alice", 1), ("A", "bob", 2), ("C", "bob", 1)]
    assert sorted(bound.store.read_marks()) == kept
    if bound.keeps:
        assert bound.marks() == kept
        assert bound.mark(1, room="B") == Marked(1, ("A", "bob")), "the order outlives the opening"


def test_a_user_who_has_none_to_lose_is_refused_once_all_places_are_taken(
    bound: Driver,
) -> None:
    for number, user in enumerate(("alice", "alice", "bob", "bob")):
        bound.append(1, "a", producer=producer(number), user=user)
        bound.mark(1, user=f"{user}{number}")
    assert isinstance(bound.append(1, "a", producer=ALICE, user="carol"), Full)
    assert isinstance(bound.append(1, "a", producer=ALICE, user="bob"), Stored)
    assert isinstance(bound.mark(1, user="carol"), Full)


def test_without_bound_names_nobody_forgets_anything(store: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in DECIDING["USER_PRODUCERS"]:
        monkeypatch.setattr(f"zchat.broker.store.{module}.USER_PRODUCERS", 1)
    for number in range(3):
        store.append(1, "a", producer=producer(number))
    assert isinstance(store.append(2, "a", producer=producer(0)), Stored)


def test_who_has_made_a_room_is_kept(store: Driver) -> None:
    store.answer(store.store.append, block(1, "a")._replace(maker="carol"))
    store.append(2, "b")
    assert [log.maker for log in store.reopen()] == ["carol"] * store.keeps
