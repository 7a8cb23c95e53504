"""How many columns of a terminal text takes, and how it is broken, cut and aligned to fit.

No line that the command writes is broken by the terminal: what follows a terminal's own break stands at
the left edge, where it could pass for another line. So lines are broken here, and what follows a break
is indented. That requires to know how wide a text is at most: where terminals differ, the larger number.
A terminal that counts even more is asked not to break the row: what is too much for it is lost at the right edge.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import IO, NamedTuple

from wcwidth import wcwidth

from zchat.cli.streams import NO_WRAP, WRAP
from zchat.cli.text.safe import INDENT, named

PER_COLUMN = 4
"""Characters for each column of a row, at most: text has three marks on a letter, a flood of marks has no end."""

UNKNOWN_WIDTH = 80
"""Columns assumed of a terminal that doesn't report its width."""

URL = re.compile(r"\(?[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+(?=\s|$)")
"""A word that is a URL in the ASCII of RFC 3986 but for brackets: it can't pass for a line of the command's."""

URL_CHARACTERS = 4000
"""Characters of a URL that is not broken, at most."""

EMOJI_STYLE = "\ufe0f"
"""The selector that makes a symbol an emoji, which one terminal shows in two columns, another in one."""

JOINER = "\u200d"

_HALF_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")

_WIDE_BEFORE = re.compile(
    "[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3040-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19"
    "\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\U00020000-\U0002fffd\U00030000-\U0003fffd]"
)
"""What Kuhn's wcwidth of 2007 has as wide, which many terminals took over; tmux and Linux's console among them."""

_MARKS = ("Mn", "Me", "Cf")
"""Categories of what takes no column of its own."""

WIDTHS_KEPT = 10_000
"""Widths remembered, by character: those of all scripts that one conversation uses."""

WIDE_LANGUAGES = ("ja", "ko", "zh")
"""Languages in whose fonts Greek and Cyrillic letters, `…` and other ambiguous characters often take two columns."""


class _Terminal:
    """What is known of the terminal beside its width."""

    known = False
    """False until a width is asked for, or `measure_for` is called."""
    encodings: tuple[str, ...] = ()
    """The encodings of what is written that lack characters: these are escaped, `\\u4e2d` for example."""
    ambiguous = 1
    """The columns of a character that Unicode calls ambiguous."""
    obeys = False
    """True if it takes control sequences."""


_terminal = _Terminal()


def measure_for(encodings: Iterable[str], language: str, terminal: str = "dumb") -> None:
    """Have widths counted for streams with such encodings, on such a terminal of a user with such a language.

    Without this call they are those of the process when the first width is asked for.

    What an encoding lacks takes the columns of its escape.

    Args:
        encodings: their names, as Python has them.
        language: as in LANG, `ja_JP.UTF-8` for example; "" if it isn't known.
        terminal: as in TERM; `dumb`, or "", takes no control sequences.
    """
    _terminal.encodings = tuple({name for name in encodings if not name.lower().replace("_", "-").startswith("utf-")})
    _terminal.ambiguous = 2 if language.startswith(WIDE_LANGUAGES) else 1
    _terminal.obeys = terminal not in ("", "dumb")
    _terminal.known = True
    _widths.clear()


def _measure_for_this_process() -> None:
    encodings = [getattr(stream, "encoding", None) or "utf-8" for stream in (sys.stdout, sys.stderr)]
    language = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    measure_for(encodings, language, os.environ.get("TERM", ""))


def _terminal_obeys() -> bool:
    if not _terminal.known:
        _measure_for_this_process()
    return _terminal.obeys


class _Widths(dict[str, int]):
    """The columns that each character takes at most."""

    def __missing__(self, character: str) -> int:
        if len(self) >= WIDTHS_KEPT:
            self.clear()
        width = self[character] = _width(character)
        return width


def _width(character: str) -> int:
    """Return the larger of what terminals count for a character, and for its escape if it has to be escaped."""
    if not _terminal.known:
        _measure_for_this_process()
    width = _shown_width(character)
    for encoding in _terminal.encodings:
        width = max(width, len(character.encode(encoding, "backslashreplace")))
    return width


