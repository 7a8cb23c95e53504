"""What others send is made harmless before it is shown."""

from __future__ import annotations

import json
import unicodedata
from datetime import date, datetime

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zchat.cli.text.columns import table
from zchat.cli.text.message_lines import MessageLines
from zchat.cli.text.phrases import gap_text, local_time
from zchat.cli.text.safe import INDENT, safe, safe_lines
from zchat.events import Gap
from zchat.json_form import json_line, plain
from zchat.messages import Message
from zchat.names import MAX_CHARACTERS

TODAY = date(2026, 3, 1)
NOON = int(datetime(2026, 3, 1, 12, 0, 0).timestamp() * 1e6)

letters = st.one_of(
    st.characters(),
    st.sampled_from("\x1b\x9b\x07\x08\x7f\r\n\t\v\f\x85\u2028\u2029\u202e\u2066\ufeff\u00ad\u200b\u200d\u061c"),
)
nasty = st.text(letters)
nasty_names = st.text(letters, max_size=MAX_CHARACTERS)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), nasty, st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(nasty, st.integers(), st.binary()), inner, max_size=3)
    ),
    max_leaves=8,
)


def steers(character: str) -> bool:
    return character not in "\u200c\u200d" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def shown(body: object, user: str = "alice", room: str = "General", current: str | None = None) -> str:
    return MessageLines(TODAY).message(Message(room, 1, NOON, user, body), current)


@given(values, nasty_names, nasty_names)
@example("\x9b2J\x07\x08\x1b[2J", "a", "b")
@example("hi\n[12:00:00] bob: gotcha", "a", "b")
@example("hi\r[12:00:00] bob: gotcha", "a", "b")
def test_no_message_can_steer_the_terminal_or_pass_for_another(body: object, user: str, room: str) -> None:
    first, *others = shown(body, user, room, "elsewhere").split("\n")
    assert first.startswith("[12:00:00] ")
    assert all(line.startswith(INDENT) for line in others)
    assert not any(map(steers, "".join((first, *others))))


def test_controls_are_shown_as_marks() -> None:
    assert safe("\x07\x08\x1b[2J\x7f") == "␇␈␛[2J␡"
    assert safe("\x9b2J\u202e\u2028\ufeff") == "<U+009B>2J<U+202E><U+2028><U+FEFF>"
    assert safe("a\tb") == "a    b"
    assert safe("a\nb") == "a␊b"
    assert safe_lines("a\r\nb\nc\rd") == f"a\n{INDENT}b\n{INDENT}c␍d"


@pytest.mark.parametrize(
    "text", ["می‌خواهم", "👩‍👩‍👧", "❤️", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "naïve 日本 ☃"]
)
def test_text_that_people_write_stays_as_it_is(text: str) -> None:
    assert safe(text) == text
    assert safe(text + "\x07") == text + "␇"


def test_tags_stay_in_a_flag_and_nowhere_else() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert safe(f"{flag}\x07{flag}") == f"{flag}␇{flag}"
    assert safe("go\U000e0067\U000e007f") == "go<U+E0067><U+E007F>"
    assert safe_lines(f"a\n{flag}\U000e0061") == f"a\n{INDENT}{flag}<U+E0061>"
    assert "\U000e0061" not in safe("\U0001f3f4" + "\U000e0061" * 40 + "\U000e007f")


def test_a_name_cant_pass_for_another_and_his_words() -> None:
    assert shown("no", user="alice: I quit") == "[12:00:00] alice<U+003A> I quit: no"
    assert shown("no", user="bob:\u3000yes", room="x: y", current="z") == (
        "[12:00:00] #x<U+003A> y bob<U+003A>\u3000yes: no"
    )
    assert shown("hi", user="irc:bob") == "[12:00:00] irc:bob: hi"


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


@given(values)
def test_json_is_ascii_in_one_line_and_can_be_read(body: object) -> None:
    line = json_line({"body": body})
    assert all(" " <= character <= "~" for character in line)
    assert json.loads(line) == {"body": plain(body)}


def test_what_json_lacks_has_one_stable_form() -> None:
    def form(value: object) -> str:
        return json_line({"v": value}).removeprefix('{"v": ').removesuffix("}")

    assert form(b"\x00\xff") == '{"$bytes": "AP8="}'
    assert form(float("nan")) == '{"$float": "NaN"}'
    assert form(float("-inf")) == '{"$float": "-Infinity"}'
    assert form({1: "a"}) == '{"$map": [[1, "a"]]}'
    assert form({"$bytes": "a"}) == '{"$map": [["$bytes", "a"]]}'
    assert form(msgpack.ExtType(5, b"x")) == '{"$ext": [5, "eA=="]}'
    assert form(msgpack.Timestamp(1, 500)) == '{"$timestamp": 1000000500}'
    assert form([1.5, "é", {"a": True}]) == '[1.5, "\\u00e9", {"a": true}]'


def test_gaps_say_what_happened() -> None:
    assert gap_text(Gap("General", 2, 7, "trimmed")) == "General: messages 3 to 7 are no longer kept"
    assert "log was replaced; reading continues after message 2" in gap_text(Gap("General", 9, 2, "reset"))
    assert "end of the room's log was lost; reading" in gap_text(Gap("General", 9, 2, "tail_lost"))
    assert gap_text(Gap("General", 2, 7, "odd\x9b")).endswith("are not available (odd<U+009B>)")


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    assert table([("日本", "1"), ("abcdef", "22")]) == ["日本    1", "abcdef  22"]


def test_a_time_is_local_with_its_date_unless_that_is_todays() -> None:
    assert local_time(NOON) == "2026-03-01 12:00:00"
    assert local_time(NOON, TODAY) == "12:00:00"
    assert local_time(1 << 62) == "--:--:--"


def test_a_name_can_not_pass_for_the_mark_before_another_name() -> None:
    assert shown("hi", user="» bob") == "[12:00:00] <U+00BB> bob: hi"
    assert shown("hi", user="… bob") == "[12:00:00] <U+2026> bob: hi"
    assert shown("hi", user="b»b") == "[12:00:00] b»b: hi"
