"""Times as ISO 8601 has them, and those that a user means."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from zchat.cli.text.iso import iso_time, time_meant

NOW = datetime(2026, 1, 31, 18, 30, tzinfo=UTC)
HOUR = 3_600_000_000


def test_a_timestamp_is_written_to_the_microsecond_in_utc() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00.000000Z"
    assert iso_time(1_769_884_200_123_456) == "2026-01-31T18:30:00.123456Z"
    for strange in ((1 << 63) - 1, 253_402_300_800_000_000):
        assert iso_time(strange) is None


@pytest.mark.parametrize(
    ("text", "before"),
    [("0s", 0.0), ("90s", 0.025), ("30m", 0.5), ("1h", 1), ("1.5h", 1.5), ("1h30m", 1.5), (" 2d ", 48), ("1w", 168)],
)
def test_an_age_is_counted_from_now(text: str, before: float) -> None:
    assert time_meant(text, NOW) == round(NOW.timestamp() * 1e6 - before * HOUR)


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Asia/Tokyo"])
@pytest.mark.parametrize(
    "text",
    ["9999999999w", "9" * 20 + "d", "9" * 400 + "w", "9" * 5000 + "s", "0001-01-01", "0001-01-01T00:00+14:00"],
)
def test_what_is_longer_ago_than_the_calendar_is_before_everything(
    text: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for now in (NOW, NOW.astimezone(timezone(timedelta(hours=14)))):
            assert time_meant(text, now) <= (-1968 * 365 - 477) * 24 * HOUR
        assert time_meant("9999-12-31T23:59:59", NOW) >= 2_932_895 * 24 * HOUR
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_is_local_unless_it_says_otherwise() -> None:
    assert time_meant("2026-01-31T18:30Z", NOW) == NOW.timestamp() * 1e6
    assert time_meant("2026-01-31T20:30+02:00", NOW) == NOW.timestamp() * 1e6
    assert time_meant("2026-01-31 18:30:00", NOW) == datetime(2026, 1, 31, 18, 30).timestamp() * 1e6
    assert time_meant("2026-01-31", NOW.astimezone(timezone(timedelta(hours=9)))) == (
        datetime(2026, 1, 31).timestamp() * 1e6
    )


@pytest.mark.parametrize("text", ["", "h", "1", "1y", "-1h", "1h ago", "yesterday", "31.01.2026", "0000-01-01"])
def test_what_is_neither_is_refused_with_what_is_taken(text: str) -> None:
    with pytest.raises(ValueError, match="is neither an age such as 90s, 30m, 1h, 2d or 1w nor a time"):
        time_meant(text, NOW)
