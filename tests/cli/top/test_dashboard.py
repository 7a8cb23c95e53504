"""A dashboard shows the latest figures, and above them why there are no newer ones."""

from __future__ import annotations

import re

from tests.cli.top.driver import URL, told
from zchat.cli.top.dashboard import Dashboard


def text(dashboard: Dashboard) -> str:
    return "\n".join(line.text for line in dashboard.lines(80))


def test_before_the_first_sample_it_says_that_it_waits() -> None:
    assert text(Dashboard(URL)).split(maxsplit=1) == [URL, "waiting for the broker"]


def test_figures_stay_while_there_are_no_newer_ones_and_it_says_why() -> None:
    dashboard = Dashboard(URL)
    dashboard.add(told(10, messages=250))
    figures = text(dashboard)
    assert "250" in figures
    dashboard.add("connection lost; reconnecting")
    assert "connection lost; reconnecting" in text(dashboard)
    assert text(dashboard).splitlines()[1:] == figures.splitlines()[1:]
    dashboard.add(told(12, messages=260))
    assert "connection lost" not in text(dashboard)


def test_rates_are_those_since_the_sample_before_also_when_one_between_them_was_missing() -> None:
    dashboard = Dashboard(URL)
    for sample in (told(10, messages=250), "no answer within 2 s", told(12, messages=350)):
        dashboard.add(sample)
    assert "since start" not in text(dashboard)
    assert re.search(r"^messages +50\b", text(dashboard), re.MULTILINE)
