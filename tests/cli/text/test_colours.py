"""Names have steady colours, one's own is marked, and a styled line breaks where a plain one does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zchat.cli.text.colours import COLOURS, LOUD, RAW, StyledText, fragments, joined, mentions, name_style
from zchat.cli.text.columns import cells
from zchat.cli.text.safe import INDENT, safe


def light(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 has it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def wrapped(text: str, width: int) -> str:
    return "".join(part for style, part in fragments(text, width) if style != RAW)


def test_every_colour_is_readable_on_black_and_on_white() -> None:
    for colour in COLOURS:
        assert min(1.05 / (light(colour) + 0.05), (light(colour) + 0.05) / 0.05) >= 4, colour


def test_a_name_has_the_same_colour_always_and_however_it_is_spelt() -> None:
    assert name_style("alice") == name_style("Alice") == "fg:#5f8700"
    assert len({name_style(f"user {number}") for number in range(200)}) == len(COLOURS)


def test_a_name_is_said_where_it_is_a_word_in_whatever_case() -> None:
    assert mentions("alice, Alice: malice alices (alice)", "alice") == [(0, 5), (7, 12), (29, 34)]
    assert mentions("ask bob smith.", "bob smith") == [(4, 13)]
    assert mentions("a+b", "a+") == []
    assert mentions("a+ b", "a+") == [(0, 2)]


def test_texts_that_are_joined_keep_their_styles_where_they_are() -> None:
    text = joined([StyledText("one two", [(4, 7, "bold")]), StyledText("three", [(0, 5, LOUD)])])
    assert [text[start:end] for start, end, _ in text.spans] == ["two", "three"]
    assert fragments(text, 80) == [("", "one "), ("bold", "two"), ("", "\n"), (LOUD, "three")]


def test_a_style_goes_on_after_a_break() -> None:
    text = StyledText("[12:00:00] bob smith: hello", [(11, 20, "bold")])
    assert fragments(text, 16) == [
        ("", "[12:00:00] "), ("bold", "bob"), ("", f"\n{INDENT}"), ("bold", "smith"), ("", ": hello"),
    ]  # fmt: skip


@given(
    st.text(st.sampled_from("ab \n日é")),
    st.integers(9, 30),
    st.lists(st.integers(0, 40), max_size=6).map(sorted),
)
def test_a_styled_text_breaks_where_a_plain_one_does(text: str, width: int, places: list[int]) -> None:
    spans = [(start, end, "bold") for start, end in zip(places[::2], places[1::2], strict=False) if start < end]
    assert wrapped(StyledText(text, spans), width) == wrapped(text, width)


@given(st.text(), st.integers(9, 100))
def test_what_is_wrapped_is_indented_and_loses_nothing_but_blanks(text: str, width: int) -> None:
    line = safe(text)
    first, *others = wrapped(line, width).split("\n")
    assert all(each.startswith(INDENT) for each in others)
    assert all(cells(each) <= width for each in (first, *others))
    put_together = first + "".join(each.removeprefix(INDENT) for each in others)
    assert put_together.replace(" ", "") == line.replace(" ", "")


def test_a_long_line_breaks_at_a_blank_or_in_a_long_word() -> None:
    assert wrapped("[12:00:00] alice: one two three four", 25) == "[12:00:00] alice: one two\n    three four"
    assert wrapped("x" * 25, 10) == "xxxxxxxxxx\n    xxxxxx\n    xxxxxx\n    xxx"
    assert wrapped("日本語日本語", 9) == "日本語日\n    本語"
    assert wrapped("short", 9) == "short"
