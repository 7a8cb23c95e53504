"""Messages as lines."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from zchat.cli.text.safe import safe, safe_lines, safe_name
from zchat.json_form import plain
from zchat.messages import Message
from zchat.names import fold


class MessageLines:
    """The lines of messages shown one after the other, with a line for the date whenever it changes.

    Today's messages need no such line at the beginning. One thread at a time.
    """

    def __init__(self, today: date | None = None) -> None:
        self._date = today or date.today()
        """The date of the last message."""

    def message(self, message: Message, current: str | None = None) -> str:
        """Return a message's lines; its room is named unless it is `current` (None: never named)."""
        return "{}{}: {}".format(*self.parts(message, current))

    def parts(self, message: Message, current: str | None = None) -> tuple[str, str, str]:
        """Return what stands before the user's name, the name, and the text, all as in `message`."""
        time = self._time(message.timestamp)
        room = "" if current is None or fold(current) == fold(message.room) else f"#{safe_name(message.room)} "
        body = message.body
        text = safe_lines(body) if isinstance(body, str) else _compact(body)
        return f"{time} {room}", safe_name(message.user), text

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
    return safe(json.dumps(plain(body), ensure_ascii=False))
