"""What happened a second between two looks, and the lines that show it at any size."""

from __future__ import annotations

import re

import pytest

from tests.cli.top.driver import shown, told
from zchat import Histogram, Stats
from zchat.cli.top.figures import NOTHING
from zchat.cli.top.rates import Rates


def test_rates_are_what_rose_in_the_time_between_two_looks() -> None:
    before = told(6, refused={"busy": 4}, messages=50)
    rates = Rates(told(10, refused={"busy": 4, "closing": 4}, messages=250), before)
    assert not rates.since_start
    assert (rates.rate("messages"), rates.total("messages")) == (50, 250)
    assert (rates.rate("refused"), rates.total("refused")) == (1, 8)


def test_the_first_look_tells_averages_since_the_start() -> None:
    rates = Rates(told(10, messages=250, times={"turn": Histogram([100], [10, 10], 2_000_000)}), None)
    assert rates.since_start
    assert rates.rate("messages") == 25
    assert tuple(rates.timing("turn")) == pytest.approx((2, 0.1, 0.2))
    assert "per second since start" in shown(rates)
    assert Rates(told(0, messages=250), None).rate("messages") is None


def test_the_times_of_turns_and_commits_are_those_since_the_look_before() -> None:
    def times(factor: int) -> dict[str, Histogram]:
        return {
            "turn": Histogram([100], [factor * 100, factor * 100], factor * 1_000_000),
            "commit": Histogram([100], [0, factor * 10], factor * 31_000),
            "commit_bytes": Histogram([256], [0, factor * 10], factor * 122_880),
        }

    rates = Rates(told(12, times=times(5)), told(10, times=times(4)))
    assert tuple(rates.timing("turn")) == pytest.approx((100, 0.005, 0.5))
    assert tuple(rates.timing("commit")) == pytest.approx((5, 0.0031, 0.0155))
    assert rates.commit_size == 12288
    assert re.search(r"commits +5\.0 +3\.1 ms, 12 KiB\n", shown(rates, 40))
    assert re.search(r"turns +100 +5 ms, 50 %\n", shown(rates, 40))
    idle = Rates(told(12, times=times(5)), told(10, times=times(5)))
    assert idle.timing("commit") == (0, None, 0)
    assert idle.commit_size is None


def test_the_busiest_rooms_are_reported_by_the_interval_that_the_broker_counted_in() -> None:
    busiest = [("General", 20, 500, 9500)]
    assert Rates(told(9, busiest=busiest), None).busiest == [("General", 20, 100, 1900)]
    assert Rates(told(9, busiest=busiest, interval=0), None).busiest == [("General", 20, None, None)]


@pytest.mark.parametrize("uptime", [2, 302])
@pytest.mark.parametrize("messages", [40, 400])
def test_after_a_restart_rates_are_averages_since_then_and_never_negative(uptime: int, messages: int) -> None:
    times = {"turn": Histogram([100], [1, 1], 1_000)}
    before = told(300, 1, messages=50, times={"turn": Histogram([100], [100, 100], 1_000_000)})
    rates = Rates(told(uptime, 2, messages=messages, times=times), before)
    assert rates.since_start
    assert rates.rate("messages") == messages / uptime
    assert rates.timing("turn").mean == pytest.approx(0.0005)


def test_what_an_older_broker_doesnt_tell_is_shown_as_nothing() -> None:
    old = Stats({"messages": 250}, {}, [], {}, [])
    rates = Rates(old, old)
    assert rates.total("messages") == 250
    assert rates.rate("messages") is None
    assert rates.timing("turn") == (None, None, None)
    assert f"up {NOTHING}\n" in shown(rates)
