"""What a client greets a broker with, and what it can agree on."""

from __future__ import annotations

from typing import Any

from zchat.errors import ProtocolError
from zchat.wire.limits import MAX_WINDOW, OLDEST_VERSION, VERSION
from zchat.wire.replies import Welcome


class Greeting:
    """The greeting of one client, the same over each of its connections but for their number.

    `producer` and `token` are 16 random bytes each, the token secret; `window` is how many notifications a room may
    have unanswered, 0 for the broker's own.
    """

    def __init__(self, user: str, producer: bytes, token: bytes, window: int) -> None:
        self._user = user
        self._producer = producer
        self._token = token
        self._window = window

    def fields(self, connection: int) -> tuple[Any, ...]:
        """Return the fields of `hello` over a connection."""
        return OLDEST_VERSION, VERSION, self._user, self._producer, self._token, self._window, connection

    def check(self, welcome: Welcome) -> None:
        """Check what the broker has agreed on.

        Raises:
            ProtocolError: it is not what was asked for.
        """
        agreed = OLDEST_VERSION <= welcome.version <= VERSION
        if not agreed or welcome.window > (self._window or MAX_WINDOW):
            raise ProtocolError(
                f"the broker agreed on version {welcome.version} and a window of {welcome.window}: not as asked"
            )
