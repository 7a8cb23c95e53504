"""`zchat top` on a terminal: a full screen, drawn again with each sample and whenever its size changes."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

from zchat import Client
from zchat.cli import ending
from zchat.cli.suspending import suspend, suspended_by_signal
from zchat.cli.text.columns import padded
from zchat.cli.top.dashboard import Dashboard
from zchat.cli.top.polling import samples
from zchat.errors import ZchatError


def run(client: Client, dashboard: Dashboard, every: float, count: int | None) -> None:
    """Show a broker's samples until `q` or Ctrl-C, or `count` of them (None: no limit).

    Raises:
        KeyboardInterrupt: it was Ctrl-C.
        Refused, ProtocolError: why the client has ended.
    """
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")  # a full screen needn't ask where the cursor is
    with ending.full_screen():
        interrupted = asyncio.run(_watch(client, dashboard, every, count))
    if interrupted:
        raise KeyboardInterrupt


async def _watch(client: Client, dashboard: Dashboard, every: float, count: int | None) -> bool:
    """Return True if it was Ctrl-C that ended it."""
    screen = _screen(dashboard)
    polling: list[asyncio.Task[None]] = []

    def poll() -> None:
        for number, sample in enumerate(samples(client, every), 1):
            dashboard.add(sample)
            screen.invalidate()
            if number == count:
                return

    def ended(task: asyncio.Task[None]) -> None:
        if screen.future is not None and not screen.future.done():
            screen.exit(result=False)

    def begin() -> None:
        polling.append(asyncio.create_task(asyncio.to_thread(poll)))
        polling[0].add_done_callback(ended)

    with suspended_by_signal():
        interrupted = await screen.run_async(pre_run=begin, handle_sigint=False)
    if polling[0].done():
        await polling[0]  # raises what ended it, if something did
    await asyncio.to_thread(client.close, 0)
    with suppress(ZchatError):  # it is closed
        await polling[0]
    return interrupted


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
    return Application(Layout(window), key_bindings=keys, full_screen=True)
