"""The file descriptors and threads that a command requires: whether it has them is known before it does anything."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from zchat import threads

FILES = 32
"""Descriptors that have to be free: a chat on a terminal has 24 open besides the standard ones, and takes 8 more for a
moment when it connects again. A broker checks for those of its clients itself."""

THREADS = 12
"""Threads that have to be free: a chat on a terminal has 11 besides its first."""


MEMORY = 32 << 20
"""Bytes: a command that is so near its limit on memory and fails by an error that nothing foresees lacks memory."""


def trouble() -> str:
    """Return what is wrong with the limits on open files and threads, and what to do; "" if enough are free."""
    return _trouble_with_files() or _trouble_with_threads()


def _trouble_with_files() -> str:
    """Return the same of open files. A limit that the user may raise is raised first, as far as that."""
    count = _free()
    if count < FILES and _raise_limit(FILES - count):
        count = _free()
    if count >= FILES:
        return ""
    return f"too few files can be opened: {count} of the {FILES} that are needed; raise the limit (ulimit -n 1024)"


def _trouble_with_threads() -> str:
    """Return the same of threads; "" where memory is limited, too: to try takes as much of that as there will be."""
    if _memory_is_limited():
        return ""
    count, more = threads.free(THREADS)
    return more and f"too few threads can be started: {count} of the {THREADS} that are needed; {more}"


def lacks_memory(error: BaseException) -> bool:
    """Return True if an error means that there is too little memory.

    While Python loads a module, the want of memory turns up as an error of any kind: then the limit is asked.
    """
    words = ("failed to map segment", "cannot allocate memory")  # of the loader of libraries
    if isinstance(error, MemoryError) or any(each in str(error).lower() for each in words):
        return True
    return _memory_is_limited() and not threads.has_memory(MEMORY)


def report_lack_of_memory() -> None:
    """Report that, with nothing that would have to be loaded."""
    with suppress(OSError):
        os.write(2, b"zchat: there is too little memory; raise the limit on it (ulimit -v)\n")


def _memory_is_limited() -> bool:
    if sys.platform == "win32":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


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
