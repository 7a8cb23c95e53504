"""`zchat top` on a terminal: a full screen, drawn again with each sample and whenever its size changes."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

from zchat import Client
from zchat.cli import ending, logs
from zchat.cli.failures import HUNG_UP, INTERRUPTED, Interrupted
from zchat.cli.screen import event_loop
from zchat.cli.screen.loop_threads import LoopThreads
from zchat.cli.screen.redraw import Redraw
from zchat.cli.screen.suspending import suspend, suspended_by_signal
from zchat.cli.screen.terminal_input import terminal_input
from zchat.cli.screen.terminal_output import draw_whole_rows, drawn_by_cells, terminal_output
from zchat.cli.text.columns import padded
from zchat.cli.top.dashboard import Dashboard
from zchat.cli.top.polling import samples
from zchat.errors import ZchatError

THREADS = 2
"""Threads that the event loop waits in: one takes the samples, one closes the client."""


def run(client: Client, dashboard: Dashboard, every: float, count: int | None) -> None:
    """Show a broker's samples until `q` or Ctrl-C, or `count` of them (None: no limit).

    Raises:
        Interrupted: it was Ctrl-C, or the terminal is gone.
        Refused, ProtocolError: why the client has ended.
    """
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")  # a full screen needn't ask where the cursor is
    with logs.held(), ending.full_screen():
        code = event_loop.run(_watch(client, dashboard, every, count))
    if code:
        raise Interrupted(code)


def size() -> Size:
    """Return the rows and columns that are drawn."""
    return terminal_output().get_size()


async def _watch(client: Client, dashboard: Dashboard, every: float, count: int | None) -> int:
    """Return the exit code if Ctrl-C or the end of the terminal has ended it, else 0."""
    screen = _screen(dashboard)
    redraw = Redraw(screen)
    polling: list[asyncio.Task[None]] = []
    threads = LoopThreads(THREADS)

    def poll() -> None:
        for number, sample in enumerate(samples(client, every), 1):
            dashboard.add(sample)
            redraw()
            if number == count:
                return

    def ended(task: asyncio.Task[None]) -> None:
        if screen.future is not None and not screen.future.done():
            screen.exit(result=False)

    def begin() -> None:
        polling.append(asyncio.create_task(threads.do(poll)))
        polling[0].add_done_callback(ended)

    try:
        with suspended_by_signal(screen):
            interrupted = await screen.run_async(pre_run=begin, handle_sigint=False, set_exception_handler=False)
        code = INTERRUPTED if interrupted else 0
    except (EOFError, OSError):  # the terminal is gone
        code = HUNG_UP
    for task in polling:
        if task.done():
            await task  # raises what ended it, if something did
        await threads.do(client.close, 0)
        with suppress(ZchatError):  # it is closed
            await task
    return code


def _screen(dashboard: Dashboard) -> Application[bool]:
    keys = KeyBindings()

    @keys.add("q")
    @keys.add("Q")
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(result=False)

    @keys.add("c-c")
    @keys.add("<sigint>")
    def interrupt(event: KeyPressEvent) -> None:
        event.app.exit(result=True)

    @keys.add("c-z")
    def stop(event: KeyPressEvent) -> None:
        suspend()

    def text() -> StyleAndTextTuples:
        size = get_app().output.get_size()
        found: StyleAndTextTuples = []
        for line in dashboard.lines(size.columns, size.rows):
            style = "" if not line.heading else "bold" if found else "reverse"
            found.append((style, padded(line.text, size.columns) if style else line.text))
            found.append(("", "\n"))
        return found[:-1]

    window = Window(FormattedTextControl(text), always_hide_cursor=True)
    output = drawn_by_cells(terminal_output())
    output.enable_bracketed_paste = lambda: None  # type: ignore[method-assign]  # nothing is pasted into it
    app: Application[bool] = Application(
        Layout(window), key_bindings=keys, full_screen=True, input=terminal_input(), output=output
    )
    draw_whole_rows(app)
    return app
