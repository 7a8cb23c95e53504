"""The lines that show figures, at any size."""

from __future__ import annotations

import os

import pytest

from tests.cli.terminals import SCREENS
from tests.cli.top.driver import HOSTILE, URL, shown, told
from zchat import Histogram
from zchat.cli.text.columns import cells
from zchat.cli.top.figures import EXTRA, NOTHING, NUMBER, RATE, Line, age, lines, number, share, size, span, total
from zchat.cli.top.rates import Rates


@pytest.mark.parametrize("width", [1, 10, 20, 39, 40, 79, 80, 132, 400])
def test_no_line_is_wider_than_the_screen_whatever_names_are_called(width: int) -> None:
    lagging = [(HOSTILE, HOSTILE, 10**15)] * 10
    huge = dict.fromkeys(("messages", "sessions", "received_bytes"), 10**18)
    rates = Rates(told(10**7, lags=lagging, busiest=[(HOSTILE, 10**9, 10**12, 10**15)], **huge), None)
    for line in lines(URL * 3, rates, "", width):
        assert cells(line.text) <= width
        assert line.text.isprintable()


@pytest.mark.parametrize("height", [1, 2, 5, 15, 24, 50])
def test_no_more_lines_than_the_screen_has(height: int) -> None:
    lagging = [("General", f"user {number}", 5) for number in range(10)]
    rates = Rates(told(10, lags=lagging, busiest=[(f"room {number}", 5, 5, 5) for number in range(20)]), None)
    assert len(lines(URL, rates, "", 80, height)) <= height
    assert len(lines(URL, None, "", 80, height)) == 1


def test_a_lost_broker_is_reported_above_what_it_said_last() -> None:
    text = shown(Rates(told(10, messages=250), None), trouble="connection lost; reconnecting")
    assert text.startswith(f"{URL}{'connection lost; reconnecting':>60}\n")
    assert "250" in text
    assert shown(None, trouble="connection lost; reconnecting") == text[: text.index("\n") + 1]
    assert shown(None, 30, trouble="connection lost; reconnecting") == f"{URL}\nconnection lost; reconnecting\n"


def test_eighty_columns_hold_two_figures_beside_each_other_and_forty_one() -> None:
    rates = Rates(told(10, messages=250), None)
    assert [line.text.count("total") for line in lines(URL, rates, "", 80) if "total" in line.text] == [2]
    assert [line.text.count("total") for line in lines(URL, rates, "", 40) if "total" in line.text] == [1]
    assert Line("1,234 members", heading=False) in lines(URL, rates, "", 20)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((number(0), number(0.01), number(3), number(99.94), number(12345.6)), ("0", "<0.1", "3.0", "99.9", "12,346")),
        (
            (size(0), size(999), size(1023), size(1536), size(12.3 * 1024), size(5 << 20), size(2e18)),
            ("0 B", "999 B", "1.0 KiB", "1.5 KiB", "12 KiB", "5 MiB", "1,776 PiB"),
        ),
        ((span(0), span(0.00021), span(0.0025), span(0.0125), span(3)), ("0 µs", "210 µs", "2.5 ms", "12 ms", "3 s")),
        ((share(0.004), share(0.236)), ("0 %", "24 %")),
        ((age(59), age(3599), age(3600), age(90061)), ("59 s", "59 min 59 s", "1 h 0 min", "1 d 1 h")),
        ((total(0), total(10**9), total(10**15)), ("0", "1,000,000,000", "1.000e+15")),
        (tuple(each(None) for each in (number, size, span, share, age, total)), (NOTHING,) * 6),
    ],
)
def test_figures_are_short_enough_to_read(figures: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert figures == expected


@pytest.mark.parametrize("power", range(-7, 16))
def test_figures_of_any_magnitude_stay_in_their_columns(power: int) -> None:
    for digits in (1, 1.04, 1.0239, 9.949, 9.951, 9.9949, 9.9951, 9.9999):
        value = digits * 10.0**power
        assert len(number(value)) < min(RATE, NUMBER)
        assert len(total(int(value))) < EXTRA
        assert len(total(int(value), NUMBER)) < NUMBER
        if power < 2:  # a commit of a minute and a half is one that has failed
            assert len(f"{span(value)}, 999 KiB") < EXTRA
        assert len(f"999 ms, {size(value)}") < EXTRA
        assert size(value).split()[0] not in ("1,024", "1,000")


@pytest.mark.parametrize("width", [80, 40])
def test_a_busy_brokers_screen_looks_as_it_was_looked_at(width: int) -> None:
    times = {
        "turn": Histogram([100], [100_000, 40_000], 21_000_000),
        "commit": Histogram([100], [0, 9_000], 27_900_000),
        "commit_bytes": Histogram([256], [0, 9_000], 110_592_000),
    }
    now = told(
        93_784,
        refused={"busy": 3, "no_session": 12},
        lags=[("Builds", "slow reader", 123_456), ("漢字の部屋", "bob\x1b[2J", 1_204), ("General", "carol", 7)],
        times={name: Histogram([1], [0, each.total + 1_000], each.sum + 500_000) for name, each in times.items()},
        busiest=[("General", 1_200, 61_725, 74_008_275), ("Builds", 12, 500, 5_500), ("x" * 64, 2, 1, 1)],
        sessions=1_404,
        memberships=4_096,
        lagging=3,
        messages=1_234_567,
        deliveries=987_654_321,
        pushes=3_456_789,
        received_bytes=250_000_000,
        sent_bytes=123_456_789_012,
        deferred=34_567,
        retried=12,
        failed=3,
        gaps=1,
    )
    before = told(
        93_782,
        refused={"busy": 3, "no_session": 11},
        times=times,
        messages=1_209_877,
        deliveries=958_050_000,
        pushes=3_433_333,
        received_bytes=245_000_000,
        sent_bytes=120_000_000_000,
        deferred=34_500,
        retried=12,
        failed=3,
        gaps=1,
    )
    text = "".join(f"{line.text}\n" for line in lines(URL, Rates(now, before), "", width, 24))
    file = SCREENS / f"top-{width}.txt"
    if os.environ.get("ZCHAT_WRITE_SCREENS") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
