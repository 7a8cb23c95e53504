"""A broker's file of rules, read again and again, and what has changed in it."""

from __future__ import annotations

import logging
from collections import deque
from hashlib import blake2b

from zchat.broker.edge.rules_file import read_text, rules_of
from zchat.broker.guard.rules import Rules
from zchat.errors import BadRules
from zchat.log_fields import FIELDS

log = logging.getLogger("zchat.broker")


class WatchedRules:
    """The rules in a file, read first when it is made.

    Raises:
        BadRules: the file can't be read, or is wrong.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._text = read_text(path)
        self.rules = rules_of(path, self._text)
        """The rules at the start."""
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
                fields = {"event": "rules_wrong", "reason": str(error)}
                log.error("the rules are wrong, and stay as they were: %s", error, extra={FIELDS: fields})
            return False
        if rules is None:
            if self._wrong:
                self._wrong = ""
                log.info("the rules are right again, as they were", extra={FIELDS: {"event": "rules_well"}})
            return False
        self._text, self._wrong = text, ""
        digest = blake2b(text.encode(), digest_size=8).hexdigest()
        tables = len(rules.tables)
        text = "rules were read: tables of rooms: %d, digest %s"
        log.info(text, tables, digest, extra={FIELDS: {"event": "rules_read", "tables": tables, "digest": digest}})
        self._new.append(rules)
        return True
