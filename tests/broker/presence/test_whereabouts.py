"""Users in rooms at several brokers, each counted once."""

from __future__ import annotations

from zchat.broker.presence.whereabouts import Whereabouts


def test_a_user_is_counted_once_too_often_for_each_broker_but_one() -> None:
    found = Whereabouts()
    assert found.repeated(["alice"]) == 0
    found.came("alice", b"b")
    assert [found.repeated(here) for here in ([], ["bob"], ["alice", "bob"])] == [0, 0, 1]
    found.came("alice", b"c")
    found.came("bob", b"c")
    assert [found.repeated(here) for here in ([], ["bob"], ["alice", "bob"])] == [1, 2, 3]


def test_a_user_is_at_a_broker_up_to_the_last_room_there() -> None:
    found = Whereabouts()
    for broker in (b"b", b"b", b"c"):
        found.came("alice", broker)
    found.went("alice", b"b")
    assert found.repeated([]) == 1
    found.went("alice", b"b")
    assert (found.repeated([]), found.repeated(["alice"])) == (0, 1)
    found.went("alice", b"c")
    assert found.repeated(["alice"]) == 0
    found.came("alice", b"b")
    assert found.repeated(["alice"]) == 1
