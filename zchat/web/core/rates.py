"""How much of a connection is taken in how long."""

from __future__ import annotations

from zchat.buckets import Bucket
from zchat.web.core import limits
from zchat.web.core.refusals import Turned


class Rates:
    """What one connection may ask for: commands, messages among them, refusals of more than that, and other frames."""

    def __init__(self, now: float) -> None:
        self._commands = Bucket(limits.COMMANDS_A_SECOND, limits.COMMANDS_BURST, now)
        self._messages = Bucket(limits.MESSAGES_A_SECOND, limits.MESSAGES_BURST, now)
        self._refusals = Bucket(limits.REFUSALS_A_SECOND, limits.REFUSALS_BURST, now)
        self._frames = Bucket(limits.FRAMES_A_SECOND, limits.STRANGER_FRAMES, now)

    def greeted(self, now: float) -> None:
        """Have more frames taken at once: it is no stranger any more."""
        self._frames = Bucket(limits.FRAMES_A_SECOND, limits.FRAMES_BURST, now)

    def take_frame(self, now: float) -> Turned | None:
        """Take a frame that is no command; returns why the connection ends, if they are too many."""
        if self._frames.wait(now):
            text = f"{limits.FRAMES_A_SECOND:g} pings, pongs and parts of commands a second are taken from a connection"
            return Turned("too_fast", text, after=limits.TOO_FAST_AGAIN)
        self._frames.take()
        return None

    def take(self, op: str, now: float) -> Turned | None:
        """Take a command, or return why it is refused."""
        wait, what = self._commands.wait(now), f"{limits.COMMANDS_A_SECOND:g} commands"
        if not wait and op == "send":
            wait, what = self._messages.wait(now), f"{limits.MESSAGES_A_SECOND:g} messages"
        if wait:
            after = int(1000 * wait) + 1
            return Turned("too_fast", f"{what} a second are taken from a connection", after=after)
        self._commands.take()
        if op == "send":
            self._messages.take()
        return None

    def refused(self, now: float) -> Turned | None:
        """Count a command that was refused as too many; returns why the connection ends, if they are too many."""
        if self._refusals.wait(now):
            text = "much more came than is taken from a connection, for too long"
            return Turned("too_fast", text, after=limits.TOO_FAST_AGAIN)
        self._refusals.take()
        return None
