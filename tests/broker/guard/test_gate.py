"""Which key is whose, who is let in at a handshake, and what a change of keys does."""

from __future__ import annotations

import pytest

from zchat.broker.guard.gate import Admission, Gate
from zchat.broker.limits import (
    HANDSHAKES,
    HANDSHAKES_A_KEY,
    HANDSHAKES_A_KEY_BURST,
    HANDSHAKES_BURST,
    HANDSHAKES_FOR_ENDLESS,
)

USERS = {"a" * 40: "Alice", "b" * 40: "bob"}
ALICE, BOB, STRANGER = "a" * 40, "b" * 40, "x" * 40


def admit(gate: Gate, key: str, now: float = 0.0) -> Admission:
    return gate.admit(key, lambda: f"guest-{key[:8]}", now)


def test_without_keys_everybody_is_let_in_under_any_name() -> None:
    assert admit(Gate(), ALICE) == Admission(True)


def test_a_key_is_its_users_and_no_other_is_let_in() -> None:
    gate = Gate(USERS)
    assert admit(gate, ALICE) == Admission(True, "alice", "Alice")
    assert admit(gate, STRANGER) == Admission(False, turned_away="turned_away_unknown_key")


def test_without_a_key_a_login_is_a_name_where_logins_are_and_else_nobody_is_let_in_beside_keys() -> None:
    assert Gate().admit_without_key(lambda: "alice") == Admission(True, turned_away="turned_away_unknown_key")
    assert not Gate(USERS).admit_without_key(lambda: "alice").let_in
    assert Gate(USERS, logins=True).admit_without_key(lambda: "Alice")[:3] == (True, "alice", "Alice")
    for no_name in ("", "a" * 65, "two\nlines", "@alice"):
        refused = Gate(logins=True).admit_without_key(lambda login=no_name: login)  # type: ignore[misc]
        assert refused == Admission(False, turned_away="turned_away_unknown_key")


def test_with_guests_other_keys_are_let_in_under_names_of_their_own() -> None:
    gate = Gate(USERS, guests=True)
    assert admit(gate, STRANGER) == Admission(True, "guest-xxxxxxxx", "guest-xxxxxxxx")
    assert gate.is_of(STRANGER, "guest-xxxxxxxx")
    assert not gate.is_of(STRANGER, "alice")


def test_the_name_of_a_guest_is_asked_for_of_guests_alone() -> None:
    def never() -> str:
        raise AssertionError("nobody comes as a guest")

    assert Gate(USERS, guests=True).admit(ALICE, never, 0.0).name == "Alice"
    assert not Gate(USERS).admit(STRANGER, never, 0.0).let_in
    assert Gate().admit(STRANGER, never, 0.0).let_in


def test_a_key_has_so_many_handshakes_a_second_and_others_have_theirs() -> None:
    gate = Gate(USERS)
    taken = [admit(gate, ALICE).let_in for _ in range(HANDSHAKES_A_KEY_BURST + 1)]
    assert taken == [True] * HANDSHAKES_A_KEY_BURST + [False]
    assert admit(gate, ALICE).turned_away == "turned_away_too_often"
    assert admit(gate, BOB).let_in
    later = [admit(gate, ALICE, 1.0).let_in for _ in range(HANDSHAKES_A_KEY + 1)]
    assert later == [True] * HANDSHAKES_A_KEY + [False]


def test_a_connection_cut_for_sending_without_an_end_counts_for_many_of_its_keys_handshakes() -> None:
    gate = Gate(USERS)
    for _ in range(HANDSHAKES_A_KEY_BURST // HANDSHAKES_FOR_ENDLESS + 1):
        assert admit(gate, ALICE).let_in
        gate.put_off(ALICE)
    assert admit(gate, ALICE).turned_away == "turned_away_too_often"
    assert admit(gate, BOB).let_in
    assert admit(gate, ALICE, HANDSHAKES_FOR_ENDLESS / HANDSHAKES_A_KEY).let_in
    for each in (STRANGER, ""):  # of whom nothing is counted
        gate.put_off(each)


@pytest.mark.parametrize("guests", [False, True])
def test_others_than_users_have_so_many_and_take_none_of_the_users(guests: bool) -> None:
    gate = Gate(USERS, guests=guests)
    for number in range(HANDSHAKES_BURST):
        assert admit(gate, f"{number:040}").turned_away == ("" if guests else "turned_away_unknown_key")
    assert admit(gate, STRANGER).turned_away == "turned_away_too_many"
    assert admit(gate, ALICE).let_in
    assert admit(gate, STRANGER, 1 / HANDSHAKES).turned_away != "turned_away_too_many"


def test_all_users_together_have_so_many() -> None:
    users = {f"{number:040}": f"user {number}" for number in range(HANDSHAKES_BURST + 1)}
    gate = Gate(users)
    admitted = [admit(gate, key) for key in users]
    assert all(each.let_in for each in admitted[:-1])
    assert admitted[-1].turned_away == "turned_away_too_many"
    assert admit(gate, next(iter(users)), 1 / HANDSHAKES).let_in


def test_after_a_change_a_key_that_is_gone_is_nobodys_and_one_that_moved_is_anothers() -> None:
    gate = Gate(USERS)
    gate.revise({BOB: "Carol"})
    assert not gate.is_of(ALICE, "alice")
    assert not gate.is_of(BOB, "bob")
    assert gate.is_of(BOB, "carol")
    assert not admit(gate, ALICE).let_in


def test_guests_with_ever_new_keys_cost_a_bounded_number_of_buckets() -> None:
    gate = Gate({}, guests=True)
    for number in range(25_000):
        admit(gate, f"{number:040}", now=float(number))
    assert len(gate._buckets) <= 10_000


def test_a_gateways_key_has_as_many_handshakes_as_all_users_together() -> None:
    gate = Gate(USERS, frozenset({BOB}))
    assert all(admit(gate, BOB).let_in for _ in range(HANDSHAKES_BURST))
    assert admit(gate, BOB).turned_away == "turned_away_too_many"
    gate.revise(USERS)
    assert sum(admit(gate, BOB, 100.0).let_in for _ in range(HANDSHAKES_BURST)) == HANDSHAKES_A_KEY_BURST


def test_which_keys_are_gateways_and_which_names_are_had_by_their_own_key_alone_follows_changes() -> None:
    gate = Gate(USERS, frozenset({BOB}))
    assert (gate.is_gateways(BOB), gate.is_gateways(ALICE), gate.is_gateways(STRANGER)) == (True, False, False)
    assert [user for user in ("alice", "bob", "eve", "guest-eve") if gate.is_reserved(user)] == ["bob", "guest-eve"]
    assert [gate.spelling(user) for user in ("ALICE", "Eve")] == ["Alice", "Eve"]
    gate.revise({BOB: "Carol"}, frozenset({BOB}))
    assert [user for user in ("bob", "carol") if gate.is_reserved(user)] == ["carol"]
    gate.revise(USERS)
    assert not gate.is_gateways(BOB)
    assert not gate.is_reserved("bob")
