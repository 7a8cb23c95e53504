"""`zchat client` on a terminal: a line editor under which messages scroll by."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from functools import partial
from threading import Condition

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.output import Output
from prompt_toolkit.shortcuts import CompleteStyle

from zchat import Client
from zchat.cli.chat import Chat, Manners, quoted
from zchat.cli.commands import COMMANDS
from zchat.cli.connection import connect
from zchat.cli.show import harmless, wrapped
from zchat.errors import ZchatError

WAITING = 1000
"""Texts that wait to be drawn before whoever brings more has to wait: a second of a busy room."""

PROMPT_NAME = 20
"""Characters of a room's name in the prompt, so that a long one leaves space to type in."""


class _Interrupted(Exception):
    """Tell that Ctrl-C was typed: a KeyboardInterrupt in a task would tear the event loop down."""


def run(url: str, user: str | None, rooms: tuple[str, ...], manners: Manners) -> None:
    """Chat on the terminal until `/quit`, Ctrl-D, or the broker refuses it for good."""
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")  # asking where the cursor is delays every message
    screen = Screen()
    chat = Chat(screen.show, manners)
    with connect(url, user, chat.on_event) as client:
        try:
            asyncio.run(_converse(client, chat, screen, rooms))
        except _Interrupted:
            raise KeyboardInterrupt from None


async def _converse(client: Client, chat: Chat, screen: Screen, rooms: tuple[str, ...]) -> None:
    session = _session(chat)
    drawing = asyncio.create_task(screen.draw(session.output))
    watching = asyncio.create_task(asyncio.to_thread(client.wait))

    async def talk() -> None:
        await asyncio.to_thread(chat.begin, client, rooms)
        while not watching.done():
            try:
                line = await session.prompt_async()
            except EOFError:
                break
            if not await asyncio.to_thread(chat.enter, line):
                break

    talking = asyncio.create_task(talk())
    try:
        with session.input.raw_mode():  # between two prompts too, or what is typed then is echoed
            await asyncio.wait((talking, watching), return_when=asyncio.FIRST_COMPLETED)
            app = session.app
            if not talking.done() and app.is_running and app.future and not app.future.done():
                app.exit(exception=EOFError())
            await asyncio.wait((talking,))
    finally:
        await asyncio.to_thread(client.close)
        screen.end()
        await asyncio.to_thread(chat.close)
        results = await asyncio.gather(talking, watching, drawing, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _session(chat: Chat) -> PromptSession[str]:
    def prompt() -> str:
        name = harmless(chat.current or "no room")
        return f"{name if len(name) <= PROMPT_NAME else name[: PROMPT_NAME - 1] + '…'}> "

    def typing() -> str:
        return chat.presence.typing(chat.current) if chat.current else ""

    session: PromptSession[str] = PromptSession(
        prompt,
        rprompt=typing,
        history=InMemoryHistory(),
        completer=ChatCompleter(chat),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        reserve_space_for_menu=0,
        erase_when_done=True,
        interrupt_exception=_Interrupted,
    )
    session.default_buffer.on_text_changed += lambda buffer: chat.typed(buffer.text)
    chat.presence.changed = session.app.invalidate
    return session


class Screen:
    """Draw texts above the line that is being typed, in the order in which they come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._changed = Condition()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    def show(self, text: str) -> None:
        """Have a text drawn soon; wait while too many do. Any thread but the event loop's."""
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

    def _rouse(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def draw(self, output: Output) -> None:
        """Draw until the end."""
        self._loop = asyncio.get_running_loop()
        ended = False
        while not ended:
            with self._changed:
                texts, self._texts = self._texts, []
                ended = self._ended
                self._changed.notify_all()
                self._wake.clear()
            if texts:
                width = output.get_size().columns
                lines = (wrapped(line, width) for text in texts for line in text.split("\n"))
                await run_in_terminal(partial(_write, output, "\n".join(lines)))
            elif not ended:
                await self._wake.wait()


def _write(output: Output, text: str) -> None:
    output.enable_autowrap()  # the editor leaves it off
    output.write(f"{text}\n")
    output.flush()


class ChatCompleter(Completer):
    """Complete commands at a line's beginning, the names of rooms behind `/join`, of people behind `/msg`."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Return what can follow what stands before the cursor."""
        word, blank, start = document.text_before_cursor.partition(" ")
        if not blank:
            choices = [f"{command.word} " if command.argument else command.word for command in COMMANDS.values()]
            start = word
        elif word == "/join":
            choices = self._known(self._chat.room_names)
        elif word == "/msg":
            choices = [f"{quoted(name)} " for name in self._known(self._chat.user_names)]
        else:
            choices = []
        begun = start.casefold()
        for choice in choices:
            name = choice.casefold()
            if (start or blank) and (name.startswith(begun) or name.removeprefix('"').startswith(begun)):
                yield Completion(choice, start_position=-len(start))

    def _known(self, names: Callable[[], list[str]]) -> list[str]:
        try:
            return [name for name in names() if name == harmless(name)]
        except ZchatError:  # the next command tells of it
            return []
