"""What a user's frames cost, and how it is paid back."""

from __future__ import annotations

import pytest

from zchat.broker.account import Account
from zchat.broker.limits import CHEAP, EXPENSIVE_FOR, MAX_DEBT


def test_debt_is_what_frames_took_and_time_pays_a_share_of_itself_back() -> None:
    account = Account(0.1)
    for _ in range(20):
        account.charge(CHEAP / 2, 100.0)
    assert account.debt == pytest.approx(10 * CHEAP)
    assert account.settle(100.05) == pytest.approx(5 * CHEAP)
    account.charge(CHEAP, 100.08)
    assert account.debt == pytest.approx(3 * CHEAP)
    assert account.settle(200.0) == 0


def test_time_before_a_debt_pays_nothing_of_it() -> None:
    account = Account(0.1)
    account.charge(CHEAP, 1_000.0)
    assert account.settle(1_000.0) == CHEAP


def test_what_takes_long_costs_by_the_square_of_its_time() -> None:
    account = Account(0.1)
    account.charge(7 * CHEAP, 0.0)
    assert account.debt == pytest.approx(49 * CHEAP)


def test_a_debt_has_a_bound() -> None:
    account = Account(0.1)
    account.charge(1_000.0, 0.0)
    assert account.debt == MAX_DEBT


def test_an_account_is_cheap_again_some_time_after_a_long_frame_however_many_short_ones_come() -> None:
    account = Account(0.1)
    assert account.is_cheap(0.0)
    account.charge(8 * CHEAP, 0.0)
    for _ in range(1_000):
        account.charge(CHEAP / 100, 0.0)
    assert not account.is_cheap(2.9 * EXPENSIVE_FOR)
    assert account.is_cheap(3 * EXPENSIVE_FOR)
    assert account.is_cheap(1e9)


def test_a_long_frame_makes_a_longer_one_before_no_shorter() -> None:
    account = Account(0.1)
    account.charge(16 * CHEAP, 0.0)
    account.charge(2 * CHEAP, 1.0)
    assert not account.is_cheap(3.9 * EXPENSIVE_FOR)
