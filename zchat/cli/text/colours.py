"""Text with styles for parts of it: names in steady colours, a mark where one's own name is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from zlib import crc32

from zchat.cli.text.columns import breaks
from zchat.cli.text.safe import INDENT, harmless
from zchat.names import fold

COLOURS = (
    "#005fff", "#008700", "#008787", "#0087af", "#5f5fd7", "#5f8700", "#875fd7",
    "#af00ff", "#af5f00", "#af5f5f", "#af5faf", "#d7005f", "#d700af",
)  # fmt: skip
"""Colours of the 256 of a terminal that stand out from black and from white alike, 4:1 at least (WCAG's contrast)."""

LOUD = "bold reverse"
"""The style of one's own name in what others say."""

MENTION = "» "
"""What stands before the name of whoever says one's own."""

Span = tuple[int, int, str]
"""Where a style begins and ends in a text, and the style as prompt_toolkit writes it."""

Fragments = list[tuple[str, str]]
"""Styles with the text that has them, as prompt_toolkit prints it."""


class Painted(str):
    """Be a text that may have styles: `spans`, in order. Whoever can't paint takes it as the string that it is."""

    spans: tuple[Span, ...]

    def __new__(cls, text: str, spans: Iterable[Span] = ()) -> Painted:
        """Return the text with its spans."""
        painted = super().__new__(cls, text)
        painted.spans = tuple(spans)
        return painted


def joined(texts: Iterable[Painted]) -> Painted:
    """Return texts as one, each on lines of its own."""
    texts = list(texts)
    spans: list[Span] = []
    start = 0
    for text in texts:
        spans += ((start + first, start + end, style) for first, end, style in text.spans)
        start += len(text) + 1
    return Painted("\n".join(texts), spans)


def fragments(text: str, width: int) -> Fragments:
    """Return a text, painted or not, as fragments whose lines need not be broken by a terminal of `width` columns."""
    spans = list(text.spans) if isinstance(text, Painted) else []
    found: Fragments = []
    start = 0
    for number, line in enumerate(text.split("\n")):
        for part, (first, end) in enumerate(breaks(line, width)):
            found.append(("", ("\n" if number or part else "") + (INDENT if part else "")))
            found += _painted(text, start + first, start + end, spans)
        start += len(line) + 1
    return [fragment for fragment in found if fragment[1]]


def rows(text: str, width: int) -> list[str]:
    """Return the rows that a text takes on a terminal of `width` columns, unpainted."""
    return "".join(part for _, part in fragments(text, width)).split("\n")


def _painted(text: str, start: int, end: int, spans: list[Span]) -> Iterator[tuple[str, str]]:
    for first, last, style in spans:
        if first < end and last > start:
            yield "", text[start : max(first, start)]
            yield style, text[max(first, start) : min(last, end)]
            start = min(last, end)
    yield "", text[start:end]


def painted(before: str, name: str, text: str, user: str, own: str) -> Painted:
    """Return a message as `Display.parts` gives it, with its user's colour, and marked if another says `own` name."""
    said = mentions(text, harmless(own)) if own and fold(user) != fold(own) else []
    before += MENTION if said else ""
    start = len(before) + len(name) + 2
    loud = [(start + first, start + end, LOUD) for first, end in said]
    return Painted(f"{before}{name}: {text}", [(len(before), start - 2, name_style(user)), *loud])


def name_style(name: str) -> str:
    """Return the style of a user's name: always the same for the same name, however it is spelt."""
    return f"fg:{COLOURS[crc32(fold(name).encode('utf-8', 'surrogatepass')) % len(COLOURS)]}"


def mentions(text: str, name: str) -> list[tuple[int, int]]:
    """Return where a name is said in a text, as a word of its own, in whatever case."""
    return [match.span() for match in _said(name).finditer(text)]


@lru_cache(maxsize=8)
def _said(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
