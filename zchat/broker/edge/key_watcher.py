"""The watcher of a broker's folder of keys: a thread that reads it every second, and hands on what has changed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from zchat.broker.limits import KEYS_READ_EVERY
from zchat.errors import BadKey
from zchat.log_fields import FIELDS
from zchat.threads import Bell, RealThread, start
from zchat.transport.keys import KeyFolder, Users

log = logging.getLogger("zchat.broker")

JOIN_SECONDS = 2.0
"""How long the thread may take to end: a folder on a network's file system may hang."""


class KeyWatcher:
    """Reads a folder of keys, first when it is made, then every second or when asked to.

    `changed` is called in its thread once there is something to `take`.

    Raises:
        BadKey: the folder, or a file in it, is wrong.
    """

    def __init__(self, folder: KeyFolder, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self.users = folder.read()
        """The users at the start."""
        if self.users.troubles:
            raise BadKey("; ".join(self.users.troubles))
        self._last = self.users
        self._gone = ""  # why the folder can't be read
        self._new: deque[Users] = deque(maxlen=1)
        self._asked = False
        self._bell = Bell()
        self._over = False
        self._thread = RealThread(self._run, "zchat-keys")

    def start(self) -> None:
        """Begin to watch."""
        start(self._thread)

    def read_now(self) -> None:
        """Have the folder read at once. Any thread."""
        self._asked = True
        self._bell.ring()

    def take(self) -> Users | None:
        """Return the users if they have changed since the last time. The loop's thread."""
        return self._new.popleft() if self._new else None

    def close(self) -> None:
        """End the thread, if it was begun."""
        self._over = True
        self._bell.ring()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._over:
            self._bell.wait(lambda: self._asked or self._over, KEYS_READ_EVERY)
            self._asked = False
            if not self._over:
                self._read()

    def _read(self) -> None:
        try:
            users = self._folder.read()
        except BadKey as error:
            if str(error) != self._gone:
                self._gone = str(error)
                log.error(
                    "reading keys fails: %s", error, extra={FIELDS: {"event": "keys_wrong", "reason": str(error)}}
                )
            return
        if self._gone:
            self._gone = ""
            log.info("reading keys has recovered", extra={FIELDS: {"event": "keys_well"}})
        for text in users.troubles:
            if text not in self._last.troubles:
                fields = {"event": "key_wrong", "reason": text}
                log.error("a key is wrong, and passed over: %s", text, extra={FIELDS: fields})
        if users.names != self._last.names:
            self._note(users)
            self._new.append(users)
            self._changed()
        self._last = users

    def _note(self, users: Users) -> None:
        before, now = self._last.names, users.names
        added = sum(before.get(key) != name for key, name in now.items())
        removed = sum(now.get(key) != name for key, name in before.items())
        text = "keys were read: %d added, %d removed, %d in all"
        fields = {"event": "keys_read", "added": added, "removed": removed, "count": len(now)}
        log.info(text, added, removed, len(now), extra={FIELDS: fields})
