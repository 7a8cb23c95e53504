"""The users that a chat knows of."""

from __future__ import annotations

from threading import Lock

from zchat.cli.text.lookalikes import LookAlikes
from zchat.errors import UsageError
from zchat.names import check_held_name, fold


class People:
    """The users that were seen, and those whom the user ignores. Any thread.

    `own`: the user's name.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        self._lock = Lock()
        self._look_alikes = LookAlikes()
        self._ignored: dict[str, str] = {}
        """The users that are ignored, by folded name."""
        self._look_alikes.add(own)

    def saw(self, user: str) -> str | None:
        """Record a user; return the name of another, seen before, that the name looks like, once."""
        with self._lock:
            return self._look_alikes.add(user)

    def is_ignored(self, user: str) -> bool:
        """Return True if what a user says is not to be shown."""
        return bool(self._ignored) and fold(user) in self._ignored

    def ignore(self, user: str) -> bool:
        """Ignore a user, or no longer; return True if the user is ignored now.

        Raises:
            BadName: no user has such a name.
            UsageError: it is the user's own.
        """
        key = fold(check_held_name("user", user))
        if key == fold(self._own):
            raise UsageError("that is your own name; name another user")
        with self._lock:
            if self._ignored.pop(key, None) is not None:
                return False
            self._ignored[key] = user
            return True

    @property
    def ignored(self) -> list[str]:
        """Return the users that are ignored."""
        with self._lock:
            return list(self._ignored.values())
