"""Whether a command has its terminal, or another job of the shell has it.

The system stops a command that sets or reads the terminal in the background, and a signal that is to end it then only
continues it until it does so again. So a command with a screen asks first, and in the background it waits.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FOREGROUND_EVERY = 0.2
"""Seconds between two checks of a command in the background: a shell's `fg` sends no signal to one that runs."""


def in_foreground(terminal: int) -> bool:
    """Return True if the command has the terminal of this descriptor, or there is none to ask. Any thread."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True


@contextmanager
def unstopped() -> Iterator[None]:
    """Have the system refuse what it would stop the command for in the background, while the block runs.

    That is what remains between a check and what follows it. The main thread's.
    """
    numbers = [getattr(signal, name) for name in ("SIGTTIN", "SIGTTOU") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
