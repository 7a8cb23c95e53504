"""The file descriptors of a broker's process: how many clients they are enough for, and whether they run out."""

from __future__ import annotations

from collections.abc import Iterable

from zchat import files
from zchat.address import IPC
from zchat.broker.limits import MAX_SESSIONS
from zchat.files import limit

OWN_FILES = 24
"""Open files that a broker needs for itself: libzmq's, the store's, the standard ones; about 20 were counted."""

KEPT_FREE = 16
"""Descriptors that newcomers may not take: for the store's files, scrapes of metrics, and what else runs here."""

KEPT_FREE_FOR_IPC = 4
"""With an address of ipc it is one of so many: libzmq ends the process if it finds no descriptor for such a connection,
and accepts a thousand in 20 ms, in which it may not be stopped yet."""


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


def scarce(ipc: bool) -> bool:
    """Return True if only those are free that newcomers may not take. Any thread."""
    most = limit()
    return most is not None and files.scarce(most, kept_free(most, ipc))
