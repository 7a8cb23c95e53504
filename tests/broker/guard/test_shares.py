"""Whose frames wait, and when they are carried out."""

from __future__ import annotations

import pytest

from zchat.broker.account import Account
from zchat.broker.guard.shares import Shares
from zchat.broker.limits import (
    ALL_OVER_SHARE,
    ALONE_AFTER,
    CHEAP,
    DEBT,
    EXPENSIVE_FOR,
    RECEIVED_SECONDS_A_BYTE,
    RESUME_AFTER,
    RESUME_AT_THE_LATEST,
    SHARE,
    WAITING_TRIED,
)
from zchat.wire.limits import MAX_FRAME

LONGEST = MAX_FRAME * RECEIVED_SECONDS_A_BYTE
"""Seconds that the decryption of the longest frame takes."""


class Bench:
    """Shares, accounts, and a clock that stands still."""

    def __init__(self, *, by_user: bool = False) -> None:
        self.shares: Shares[str] = Shares(by_user=by_user)
        self.now = 1_000.0
        self.other = self.shares.account("other")

    def work(self, account: Account, seconds: float) -> None:
        """Have the loop work for an account."""
        self.shares.begin(account, self.now)
        self.shares.spoke(account, self.now)
        self.now += seconds
        self.shares.rest(self.now)

    def others_speak(self) -> None:
        self.work(self.other, 0.0)

    def must_wait(self, account: Account) -> bool:
        return self.shares.must_wait(account, self.now)

    def resume(self, *, idle: bool = False) -> str | None:
        return self.shares.resume(self.now, idle=idle)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_who_uses_less_than_a_share_never_waits(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    for _ in range(1_000):
        bench.others_speak()
        assert not bench.must_wait(alice)
        bench.work(alice, CHEAP / 2)
        bench.now += CHEAP / 2 / SHARE


def test_who_has_used_up_its_share_waits_until_that_is_paid(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    while not bench.must_wait(alice):
        bench.others_speak()
        bench.work(alice, CHEAP)
    bench.shares.wait(alice, "first")
    bench.shares.wait(alice, "second")
    assert bench.resume() is None
    assert RESUME_AFTER <= bench.shares.due - bench.now <= RESUME_AT_THE_LATEST
    bench.now += (alice.debt - DEBT) / SHARE * 1.001
    assert bench.resume() == "first"


def test_one_long_frame_is_taken_and_the_next_waits_for_the_square_of_it(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    bench.others_speak()
    assert not bench.must_wait(alice)
    bench.work(alice, 10 * CHEAP)
    bench.others_speak()
    assert bench.must_wait(alice)
    bench.now += (100 * CHEAP - DEBT) / SHARE * 0.99
    bench.others_speak()
    assert bench.must_wait(alice)
    bench.now += (100 * CHEAP - DEBT) / SHARE * 0.02
    bench.others_speak()
    assert not bench.must_wait(alice)


def test_the_decryption_of_long_frames_counts_and_not_for_who_is_alone(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    for _ in range(int(DEBT / (LONGEST * LONGEST / CHEAP))):
        bench.others_speak()
        bench.shares.used(alice, LONGEST, bench.now)
        assert not bench.must_wait(alice)
    bench.others_speak()
    bench.shares.used(alice, LONGEST, bench.now)
    assert bench.must_wait(alice)
    bench.now += 2 * ALONE_AFTER
    for _ in range(100):
        bench.shares.used(alice, LONGEST, bench.now)
    bench.others_speak()
    assert not bench.must_wait(alice)


def test_all_who_are_over_their_shares_by_long_frames_have_a_share_together(bench: Bench) -> None:
    users = [bench.shares.account(f"user {number}") for number in range(20)]
    for user in users:
        for _ in range(9):
            bench.others_speak()
            bench.shares.used(user, LONGEST, bench.now)
        assert bench.must_wait(user)
        bench.shares.wait(user, "frame")
    bench.now += DEBT / SHARE  # each has paid its own
    bench.others_speak()
    assert bench.resume() is None
    bench.now += len(users) * DEBT / ALL_OVER_SHARE
    bench.others_speak()
    assert bench.resume() == "frame"


def test_what_comes_after_a_frame_that_waits_waits_as_well(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    bench.shares.wait(alice, "first")
    assert bench.must_wait(alice)
    assert bench.resume() == "first"
    assert not bench.must_wait(alice)
    assert not bench.shares.waiting


def test_cheap_frames_are_carried_out_whenever_there_is_nothing_else_to_do(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    for _ in range(100):
        bench.others_speak()
        bench.work(alice, CHEAP)
    bench.shares.wait(alice, "cheap")
    assert bench.resume() is None
    assert bench.resume(idle=True) == "cheap"
    bench.work(alice, 2 * CHEAP)
    bench.others_speak()
    bench.shares.wait(alice, "another")
    assert bench.resume(idle=True) is None


def test_who_had_others_held_up_by_pages_is_not_served_beside_them_before_its_debt_is_paid_or_a_while_is_over(
    bench: Bench,
) -> None:
    alice = bench.shares.account("alice")
    for _ in range(100):
        bench.others_speak()
        bench.work(alice, CHEAP)
    bench.shares.wait(alice, "first page")
    assert bench.resume(idle=True) == "first page"
    bench.others_speak()
    bench.shares.used(alice, CHEAP / 10, bench.now)
    bench.shares.wait(alice, "another")
    assert bench.resume(idle=True) is None
    bench.now += 2 * EXPENSIVE_FOR
    bench.others_speak()
    assert bench.must_wait(alice)
    assert bench.resume(idle=True) == "another"


def test_who_is_alone_never_waits_and_owes_nothing_later(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    bench.others_speak()
    bench.now += ALONE_AFTER * 1.01
    for _ in range(100):
        assert not bench.must_wait(alice)
        bench.work(alice, 50 * CHEAP)
    bench.others_speak()
    assert bench.must_wait(alice) is (alice.settle(bench.now) > DEBT) is False


def test_what_waits_of_one_who_is_alone_by_now_is_carried_out(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    bench.others_speak()
    bench.work(alice, 0.05)
    bench.others_speak()
    bench.shares.wait(alice, "costly")
    assert bench.resume() is None
    bench.now += ALONE_AFTER * 1.01
    assert bench.resume() == "costly"


def test_all_who_are_over_their_shares_have_a_share_together(bench: Bench) -> None:
    accounts = [bench.shares.account(f"{number}") for number in range(20)]
    spent = 0.0
    begin = bench.now
    while bench.now < begin + 10:
        bench.now += 0.001
        bench.others_speak()
        for account in accounts:
            if not account.waiting:
                bench.shares.wait(account, "x")
        before = bench.now
        while bench.resume() is not None:
            bench.now += CHEAP / 2
        bench.shares.rest(bench.now)
        spent += bench.now - before
    assert spent / (bench.now - begin) == pytest.approx(ALL_OVER_SHARE, rel=0.1)


def test_who_waits_for_what_all_have_used_together_is_tried_again_once_that_is_paid(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    bench.others_speak()
    over = bench.shares._over
    over.settle(bench.now)
    over.debt = DEBT + RESUME_AT_THE_LATEST * ALL_OVER_SHARE / 2
    bench.shares.wait(alice, "x")
    assert bench.resume() is None
    assert bench.shares.due - bench.now == pytest.approx(RESUME_AT_THE_LATEST / 2)
    bench.now = bench.shares.due * (1 + 1e-9)
    bench.others_speak()
    assert bench.resume() == "x"


def test_those_who_wait_take_turns(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        account = bench.shares.account(name)
        for number in range(2):
            bench.shares.wait(account, f"{name}{number}")
    assert [bench.resume() for _ in range(7)] == ["a0", "b0", "c0", "a1", "b1", "c1", None]


def test_a_bounded_number_is_looked_at_and_the_others_have_their_turns_later(bench: Bench) -> None:
    accounts = [bench.shares.account(f"{number}") for number in range(WAITING_TRIED + 1)]
    for account in accounts:
        account.debt = 1.0
        account.settle(bench.now)
        account.debt = 1.0
        bench.others_speak()
        bench.shares.wait(account, "x")
    accounts[-1].debt = 0.0
    assert bench.resume() is None
    assert bench.resume() == "x"


def test_with_bound_names_all_sessions_of_a_user_have_one_account_and_so_have_all_guests() -> None:
    shares = Bench(by_user=True).shares
    assert shares.account("alice") is shares.account("alice")
    assert shares.account("alice") is not shares.account("bob")
    assert shares.account("guest-1") is shares.account("guest-2")


def test_where_names_are_free_each_session_has_its_own(bench: Bench) -> None:
    assert bench.shares.account("alice") is not bench.shares.account("alice")


def test_time_in_which_the_thread_did_not_run_is_nobodys(bench: Bench) -> None:
    alice = bench.shares.account("alice")
    bench.others_speak()
    bench.shares.begin(alice, bench.now)
    bench.shares.spoke(alice, bench.now)
    bench.now += 0.5
    bench.shares.pass_over(0.4999)
    bench.shares.rest(bench.now)
    assert alice.debt == pytest.approx(0.0001)


def test_each_is_charged_for_its_own_time(bench: Bench) -> None:
    alice, bob = bench.shares.account("alice"), bench.shares.account("bob")
    bench.others_speak()
    bench.shares.begin(alice, bench.now)
    bench.shares.begin(bob, bench.now + 0.0005)
    bench.shares.rest(bench.now + 0.0015)
    bench.shares.rest(bench.now + 5)
    assert alice.debt == pytest.approx(0.0005)
    assert bob.debt == pytest.approx(0.001)
