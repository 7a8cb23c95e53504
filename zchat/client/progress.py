"""How far a `send_many` has come."""

from __future__ import annotations

from zchat.client.waiting import Stream


class Progress:
    """The progress of the `Room.send_many` that it was given to, the latest of several. Any thread may ask."""

    def __init__(self) -> None:
        self._stream = Stream()

    def __repr__(self) -> str:
        return f"<Progress {self.stored} stored, {self.unanswered} unanswered>"

    @property
    def stored(self) -> int:
        """Return how many messages are known to be stored: the first ones of those given."""
        return self._stream.stored_count

    @property
    def last(self) -> int:
        """Return the seq of the last of them, 0 before the first."""
        return self._stream.last

    @property
    def unanswered(self) -> int:
        """Return how many were sent, or are being sent, and not answered: they may or may not be stored.

        Once `send_many` has ended, in whatever way, the number only falls, as answers come; what is
        neither stored nor unanswered then never will be stored.
        """
        return self._stream.out

    def settle(self, timeout: float | None) -> bool:
        """Wait, after `send_many` has ended, for the outstanding answers; True if all have come.

        `timeout` is in seconds, 0 to return at once, None for no limit. It returns at once when none can come any more.

        Raises:
            UsageError: the timeout is wrong.
        """
        return self._stream.settle(timeout)


def follow(progress: Progress, stream: Stream) -> None:
    """Have a `Progress` follow the `send_many` that begins with `stream`."""
    progress._stream = stream
