"""How messages look: one line each, and nothing that others send can touch the terminal."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import msgpack

from zchat.events import Disconnected, Gap, Reconnected
from zchat.messages import GapReason, Message
from zchat.names import fold

INDENT = "    "
"""In front of what goes on below a message's first line: no line of a message begins with `[`."""

_KEPT = frozenset((0x200C, 0x200D))
"""Format characters that text needs: the joiners of Persian, Indic scripts and emoji."""

_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
"""A region's flag, whose tags are format characters: anywhere else they could carry text that nobody sees."""

_NOT_A_NAMES = re.compile(r":(?!\w)|^[»…]")
"""What stands behind a name in front of its text, and, before it, that it says one's own name, or waits."""

_MARKED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories that steer a terminal or hide: controls, formats (bidi among them), surrogates, line ends."""


class _Marks(dict[int, str]):
    """Map characters that could steer a terminal to marks, for `str.translate`."""

    def __missing__(self, code: int) -> str:
        if code in _KEPT or unicodedata.category(chr(code)) not in _MARKED:
            raise LookupError  # left as it is
        mark = self[code] = f"<U+{code:04X}>"
        return mark


_marks = _Marks({code: chr(0x2400 + code) for code in range(0x20)})
_marks[0x7F] = "␡"
_marks[ord("\t")] = INDENT


def harmless(text: str) -> str:
    """Return text as one line in which whatever could steer a terminal is a visible mark.

    C0 characters become control pictures (`␇`), others `<U+009B>`; a tab becomes blanks.
    """
    return text if text.isprintable() else _marked(text)


def _marked(text: str) -> str:
    parts: list[str] = []
    end = 0
    for flag in _FLAG.finditer(text):
        parts += text[end : flag.start()].translate(_marks), flag[0]
        end = flag.end()
    return "".join((*parts, text[end:].translate(_marks)))


def harmless_name(name: str) -> str:
    """Return a name like `harmless`, with marks for what could pass for its end or for what stands before one."""
    return _NOT_A_NAMES.sub(lambda found: f"<U+{ord(found[0]):04X}>", harmless(name))


def harmless_lines(text: str) -> str:
    r"""Return text like `harmless`, but broken at `\n` and `\r\n`, each further line indented."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{INDENT}".join(map(_marked, lines))


def plain(value: Any) -> Any:
    """Return a body as JSON can hold it, so that nothing of it is lost.

    What JSON doesn't have becomes an object with one key that begins with `$`: `$bytes`
    (base64), `$float` (NaN, Infinity, -Infinity), `$timestamp` (nanoseconds since 1970),
    `$ext` (type and base64), `$map` (pairs, for keys that aren't text or begin with `$`).
    """
    match value:
        case bytes():
            return {"$bytes": b64encode(value).decode()}
        case float() if not math.isfinite(value):
            return {"$float": json.dumps(value)}
        case msgpack.Timestamp():
            return {"$timestamp": value.to_unix_nano()}
        case msgpack.ExtType(code=code, data=data):
            return {"$ext": [code, b64encode(data).decode()]}
        case list() | tuple():
            return [plain(each) for each in value]
        case dict():
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: plain(each) for key, each in value.items()}
            return {"$map": [[plain(key), plain(each)] for key, each in value.items()]}
        case _:
            return value


def json_line(fields: Mapping[str, Any]) -> str:
    """Return an object as one line of JSON in ASCII, which no character can break out of."""
    return json.dumps({key: plain(value) for key, value in fields.items()}, allow_nan=False)


