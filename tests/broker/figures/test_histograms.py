"""Values are counted in buckets, whose bounds are those of the figures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zchat.broker.figures.histograms import BOUNDS_BYTES, BOUNDS_US, Histograms, Tally


def test_a_value_is_counted_by_the_first_bound_that_it_does_not_pass() -> None:
    tally = Tally((10, 100))
    for value in (0, 10, 11, 100, 101, 5_000):
        tally.add(value)
    assert tally.counts == [2, 2, 2]
    assert tally.sum == 5_222


@given(st.lists(st.integers(0, 1 << 40)))
def test_no_value_is_lost_however_large(values: list[int]) -> None:
    tally = Tally(BOUNDS_US)
    for value in values:
        tally.add(value)
    assert (sum(tally.counts), tally.sum) == (len(values), sum(values))


def test_turns_and_commits_are_reported_by_name_in_microseconds_and_bytes() -> None:
    bounds = {name: tally.bounds for name, tally in Histograms().by_name()}
    assert bounds == {"turn": BOUNDS_US, "commit": BOUNDS_US, "commit_bytes": BOUNDS_BYTES}
    assert all(list(each) == sorted(each) for each in bounds.values())
