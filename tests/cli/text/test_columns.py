"""No line is broken by the terminal, and no row but a message's first begins like a message."""

from __future__ import annotations

import ctypes
import locale
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cli.emulator import COUNTINGS, Emulator, begins_like_a_message, most, unheard_of
from zchat.cli.text import columns
from zchat.cli.text.colours import fragments, joined, rows, styled_message
from zchat.cli.text.columns import cells, cut, cut_name, height, measure_for, table, terminal_text, text_rows, wrapped
from zchat.cli.text.message_lines import CHARACTERS, ROWS, MessageLines, cut_with
from zchat.cli.text.safe import INDENT, safe
from zchat.messages import Message

EMOJI_TEST = Path("/usr/share/unicode/emoji/emoji-test.txt")
"""Unicode's list of all emoji, of Debian's package unicode-data."""

TODAY = date(2026, 3, 1)
NOON = int(datetime(2026, 3, 1, 12, 0, 0).timestamp() * 1e6)
FORGED = "[12:00:00] alice: yes, pay him"

hostile = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("❤✈☎1#©\ufe0f\ufe0e\u200d\U0001f1e6\U0001f1ff\u0301\u20e3\u3099\U0001f469\U0001f3fd日\u1160한"),
        st.sampled_from("\U0002fffe\u0378\U0001faff\U0003ffff\u4dc0\u2630\U0001d300 ab[:\n\t\x1b"),
    ),
    max_size=60,
)


@pytest.fixture(scope="module")
def emoji() -> list[str]:
    """Give everything in Unicode's list, with and without selectors; skips the test without it (fails it in CI)."""
    if not EMOJI_TEST.exists():
        reason = f"{EMOJI_TEST} is missing: install Debian's package unicode-data"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and in CI nothing may be skipped for that")
        pytest.skip(reason)
    lines = EMOJI_TEST.read_text(encoding="utf-8").splitlines()
    codes = (line.split(";")[0].split() for line in lines if line.strip() and not line.startswith("#"))
    return ["".join(chr(int(code, 16)) for code in each) for each in codes]


def message(body: object, seq: int = 1) -> Message:
    return Message("General", seq, NOON, "mallory", body)


def shown(body: object, width: int) -> list[str]:
    """Return the rows of a message on a terminal."""
    parts = MessageLines(TODAY).parts(message(body), cut=cut_with("/show 1 shows more"))
    return rows(styled_message(parts, "mallory", "alice"), width)


def assert_harmless(lines: list[str], width: int) -> None:
    for name, counting in COUNTINGS.items():
        screen = Emulator(width, len(lines) + 20, counting)
        screen.feed("\r\n".join(lines))
        assert not screen.broken, (name, width, lines)
        assert not [row for row in screen.text_rows()[1:] if begins_like_a_message(row)], (name, width, lines)


