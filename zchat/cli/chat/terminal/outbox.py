"""The user's messages that are not stored yet, sent in order by a thread while the user types on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Condition

from zchat.cli.chat.conversation import KEPT_SECONDS
from zchat.cli.chat.rooms import Draft
from zchat.cli.chat.syntax import is_quit, says
from zchat.cli.chat.transcript import Transcript, nothing
from zchat.cli.text.columns import beginning, cut
from zchat.cli.text.phrases import error_text
from zchat.cli.text.safe import safe
from zchat.errors import OutcomeUnknown, ZchatError
from zchat.threads import RealThread, start

WAITING = 100
"""Messages that may wait to be stored: more than anybody types while a broker is restarted."""

REPORTED = 3
"""Texts that are quoted when several are not sent; of more only the number is reported."""

QUOTED_CELLS = 60
"""Columns shown of a text that was not sent: enough to recognize it, and Up brings all of it back."""


class Outbox:
    """The queue of the user's messages, which are sent one after the other.

    Each is shown in the transcript once it is stored, or reported there with the reason why not.

    Args:
        transcript: where that is shown, by the outbox's thread.
        changed: called, by any thread, when the drafts that wait have changed.
    """

    def __init__(self, transcript: Transcript, changed: Callable[[], None]) -> None:
        self.unsent = 0
        """How many messages were not stored, or not even sent."""
        self._transcript = transcript
        self._changed = changed
        self._drafts: deque[Draft] = deque()
        """What is not stored yet; the first is being sent."""
        self._unseen: list[Draft] = []
        """That, and what is not shown yet though it is stored or has failed."""
        self._moved = Condition()
        self._leaving = False
        self._ended = False
        self._thread = RealThread(self._run, "zchat-outbox")
        start(self._thread)

    def put(self, draft: Draft) -> None:
        """Send a text; wait for a place while too many wait. Any thread but the outbox's.

        It is refused if there is no place for as long as a message is tried.
        """
        with self._moved:
            if has_place := self._moved.wait_for(lambda: self._ended or len(self._drafts) < WAITING, KEPT_SECONDS):
                self._drafts.append(draft)
                self._unseen.append(draft)
                self._moved.notify_all()
        if not has_place:
            self.refuse([draft.line], f"{WAITING} messages are already waiting to be stored: send it again later")
        self._changed()

    @property
    def waiting(self) -> list[Draft]:
        """Return the drafts that are not stored yet, in order. Any thread."""
        with self._moved:
            return list(self._drafts)

    @property
    def unseen(self) -> list[Draft]:
        """Return the drafts that the transcript doesn't show yet, in order. Any thread."""
        with self._moved:
            return list(self._unseen)

    def drain(self, seconds: float) -> None:
        """Wait until everything is stored or has failed, `seconds` at most. Any thread but the outbox's."""
        with self._moved:
            self._moved.wait_for(lambda: not self._drafts, seconds)

    def refuse(self, lines: Sequence[str], why: str) -> None:
        """Report that lines are not sent; or not done if they say nothing, which `unsent` doesn't count. Any thread."""
        lines = [line for line in lines if not is_quit(line)]
        self.unsent += sum(map(says, lines))
        for line in lines[:REPORTED]:
            self._report("not sent" if says(line) else "not done", line, why)
        if len(lines) > REPORTED:
            self._transcript.error(f"not sent: {len(lines) - REPORTED:,} more")

    def leave(self, lines: Sequence[str]) -> None:
        """Report what is not being sent yet, and `lines` that were to follow, as not sent because the user leaves.

        Any thread but the outbox's.
        """
        with self._moved:
            self._leaving = True
            drafts = list(self._drafts)[1:]
            for draft in drafts:
                self._drafts.pop()
                self._unseen.remove(draft)
            self._moved.notify_all()
        self.refuse([*(draft.line for draft in drafts), *lines], "you left before it was sent")

    def end(self, seconds: float) -> None:
        """End the thread: the client is closed, so that what still waits is stored or fails, within `seconds`."""
        with self._moved:
            self._ended = True
            self._moved.notify_all()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._moved:
                self._moved.wait_for(lambda: self._ended or self._drafts)
                if not self._drafts:
                    return
                draft = self._drafts[0]
            opened = False
            try:
                deadline = time.monotonic() + KEPT_SECONDS
                room = draft.open(KEPT_SECONDS)
                opened = True
                message = room.send(draft.text, timeout=max(0.0, deadline - time.monotonic()))
            except ZchatError as error:
                self._failed(draft, error, "not stored" if opened else "not sent")
            else:
                self._transcript.message(message, partial(self._shown, draft))
            with self._moved:
                self._drafts.popleft()
                self._moved.notify_all()
            self._changed()

    def _shown(self, draft: Draft) -> None:
        with self._moved:  # only now: it is always seen, in one place or the other
            self._unseen.remove(draft)
        self._changed()

    def _failed(self, draft: Draft, error: ZchatError, outcome: str) -> None:
        self.unsent += 1
        outcome = "possibly not stored" if isinstance(error, OutcomeUnknown) else outcome
        why = "you left before the broker answered" if self._leaving else error_text(error)
        self._report(outcome, draft.line, why, partial(self._shown, draft))

    def _report(self, outcome: str, text: str, why: str, shown: Callable[[], object] = nothing) -> None:
        self._transcript.error(f"{outcome}: {cut(safe(beginning(text, QUOTED_CELLS)), QUOTED_CELLS)} ({why})", shown)
