"""`zchat client` on a terminal: a line editor and a status line, above which messages scroll by."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from threading import Condition, get_ident
from typing import Any

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from zchat import Client
from zchat.cli.chat.conversation import Chat, Manners
from zchat.cli.chat.editor import Editor
from zchat.cli.connection import connect
from zchat.cli.failures import Interrupted
from zchat.cli.text.colours import fragments, rows
from zchat.cli.text.phrases import counted
from zchat.errors import ZchatError

WAITING = 1000
"""Texts that wait to be drawn before whoever brings more has to wait: a second of a busy room."""

KEPT = 200
"""Texts kept to be drawn anew when the terminal gets another size: more than a large one shows."""

FOOT = 2
"""Rows at the foot of the screen that are the editor's at least."""

DRAIN_SECONDS = 5.0
"""Seconds that what was said may take to be stored when one leaves: as long as any other answer."""

PROMPT_SECONDS = 0.3
"""Seconds for which one who leaves waits for that without being told: most answers come sooner."""

HANG_SECONDS = 2.0
"""Seconds that drawing may take at the end: at a terminal that is gone prompt_toolkit can wait for ever."""

HUNG_UP = 129
"""What a program exits with whose terminal is gone, as a shell says it of SIGHUP."""

PLAIN = Style([])
"""No style but what a text's own fragments say."""


def run(url: str, user: str | None, rooms: tuple[str, ...], manners: Manners) -> None:
    """Chat on the terminal until `/quit`, Ctrl-D, or the broker refuses it for good."""
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")  # asking where the cursor is delays every message
    screen = Screen()
    chat = Chat(screen.show, manners, own_name=True, waits=False)
    with connect(url, user, chat.on_event) as client:
        left = asyncio.run(_converse(client, chat, screen, rooms))
    if left is not None:  # not from within: a KeyboardInterrupt in a task would tear the event loop down
        raise Interrupted(left)
    if chat.unstored:
        raise ZchatError(f"{counted(chat.unstored, 'message')} of yours could not be stored, as told above")


async def _converse(client: Client, chat: Chat, screen: Screen, rooms: tuple[str, ...]) -> int | None:
    """Chat until the end; returns what the program exits with if that came from outside, else None."""
    outbox = chat.outbox
    assert outbox is not None
    editor = Editor(chat, outbox)
    app = editor.app
    chat.fits = editor.fits
    app.after_render += lambda app: screen.look(app.output)
    with suppress(NotImplementedError):  # Windows has none
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, editor.leave, 128 + number)
    drawing = asyncio.create_task(screen.draw(app.output))
    watching = asyncio.create_task(asyncio.to_thread(client.wait))

    async def do_lines() -> None:
        while (line := await editor.lines.next()) is not None:
            if not await asyncio.to_thread(chat.enter, line):
                break
            if chat.astray and (texts := editor.lines.withdraw()):
                await asyncio.to_thread(chat.unsaid, texts, "it was typed for where you could not go")

    async def first(*tasks: asyncio.Future[Any]) -> None:
        await asyncio.wait((*tasks, editor.left, watching, drawing), return_when=asyncio.FIRST_COMPLETED)

    async def talk() -> None:
        with app.input.raw_mode():  # from the beginning, or what is typed before the editor is there is echoed
            await asyncio.to_thread(chat.begin, client, rooms)
            started = asyncio.Event()
            editing = asyncio.create_task(app.run_async(pre_run=started.set))
            await first(editing, asyncio.create_task(started.wait()))
            doing = asyncio.create_task(do_lines())
            await first(editing, doing)
            said_all = doing.done()
            doing.cancel()
            if app.is_running and app.future and not app.future.done():
                app.exit()
            await _ended(editing)
        if said_all:
            doing.result()
            await asyncio.to_thread(outbox.drain, PROMPT_SECONDS)
            if waiting := outbox.waiting:
                count = counted(len(waiting), "message")
                told = f"{count} not stored yet: waiting {DRAIN_SECONDS:g} s, Ctrl-C gives up"
                await asyncio.to_thread(chat.tell, told)  # not here: it may have to wait for what is drawn here
                await asyncio.to_thread(outbox.drain, DRAIN_SECONDS)

    talking = asyncio.create_task(talk())
    try:
        await first(talking)
        await asyncio.wait((talking,), timeout=None if not editor.left.done() else HANG_SECONDS)
    finally:
        chat.leaving = True
        texts = [draft.text for draft in outbox.withdraw()] + editor.lines.withdraw()
        if texts:
            await asyncio.to_thread(chat.unsaid, texts, "you left before")
        await asyncio.to_thread(client.close)
        await asyncio.to_thread(outbox.end, DRAIN_SECONDS)
        screen.end()
        await asyncio.to_thread(chat.close)
    try:
        await _ended(talking, watching, drawing)
    except (EOFError, OSError):  # the terminal is gone
        editor.leave(HUNG_UP)
    return editor.left.result() if editor.left.done() else None


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks to end, and raise what one raised; those that hang at a terminal that is gone are given up."""
    await asyncio.wait(tasks, timeout=HANG_SECONDS)
    for task in tasks:
        if not task.cancel():
            task.result()


class Screen:
    """Draw texts above the line that is being typed, in the order in which they come.

    When the terminal gets another size the latest are drawn anew: what it makes of lines that were
    as long as it was wide is its own affair, and the editor can't know where its own lines went.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._changed = Condition()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drawer = 0
        self._wake = asyncio.Event()
        self._latest: deque[str] = deque(maxlen=KEPT)
        self._size: Size | None = None
        self._resized = False

    def show(self, text: str) -> None:
        """Have a text drawn soon; wait while too many do. Any thread but the event loop's."""
        assert get_ident() != self._drawer, "whoever draws would wait for itself"
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._texts) < WAITING)
            if not self._ended:
                self._texts.append(text)
                self._rouse()

    def end(self) -> None:
        """Take no more texts; `draw` returns when what has come is drawn. Any thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._rouse()

    def look(self, output: Output) -> None:
        """Look whether the terminal has another size than at the last look. The event loop's thread."""
        size = output.get_size()
        if self._size is not None and size != self._size:
            self._resized = True
            self._wake.set()
        self._size = size

    def _rouse(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def draw(self, output: Output) -> None:
        """Draw until the end."""
        self._loop = asyncio.get_running_loop()
        self._drawer = get_ident()
        ended = False
        while not ended:
            with self._changed:
                texts, self._texts = self._texts, []
                ended = self._ended
                self._changed.notify_all()
                self._wake.clear()
            self._latest.extend(texts)
            if self._resized:
                self._resized = False
                await run_in_terminal(partial(self._draw_anew, output))
            elif texts:
                await run_in_terminal(partial(_write, output, texts))
            elif not ended:
                await self._wake.wait()

    def _draw_anew(self, output: Output) -> None:
        size = output.get_size()
        left = size.rows - FOOT
        texts: list[str] = []
        for text in reversed(self._latest):
            taken = rows(text, size.columns)
            texts.append(text if len(taken) <= left else "\n".join(taken[len(taken) - left :]))
            left -= len(taken)
            if left <= 0:
                break
        output.erase_screen()
        output.cursor_goto(0, 0)
        _write(output, texts[::-1])


def _write(output: Output, texts: Iterable[str]) -> None:
    width = output.get_size().columns
    painted = FormattedText(each for text in texts for each in (*fragments(text, width), ("", "\n")))
    print_formatted_text(output, painted, PLAIN)
