"""What a gap or a time reads like."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from zchat.cli.text.phrases import error_text, gap_text, local_time, removed_text, room_named, until_text
from zchat.errors import Banned, Muted, NotAllowed
from zchat.events import Gap, Removed

TODAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 1, 9, 0)
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


def test_an_end_is_shown_to_the_minute_and_when_it_is_near_to_the_second() -> None:
    noon = NOON / 1e6
    assert until_text(noon, datetime(2026, 2, 28, 12, 0)) == "until 2026-03-01 12:00"
    assert until_text(noon, datetime(2026, 3, 1, 10, 0)) == "until 12:00"
    assert until_text(noon, datetime(2026, 3, 1, 11, 59, 50)) == "until 12:00:00"
    assert until_text(noon, datetime(2026, 2, 28, 23, 59)) == "until 2026-03-01 12:00"
    assert until_text(datetime(2026, 3, 1).timestamp(), datetime(2026, 2, 28, 23, 59)) == "until 2026-03-01 00:00:00"
    assert until_text(noon - 0.9, datetime(2026, 3, 1, 11, 59, 50)) == "until 12:00:00", "as the broker rounds it"
    assert until_text(None, NOW) == "for ever"
    assert until_text(1e30, NOW) == "until --:--", "which no calendar has"


def test_what_the_broker_says_in_utc_is_reported_by_the_users_clock() -> None:
    until = NOON // 1_000_000
    utc = f"until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%S} UTC"
    text = f"you are banned from 'Ops' {utc}, by bob: {utc}"
    assert error_text(Banned(text, detail=until), NOW) == f"you are banned from 'Ops' until 12:00, by bob: {utc}"
    assert error_text(Muted(utc, detail=until), NOW) == "until 12:00"
    assert error_text(Banned("for ever, by bob", detail=0), NOW) == "for ever, by bob"
    assert error_text(NotAllowed(utc, detail=until), NOW) == utc, "which has no end"
    removed = Removed("Ops", f"you are banned from 'Ops' {utc}", "", float(until), "banned")
    assert removed_text(removed, NOW) == "you are not in Ops any more: you are banned from 'Ops' until 12:00"


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Removed("Ops", "spam", "bob", None, "kicked"), "bob has put you out of Ops: spam"),
        (Removed("Ops", "", "bob x", None, "kicked"), "“bob x” has put you out of Ops"),
        (Removed("Ops", "spam", "bob", NOON / 1e6, "banned"), "bob has banned you from Ops until 12:00: spam"),
        (Removed("Ops", "spam", "bob", None, "banned"), "bob has banned you from Ops for ever: spam"),
        (Removed("Ops", "new rules", "", None, "not_allowed"), "you are not in Ops any more: new rules"),
        (Removed("Ops", "no more", "", 5.0, "banned"), "you are not in Ops any more: no more"),
        (Removed("Ops", "x\x9b", "bob", None, "of a later version"), "bob has removed you from Ops: x<U+009B>"),
    ],
)
def test_who_is_removed_sees_by_whom_until_when_and_why(event: Removed, text: str) -> None:
    assert removed_text(event, NOW) == text
