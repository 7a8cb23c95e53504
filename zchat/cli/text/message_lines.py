"""Messages as lines."""

from __future__ import annotations

import json
from datetime import date, datetime
from itertools import islice
from typing import Any, NamedTuple

from zchat.cli.text.safe import INDENT, named, safe, safe_lines, safe_name
from zchat.json_form import LEVELS, plain
from zchat.messages import Message
from zchat.names import DIRECT, fold

ROWS = 40
"""Rows of a message that a terminal shows: a traceback fits, and what was said before stays near."""

CHARACTERS = 10_000
"""Characters of a message that are looked at for a terminal: what `ROWS` rows of 250 columns have."""

ACTION = "/me "
"""What a text begins with that says what its user does."""

ACTING = "* "
"""What stands before the name of the user of such a text."""

NODE = 2
"""Characters that each value within a body takes as JSON at least: two brackets, or a digit and a comma."""


class Cut(NamedTuple):
    """How much of a message is shown on a terminal, and what is said in place of the rest."""

    rows: int
    characters: int
    rest: str


def cut_with(hint: str, rows: int = ROWS) -> Cut:
    """Return the cut of a message that is shown by `rows` at most; `hint`: how to see all of it."""
    return Cut(rows, CHARACTERS // ROWS * rows, f"{INDENT}… cut here; {hint}")


class Parts(NamedTuple):
    """The parts of a message's lines."""

    before: str
    """What stands before the user's name."""
    name: str
    after: str
    """What stands between the name and the text."""
    text: str
    whole: bool
    """False if the text lacks its end."""
    cut: Cut | None
    """How it is to be shown; None: whole."""


class MessageLines:
    """The lines of messages shown one after the other, with a line for the date whenever it changes.

    Today's messages need no such line at the beginning. One thread at a time.

    `own`: the user's name, to be given where messages of several rooms are shown: a direct one's are to it.
    """

    def __init__(self, today: date | None = None, own: str = "") -> None:
        self._own = own
        self._date = today or date.today()
        """The date of the last message."""

    def message(self, message: Message, current: str | None = None) -> str:
        """Return a message's lines; its room is named unless it is `current` (None: never named)."""
        return "".join(self.parts(message, current)[:4])

    def parts(self, message: Message, current: str | None = None, cut: Cut | None = None) -> Parts:
        """Return the parts of a message's lines, as in `message`; `cut`: how it is to be shown, None for whole.

        A long text costs no more than what is shown of it.
        """
        time = self._time(message.timestamp)
        room, other = self._place(message, current)
        body = message.body
        before, name, after = f"#{named(room)} " if room else "", named(message.user), ": "
        action = isinstance(body, str) and body.startswith(ACTION)
        if action:
            body = body[len(ACTION) :]
        if other:  # also before what the user does: after the name anything could be the user's text
            after = f" → {named(other)}: {ACTING if action else ''}"
        elif action:
            before, after = before + ACTING, " "
        elif not room:
            name = safe_name(message.user)
        whole = True
        if isinstance(body, str):
            if cut and len(body) > cut.characters:
                body, whole = body[: cut.characters], False
            text = safe_lines(body)
        else:
            text = json.dumps(plain(body if cut is None else _beginning(body, cut.characters)), ensure_ascii=False)
            if cut and len(text) > cut.characters:
                text, whole = text[: cut.characters], False
            text = safe(text)
        return Parts(f"{time} {before}", name, after, text, whole, cut)

    def _place(self, message: Message, current: str | None) -> tuple[str, str]:
        """Return the room that is to be named, and the user whom a direct message is to; "" for neither."""
        if current is None or fold(current) == fold(message.room):
            return "", ""
        if not message.room.startswith(DIRECT):
            return message.room, ""
        other = message.room.removeprefix(DIRECT)
        return "", self._own if fold(message.user) == fold(other) else other

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


def _beginning(body: Any, characters: int) -> Any:
    """Return as much of a body as the first `characters` of its JSON need, and a little more."""
    left = characters // NODE + 1

    def some(value: Any, levels: int) -> Any:
        nonlocal left
        left -= 1
        match value:
            case str():
                return value[: characters + 1]
            case list() if levels:
                return [some(each, levels - 1) for each in value if left > 0]
            case dict() if levels:
                return {key: some(each, levels - 1) for key, each in islice(value.items(), max(0, left))}
            case _:
                return value

    return some(body, LEVELS)
