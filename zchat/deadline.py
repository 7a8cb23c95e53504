"""One moment by which a wait of several steps has to end."""

from __future__ import annotations

import threading
import time
from math import inf

from zchat.checks import check_timeout


class Deadline:
    """One moment for a wait of several steps.

    `seconds` is how long from now, None for no limit.

    Raises:
        UsageError: the seconds are below 0, or no number.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds = check_timeout(seconds)
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Return the seconds left, 0 if none are, None if it never comes."""
        return None if self._at is None else min(max(0.0, self._at - time.monotonic()), threading.TIMEOUT_MAX)

    @property
    def at(self) -> float:
        """Return the moment on the monotonic clock, infinity if it never comes."""
        return inf if self._at is None else self._at