def _shown_width(character: str) -> int:
    """Return the larger of what terminals count for a character that is shown as it is.

    They differ in whether an emoji's parts are shown as one (the sum is larger), in how many columns half a flag
    takes, and in how new a Unicode they know: unassigned characters may be wide, and a mark that Unicode did not have
    in 2002 takes a column of its own in GNU screen, for example.
    """
    if character == EMOJI_STYLE:  # after a symbol that takes one column otherwise
        return 1
    category = unicodedata.category(character)
    if category in _MARKS:
        return 0 if unicodedata.ucd_3_2_0.category(character) in _MARKS else 1
    if category == "Cn" or _HALF_FLAG.match(character) or _WIDE_BEFORE.match(character):
        return 2
    match unicodedata.east_asian_width(character):
        case "W" | "F":
            return 2
        case "A":
            return max(_terminal.ambiguous, wcwidth(character))
        case _:
            return max(1, wcwidth(character))


_widths = _Widths()


def cells(text: str) -> int:
    """Return how many columns of a terminal safe text takes; where terminals differ, the larger number."""
    if text.isascii():
        return len(text)
    return sum(map(_widths.__getitem__, text))


def terminal_width(stream: IO[str]) -> int | None:
    """Return the columns of the terminal that a stream writes to; None if it is none."""
    try:
        if not stream.isatty():
            return None
        return os.get_terminal_size(stream.fileno()).columns or UNKNOWN_WIDTH
    except (OSError, ValueError):
        return None


class Row(NamedTuple):
    """A row of a text: what stands before it, and where in the text it begins and ends."""

    indent: str
    start: int
    end: int


def text_rows(text: str, width: int, start: int = 0, end: int | None = None) -> Iterator[Row]:
    """Yield the rows of a text, or of its part from `start` to `end`, on a terminal of `width` columns.

    A line ends at a line feed, and is broken where the terminal would break it: at a space, which is left
    out, or where a word is too long for a row. A URL that is too long for a row is left whole, with nothing
    after it in its row: the terminal breaks it, and can copy it whole. What follows a break is indented.
    Only the rows that are taken are worked out.
    """
    end = len(text) if end is None else end
    while True:
        line_end = text.find("\n", start, end)
        stop = end if line_end < 0 else line_end
        yield from _line_rows(text, width, start, stop)
        if line_end < 0:
            return
        start = line_end + 1


def _line_rows(text: str, width: int, start: int, end: int) -> Iterator[Row]:
    indent = INDENT if width > 2 * len(INDENT) else INDENT[:1]
    if width <= 2:  # nothing fits there
        yield Row("", start, end)
        return
    before = ""
    while True:
        stop, follows = _row_end(text, width - len(before), start, end, width - len(indent))
        yield Row(before, start, stop)
        if follows >= end and stop >= end:
            return
        start, before = follows, indent


def _row_end(text: str, width: int, start: int, end: int, full: int) -> tuple[int, int]:
    """Return where the row that begins at `start` ends, and where the next begins.

    `width`: the row's columns; `full`: those of any row that follows.
    """
    index = _overflow(text, width, start, end)
    if index == end:
        return end, end
    space = text.rfind(" ", start, index + 1)
    whole = index
    if index < start + PER_COLUMN * width:  # else it is amid a flood of marks
        while whole > start and is_joined(text, whole, start):
            whole -= 1
    word = space + 1 if space >= start else start
    url = None
    if word <= index and text[start:word].isascii():  # else what stands before it may be wider than it is counted
        url = URL.match(text, word, min(end, word + URL_CHARACTERS))
    if url and url.end() - word > full and (url.end() == end or text[url.end()].isspace()):
        return url.end(), min(end, url.end() + 1)
    if space > start and not text[start:space].isspace():
        return space, space + 1
    if whole > start:
        return whole, whole
    return max(index, start + 1), max(index, start + 1)  # one emoji of more columns than there are


def _overflow(text: str, width: int, start: int, end: int) -> int:
    """Return where the first character stands that a row of `width` columns has no place for, `end` if it has for all.

    A row has `PER_COLUMN` characters for each of its columns at most.
    """
    for characters in (width + 1, PER_COLUMN * width):
        part = text[start : min(end, start + characters)]
        if part.isascii():
            fits = min(len(part), width)
        else:
            fits = bisect_right(list(accumulate(map(_widths.__getitem__, part))), width)
        if fits < len(part) or start + len(part) == end:
            break
    return start + fits


