"""A broker's folder of keys, read again and again, and what has changed in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from zchat.broker.edge.audit import AuditLog
from zchat.errors import BadKey
from zchat.logs import broker_log
from zchat.transport.key_folder import KeyFolder, Users

NAMED = 100
"""Keys that are added or removed at once of which each has a line in the audit log; more are only counted."""


class WatchedKeys:
    """The users in a folder of keys, read first when it is made; what changes is recorded in the `audit` log.

    Raises:
        BadKey: the folder, or a file in it, is wrong.
    """

    def __init__(self, folder: KeyFolder, audit: AuditLog) -> None:
        self._folder = folder
        self._audit = audit
        self.users = folder.read()
        """The users at the start."""
        if self.users.troubles:
            raise BadKey("; ".join(self.users.troubles))
        audit.record("keys_read", count=len(self.users.names))
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
                self._audit.record("keys_wrong", text=self._gone)
                broker_log.error("reading keys fails: %s", error, event="keys_wrong", reason=self._gone)
            return False
        if self._gone:
            self._gone = ""
            broker_log.info("reading keys has recovered", event="keys_well")
        for text in users.troubles:
            if text not in self._last.troubles:
                self._audit.record("keys_wrong", text=text)
                broker_log.error("a key is wrong, and passed over: %s", text, event="key_wrong", reason=text)
        _notice(text for text in users.notes if text not in self._last.notes)
        changed = (users.names, users.gateways) != (self._last.names, self._last.gateways)
        if changed:
            self._note(users)
            self._new.append(users)
        self._last = users
        return changed

    def _note(self, users: Users) -> None:
        before, now = _entries(self._last), _entries(users)
        added, removed = [each for each in now if each not in before], [each for each in before if each not in now]
        for event, changed in (("key_removed", removed), ("key_added", added)):
            for key, name, kind in changed[:NAMED]:
                self._audit.record(event, key=key, user=name, kind=kind)
        self._audit.record("keys_read", added=len(added), removed=len(removed), count=len(now))
        text = "keys were read: %d added, %d removed, %d in all"
        counts = {"added": len(added), "removed": len(removed), "count": len(now)}
        broker_log.info(text, *counts.values(), event="keys_read", **counts)


def _entries(users: Users) -> dict[tuple[str, str, str], None]:
    """Return the keys, whose each is, and of which kind: gateways' or, "", users'."""
    return {(key, name, "gateway" if key in users.gateways else ""): None for key, name in users.names.items()}


def _notice(notes: Iterable[str]) -> None:
    for text in notes:
        broker_log.info("about the keys: %s", text, event="key_notice", reason=text)
