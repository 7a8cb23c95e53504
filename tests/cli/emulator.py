"""A terminal that is emulated, so that the tests know of each line whether the terminal had to break it.

pyte leaves out what follows a character that it takes for unprintable, U+FE0F for instance, begins a new row for a
combining mark after the last column, and lets a wide character stand over the edge. Real terminals do none of that, so
`Emulator` draws by itself, and counts columns in each of the ways that real ones do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

import pyte
from pyte.screens import Char
from wcwidth import wcwidth

Counting = Callable[[str], Iterator[tuple[str, int]]]
"""Yields the characters of a text, or groups of them, and how many columns each takes."""

TIMED = re.compile(r"\[\d\d:\d\d:\d\d\] ")
"""How a message's first row begins."""


def by_character(text: str) -> Iterator[tuple[str, int]]:
    """Count as xterm and tmux do: each character for itself, a selector for nothing."""
    for character in text:
        yield character, max(0, wcwidth(character))


def by_group(text: str) -> Iterator[tuple[str, int]]:
    """Count as kitty and ghostty do: an emoji is two columns, whatever it is made of."""
    group, joined, flag = "", False, False
    for character in text:
        half = "\U0001f1e6" <= character <= "\U0001f1ff"
        follows = wcwidth(character) == 0 or joined or "\U0001f3fb" <= character <= "\U0001f3ff" or (half and flag)
        flag = half and not flag
        if group and not follows:
            yield group, _group_width(group)
            group = ""
        group += character
        joined = character == "\u200d"
    if group:
        yield group, _group_width(group)


def _group_width(group: str) -> int:
    return 2 if "\ufe0f" in group or (len(group) > 1 and wcwidth(group[0]) == 2) else max(0, wcwidth(group[0]))


def most(text: str) -> Iterator[tuple[str, int]]:
    """Count as the most generous terminal would: each part, what is newer than its Unicode, and selectors."""
    before = 0
    for character in text:
        width = 1 if character == "\ufe0f" and before == 1 else _widest(character)
        before = width or before
        yield character, width


@cache
def _widest(character: str) -> int:
    if "\U0001f1e6" <= character <= "\U0001f1ff" or unicodedata.category(character) == "Cn":
        return 2
    return max(0, wcwidth(character))


def oldest(text: str) -> Iterator[tuple[str, int]]:
    """Count as GNU screen does: by tables of 2007, which lack the marks of later versions of Unicode."""
    for character in text:
        yield character, _oldest(character)


@cache
def _oldest(character: str) -> int:
    marks = ("Mn", "Me", "Cf")
    if unicodedata.category(character) in marks and unicodedata.ucd_3_2_0.category(character) in marks:
        return 0
    return 2 if any(first <= character <= last for first, last in WIDE_IN_2007) else 1


WIDE_IN_2007 = (
    ("\u1100", "\u115f"),
    ("\u2329", "\u232a"),
    ("\u2e80", "\u303e"),
    ("\u3040", "\ua4cf"),
    ("\uac00", "\ud7a3"),
    ("\uf900", "\ufaff"),
    ("\ufe10", "\ufe19"),
    ("\ufe30", "\ufe6f"),
    ("\uff00", "\uff60"),
    ("\uffe0", "\uffe6"),
    ("\U00020000", "\U0003fffd"),
)
"""What Kuhn's `wcwidth` of that year counts as two columns."""


def unheard_of(text: str) -> Iterator[tuple[str, int]]:
    """Count as no terminal does: everything that isn't ASCII is two columns, marks too."""
    for character in text:
        yield character, 1 if character.isascii() else 2


COUNTINGS: dict[str, Counting] = {"by character": by_character, "by group": by_group, "most": most, "oldest": oldest}


class Emulator(pyte.Screen):
    """A terminal's screen. `broken` has the rows that the terminal itself began, because a line was too long."""

    def __init__(self, columns: int, rows: int = 60, counting: Counting = most) -> None:
        super().__init__(columns, rows)
        self._counting = counting
        self.broken: list[int] = []

    def draw(self, data: str) -> None:
        attributes = self.cursor.attrs[1:]
        stub = Char("", *attributes)
        for characters, width in self._counting(data):
            if width and self.cursor.x + width > self.columns and pyte.modes.DECAWM not in self.mode:
                self.cursor.x = self.columns - width
            elif width and self.cursor.x + width > self.columns:
                self.carriage_return()
                self.linefeed()
                self.broken.append(self.cursor.y)
            if width:
                line = self.buffer[self.cursor.y]
                line[self.cursor.x] = Char(characters, *attributes)
                for more in range(1, width):
                    line[self.cursor.x + more] = stub
                self.cursor.x += width

    def feed(self, text: str) -> None:
        """Take what a program writes."""
        stream = pyte.Stream(self)
        stream.feed(text)

    def text_rows(self) -> list[str]:
        """Return what it shows."""
        lines = [self.buffer[number] for number in range(self.lines)]
        return ["".join([line[column].data for column in range(max(line, default=-1) + 1)]).rstrip() for line in lines]


def begins_like_a_message(row: str) -> bool:
    return TIMED.match(row) is not None
