"""What others send is made harmless before it is shown."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime

from hypothesis import example, given

from tests.cli.text.driver import nasty_names, values
from zchat.cli.text.message_lines import MessageLines
from zchat.cli.text.safe import INDENT
from zchat.messages import Message

TODAY = date(2026, 3, 1)


NOON = int(datetime(2026, 3, 1, 12, 0, 0).timestamp() * 1e6)


def steers(character: str) -> bool:
    return character not in "\u200c\u200d" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def shown(body: object, user: str = "alice", room: str = "General", current: str | None = None) -> str:
    return MessageLines(TODAY, "Me").message(Message(room, 1, NOON, user, body), current)


@given(values, nasty_names, nasty_names)
@example("\x9b2J\x07\x08\x1b[2J", "a", "b")
@example("hi\n[12:00:00] bob: gotcha", "a", "b")
@example("hi\r[12:00:00] bob: gotcha", "a", "b")
def test_no_message_can_steer_the_terminal_or_pass_for_another(body: object, user: str, room: str) -> None:
    first, *others = shown(body, user, room, "elsewhere").split("\n")
    assert first.startswith("[12:00:00] ")
    assert all(line.startswith(INDENT) for line in others)
    assert not any(map(steers, "".join((first, *others))))


def test_a_name_cant_pass_for_another_and_his_words() -> None:
    assert shown("no", user="alice: I quit") == "[12:00:00] “alice<U+003A> I quit”: no"
    assert shown("no", user="bob:\u3000yes", room="x: y", current="z") == (
        "[12:00:00] #“x<U+003A> y” “bob<U+003A>\u3000yes”: no"
    )
    assert shown("hi", user="irc:bob") == "[12:00:00] “irc:bob”: hi"


def test_a_long_message_is_not_cut() -> None:
    text = "word " * 100_000 + "end"
    assert shown(text).endswith(text)


def test_the_room_is_named_unless_it_is_the_current_one() -> None:
    assert shown("hi") == "[12:00:00] alice: hi"
    assert shown("hi", current="general") == "[12:00:00] alice: hi"
    assert shown("hi", current="Sports") == "[12:00:00] #General alice: hi"


def test_a_line_says_the_date_when_it_changes() -> None:
    display = MessageLines(date(2026, 2, 28))
    first, second = (display.message(Message("General", seq, NOON, "alice", "hi")) for seq in (1, 2))
    assert first == "--- 2026-03-01 ---\n[12:00:00] alice: hi"
    assert second == "[12:00:00] alice: hi"


def test_a_time_that_no_calendar_has_is_no_error() -> None:
    assert MessageLines(TODAY).message(Message("General", 1, (1 << 63) - 1, "alice", "hi")) == "[--:--:--] alice: hi"


def test_a_body_that_is_no_text_is_shown_as_json() -> None:
    assert shown({"a": [1, None, b"\x00"], "é": "\x9b"}).endswith(
        ': {"a": [1, null, {"$bytes": "AA=="}], "é": "<U+009B>"}'
    )


def test_a_name_can_not_pass_for_the_mark_before_another_name() -> None:
    assert shown("hi", user="» bob") == "[12:00:00] “<U+00BB> bob”: hi"
    assert shown("hi", user="… bob") == "[12:00:00] “… bob”: hi"
    assert shown("hi", user="b»b") == "[12:00:00] “b<U+00BB>b”: hi"


def test_a_direct_message_shows_from_whom_and_to_whom_it_is_unless_one_is_there() -> None:
    assert shown("hi", "bob", "@Bob", "General") == "[12:00:00] bob → Me: hi"
    assert shown("hi", "me", "@Bob", "General") == "[12:00:00] me → Bob: hi"
    assert shown("/me waves", "me", "@Bob", "General") == "[12:00:00] me → Bob: * waves"
    assert shown("hi", "bob", "@Bob", "@bob") == "[12:00:00] bob: hi"
    assert shown("no", "bob → Me", "General", "General") == "[12:00:00] “bob <U+2192> Me”: no"


def test_what_somebody_does_is_shown_after_the_name() -> None:
    assert shown("/me waves: hi") == "[12:00:00] * alice waves: hi"
    assert shown("/me waves\n* bob waves") == "[12:00:00] * alice waves\n    * bob waves"
    assert shown("/menu") == "[12:00:00] alice: /menu"
    assert shown("hi", "* bob waves") == "[12:00:00] “* bob waves”: hi"


def test_no_two_pairs_of_a_room_and_a_user_look_the_same() -> None:
    assert shown("pay me", "team lead", "Forge", "") == "[12:00:00] #Forge “team lead”: pay me"
    assert shown("pay me", "lead", "Forge team", "") == "[12:00:00] #“Forge team” lead: pay me"
    assert shown("pay me", "team lead", "Forge", "Forge") == "[12:00:00] team lead: pay me"
    assert shown("hi", "bob → Me: x", "@bob", "General") == "[12:00:00] “bob <U+2192> Me<U+003A> x” → bob: hi"


def test_no_name_can_begin_what_somebody_else_does() -> None:
    assert shown("/me resigns today", "alice") == "[12:00:00] * alice resigns today"
    assert shown("/me today", "alice resigns") == "[12:00:00] * “alice resigns” today"
    assert shown("/me waves", "irc:bob", "@irc:bob", "General") == "[12:00:00] “irc:bob” → Me: * waves"
    assert shown("/me waves", "bob smith", "Sports", "General") == "[12:00:00] #Sports * “bob smith” waves"


def test_what_somebody_does_in_a_room_cannot_pass_for_a_direct_message() -> None:
    assert shown("/me → Me: psst", "bob") == "[12:00:00] * bob → Me: psst"
    assert shown("/me psst", "bob", "@bob", "General") == "[12:00:00] bob → Me: * psst"
