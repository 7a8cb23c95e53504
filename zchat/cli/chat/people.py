"""The users that a chat knows of."""

from __future__ import annotations

from collections import OrderedDict
from difflib import get_close_matches
from threading import Lock

from zchat.cli.text.lookalikes import LookAlikes
from zchat.errors import UsageError
from zchat.names import check_held_name, fold

SEEN = 1000
"""Users that are remembered at most: those seen last."""

ALIKE = 0.6
"""How much of two names is the same if one is taken for a slip of the other, after `difflib`."""


def closest(name: str, names: list[str]) -> str:
    """Return the name that another may have been meant for; "" if there is none."""
    folded = {fold(each): each for each in names if fold(each) != fold(name)}
    found = get_close_matches(fold(name), folded, n=1, cutoff=ALIKE)
    return folded[found[0]] if found else ""


class People:
    """The users that were seen, and those whom the user ignores. Any thread.

    `own`: the user's name.
    """

    def __init__(self, own: str) -> None:
        self.own = own
        """The user's name."""
        self._lock = Lock()
        self._look_alikes = LookAlikes()
        self._seen: OrderedDict[str, str] = OrderedDict()
        """The users that were seen, by folded name, the latest last."""
        self._ignored: dict[str, str] = {}
        """The users that are ignored, by folded name."""
        self._look_alikes.add(own)

    def saw(self, user: str) -> str | None:
        """Record a user; return the name of another, seen before, that the name looks like, once."""
        key = fold(user)
        with self._lock:
            self._seen[key] = user
            self._seen.move_to_end(key)
            if len(self._seen) > SEEN:
                self._seen.popitem(last=False)
            return self._look_alikes.add(user)

    def has_seen(self, user: str) -> bool:
        """Return True if a user was seen."""
        return fold(user) in self._seen

    @property
    def seen(self) -> list[str]:
        """Return the users that were seen."""
        with self._lock:
            return list(self._seen.values())

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
        if key == fold(self.own):
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
