"""What a gap or a time reads like."""

from __future__ import annotations

from datetime import date, datetime

from zchat.cli.text.phrases import gap_text, local_time, room_named
from zchat.events import Gap

TODAY = date(2026, 3, 1)
NOON = int(datetime(2026, 3, 1, 12, 0, 0).timestamp() * 1e6)


def test_a_room_is_named_with_or_without_the_sign_with_which_it_is_shown() -> None:
    assert room_named("#General") == room_named("General") == "General"
    assert room_named("##General") == "#General", "which no room is called"


def test_gaps_say_what_happened() -> None:
    assert gap_text(Gap("General", 2, 7, "trimmed")) == "General: messages 3 to 7 are no longer kept"
    assert "log was replaced; reading continues after message 2" in gap_text(Gap("General", 9, 2, "reset"))
    assert "end of the room's log was lost; reading" in gap_text(Gap("General", 9, 2, "tail_lost"))
    assert gap_text(Gap("General", 2, 7, "odd\x9b")).endswith("are not available (odd<U+009B>)")


def test_a_time_is_local_with_its_date_unless_that_is_todays() -> None:
    assert local_time(NOON) == "2026-03-01 12:00:00"
    assert local_time(NOON, TODAY) == "12:00:00"
    assert local_time(1 << 62) == "--:--:--"
