"""Suspending a command that has the screen: the terminal is given back first, and drawn again when it goes on.

SIGSTOP gives no time for that, and the shell sets the terminal as it needs it: whatever has stopped the command, it
takes the terminal again once it goes on in the foreground. Until then it draws nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from prompt_toolkit.application import Application, get_app, in_terminal

from zchat.cli.foreground import FOREGROUND_EVERY, in_foreground

SIGTSTP: int = getattr(signal, "SIGTSTP", 0)
"""The signal of Ctrl-Z; 0 where there is none."""

SIGCONT: int = getattr(signal, "SIGCONT", 0)
"""The signal that a stopped process goes on by."""


@contextmanager
def suspended_by_signal(app: Application[Any]) -> Iterator[None]:
    """Have SIGTSTP suspend the application in the way of `suspend`, and SIGCONT restore it, while the block runs."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Task[None] | None = None
    over = False

    async def wait() -> None:
        with suppress(OSError):  # the terminal is gone, which the application notices by itself
            async with given_back(app):
                await foreground(app.input.fileno(), lambda: over or app.is_done)
        if not over:
            _take_terminal(app)

    def resume() -> None:
        nonlocal waiting
        if in_foreground(app.input.fileno()):
            _take_terminal(app)
        elif waiting is None or waiting.done():
            waiting = loop.create_task(wait())

    if SIGCONT:
        loop.add_signal_handler(SIGCONT, resume)
    if _possible():
        loop.add_signal_handler(SIGTSTP, suspend)
    try:
        yield
    finally:
        over = True
        loop.remove_reader(app.input.fileno())  # as that may have begun to read again, after the application's end
        for number in filter(None, (SIGTSTP, SIGCONT)):
            loop.remove_signal_handler(number)


def suspend() -> None:
    """Suspend the command and its process group until SIGCONT, if that is possible. The event loop's thread."""
    app = get_app()
    if not (_possible() and app.is_running):
        return
    if in_foreground(app.input.fileno()):
        app.create_background_task(_suspended(app))
    else:  # it has no terminal to give back, and what waits for that goes on waiting afterwards
        _stop()


async def _suspended(app: Application[Any]) -> None:
    with suppress(OSError):  # as above
        async with given_back(app):
            _stop()
            await foreground(app.input.fileno(), lambda: app.is_done)


def has_terminal(app: Application[Any]) -> bool:
    """Return False while other programs have the terminal, or soon will. The event loop's thread."""
    return not getattr(app.input, "given_back", False) and in_foreground(app.input.fileno())


@asynccontextmanager
async def given_back(app: Application[Any]) -> AsyncIterator[None]:
    """Have the terminal as other programs use it while the block runs, and nothing drawn."""
    terminal: Any = app.input  # a `TerminalInput`, where there are terminals of that kind
    terminal.given_back = True
    try:
        async with in_terminal():
            yield
    finally:
        terminal.given_back = False


async def foreground(terminal: int, over: Callable[[], object]) -> None:
    """Return once the command has the terminal, or `over` returns something true."""
    while not (over() or in_foreground(terminal)):
        await asyncio.sleep(FOREGROUND_EVERY)


def _possible() -> bool:
    """Return False if a shell without jobs has started the command: nothing would continue it."""
    return bool(SIGTSTP) and signal.getsignal(SIGTSTP) is not signal.SIG_IGN


def _stop() -> None:
    stopping = signal.signal(SIGTSTP, signal.SIG_DFL)
    going_on = signal.signal(SIGCONT, signal.SIG_DFL)  # the terminal is taken again after this, and only once
    os.kill(0, SIGTSTP)
    signal.signal(SIGCONT, going_on)
    signal.signal(SIGTSTP, stopping)


def _take_terminal(app: Application[Any]) -> None:
    """Set the terminal as the application needs it, and draw, from where the cursor is or the whole screen."""
    with suppress(OSError):  # the terminal is gone, which the application notices by itself
        app.input.raw_mode().__enter__()  # for good: what was before is restored by what set it first
        if app.is_running:
            app.output.write_raw("\r")
            app.renderer.reset()
            app.invalidate()
