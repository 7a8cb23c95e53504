"""The gateway's share of the process's file descriptors: what may take which of them, and what the log has of it."""

from __future__ import annotations

from time import monotonic

from zchat.files import limit, scarce
from zchat.logs import web_log

OWN_FILES = 24
"""Descriptors that the gateway needs for itself; 20 were counted."""

SESSION_FILES = 4
"""Descriptors of a user's session with the broker."""

KEPT_FREE = 64
"""Descriptors that newcomers may not take, or a quarter of all: they are for the sessions of those who are let in."""

LAST_KEPT_FREE = 16
"""Those that no session and no scrape may take either, or an eighth of all: for the connection to the broker."""

RECOVERED_AFTER = 10.0
"""Seconds for which there have to be some again until the log says so."""


class Share:
    """The descriptors that `what` may take: all but `kept`, or but one in `part` of them if those are fewer."""

    def __init__(self, what: str, kept: int, part: int) -> None:
        self._what = what
        self._kept = kept
        self._part = part
        self._since = 0.0  # when there were none for the last time; 0: that is over, and the log has it

    def is_used_up(self) -> bool:
        """Return True if there are none to take now. The log says when that begins, and when it is over."""
        most = limit()
        if most is None:
            return False
        if scarce(most, min(self._kept, most // self._part)):
            self.note()
            return True
        if self._since and monotonic() - self._since >= RECOVERED_AFTER:
            self._since = 0.0
            web_log.info("%s has recovered", self._what, event="well", what=self._what)
        return False

    def note(self) -> None:
        """Take it that there are none now."""
        begins = not self._since
        self._since = monotonic()
        if begins:
            reason = f"the limit of {limit()} open files (ulimit -n) is reached"
            web_log.error("%s fails: %s", self._what, reason, event="trouble", what=self._what, reason=reason)


def for_newcomers() -> Share:
    """Return the share of those who connect."""
    return Share("accepting connections", KEPT_FREE, 4)


def for_scrapes() -> Share:
    """Return the share of those who fetch figures."""
    return Share("answering scrapes", LAST_KEPT_FREE, 8)


def for_sessions() -> Share:
    """Return the share of users' sessions with the broker."""
    return Share("beginning users' sessions", LAST_KEPT_FREE, 8)


def browsers(most: int) -> int:
    """Return for how many browsers there are descriptors, `most` at most, if each has another user."""
    files = limit()
    if files is None:
        return most
    return max(0, min(most, (files - OWN_FILES - min(KEPT_FREE, files // 4)) // (1 + SESSION_FILES)))
