"""Files whose close fails, as in a network, or where the user's quota is used up: they are closed all the same."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REASON = os.strerror(errno.EDQUOT)
"""What the system says of it."""


class Failing:
    """Has `os.close` fail for the descriptors of which `which` says so; counts these, and what is closed twice."""

    def __init__(self, which: Callable[[int], bool], close: Callable[[int], None]) -> None:
        self.count = 0
        self.twice: list[int] = []
        self._which = which
        self._close = close

    def close(self, descriptor: int) -> None:
        """Close a descriptor, and raise OSError if it is one of those."""
        try:
            failing = self._which(descriptor)
        except OSError:
            self.twice.append(descriptor)
            raise
        self._close(descriptor)
        if failing:
            self.count += 1
            raise OSError(errno.EDQUOT, REASON)


def is_file(descriptor: int) -> bool:
    """Return True for a regular file, or a folder; raises OSError for what is closed."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


@contextmanager
def failing(which: Callable[[int], bool] = is_file) -> Iterator[Failing]:
    """Have the closes of files fail in the block, and see that none is closed twice."""
    with pytest.MonkeyPatch.context() as patch:
        found = Failing(which, os.close)
        patch.setattr(os, "close", found.close)
        yield found
    assert not found.twice, "closed twice"


def still_open(folder: Path) -> list[str]:
    """Return the files in a folder that this process has open, where the system tells."""
    if sys.platform != "linux":
        return []
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            place = os.readlink(each)
        except FileNotFoundError:  # that of the listing itself
            continue
        if place.startswith(f"{folder}/"):
            found.append(place)
    return found


FULL_AT_THE_CLOSE = f"""
import errno, os, stat
close, times = os.close, []

def closing(descriptor):
    found = os.fstat(descriptor)
    close(descriptor)
    if stat.S_ISREG(found.st_mode) and os.path.samestat(found, os.fstat(1)) and found.st_size and not times:
        times.append(descriptor)  # the system reports it once
        raise OSError(errno.EDQUOT, {REASON!r})

os.close = closing
from zchat.cli.main import main
main()
"""
"""A program that is `zchat` with a standard output of which the first close alone says that it could not be written."""
