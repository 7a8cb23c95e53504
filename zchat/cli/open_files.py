"""The file descriptors that a command requires: whether it has them is known before it does anything."""

from __future__ import annotations

import os
import sys

FILES = 32
"""Descriptors that have to be free: a chat on a terminal has 24 open besides the standard ones, and takes 8 more for a
moment when it connects again. A broker checks for those of its clients itself."""


def trouble() -> str:
    """Return what is wrong with the limit on open files, and what to do; "" if enough are free.

    A limit that the user may raise is raised first, as far as that.
    """
    count = _free()
    if count < FILES and _raise_limit(FILES - count):
        count = _free()
    if count >= FILES:
        return ""
    return f"too few files can be opened: {count} of the {FILES} that are needed; raise the limit (ulimit -n 1024)"


def _free() -> int:
    """Return how many descriptors are free, `FILES` at most."""
    taken: list[int] = []
    try:
        while len(taken) < FILES:
            taken += os.pipe()
    except OSError:
        pass
    for each in taken:
        os.close(each)
    return len(taken)


def _raise_limit(count: int) -> bool:
    """Return True if so many more may be opened from now on."""
    if sys.platform == "win32":
        return False
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:  # others have taken the system's
        return False
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft + count, hard))
    except (OSError, ValueError):
        return False
    return True