@pytest.mark.real  # the list is a file of the system's
@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_emoji_can_push_a_forged_line_to_the_left_edge(emoji: list[str], width: int) -> None:
    assert len(emoji) > 4000
    for number, each in enumerate(emoji):
        assert safe(each) == each, ascii(each)
        text = "." * (number % 5) + each * -(-width // cells(each)) + FORGED
        lines = shown(text, width)
        counting = list(COUNTINGS.values())[number % len(COUNTINGS)]
        for way in {most, counting}:
            screen = Emulator(width, len(lines) + 1, way)
            screen.feed("\r\n".join(lines))
            assert not screen.broken, (ascii(each), width)
            assert not [row for row in screen.text_rows()[1:] if begins_like_a_message(row)], (ascii(each), width)


@pytest.mark.parametrize("width", [20, 40, 80])
@pytest.mark.parametrize(
    "filling",
    [
        ".",
        "日",
        "\U0001f1e6",
        "❤\ufe0f",
        "\U0002fffe",
        "\u0378",
        "e\u0301",
        "क्षि",
        "한",
        " .",
        "\u3248",
        "a\u0616",
        "က\u103a",
        "\u302a",
    ],
)
def test_a_line_forged_after_a_full_row_stays_in_the_message(filling: str, width: int) -> None:
    for more in range(width):
        assert_harmless(shown(filling * more + FORGED, width), width)


@given(hostile, st.sampled_from([9, 20, 40, 80]))
@example("\U0001f1e6" * 40 + FORGED, 40)
def test_no_text_is_broken_by_any_terminal(text: str, width: int) -> None:
    assert_harmless(shown(text, width), width)


@pytest.mark.parametrize("width", [20, 40])
@pytest.mark.parametrize("filling", ["é", "日", "a\u0616", "\U0001f1e6", "е\u0301", " é"])
def test_a_terminal_that_counts_more_than_any_known_one_breaks_no_line(
    measuring: Callable[..., None], filling: str, width: int
) -> None:
    measuring(("utf-8",), "", "xterm")
    for more in range(width + 9):
        lines = shown(filling * more + FORGED, width)
        parts = MessageLines(TODAY).parts(message(filling * more + FORGED), cut=cut_with(""))
        styled = "".join(text for _, text in fragments(styled_message(parts, "mallory", "alice"), width))
        for text in (terminal_text(lines, width), styled):
            screen = Emulator(width, 60, unheard_of)
            screen.feed(text.replace("\n", "\r\n") + "\r\n" + "." * (width + 1))
            found = screen.text_rows()
            *others, _ = screen.broken  # the row of dots: it breaks lines again
            letters = [[each for each in found[row] if unicodedata.category(each)[0] != "M"] for row in others]
            assert all(len(each) <= 1 for each in letters), "at most the character whose marks they are"
            assert not [row for row in found[1:] if begins_like_a_message(row)]


def test_only_rows_that_it_might_break_tell_the_terminal_not_to(measuring: Callable[..., None]) -> None:
    rows = ["x" * 100, "é" * 9, "é" * 11]
    measuring(("utf-8",), "", "dumb")
    assert terminal_text(rows, 20) == "\n".join(rows)
    measuring(("utf-8",), "", "xterm")
    assert terminal_text(rows, 20) == f"{'x' * 100}\n{'é' * 9}\n\x1b[?7l{'é' * 11}\x1b[?7h"
    assert terminal_text(rows, None) == "\n".join(rows)
    assert terminal_text(["é" * 20 + "e\u0301\u0316"], 20) == "\x1b[?7l" + "é" * 20 + "\x1b[?7he\u0301\u0316", (
        "marks after the last column belong to its character"
    )


@given(hostile, st.integers(3, 8))
def test_a_terminal_of_a_few_columns_breaks_no_line_either(text: str, width: int) -> None:
    assert all(cells(line) <= width for line in wrapped([safe(text)], width))


SAMPLE = [
    chr(code)
    for first, last in ((0x20, 0x4DFF), (0x9FF0, 0xAC00), (0xD7A0, 0xD7FF), (0xE000, 0x1FFFF), (0xE0000, 0xE01FF))
    for code in range(first, last + 1)
    if chr(code).isprintable() and chr(code) != "\ufe0f"  # which never stands alone
]
"""Characters that are shown as they are, without most ideographs and syllables, which are alike."""


def test_no_character_is_counted_narrower_than_by_a_table_that_terminals_have() -> None:
    narrow = []
    for character in SAMPLE:
        widths = [width for counting in COUNTINGS.values() for _, width in counting(character)]
        narrow += [ascii(character)] if cells(character) < max(widths) else []
    assert not narrow


@pytest.mark.real  # the table is the system's
def test_no_character_is_counted_narrower_than_by_the_systems_library() -> None:
    libc = ctypes.CDLL(None)
    libc.wcwidth.argtypes = [ctypes.c_wchar]
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        try:
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
        except locale.Error:
            pytest.skip("the system has no locale C.UTF-8")
        assert not [ascii(character) for character in SAMPLE if cells(character) < libc.wcwidth(character)]
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


@pytest.mark.parametrize(
    ("text", "columns"),
    [("عَرَبِيّ", 4), ("ภาษาไทยที่นี่", 9), ("हिन्दी", 5), ("தமிழ்", 4), ("ভাষা", 4), ("עִבְרִית", 5), ("ខ្មែរ", 4)],
)
def test_what_most_people_write_takes_the_columns_that_it_is_drawn_in(text: str, columns: int) -> None:
    assert cells(text) == columns


def test_an_emoji_is_counted_as_the_widest_terminal_shows_it() -> None:
    assert cells("❤") == 1
    assert cells("❤\ufe0f") == cells("1\ufe0f\u20e3") == 2
    assert cells("\U0001f1e9\U0001f1ea") == 4  # 2 where a flag is shown
    assert cells("\U0001f469\u200d\U0001f469") == 4
    assert cells("\U0002fffe") == cells("\u0378") == 2
    assert cells("e\u0301") == 1


@pytest.fixture
def measuring() -> Iterator[Callable[[Sequence[str], str], None]]:
    """Give `measure_for`, whose effect ends with the test."""
    yield measure_for
    measure_for(("utf-8",), "")


def test_what_no_stream_can_encode_is_counted_as_its_escape(
    measuring: Callable[[Sequence[str], str], None],
) -> None:
    measuring(("UTF-8", "latin-1"), "de_DE.ISO-8859-1")
    assert cells("中") == len("\\u4e2d")
    assert cells("\U0001f600") == len("\\U0001f600")
    assert cells("é") == 1
    measuring(("ascii", "utf8"), "")
    assert cells("é") == len("\\xe9")
    assert cut("x" * 50, 9) == "xxxxxx..."
    assert cut("x" * 50, 2) == ".."
    assert all(cells(line) <= 30 for line in wrapped(["中é" * 50 + FORGED], 30))


@pytest.mark.parametrize(("language", "columns"), [("ja_JP.UTF-8", 2), ("ko", 2), ("zh_TW", 2), ("en_GB", 1), ("", 1)])
def test_ambiguous_characters_are_wide_where_fonts_make_them_so(
    measuring: Callable[[Sequence[str], str], None], language: str, columns: int
) -> None:
    measuring(("utf-8",), language)
    assert cells("α") == cells("…") == cells("①") == columns
    assert cells("日") == 2
    assert cells(cut("x" * 50, 9)) == 9


def test_what_makes_one_emoji_is_not_broken() -> None:
    for one in (
        "❤\ufe0f",
        "\U0001f1e9\U0001f1ea",
        "\U0001f469\u200d\U0001f469\u200d\U0001f467",
        "\U0001f44d\U0001f3fd",
        "e\u0301",
    ):
        for width in range(12, 24):
            text = one * 20
            for before, after in pairwise(text_rows(text, width)):
                assert before.end == after.start
                assert after.start % len(one) == 0, (one, width)


def test_a_flood_of_marks_has_rows_too() -> None:
    assert len(shown("e" + "\u0301" * 5000, 80)) > 10


def test_a_table_fits_a_terminal_and_its_names_are_cut_for_that() -> None:
    rows = [("ROOM", "MEMBERS"), ("x" * 64, "1"), ("General", "12")]
    lines = table(rows, 40)
    assert all(cells(line) <= 40 for line in lines)
    assert lines[1].endswith("…  1")
    assert table(rows)[1] == "x" * 64 + "  1"
    assert all(cells(line) <= 20 for line in table([("ROOM", "A" * 15, "B" * 15), ("日" * 30, "1", "2")], 20))


def test_lines_for_no_terminal_stay_as_they_are() -> None:
    assert wrapped(["x" * 200], None) == ["x" * 200]
    assert wrapped(["x" * 30], 20) == ["x" * 20, INDENT + "x" * 10]


def test_a_text_is_cut_without_a_look_at_all_of_it() -> None:
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 6) == "日本語"
    assert cut("e" + "\u0301" * 100, 3) == "e" + "\u0301" * 11 + "…"