def is_joined(text: str, index: int, start: int) -> bool:
    """Return True if a character belongs to the one before it, in a row that begins at `start`."""
    character = text[index]
    if text[index - 1] == JOINER or "\U0001f3fb" <= character <= "\U0001f3ff":  # a tone of skin
        return True
    if not _HALF_FLAG.match(character):
        return unicodedata.category(character) in _MARKS or unicodedata.category(character) == "Mc"
    first = index
    while first > start and _HALF_FLAG.match(text[first - 1]):
        first -= 1
    return (index - first) % 2 == 1


def height(row: str, width: int) -> int:
    """Return how many rows of a terminal a row takes: more than one if it has a URL that is not broken."""
    return max(1, -(-cells(row) // width)) if width > 2 and "://" in row else 1


def wrapped(lines: Iterable[str], width: int | None) -> list[str]:
    """Return safe lines as rows for a terminal of `width` columns; None: there is none, they stay as they are."""
    if width is None:
        return list(lines)
    return [row.indent + line[row.start : row.end] for line in lines for row in text_rows(line, width)]


def terminal_text(rows: Iterable[str], width: int | None) -> str:
    """Return rows as the text to write to a terminal of `width` columns; None: there is none.

    A terminal that counts a row as wider than it is shows as much of it as it has columns, and does not go on at the
    left edge.
    """
    if width is None:
        return "\n".join(rows)
    return "\n".join(_held(row) if may_overflow(row, width) else row for row in rows)


def _held(row: str) -> str:
    marks = final_marks(row, 0, len(row))
    return f"{NO_WRAP}{row[:marks]}{WRAP}{row[marks:]}"


def final_marks(text: str, start: int, end: int) -> int:
    """Return where the last character of a row begins if marks follow it there; else the row's end.

    At the right edge a terminal that breaks no lines puts marks on the character before. Marks can't pass for anything.
    """
    index = end - 1
    while index > start and is_joined(text, index, start):
        index -= 1
    return index if index < end - 1 else end


def may_overflow(row: str, width: int) -> bool:
    """Return True if a terminal of `width` columns might break a row that fits, and can be kept from it."""
    return 2 * len(row) > width and not row.isascii() and _terminal_obeys()


def table(rows: Iterable[tuple[str, ...]], width: int | None = None) -> list[str]:
    """Return rows as lines with aligned columns.

    For a terminal of `width` columns the first column is cut to what the others leave of it; what is wider
    all the same is broken.
    """
    rows = list(rows)
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    if width is not None and rows:
        left = width - sum(widths[1:]) - 2 * (len(widths) - 1)
        widths[0] = min(widths[0], max(left, cells(rows[0][0])))
        rows = [(cut(first, widths[0]), *others) for first, *others in rows]
    lines = [
        "  ".join(cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return wrapped(lines, width)


def cut(text: str, width: int) -> str:
    """Return the beginning of safe text that fits into `width` columns, with an ellipsis if some of it is left out."""
    used = end = 0
    mark = "…" if _widths["…"] == 1 else "." * min(3, width)
    for index, character in enumerate(text):
        used += _widths[character]
        if used > width or index >= PER_COLUMN * width:
            return text[:end] + mark if width > 0 else ""
        if used <= width - len(mark):
            end = index + 1
    return text


def cut_name(name: str, width: int) -> str:
    """Return a room's or user's name as in a sentence, cut to `width` columns, its quotes closed."""
    text = named(name)
    if not text.startswith("“") or cells(text) <= width:
        return cut(text, width)
    return f"“{cut(text[1:-1], width - cells('“”'))}”" if width > cells("“”") else cut(text, width)


def beginning(text: str, width: int) -> str:
    """Return as much of any text as `cut` has to be given, so that a long one costs no more than a short one."""
    return text[: PER_COLUMN * max(width, 0) + 1]


def padded(text: str, width: int) -> str:
    """Return safe text in exactly `width` columns: cut, or followed by spaces."""
    text = cut(text, width)
    return text + " " * (width - cells(text))
