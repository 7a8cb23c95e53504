"""Whether a command has its terminal, or another job of the shell has it.

The system stops a command that sets or reads the terminal in the background, and a signal that is to end it then only
continues it until it does so again: what the system has stopped a call for it does again before anything else is done.
So a command asks first. In the background one with a screen waits; any other stops itself, between two calls
(`streams`).
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

if sys.platform != "win32":
    import termios

P = ParamSpec("P")
T = TypeVar("T")

FOREGROUND_EVERY = 0.2
"""Seconds between two checks of a command in the background: a shell's `fg` sends no signal to one that runs."""

SIGTTIN: int = getattr(signal, "SIGTTIN", 0)
"""The signal by which the system stops what reads a terminal in the background; 0 where there is none."""

SIGTTOU: int = getattr(signal, "SIGTTOU", 0)
"""The same for what sets it, or writes to it after `stty tostop`."""


def in_foreground(terminal: int) -> bool:
    """Return True if the command has the terminal of this descriptor, or there is none to ask. Any thread."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True


def would_stop(terminal: int, number: int) -> bool:
    """Return True if the system would stop the command for reading the terminal (SIGTTIN) or writing to it (SIGTTOU).

    False where it refuses that instead: the signal is ignored, or nobody would continue the command. Any thread.
    """
    if sys.platform == "win32" or in_foreground(terminal) or signal.getsignal(number) is signal.SIG_IGN:
        return False
    try:
        if number == SIGTTOU and not termios.tcgetattr(terminal)[3] & termios.TOSTOP:
            return False
    except termios.error:
        return False
    return not _is_orphaned()


def _is_orphaned() -> bool:
    """Return True if no process of this session has started the command's group, a shell for instance, and is there."""
    try:
        parent = os.getppid()
        while parent and os.getpgid(parent) == os.getpgrp():
            with open(f"/proc/{parent}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        return not parent or os.getsid(parent) != os.getsid(0)
    except OSError:  # it has ended just now, or the system doesn't say
        return False


@contextmanager
def unstopped() -> Iterator[None]:
    """Have the system refuse what it would stop the command for in the background, while the block runs.

    That is what remains between a check and what follows it. The main thread's.
    """
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (SIGTTIN, SIGTTOU) if number}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def call_unstopped(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Return what a call returns that the system is to refuse where it would stop the command for it. Any thread.

    In the background a terminal then can't be read (EIO), but written to.
    """
    if sys.platform == "win32":
        return function(*args, **named)
    signal.pthread_sigmask(signal.SIG_BLOCK, (SIGTTIN, SIGTTOU))  # of this thread alone
    try:
        return function(*args, **named)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (SIGTTIN, SIGTTOU))


def takes(terminal: int) -> bool:
    """Return True if a terminal takes something at once. Any thread."""
    if sys.platform == "win32":
        return True
    poll = select.poll()
    poll.register(terminal, select.POLLOUT)
    return any(ready == select.POLLOUT for _, ready in poll.poll(0))


def clear_way(terminal: int) -> bool:
    """Return True if a terminal takes something, which it is made to: what it hasn't taken is dropped, Ctrl-S undone.

    False if another job has it, or it is gone. Any thread.
    """
    if sys.platform == "win32":
        return True
    if not in_foreground(terminal):
        return False
    try:
        call_unstopped(termios.tcflush, terminal, termios.TCOFLUSH)
        for action in (termios.TCOOFF, termios.TCOON):  # Linux starts only what was stopped in this way
            call_unstopped(termios.tcflow, terminal, action)
    except (OSError, termios.error):
        return False
    return takes(terminal)
