"""A broker's folder of keys, read again and again, and what has changed in it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

from zchat.errors import BadKey
from zchat.log_fields import FIELDS
from zchat.transport.keys import KeyFolder, Users

log = logging.getLogger("zchat.broker")


class WatchedKeys:
    """The users in a folder of keys, read first when it is made.

    Raises:
        BadKey: the folder, or a file in it, is wrong.
    """

    def __init__(self, folder: KeyFolder) -> None:
        self._folder = folder
        self.users = folder.read()
        """The users at the start."""
        if self.users.troubles:
            raise BadKey("; ".join(self.users.troubles))
        self._last = self.users
        _notice(self.users.notes)
        self._gone = ""  # why the folder can't be read
        self._new: deque[Users] = deque(maxlen=1)

    def take(self) -> Users | None:
        """Return the users if they have changed since the last time. The loop's thread."""
        return self._new.popleft() if self._new else None

    def read_again(self) -> bool:
        """Read the folder, and return whether the users have changed; what is wrong is logged. The watcher's thread."""
        try:
            users = self._folder.read()
        except BadKey as error:
            if str(error) != self._gone:
                self._gone = str(error)
                log.error(
                    "reading keys fails: %s", error, extra={FIELDS: {"event": "keys_wrong", "reason": str(error)}}
                )
            return False
        if self._gone:
            self._gone = ""
            log.info("reading keys has recovered", extra={FIELDS: {"event": "keys_well"}})
        for text in users.troubles:
            if text not in self._last.troubles:
                fields = {"event": "key_wrong", "reason": text}
                log.error("a key is wrong, and passed over: %s", text, extra={FIELDS: fields})
        _notice(text for text in users.notes if text not in self._last.notes)
        changed = users.names != self._last.names
        if changed:
            self._note(users)
            self._new.append(users)
        self._last = users
        return changed

    def _note(self, users: Users) -> None:
        before, now = self._last.names, users.names
        added = sum(before.get(key) != name for key, name in now.items())
        removed = sum(now.get(key) != name for key, name in before.items())
        text = "keys were read: %d added, %d removed, %d in all"
        fields = {"event": "keys_read", "added": added, "removed": removed, "count": len(now)}
        log.info(text, added, removed, len(now), extra={FIELDS: fields})


def _notice(notes: Iterable[str]) -> None:
    for text in notes:
        log.info("about the keys: %s", text, extra={FIELDS: {"event": "key_notice", "reason": text}})
