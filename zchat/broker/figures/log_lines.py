"""What the core has to report to the operator: kept until the loop logs it."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, TypeAlias

MAX_LINES = 100
"""Lines kept between two turns: an outage can end thousands of sessions in one, and a log need not name each."""

RECOVERED_AFTER = 10.0
"""Seconds for which what failed has to work until it has recovered: on a full disk a small message still finds room."""

Field: TypeAlias = str | int


class LogLine(NamedTuple):
    """One line for the log; `grave` if it calls for action.

    `fields` are for programs that read the log: `event` is what kind of line it is, the others are what it is about.
    """

    text: str
    grave: bool
    fields: dict[str, Field]


class LogLines:
    """The lines for the log, in order; a trouble is reported when it begins and when it has been over for a while."""

    def __init__(self) -> None:
        self.kept: deque[LogLine] = deque()
        """The lines that are yet to be logged: while there are some, `take` is to be called."""
        self._passed_over = 0
        self.troubles: dict[str, float] = {}
        """What fails, with when it worked again: infinity while it fails, not a number until `tick` has dated it."""
        self.damaged = False
        """True if the store was found damaged: until the broker is started again."""
        self._lasting: set[str] = set()

    def add(self, event: str, text: str, *, grave: bool = False, **fields: Field) -> None:
        """Keep a line, with the fields that aren't empty; beyond a bound the lines are only counted."""
        if len(self.kept) < MAX_LINES:
            about: dict[str, Field] = {"event": event}
            about.update((name, value) for name, value in fields.items() if value != "")
            self.kept.append(LogLine(text, grave, about))
        else:
            self._passed_over += 1

    def trouble(self, what: str, reason: str, damaged: bool = False) -> None:
        """Report that `what` fails, unless that is known; for good if the store is `damaged`."""
        if what not in self.troubles:
            self.add("trouble", f"{what} fails: {reason}", grave=True, what=what, reason=reason)
        self.troubles[what] = math.inf
        if damaged:  # that another part of it can be read doesn't mend it
            self.damaged = True
            self._lasting.add(what)

    def well(self, what: str) -> None:
        """Record that `what` works, if it failed before; `tick` reports it once that has lasted."""
        if self.troubles and self.troubles.get(what) == math.inf and what not in self._lasting:
            self.troubles[what] = math.nan

    def tick(self, now: float) -> None:
        """Report what has recovered; to be called while there are troubles."""
        for what, since in list(self.troubles.items()):
            if math.isnan(since):
                self.troubles[what] = now
            elif now - since >= RECOVERED_AFTER:
                del self.troubles[what]
                self.add("well", f"{what} has recovered", what=what)

    def take(self) -> list[LogLine]:
        """Return what was gathered since the last time."""
        notes = list(self.kept)
        if self._passed_over:
            fields: dict[str, Field] = {"event": "passed_over", "count": self._passed_over}
            notes.append(LogLine(f"{self._passed_over} more lines at the same moment were not logged", False, fields))
        self.kept.clear()
        self._passed_over = 0
        return notes
