"""Suspending a command that has the screen: the terminal is given back first, and drawn again when it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from prompt_toolkit.application import get_app, run_in_terminal

SIGTSTP: int = getattr(signal, "SIGTSTP", 0)
"""The signal of Ctrl-Z; 0 where there is none."""


@contextmanager
def suspended_by_signal() -> Iterator[None]:
    """Have SIGTSTP suspend the application of prompt_toolkit in the way of `suspend` while the block runs."""
    if not _possible():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(SIGTSTP, suspend)
    try:
        yield
    finally:
        loop.remove_signal_handler(SIGTSTP)


def suspend() -> None:
    """Suspend the command and its process group until SIGCONT, if that is possible. The event loop's thread."""
    if _possible() and get_app().is_running:
        run_in_terminal(_stop)


def _possible() -> bool:
    """Return False if a shell without jobs has started the command: nothing would continue it."""
    return bool(SIGTSTP) and signal.getsignal(SIGTSTP) is not signal.SIG_IGN


def _stop() -> None:
    before = signal.signal(SIGTSTP, signal.SIG_DFL)
    os.kill(0, SIGTSTP)
    signal.signal(SIGTSTP, before)