def cells(text: str) -> int:
    """Return how many columns of a terminal harmless text takes; where terminals differ, the larger count."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s unless there is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    rows = list(rows)
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def breaks(line: str, width: int) -> list[tuple[int, int]]:
    """Return where to break a line so that a terminal of `width` columns needn't break it itself.

    What goes on is to be indented, as a message's further lines are: a terminal's own break would
    let it begin at the left edge, where it could pass for another's message. Each part is given
    by where it begins and ends; a blank at a break is left out.
    """
    if cells(line) <= width or width <= 2 * len(INDENT):
        return [(0, len(line))]
    parts: list[tuple[int, int]] = []
    start = used = 0
    blank = -1
    for index, character in enumerate(line):
        if character == " ":
            blank = index
        used += _cells(character)
        if used > width - (len(INDENT) if parts else 0):
            at_blank = blank > start and not line[start:blank].isspace()
            parts.append((start, blank if at_blank else index))
            start = blank + 1 if at_blank else index
            used = cells(line[start : index + 1])
    return [*parts, (start, len(line))]


def cut(text: str, width: int) -> str:
    """Return the beginning of harmless text that fits into `width` columns, with an ellipsis if not all of it does."""
    if cells(text) <= width:
        return text
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used >= width:
            return text[:index] + "…" if width > 0 else ""
    return text


def padded(text: str, width: int) -> str:
    """Return harmless text in exactly `width` columns: cut, or with blanks behind it."""
    text = cut(text, width)
    return text + " " * (width - cells(text))


def local_time(timestamp: int, today: date | None = None) -> str:
    """Return a time given in microseconds since 1970 (UTC) as date and time here; of `today` the time alone."""
    try:
        when = datetime.fromtimestamp(timestamp / 1e6)
    except (OverflowError, ValueError, OSError):  # no calendar has it
        return "--:--:--"
    return f"{when:%H:%M:%S}" if when.date() == today else f"{when:%Y-%m-%d %H:%M:%S}"


def link_text(event: Disconnected | Reconnected) -> str:
    """Say in a line that the connection is lost, or there again."""
    if isinstance(event, Disconnected):
        return f"disconnected: {event.reason}; trying again"
    return "connected again"


def gap_text(gap: Gap) -> str:
    """Return what a gap means to whoever reads."""
    room = harmless(gap.room)
    match gap.reason:
        case GapReason.TRIMMED:
            return f"{room}: messages {gap.after + 1} to {gap.upto} are no longer kept"
        case GapReason.RESET:
            return f"{room}: its log is another one than before; it goes on behind message {gap.upto}"
        case GapReason.TAIL_LOST:
            return f"{room}: the broker's log lost its end; it goes on behind message {gap.upto}"
        case reason:
            return f"{room}: messages {gap.after + 1} to {gap.upto} can't be had ({harmless(reason)})"


class Display:
    """Make the lines that stand for messages, with a line for the date whenever it changes.

    It begins with today's date, so what is said today begins without one. One thread at a time.
    """

    def __init__(self, today: date | None = None) -> None:
        self._date = today or date.today()

    def message(self, message: Message, current: str | None = None) -> str:
        """Return a message's lines; its room is named unless it is `current` (None: never named)."""
        return "{}{}: {}".format(*self.parts(message, current))

    def parts(self, message: Message, current: str | None = None) -> tuple[str, str, str]:
        """Return what stands before a message's name, the name, and its text; as `message`."""
        time = self._time(message.timestamp)
        room = "" if current is None or fold(current) == fold(message.room) else f"#{harmless_name(message.room)} "
        body = message.body
        text = harmless_lines(body) if isinstance(body, str) else _compact(body)
        return f"{time} {room}", harmless_name(message.user), text

    def _time(self, timestamp: int) -> str:
        try:
            when = datetime.fromtimestamp(timestamp / 1e6)
        except (OverflowError, ValueError, OSError):  # no calendar has it
            return "[--:--:--]"
        stamp = f"[{when:%H:%M:%S}]"
        if when.date() == self._date:
            return stamp
        self._date = when.date()
        return f"--- {when:%Y-%m-%d} ---\n{stamp}"


def _compact(body: Any) -> str:
    return harmless(json.dumps(plain(body), ensure_ascii=False))
