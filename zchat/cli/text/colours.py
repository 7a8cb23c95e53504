"""Text with styles for parts of it: names in steady colours, and mentions of the user's own name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from zchat.cli.streams import NO_WRAP, WRAP
from zchat.cli.text.columns import final_marks, height, may_overflow, text_rows
from zchat.cli.text.message_lines import Parts
from zchat.cli.text.safe import safe
from zchat.names import fold

COLOURS = (
    "#005fff", "#008700", "#008787", "#0087af", "#5f5fd7", "#5f8700", "#875fd7",
    "#af00ff", "#af5f00", "#af5f5f", "#af5faf", "#d7005f", "#d700af",
)  # fmt: skip
"""Colours of a terminal's 256 that stand out from black and from white alike, 4:1 at least (WCAG's contrast)."""

LOUD = "bold reverse"
"""The style of the user's own name in messages of others."""

DIM = "dim"
"""The style of messages that the reader has seen before."""

RAW = "[ZeroWidthEscape]"
"""What prompt_toolkit takes for the style of a control sequence."""

NEW = "bold"
"""The style of the line above those that are new."""

MENTION = "» "
"""What stands before the name of a user whose message mentions the user's own."""

MENTIONS = 100
"""Mentions that stand out in one message: of a text full of the name the first ones say enough."""

Span = tuple[int, int, str]
"""Where a style begins and ends in a text, and the style as prompt_toolkit writes it."""

Fragments = list[tuple[str, str]]
"""Styles with the text that has them, as prompt_toolkit prints it."""


class Part(NamedTuple):
    """A part of a text that is shown cut: a message."""

    end: int
    """Where it ends in the text."""
    rows: int
    """Rows that are shown of it."""
    rest: str
    """What is shown in place of the others."""
    whole: bool
    """False if the text lacks the message's end."""


class StyledText(str):
    """A text that may have styles. It is the plain text wherever styles can't be shown."""

    spans: tuple[Span, ...]
    """The styles, in the order of the text; none begins before the one before it has ended."""

    parts: tuple[Part, ...]
    """The messages that it consists of; none if it is no message."""

    def __new__(cls, text: str, spans: Iterable[Span] = (), parts: Iterable[Part] = ()) -> StyledText:
        """Return the text with its spans and parts."""
        styled = super().__new__(cls, text)
        styled.spans = tuple(spans)
        styled.parts = tuple(parts)
        return styled


def joined(texts: Iterable[StyledText]) -> StyledText:
    """Return texts as one, each on lines of its own."""
    texts = list(texts)
    spans: list[Span] = []
    parts: list[Part] = []
    start = 0
    for text in texts:
        spans += ((start + first, start + end, style) for first, end, style in text.spans)
        parts += (part._replace(end=start + part.end) for part in text.parts)
        start += len(text) + 1
    return StyledText("\n".join(texts), spans, parts)


def fragments(text: str, width: int) -> Fragments:
    """Return a text, styled or not, as fragments with line breaks for a terminal of `width` columns."""
    spans, parts = (list(text.spans), text.parts) if isinstance(text, StyledText) else ([], ())
    spans.reverse()
    found: Fragments = []
    for indent, row, start, end in _rows(text, parts, width):
        found.append(("", "\n" + indent))
        styles = spans if row is text else []
        if may_overflow(indent + row[start:end], width):
            marks = final_marks(row, start, end)
            found += ((RAW, NO_WRAP), *_styled(row, start, marks, styles), (RAW, WRAP))
            start = marks
        found += _styled(row, start, end, styles)
    first = found[0][1].removeprefix("\n")
    return [fragment for fragment in (("", first), *found[1:]) if fragment[1]]


def rows(text: str, width: int) -> list[str]:
    """Return the rows that a text takes on a terminal of `width` columns, without styles.

    One with a URL that is not broken may take several of the terminal's.
    """
    parts = text.parts if isinstance(text, StyledText) else ()
    return [indent + row[start:end] for indent, row, start, end in _rows(text, parts, width)]


def _rows(text: str, parts: tuple[Part, ...], width: int) -> Iterator[tuple[str, str, int, int]]:
    """Yield each row of a text as its indent, the text that it is of, and where it begins and ends there."""
    start = 0
    if not parts:
        for row in text_rows(text, width):
            yield row.indent, text, row.start, row.end
    for part in parts:
        whole = part.whole
        left = part.rows
        for row in text_rows(text, width, start, part.end):
            if left <= 0:
                whole = False
                break
            left -= height(row.indent + text[row.start : row.end], width)
            yield row.indent, text, row.start, row.end
        if not whole:
            for row in text_rows(part.rest, width):
                yield row.indent, part.rest, row.start, row.end
        start = part.end + 1


def _styled(text: str, start: int, end: int, spans: list[Span]) -> Iterator[tuple[str, str]]:
    """Yield a row's fragments; `spans`, the next one last, lose those that the row has gone past."""
    while spans and spans[-1][0] < end:
        first, last, style = spans[-1]
        if last > start:
            yield "", text[start : max(first, start)]
            yield style, text[max(first, start) : min(last, end)]
            start = min(last, end)
        if last > end:
            break
        spans.pop()
    yield "", text[start:end]


def styled_message(parts: Parts, user: str, own: str, *, seen: bool = False, meant: bool = False) -> StyledText:
    """Return a message with its styles.

    The name has its user's colour. Where another user's text mentions the `own` name, or is `meant` for
    its user in another way, the message is marked; "" for `own`: never. A message that the reader has
    `seen` before is dimmed.
    """
    before, name, after, text, whole, cut = parts
    mentioned = mentions(text, safe(own)) if own and fold(user) != fold(own) else []
    before += MENTION if mentioned or (meant and own and fold(user) != fold(own)) else ""
    start = len(before) + len(name) + len(after)
    loud = [(start + first, start + end, LOUD) for first, end in mentioned]
    line = f"{before}{name}{after}{text}"
    part = [Part(len(line), cut.rows, cut.rest, whole)] if cut else []
    spans = [(0, len(line), DIM)] if seen else [(len(before), len(before) + len(name), name_style(user)), *loud]
    return StyledText(line, spans, part)


def name_style(name: str) -> str:
    """Return the style of a user's name: always the same for the same name, however it is spelt."""
    return f"fg:{COLOURS[crc32(fold(name).encode('utf-8', 'surrogatepass')) % len(COLOURS)]}"


def mentions(text: str, name: str) -> list[tuple[int, int]]:
    """Return the starts and ends of a name in a text, as a word in upper or lower case; of `MENTIONS` at most."""
    return [match.span() for match in islice(_mention(name).finditer(text), MENTIONS)]


@lru_cache(maxsize=8)
def _mention(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
