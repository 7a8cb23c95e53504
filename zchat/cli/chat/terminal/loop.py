"""`zchat client` on a terminal: a line editor and a status line, above which messages scroll by."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from zchat import Client
from zchat.cli import ending, logs, streams
from zchat.cli.chat.conversation import Conversation, Options
from zchat.cli.chat.news import News
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Rooms
from zchat.cli.chat.terminal.completion import ChatCompleter
from zchat.cli.chat.terminal.editor import KEYS, Editor
from zchat.cli.chat.terminal.kept_rooms import KeptRooms
from zchat.cli.chat.terminal.line_worker import LineWorker
from zchat.cli.chat.terminal.outbox import Outbox
from zchat.cli.chat.terminal.screen import Screen
from zchat.cli.chat.terminal.state_file import state_file
from zchat.cli.chat.terminal.typed_lines import LinesOfBefore
from zchat.cli.chat.transcript import Transcript
from zchat.cli.connection import connect
from zchat.cli.failures import HUNG_UP, Interrupted
from zchat.cli.screen import event_loop
from zchat.cli.screen.event_loop import task_beside
from zchat.cli.screen.loop_threads import LoopThreads
from zchat.cli.screen.redraw import Redraw
from zchat.cli.screen.suspending import foreground, has_terminal, suspended_by_signal
from zchat.cli.screen.terminal_input import terminal_input
from zchat.cli.screen.terminal_output import terminal_output
from zchat.cli.screen.typed_ahead import TypedAhead
from zchat.cli.text.phrases import counted
from zchat.errors import ZchatError

DRAIN_SECONDS = 5.0
"""Seconds that the last messages may take to be stored when the user leaves: as long as any other answer."""

ENDING_SECONDS = 1.0
"""The same after Ctrl-C or a signal."""

PROMPT_SECONDS = 0.3
"""Seconds of that before the user is notified: most answers come sooner."""

HANG_SECONDS = 2.0
"""Seconds that drawing may take at the end: at a terminal that is gone prompt_toolkit can wait for ever."""

THREADS = 4
"""Threads that the event loop waits in: one follows the rooms, one does a line, one ends the chat, and one more."""


def run(url: str, user: str | None, names: tuple[str, ...], options: Options) -> None:
    """Chat on the terminal until `/quit`, Ctrl-D, or the broker refuses the client for good.

    `names`: the rooms; none for those of before, and General if there are none.
    """
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")  # asking where the cursor is delays every message
    with connect(url, user, invitations="unmarked", closing=None) as client, logs.held(), ending.full_screen():
        code, unsent = event_loop.run(_chat(client, names, options))
    if code is not None:  # not from within: a KeyboardInterrupt in a task would tear the event loop down
        raise Interrupted(code)
    if unsent:
        raise ZchatError(f"{counted(unsent, 'message')} could not be stored, as reported above")


async def _chat(client: Client, names: tuple[str, ...], options: Options) -> tuple[int | None, int]:
    """Chat until the end.

    Returns the exit code if a key or a signal ended the chat, else None; and how many messages were not stored.
    """

    def changed() -> None:
        redraw()  # nothing changes before the editor is there

    output = terminal_output()
    screen = Screen(output, lambda: has_terminal(app))
    rooms = Rooms(all_shown=options.all_rooms)
    people = People(client.user)
    transcript = Transcript(
        screen.show, rooms, people, own_name=client.user, read_marks=options.read_marks, on_terminal=True
    )
    outbox = Outbox(transcript, changed)
    conversation = Conversation(
        client,
        rooms,
        people,
        transcript,
        outbox.put,
        options,
        news=News(screen.ring if options.bell else lambda: None),
        keys=KEYS,
        fits=screen.fits,
        width=lambda: screen.width,
        changed=changed,
        clear=screen.clear,
    )
    history = LinesOfBefore(state_file("typed_lines") if options.keep_lines else None)
    kept = KeptRooms(state_file("rooms") if options.keep_lines else None, client.url, client.user)
    ahead = TypedAhead(lambda: editor.room())
    completer = ChatCompleter(client, rooms, people)
    editor = Editor(conversation, outbox, completer, history, terminal_input(ahead, lambda: editor.asks), ahead, output)
    app = editor.app
    redraw = Redraw(app)
    app.after_render += lambda app: screen.notice_size()
    loop = asyncio.get_running_loop()
    threads = LoopThreads(THREADS)
    worker = LineWorker(conversation, outbox, editor.lines, threads)
    before = kept.load()
    begin = partial(conversation.begin, names or ("General",), () if names else before, before)

    def leave() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: editor.leave(ending.asked()))

    async def first(*tasks: asyncio.Future[Any]) -> None:
        await asyncio.wait((*tasks, editor.left, following, drawing), return_when=asyncio.FIRST_COMPLETED)

    @contextmanager
    def hung_up() -> Iterator[None]:
        """Leave if the block finds the terminal gone. It asks the terminal alone: a deadline is an OSError too."""
        try:
            yield
        except (EOFError, OSError):
            editor.leave(HUNG_UP)

    def patience() -> float:
        """Return how many seconds drawing may take at the end: none if nothing is drawn, or takes what is."""
        return 0.0 if streams.given_up() or not has_terminal(app) else HANG_SECONDS

    async def talk() -> None:
        started = asyncio.Event()
        with app.input.raw_mode(), suspended_by_signal(app):  # or what is typed before the editor is there is echoed
            await foreground(app.input.fileno(), editor.left.done)
            with (
                task_beside(
                    app.run_async(pre_run=started.set, handle_sigint=False, set_exception_handler=False)
                ) as editing,
                task_beside(started.wait()) as starting,
            ):
                await first(editing, starting)
                with task_beside(worker.run(begin)) as doing:
                    await first(editing, doing)
                    did_all = doing.done()
                if app.is_running and app.future and not app.future.done():
                    app.exit()
                with hung_up():
                    await _ended(patience(), editing)
        if did_all:
            doing.result()
            await threads.do(outbox.drain, PROMPT_SECONDS)
            if waiting := outbox.waiting:
                are = "1 message is" if len(waiting) == 1 else f"{len(waiting)} messages are"
                text = f"{are} not stored yet: waiting {DRAIN_SECONDS:g} s; Ctrl-C gives up"
                await threads.do(transcript.info, text)  # not here: it may have to wait for what is drawn here
                await threads.do(outbox.drain, DRAIN_SECONDS)

    with (
        task_beside(screen.draw()) as drawing,
        task_beside(threads.do(conversation.follow)) as following,
        task_beside(talk()) as talking,
    ):
        try:
            with ending.notifying(leave):
                await first(talking)
                await asyncio.wait((talking,), timeout=None if not editor.left.done() else patience())
        finally:
            if rooms.visited:
                kept.keep(rooms.visited)
            leaving = asyncio.create_task(threads.do(outbox.leave, editor.withdraw()))
            await asyncio.wait((leaving,), timeout=patience())  # what it reports may have to wait until it is drawn
            with task_beside(screen.caught_up()) as catching_up:  # while it can still be marked as read
                await asyncio.wait((catching_up, drawing), timeout=patience(), return_when=asyncio.FIRST_COMPLETED)
            closing = ENDING_SECONDS if editor.left.done() else DRAIN_SECONDS
            await threads.do(client.close, closing)
            await threads.do(outbox.end, closing)
            await asyncio.wait((following,), timeout=patience())
            screen.end()
            await leaving
            await threads.do(conversation.close)
        with hung_up():
            await _ended(patience(), drawing)
        await _ended(patience(), following, talking)
    return editor.left.result() if editor.left.done() else None, outbox.unsent


async def _ended(seconds: float, *tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks to end, and raise what one raised; those that hang at a terminal that is gone are given up."""
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        if not task.cancel():
            task.result()
