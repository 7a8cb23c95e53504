"""Suspending a command that has the screen: the terminal is given back first, and drawn again when it goes on.

SIGSTOP gives no time for that, and the shell sets the terminal as it needs it: whatever has stopped the command, it
takes the terminal again once it goes on in the foreground.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from prompt_toolkit.application import Application, get_app, run_in_terminal

SIGTSTP: int = getattr(signal, "SIGTSTP", 0)
"""The signal of Ctrl-Z; 0 where there is none."""

SIGCONT: int = getattr(signal, "SIGCONT", 0)
"""The signal that a stopped process goes on by."""

FOREGROUND_EVERY = 0.2
"""Seconds between two checks of a command that goes on in the background: a shell's `fg` then sends no signal."""


@contextmanager
def suspended_by_signal(app: Application[Any]) -> Iterator[None]:
    """Have SIGTSTP suspend the application in the way of `suspend`, and SIGCONT restore it, while the block runs."""
    loop = asyncio.get_running_loop()
    over = False
    unread = ExitStack()
    """Holds that the application reads nothing, as long as the terminal's input is another's."""

    def resume() -> None:
        if over:
            return
        unread.close()
        if in_foreground(app):
            _take_terminal(app)
        else:  # to set or read the terminal would stop the process, and a signal could no longer end it
            unread.enter_context(app.input.detach())
            loop.call_later(FOREGROUND_EVERY, resume)

    if SIGCONT:
        loop.add_signal_handler(SIGCONT, resume)
        reading = signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # what is typed before `resume` runs fails to be read
    if _possible():
        loop.add_signal_handler(SIGTSTP, suspend)
    try:
        yield
    finally:
        over = True
        unread.close()
        loop.remove_reader(app.input.fileno())  # as that may have begun to read again, after the application's end
        for number in filter(None, (SIGTSTP, SIGCONT)):
            loop.remove_signal_handler(number)
        if SIGCONT:
            signal.signal(signal.SIGTTIN, reading)


def suspend() -> None:
    """Suspend the command and its process group until SIGCONT, if that is possible. The event loop's thread."""
    if _possible() and get_app().is_running:
        run_in_terminal(_stop)


def _possible() -> bool:
    """Return False if a shell without jobs has started the command: nothing would continue it."""
    return bool(SIGTSTP) and signal.getsignal(SIGTSTP) is not signal.SIG_IGN


def _stop() -> None:
    stopping = signal.signal(SIGTSTP, signal.SIG_DFL)
    going_on = signal.signal(SIGCONT, signal.SIG_DFL)  # the terminal is taken again after this, and only once
    os.kill(0, SIGTSTP)
    signal.signal(SIGCONT, going_on)
    signal.signal(SIGTSTP, stopping)


def in_foreground(app: Application[Any]) -> bool:
    """Return True if the command has the terminal, or there is none to ask. Any thread."""
    try:
        return os.tcgetpgrp(app.input.fileno()) == os.getpgrp()
    except OSError:
        return True


def _take_terminal(app: Application[Any]) -> None:
    """Set the terminal as the application needs it, and draw, from where the cursor is or the whole screen."""
    with suppress(OSError):  # the terminal is gone, which the application notices by itself
        app.input.raw_mode().__enter__()  # for good: what was before is restored by whoever set it first
        if app.is_running:
            app.output.write_raw("\r")
            app.renderer.reset()
            app.invalidate()
