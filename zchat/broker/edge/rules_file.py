"""The file of rules, read."""

from __future__ import annotations

import os

from zchat.broker.guard.rules import Rules
from zchat.broker.guard.rules_text import parse
from zchat.broker.limits import RULES_BYTES
from zchat.checks import shown
from zchat.errors import BadRules
from zchat.files import read_bounded
from zchat.paths import why


def read_rules(path: str | os.PathLike[str]) -> Rules:
    """Return the rules in a file. Any thread.

    Raises:
        BadRules: it can't be read, or says what rules can't say.
    """
    return rules_of(path, read_text(path))


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file of rules; raises BadRules. Any thread."""
    name = shown(os.fspath(path))
    try:
        data = read_bounded(path, RULES_BYTES)
    except OSError as error:
        raise BadRules(f"the rules in {name} can't be read: {why(error, path)}") from error
    if len(data) > RULES_BYTES:
        raise BadRules(f"{name} has more than {RULES_BYTES:,} bytes, the most that rules may have")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        raise BadRules(f"{name}, line {line}: what stands there is not UTF-8") from error


def rules_of(path: str | os.PathLike[str], text: str) -> Rules:
    """Return the rules that a file's text has; raises BadRules, which names the file. Any thread."""
    try:
        return parse(text)
    except BadRules as error:
        raise BadRules(f"{shown(os.fspath(path))}, {error}") from error
