"""Text with styles for parts of it: names in steady colours, and mentions of the user's own name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from zlib import crc32

from zchat.cli.text.columns import breaks
from zchat.cli.text.safe import INDENT, safe
from zchat.names import fold

COLOURS = (
    "#005fff", "#008700", "#008787", "#0087af", "#5f5fd7", "#5f8700", "#875fd7",
    "#af00ff", "#af5f00", "#af5f5f", "#af5faf", "#d7005f", "#d700af",
)  # fmt: skip
"""Colours of a terminal's 256 that stand out from black and from white alike, 4:1 at least (WCAG's contrast)."""

LOUD = "bold reverse"
"""The style of the user's own name in messages of others."""

MENTION = "» "
"""What stands before the name of a user whose message mentions the user's own."""

Span = tuple[int, int, str]
"""Where a style begins and ends in a text, and the style as prompt_toolkit writes it."""

Fragments = list[tuple[str, str]]
"""Styles with the text that has them, as prompt_toolkit prints it."""


class StyledText(str):
    """A text that may have styles. It is the plain text wherever styles can't be shown."""

    spans: tuple[Span, ...]
    """The styles, in the order of the text."""

    def __new__(cls, text: str, spans: Iterable[Span] = ()) -> StyledText:
        """Return the text with its spans."""
        styled = super().__new__(cls, text)
        styled.spans = tuple(spans)
        return styled


def joined(texts: Iterable[StyledText]) -> StyledText:
    """Return texts as one, each on lines of its own."""
    texts = list(texts)
    spans: list[Span] = []
    start = 0
    for text in texts:
        spans += ((start + first, start + end, style) for first, end, style in text.spans)
        start += len(text) + 1
    return StyledText("\n".join(texts), spans)


def fragments(text: str, width: int) -> Fragments:
    """Return a text, styled or not, as fragments with line breaks for a terminal of `width` columns."""
    spans = list(text.spans) if isinstance(text, StyledText) else []
    found: Fragments = []
    start = 0
    for number, line in enumerate(text.split("\n")):
        for part, (first, end) in enumerate(breaks(line, width)):
            found.append(("", ("\n" if number or part else "") + (INDENT if part else "")))
            found += _styled(text, start + first, start + end, spans)
        start += len(line) + 1
    return [fragment for fragment in found if fragment[1]]


def rows(text: str, width: int) -> list[str]:
    """Return the rows that a text takes on a terminal of `width` columns, without styles."""
    return "".join(part for _, part in fragments(text, width)).split("\n")


def _styled(text: str, start: int, end: int, spans: list[Span]) -> Iterator[tuple[str, str]]:
    for first, last, style in spans:
        if first < end and last > start:
            yield "", text[start : max(first, start)]
            yield style, text[max(first, start) : min(last, end)]
            start = min(last, end)
    yield "", text[start:end]


def styled_message(before: str, name: str, text: str, user: str, own: str) -> StyledText:
    """Return a message, in the parts that `MessageLines.parts` returns, with its styles.

    The name has its user's colour. Where another user's text mentions the `own` name, the message
    is marked; "" for `own`: never.
    """
    mentioned = mentions(text, safe(own)) if own and fold(user) != fold(own) else []
    before += MENTION if mentioned else ""
    start = len(before) + len(name) + 2
    loud = [(start + first, start + end, LOUD) for first, end in mentioned]
    return StyledText(f"{before}{name}: {text}", [(len(before), start - 2, name_style(user)), *loud])


def name_style(name: str) -> str:
    """Return the style of a user's name: always the same for the same name, however it is spelt."""
    return f"fg:{COLOURS[crc32(fold(name).encode('utf-8', 'surrogatepass')) % len(COLOURS)]}"


def mentions(text: str, name: str) -> list[tuple[int, int]]:
    """Return the starts and ends of a name in a text: as a word of its own, in upper or lower case."""
    return [match.span() for match in _mention(name).finditer(text)]


@lru_cache(maxsize=8)
def _mention(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
