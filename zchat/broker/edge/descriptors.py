"""The file descriptors of this process: how many it may have, and whether they run out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress

from zchat.address import IPC
from zchat.broker.limits import MAX_SESSIONS

if sys.platform != "win32":
    import resource

OWN_FILES = 24
"""Open files that a broker needs for itself: libzmq's, the store's, the standard ones; about 20 were counted."""

KEPT_FREE = 16
"""Descriptors that newcomers may not take: for the store's files, scrapes of metrics, and what else runs here."""

KEPT_FREE_FOR_IPC = 4
"""With an address of ipc it is one of so many: libzmq ends the process if it finds no descriptor for such a connection,
and accepts a thousand in 20 ms, in which it may not be stopped yet."""


def limit() -> int | None:
    """Return how many descriptors the process may have, None if there is no limit. Any thread."""
    if sys.platform == "win32":
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> tuple[int, int] | None:
    """Raise this process's limit as far as its user may; return the limit before and after, None if it stays."""
    before = limit()
    if sys.platform != "win32" and before is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):  # some systems have yet another limit below this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        after = limit()
        if after is not None and after > before:
            return before, after
    return None


def kept_free(most: int, ipc: bool) -> int:
    """Return how many of `most` descriptors newcomers may not take. Any thread."""
    return max(most // KEPT_FREE_FOR_IPC if ipc else 0, min(KEPT_FREE, most // 4))


def clients(urls: Iterable[str]) -> int:
    """Return for how many clients at the addresses `urls` there are descriptors, or sessions. Any thread."""
    most = limit()
    if most is None:
        return MAX_SESSIONS
    kept = OWN_FILES + kept_free(most, any(url.startswith(IPC) for url in urls))
    return max(0, min(most - kept, MAX_SESSIONS))


def scarce(file: int, ipc: bool) -> bool:
    """Return True if only those are free that newcomers may not take; `file` is any open descriptor. Any thread.

    The system gives out the lowest number that is free: if that is high, all below are taken.
    """
    most = limit()
    if most is None:
        return False
    try:
        lowest = os.dup(file)
    except OSError:
        return True
    os.close(lowest)
    return lowest >= most - kept_free(most, ipc)
