"""Paths in full, wherever a program goes later."""

from __future__ import annotations

import os


def full(path: str) -> str:
    """Return a path in full; links stay. Any thread.

    Raises:
        OSError: it is relative to a current folder that was removed; the reason says so.
    """
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "the current folder was removed: go to another (cd)", path) from error


def resolved(path: str) -> str:
    """Return the path that links lead to, in full. Any thread.

    Raises:
        OSError: as `full`.
    """
    return os.path.realpath(full(path))
