"""The screen of a chat: texts above the line that is being typed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from threading import Condition, get_ident

from prompt_toolkit.application import in_terminal
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from zchat.cli.foreground import FOREGROUND_EVERY
from zchat.cli.text.colours import fragments, rows, styled_message
from zchat.cli.text.columns import height
from zchat.cli.text.message_lines import MessageLines, cut_with
from zchat.messages import Message

WAITING = 1000
"""Texts that wait to be drawn before `show` has to wait: a second of a busy room."""

KEPT = 200
"""Texts kept to be drawn again when the terminal changes its size: more than a large one shows."""

BELL_SECONDS = 2.0
"""Seconds between two rings: of many messages at once the first one says enough."""

FOOT = 2
"""Rows at the foot of the screen that belong to the editor at least."""

PAGE_FOOT = 4
"""Rows that a page of history leaves: for the line being typed, the status, a heading, and one to know the place by."""

_NO_STYLE = Style([])
"""No style but what a text's own fragments say."""


class _Wait:
    """The wait for a call that shows texts."""

    over = False
    """True once nobody waits for it."""


_wait: ContextVar[_Wait | None] = ContextVar("_wait", default=None)


@contextmanager
def shown_while_awaited() -> Iterator[None]:
    """Show what calls show that are begun in the block until it is left: a thread can't be broken off."""
    wait = _Wait()
    token = _wait.set(wait)
    try:
        yield
    finally:
        wait.over = True
        _wait.reset(token)


class Screen:
    """The texts above the line that is being typed, in the order in which they come.

    When the terminal changes its size the latest are drawn again: how it rewraps lines that were as
    wide as itself is its own affair, and the editor can't know where its own lines went.

    Args:
        output: the terminal.
        has_terminal: returns False while other programs have it, another job for example. Nothing is drawn then.
    """

    def __init__(self, output: Output, has_terminal: Callable[[], bool] = lambda: True) -> None:
        self._output = output
        self._has_terminal = has_terminal
        self._texts: list[tuple[str, Callable[[], object]]] = []
        """What is not drawn yet."""
        self._changed = Condition()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drawer = 0
        """The thread that draws; 0 before it begins."""
        self._wake = asyncio.Event()
        self._latest: deque[str] = deque(maxlen=KEPT)
        self._size: Size | None = None
        self._resized = False
        self._cleared = False
        self._rung_at = -BELL_SECONDS
        """When the bell was rung last."""
        self._bell = False
        """True if it is to be rung."""

    @property
    def width(self) -> int:
        """Return the terminal's columns."""
        return self._output.get_size().columns

    def fits(self, messages: list[Message], *, half: bool = False) -> int:
        """Return how many of the last messages fit above the foot of the screen, one at least. Any thread.

        `half`: of half the screen, with a line that says where the new ones begin.
        """
        size = self._output.get_size()
        left = size.rows // 2 - 1 if half else size.rows - PAGE_FOOT
        lines = MessageLines()
        count = 0
        for message in reversed(messages):
            shown = styled_message(lines.parts(message, cut=cut_with("")), message.user, "")
            left -= sum(height(row, size.columns) for row in rows(shown, size.columns))
            if left < 0:
                break
            count += 1
        return max(1, count)

    def show(self, text: str, drawn: Callable[[], object]) -> None:
        """Have a text drawn soon, and `drawn` called then; wait while too many do. Any thread but the event loop's.

        It isn't drawn after the end, and if nobody waits for the call any more that shows it. Drawn means written: the
        system has taken it for the terminal. The event loop's thread calls `drawn`, in the order of the texts, before
        the line being typed and the status are drawn again; after "" it does so once those before it are drawn.
        """
        assert get_ident() != self._drawer, "the drawing thread would wait for itself"
        wait = _wait.get()
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._texts) < WAITING)
            if not (self._ended or (wait is not None and wait.over)):
                self._texts.append((text, drawn))
                self._rouse()

    async def caught_up(self) -> None:
        """Return once what was shown until now is drawn, or at once while it can't be. The event loop's."""
        if self._has_terminal():
            drawn = asyncio.Event()
            with self._changed:
                self._texts.append(("", drawn.set))
                self._rouse()
            await drawn.wait()

    def clear(self) -> None:
        """Clear the screen; what was on it isn't drawn again when the terminal changes its size. Any thread."""
        with self._changed:
            self._cleared = True
            self._rouse()

    def ring(self) -> None:
        """Ring the bell, unless that was done just now. Any thread."""
        with self._changed:
            now = time.monotonic()
            if now - self._rung_at >= BELL_SECONDS:
                self._rung_at = now
                self._bell = True
                self._rouse()

    def end(self) -> None:
        """Take no more texts; `draw` returns when those that have come are drawn, or can't be. Any thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._rouse()

    def notice_size(self) -> None:
        """Have the screen drawn again if the terminal's size has changed since the last call. The event loop's."""
        size = self._output.get_size()
        if self._size is not None and size != self._size:
            self._resized = True
            self._wake.set()
        self._size = size

    def _rouse(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def draw(self) -> None:
        """Draw until the end."""
        self._loop = asyncio.get_running_loop()
        self._drawer = get_ident()
        ended = False
        while not ended:
            with self._changed:
                texts, self._texts = self._texts, []
                ended = self._ended
                cleared, self._cleared = self._cleared, False
                bell, self._bell = self._bell, False
                self._changed.notify_all()
                self._wake.clear()
            if cleared:
                self._latest.clear()
            if not (cleared or bell or texts or self._resized or ended):
                await self._wake.wait()
                continue
            if not await self._terminal():
                return
            draws = cleared or self._resized or any(text for text, _ in texts)
            async with in_terminal() if draws else nullcontext():
                if cleared:
                    self._erase()
                if self._resized:
                    self._resized = False
                    self._draw_again()
                self._draw(texts)
            if bell:
                self._output.bell()
                self._output.flush()

    async def _terminal(self) -> bool:
        """Wait until other programs have the terminal no longer; return False if the end comes before."""
        while not self._has_terminal():
            if self._ended:
                return False
            await asyncio.sleep(FOREGROUND_EVERY)
        return True

    def _draw(self, texts: list[tuple[str, Callable[[], object]]]) -> None:
        """Draw texts that are new, and call what is to be called then."""
        new = [text for text, _ in texts if text]
        if new:
            self._latest.extend(new)
            self._write(new)
        for _, drawn in texts:
            drawn()

    def _draw_again(self) -> None:
        size = self._output.get_size()
        left = size.rows - FOOT
        texts: list[str] = []
        for text in reversed(self._latest):
            taken = rows(text, size.columns)
            heights = [height(row, size.columns) for row in taken]
            while sum(heights) > left and len(taken) > 1:
                del taken[0], heights[0]
                text = "\n".join(taken)
            texts.append(text)
            left -= sum(heights)
            if left <= 0:
                break
        for row in range(size.rows):  # to erase it at once has many terminals keep a copy above it
            self._output.cursor_goto(row + 1, 1)
            self._output.erase_end_of_line()
        self._output.cursor_goto(0, 0)
        self._write(texts[::-1])

    def _erase(self) -> None:
        self._output.erase_screen()
        self._output.cursor_goto(0, 0)
        self._output.flush()

    def _write(self, texts: Iterable[str]) -> None:
        width = self.width
        styled = FormattedText(each for text in texts for each in (*fragments(text, width), ("", "\n")))
        print_formatted_text(self._output, styled, _NO_STYLE)
