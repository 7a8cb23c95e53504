"""A broker's file of rules, read again and again, and what has changed in it."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b

from zchat.broker.edge.audit import AuditLog
from zchat.broker.edge.rules_file import read_text, rules_of
from zchat.broker.guard.rules import Rules
from zchat.errors import BadRules
from zchat.logs import broker_log


class WatchedRules:
    """The rules in a file, read first when it is made; what becomes of them is recorded in the `audit` log.

    Raises:
        BadRules: the file can't be read, or is wrong.
    """

    def __init__(self, path: str, audit: AuditLog) -> None:
        self._path = path
        self._audit = audit
        self._text = read_text(path)
        self.rules = rules_of(path, self._text)
        """The rules at the start."""
        audit.record("rules_read", digest=_digest(self._text))
        self._wrong = ""  # why those that are in force are not those of the file
        self._new: deque[Rules] = deque(maxlen=1)

    def take(self) -> Rules | None:
        """Return the rules if they have changed since the last time. The loop's thread."""
        return self._new.popleft() if self._new else None

    def read_again(self) -> bool:
        """Read the file, and return whether there are other rules; what is wrong is logged. The watcher's thread."""
        try:
            text = read_text(self._path)
            rules = None if text == self._text else rules_of(self._path, text)
        except BadRules as error:
            if str(error) != self._wrong:
                self._wrong = str(error)
                self._audit.record("rules_wrong", text=self._wrong)
                text = "the rules are wrong, and stay as they were: %s"
                broker_log.error(text, error, event="rules_wrong", reason=self._wrong)
            return False
        if rules is None:
            if self._wrong:
                self._wrong = ""
                self._audit.record("rules_read", digest=_digest(text))
                broker_log.info("the rules are right again, as they were", event="rules_well")
            return False
        self._text, self._wrong = text, ""
        self._new.append(rules)
        digest = _digest(text)
        self._audit.record("rules_read", digest=digest)
        tables = len(rules.tables)
        text = "rules were read: tables of rooms: %d, digest %s"
        broker_log.info(text, tables, digest, event="rules_read", tables=tables, digest=digest)
        return True


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
