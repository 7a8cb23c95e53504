"""Messages that pages send: each stored once under its key, however often it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from zchat.errors import ZchatError
from zchat.web.core.limits import MAX_KEYS, SEND_SECONDS
from zchat.web.core.refusals import Turned
from zchat.web.core.timers import Timers

Answer: TypeAlias = dict[str, Any] | ZchatError
"""The fields of an answer, or why there is none."""


class Submission:
    """A message on its way."""

    __slots__ = ("answer", "size", "waiting")

    def __init__(self, size: int) -> None:
        self.size = size
        """Bytes of its body."""
        self.answer: Answer | None = None
        """What became of it, None while that is open."""
        self.waiting: list[Callable[[Answer], None]] = []
        """Those who asked."""

    def settle(self, answer: Answer) -> None:
        """Record what became of it, and answer those who asked."""
        self.answer = answer
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call(answer)


class Asked:
    """A command `send` that waits for what becomes of its message; `answer` is called once, at `late` at the latest."""

    __slots__ = ("_answer", "_timer")

    def __init__(self, answer: Callable[[Answer | Turned], None], timers: Timers, late: float) -> None:
        self._answer: Callable[[Answer | Turned], None] | None = answer
        self._timer = timers.at(late, self._late)

    def answer(self, answer: Answer | Turned) -> None:
        """Answer, unless that is done."""
        call, self._answer = self._answer, None
        self._timer.cancel()
        if call is not None:
            call(answer)

    def _late(self) -> None:
        text = f"no answer came within {SEND_SECONDS:g} s: it may be stored yet, once"
        self.answer(Turned("outcome_unknown", text))


class Holder(Protocol):
    """The connection that has a session."""

    def end(self, code: int, text: str) -> None:
        """Close it."""


class Remembered:
    """What is kept of a page's session over lost connections: the user, and the keys of its messages."""

    __slots__ = ("holder", "name", "submissions", "until", "user")

    def __init__(self, name: str, user: str | None) -> None:
        self.name = name
        """What the page calls it."""
        self.user = user
        """Whose it is."""
        self.holder: Holder | None = None
        """The connection that has it."""
        self.until = 0.0
        """When it is forgotten, once it has no connection."""
        self.submissions: dict[str, Submission] = {}
        """By their keys, oldest first."""

    def add(self, key: str, submission: Submission) -> bool:
        """Keep a message; False if there is no place, because too many are on their way."""
        if len(self.submissions) >= MAX_KEYS:
            oldest = next((each for each, kept in self.submissions.items() if kept.answer is not None), None)
            if oldest is None:
                return False
            del self.submissions[oldest]
        self.submissions[key] = submission
        return True

    def drop(self, key: str, submission: Submission) -> None:
        """Forget a message that was not stored: it may be sent again."""
        if self.submissions.get(key) is submission:
            del self.submissions[key]
