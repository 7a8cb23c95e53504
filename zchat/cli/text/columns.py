"""How many columns of a terminal text takes, and how it is wrapped, cut and aligned to fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from zchat.cli.text.safe import INDENT


def cells(text: str) -> int:
    """Return how many columns of a terminal safe text takes; where terminals differ, the larger number."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    rows = list(rows)
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def breaks(line: str, width: int) -> list[tuple[int, int]]:
    """Return where to break a line so that a terminal of `width` columns does not break it itself.

    What follows a break has to be indented, like a message's further lines: after a terminal's own
    break it would begin at the left edge, where it could pass for another message. Each part is
    given by its start and end; a space at a break is left out.
    """
    if cells(line) <= width or width <= 2 * len(INDENT):
        return [(0, len(line))]
    parts: list[tuple[int, int]] = []
    start = used = 0
    space = -1
    for index, character in enumerate(line):
        if character == " ":
            space = index
        used += _cells(character)
        if used > width - (len(INDENT) if parts else 0):
            at_space = space > start and not line[start:space].isspace()
            parts.append((start, space if at_space else index))
            start = space + 1 if at_space else index
            used = cells(line[start : index + 1])
    return [*parts, (start, len(line))]


def cut(text: str, width: int) -> str:
    """Return the beginning of safe text that fits into `width` columns, with an ellipsis if some of it is left out."""
    if cells(text) <= width:
        return text
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used >= width:
            return text[:index] + "…" if width > 0 else ""
    return text


def padded(text: str, width: int) -> str:
    """Return safe text in exactly `width` columns: cut, or followed by spaces."""
    text = cut(text, width)
    return text + " " * (width - cells(text))
