"""How far a `send_many` has come."""

from __future__ import annotations

from zchat.checks import check_timeout, shown
from zchat.errors import UsageError
from zchat.protocol.faces.outcomes import BaseStream


class Progress:
    """The progress of the `send_many` that it was given to, the latest of several. Any thread may ask."""

    def __init__(self) -> None:
        self._stream: BaseStream | None = None

    def __repr__(self) -> str:
        return f"<Progress {self.stored} stored, {self.unanswered} unanswered>"

    @property
    def stored(self) -> int:
        """Return how many messages are known to be stored: the first ones of those given."""
        return 0 if self._stream is None else self._stream.stored_count

    @property
    def last(self) -> int:
        """Return the seq of the last of them, 0 before the first."""
        return 0 if self._stream is None else self._stream.last

    @property
    def unanswered(self) -> int:
        """Return how many were sent, or are being sent, and not answered: they may or may not be stored.

        Once `send_many` has ended, in whatever way, the number only falls, as answers come; what is
        neither stored nor unanswered then never will be stored.
        """
        return 0 if self._stream is None else self._stream.out

    def settle(self, timeout: float | None) -> bool:
        """Wait, after `send_many` has ended, for the outstanding answers; True if all have come.

        `timeout` is in seconds, 0 to return at once, None for no limit. It returns at once when none can come any more.

        Raises:
            UsageError: the timeout is wrong, or it was a task's `send_many`: use `settled`.
        """
        timeout = check_timeout(timeout)
        return self._stream is None or self._stream.settle(timeout)

    async def settled(self, timeout: float | None) -> bool:
        """Wait for the outstanding answers as `settle`, in a task, after `AsyncRoom.send_many` has ended.

        Raises:
            UsageError: the timeout is wrong, or it was a thread's `send_many`: use `settle`.
        """
        timeout = check_timeout(timeout)
        return self._stream is None or await self._stream.settled(timeout)


def follow(progress: Progress, stream: BaseStream) -> None:
    """Have a `Progress` follow the `send_many` that begins with `stream`.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(progress, Progress):
        raise UsageError(f"progress is a Progress, not {shown(progress)}")
    progress._stream = stream
