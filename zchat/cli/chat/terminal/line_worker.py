"""The carrying out of what is typed in a chat, one line after the other, from the chat's beginning on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from zchat.cli.chat.conversation import Conversation
from zchat.cli.chat.rooms import MeantElsewhere
from zchat.cli.chat.slash import do
from zchat.cli.chat.syntax import is_command
from zchat.cli.chat.terminal.outbox import Outbox
from zchat.cli.chat.terminal.screen import shown_while_awaited
from zchat.cli.chat.terminal.typed_lines import TypedLine, TypedLines
from zchat.cli.connection import is_lost
from zchat.cli.screen.event_loop import task_beside
from zchat.cli.screen.loop_threads import LoopThreads
from zchat.cli.text.phrases import error_text
from zchat.errors import ZchatError

T = TypeVar("T")

LAST_LINE_SECONDS = 5.0
"""Seconds that a line may take once no more will be typed: as long as any answer."""


class NotInTime(Exception):
    """The end of the wait for a line that takes longer than the last one may."""


class LineWorker:
    """What carries out the lines of a chat. The event loop's thread.

    Args:
        conversation: what carries out a line, in one of the threads.
        outbox: where what is not carried out is reported.
        lines: the lines.
        threads: the threads.
    """

    def __init__(self, conversation: Conversation, outbox: Outbox, lines: TypedLines, threads: LoopThreads) -> None:
        self._conversation = conversation
        self._outbox = outbox
        self._lines = lines
        self._threads = threads

    async def run(self, begin: Callable[[], None]) -> None:
        """Begin the chat by `begin`, then carry out each line; return after the last or `/quit`.

        Raises:
            ZchatError: the chat can't begin, or the client has ended.
        """
        try:
            await self._in_time(self._threads.do(begin))
            while (line := await self._lines.next()) is not None:
                if not await self._do(line):
                    return
        except NotInTime:
            waiting = self._lines.waiting
            self._lines.withdraw()
            await self._threads.do(self._outbox.refuse, waiting, "you left before the broker answered")

    async def _do(self, line: TypedLine) -> bool:
        """Carry out a line; return False if it ends the chat."""
        try:
            return await self._in_time(self._threads.do(do, self._conversation, line, line.meant, line.leads_to))
        except MeantElsewhere as error:
            texts = self._lines.withdraw(lambda each: each.meant is line.meant and not is_command(each))
            await self._threads.do(self._outbox.refuse, [line, *texts], str(error))
        except ZchatError as error:
            if is_lost(error):
                raise
            await self._threads.do(self._conversation.transcript.error, error_text(error))
        return True

    async def _in_time(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what a call returns; what it shows is shown until this is over.

        Raises:
            NotInTime: no more lines will be typed, and it has not returned `LAST_LINE_SECONDS` later.
        """
        with shown_while_awaited(), task_beside(call) as doing, task_beside(self._lines.ended.wait()) as end:
            await asyncio.wait((doing, end), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((doing,), timeout=LAST_LINE_SECONDS)
            if not doing.done():
                raise NotInTime
            return doing.result()
