"""Paths that were given, in full, wherever a program goes later, and names of files that are not complete yet."""

from __future__ import annotations

import os
import re
import secrets

from zchat.checks import shown
from zchat.errors import UsageError

FRESH_END = r"\.zchat-[0-9a-f]{16}"
"""How the names that `fresh` returns end, as a pattern; they begin with a dot and the name of the complete file."""


GONE = "the current folder was removed: go to another (cd)"
"""Why no relative path leads anywhere."""


def given(what: str, path: object, refusal: type[UsageError] = UsageError) -> str:
    """Return a path that a program was given, as text; `what` says in the error's text what it is. Any thread.

    Raises:
        UsageError: of the class `refusal`: it is no path, or one that no file can have.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
        if isinstance(text, str) and b"\0" not in os.fsencode(text):
            return text
    except (TypeError, UnicodeEncodeError):
        pass
    raise refusal(f"{what}, not {shown(path)}")


def full(path: str) -> str:
    """Return a path in full; links stay. Any thread.

    Raises:
        OSError: it is relative to a current folder that was removed; the reason says so.
    """
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, GONE, path) from error


def leads_nowhere(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is relative to a current folder that was removed. Any thread."""
    try:
        os.path.abspath(path)
    except FileNotFoundError:
        return True
    return False


def why(error: OSError, path: str | os.PathLike[str]) -> str:
    """Return in words why the system refuses a path that was given. Any thread."""
    return GONE if leads_nowhere(path) else error.strerror or str(error)


def resolved(path: str) -> str:
    """Return the path that links lead to, in full. Any thread.

    Raises:
        OSError: as `full`.
    """
    return os.path.realpath(full(path))


def fresh(path: str) -> str:
    """Return a name, nobody's, in the folder of `path` for a file that is to have that path once it is complete."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.zchat-{secrets.token_hex(8)}")


def left(path: str) -> list[str]:
    """Return the files of such names that lie beside `path`: of a process that was killed one stays.

    Raises:
        OSError: the folder can't be listed.
    """
    folder, name = os.path.split(path)
    ours = re.compile(rf"\.{re.escape(name)}{FRESH_END}")
    return [os.path.join(folder, each) for each in os.listdir(folder or ".") if ours.fullmatch(each)]