# -- long messages -----------------------------------------------------------------------------------


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Give a function that returns how many characters were looked at."""

    class Counted(columns._Widths):
        count = 0

        def __getitem__(self, character: str) -> int:
            Counted.count += 1
            return super().__getitem__(character)

    monkeypatch.setattr(columns, "_widths", Counted())
    return lambda: Counted.count


LONG = {
    "own name": "alice " * 170_000,
    "own name without blanks": "alice" * 200_000,
    "marks": "e" + "\u0301" * 500_000,
    "wide": "日" * 340_000,
    "no blanks": "x" * (1 << 20),
    "blanks": " " * (1 << 20),
    "controls": "\x1b[31m" * 200_000,
    "lines": "\n" * (1 << 20),
    "joined": "\U0001f469\u200d" * 150_000,
    "selectors": "a\U000e0101" * 200_000,
    "lists": [[]] * 60_000,
    "map": {str(number): "x" for number in range(30_000)},
    "binary": b"\xff" * (1 << 20),
}


@pytest.mark.parametrize("body", LONG.values(), ids=LONG.keys())
def test_a_long_message_is_cut_and_costs_what_is_shown_of_it(body: object, looked: Callable[[], int]) -> None:
    lines = shown(body, 80)
    assert lines[-1] == f"{INDENT}… cut here; /show 1 shows more"
    assert len(lines) <= ROWS + 1
    assert looked() <= 2 * CHARACTERS


@pytest.mark.parametrize("body", ["alice " * 20_000, "x" * 100_000, "\n" * 100_000])
def test_rows_of_ascii_are_broken_without_a_look_at_each_character(body: str, looked: Callable[[], int]) -> None:
    parts = MessageLines(TODAY).parts(message(body), cut=cut_with("", 400))
    assert len(rows(styled_message(parts, "mallory", "alice"), 80)) > 400
    assert looked() < 200


def test_a_text_full_of_ones_own_name_is_styled_in_one_pass() -> None:
    parts = MessageLines(TODAY).parts(message("alice " * 16_000), cut=cut_with(""))
    text = styled_message(parts, "mallory", "alice")
    assert len(text.spans) <= 101
    assert len(fragments(text, 80)) < 400


def test_a_message_of_as_many_rows_as_are_shown_is_not_cut() -> None:
    assert len(shown("\n".join(["x"] * ROWS), 80)) == ROWS
    assert "cut here" not in shown("\n".join(["x"] * ROWS), 80)[-1]
    assert "cut here" in shown("\n".join(["x"] * (ROWS + 1)), 80)[-1]


def test_each_message_of_a_page_is_cut_for_itself() -> None:
    lines = MessageLines(TODAY)
    bodies = ["alice\n" * 100, "short alice", "alice " * 5000]
    page = joined(styled_message(lines.parts(message(body), cut=cut_with("more")), "bob", "alice") for body in bodies)
    found = rows(page, 80)
    assert [row for row in found if not row.startswith(INDENT)][1] == "[12:00:00] » mallory: short alice"
    assert found.count(f"{INDENT}… cut here; more") == 2
    styled = [text for style, text in fragments(page, 80) if "reverse" in style]
    assert set(styled) == {"alice"}
    assert len(styled) > 100


def test_what_is_for_a_pipe_is_whole() -> None:
    text = "word " * 100_000 + "end"
    assert MessageLines(TODAY).message(message(text)).endswith(text)


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    assert table([("日本", "1"), ("abcdef", "22")]) == ["日本    1", "abcdef  22"]


def test_a_text_is_cut_by_the_columns_that_it_takes() -> None:
    assert cut("short", 5) == "short"
    assert cut("longer", 5) == "long…"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
    assert cut("x", 0) == ""


# -- URLs --------------------------------------------------------------------------------------------

LONG_URL = "https://example.com/a/very/long/path?that=goes&on=" + "and~on(*!')," * 6
url_letters = st.sampled_from("abc~:/?#@!$&'()*+,;=%-._[]<>é日 ❤\ufe0f\n")


def test_a_url_longer_than_a_row_is_left_whole_in_a_row_of_its_own_end() -> None:
    lines = shown(f"see {LONG_URL} for\nmore", 40)
    assert lines == [f"[12:00:00] mallory: see {LONG_URL}", f"{INDENT}for", f"{INDENT}more"]
    assert shown(f"see {LONG_URL}", 40) == lines[:1]
    url_alone = ["[12:00:00] mallory: sée", INDENT + LONG_URL]
    assert shown(f"sée {LONG_URL}", 40) == url_alone, "nothing that might be wider than it is counted in the row"
    short = "https://example.com/a/b"
    assert shown(f"a word and {short}", 40) == ["[12:00:00] mallory: a word and", INDENT + short]


@given(st.text(url_letters, max_size=80), st.text(url_letters, max_size=80), st.sampled_from([20, 40]))
@example("* you are in Sports", " * you are in Sports", 20)
@example("x", FORGED, 40)
def test_nothing_but_a_url_is_broken_by_the_terminal(before: str, after: str, width: int) -> None:
    lines = shown(f"{before} {LONG_URL}{after}", width)
    for counting in COUNTINGS.values():
        screen = Emulator(width, 120, counting)
        screen.feed("\r\n".join(lines))
        broken = [screen.text_rows()[row] for row in screen.broken]
        assert not [row for row in broken if set(row) & set(" []<>") or not row.isascii()], broken


def test_what_a_url_takes_of_the_screen_is_counted() -> None:
    lines = shown("\n".join([LONG_URL] * 100), 40)
    assert lines[-1].startswith(f"{INDENT}… cut here")
    assert sum(height(line, 40) for line in lines) <= ROWS + height(INDENT + LONG_URL, 40)
    assert all(cells(line) <= 80 for line in shown("https://" + "x" * 5000, 80)), "one that is too long is broken"


def test_a_name_that_is_cut_keeps_its_quotation_marks() -> None:
    assert cut_name("General", 20) == "General"
    assert cut_name("x" * 30, 10) == "x" * 9 + "…"
    assert cut_name("New York", 10) == "“New York”"
    assert cut_name("x | 3 here | alice is typing", 12) == "“x | 3 her…”"
    assert cut_name("a b", 2) == "“…"
    assert cells(cut_name("日 本 日 本", 9)) <= 9
