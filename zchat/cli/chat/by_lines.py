"""`zchat client` without a terminal: lines in, lines out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from threading import Lock

from zchat.cli import ending
from zchat.cli.chat.conversation import ANSWER_SECONDS, Conversation, Options
from zchat.cli.chat.news import News
from zchat.cli.chat.people import People
from zchat.cli.chat.rooms import Draft, Rooms
from zchat.cli.chat.slash import do
from zchat.cli.chat.syntax import leads
from zchat.cli.chat.transcript import Transcript
from zchat.cli.connection import connect, is_lost
from zchat.cli.stdin import CutLine, stdin_lines
from zchat.cli.text.colours import rows
from zchat.cli.text.columns import terminal_text, terminal_width
from zchat.cli.text.phrases import counted, error_text
from zchat.errors import ZchatError
from zchat.threads import RealThread, start

WAITING = 100
"""Lines read ahead of the one being sent: enough not to wait for the input, little to hold."""

BYTE_ORDER_MARK = "\ufeff"
"""What files of Windows may begin with."""

CLOSE_SECONDS = 5.0
"""Seconds that what was sent may take to be stored when the input has ended: as long as any other answer."""

ENDING_SECONDS = 1.0
"""Seconds that showing what has arrived may take at the end, and the message on its way after a signal."""


def run(url: str, user: str | None, names: tuple[str, ...], options: Options) -> None:
    """Chat by standard input and output until the input ends or the broker refuses the client for good.

    If nobody reads the output any more, what is left of the input is done all the same, unless it is a terminal's.

    Raises:
        Ended: a signal has come.
        ZchatError: a line that changes the room failed, which ends the chat, or another line failed,
            which was reported when it happened.
    """
    lines: Queue[str | None] = Queue(WAITING)
    failures: list[Exception] = []
    """What ended the chat from another thread."""
    showing = Lock()
    failed = 0
    nobody_reads = False

    def fail(error: Exception) -> None:
        failures.append(error)
        with suppress(Full):  # else the main thread checks for failures after the next line
            lines.put_nowait(None)

    def show(text: str, shown: Callable[[], object]) -> None:
        nonlocal nobody_reads
        width = terminal_width(sys.stdout)
        if nobody_reads:
            return
        try:
            with showing:
                if text:
                    sys.stdout.write((text if width is None else terminal_text(rows(text, width), width)) + "\n")
                    sys.stdout.flush()
        except OSError as error:
            nobody_reads = isinstance(error, BrokenPipeError) and not sys.stdin.isatty()
            if not nobody_reads:
                fail(error)
        else:
            shown()

    def read() -> None:
        try:
            for number, line in enumerate(stdin_lines()):
                cut = isinstance(line, CutLine)
                lines.put(line if number or cut else line.removeprefix(BYTE_ORDER_MARK))
            lines.put(None)
        except Exception as error:  # whatever it is: without an end the chat would wait for ever
            fail(error)

    with (
        ending.notifying(lambda: fail(ending.Ended())),
        ending.hanging_up_with(sys.stdout.fileno()),
        connect(url, user, invitations="unmarked", closing=ENDING_SECONDS) as client,
    ):
        rooms = Rooms(all_shown=True)
        people = People(client.user)
        on_terminal = terminal_width(sys.stdout) is not None
        transcript = Transcript(show, rooms, people, read_marks=options.read_marks, on_terminal=on_terminal)

        def send(draft: Draft) -> None:
            transcript.message(draft.open(ANSWER_SECONDS).send(draft.text))

        conversation = Conversation(client, rooms, people, transcript, send, options, news=News(lambda: None))

        def follow() -> None:
            try:
                conversation.follow()
            except Exception as error:
                fail(error)

        following = RealThread(follow, "zchat-follow")
        start(following)
        try:
            conversation.begin(names)
            start(RealThread(read, "zchat-read"))
            while not failures and (line := lines.get()) is not None:
                try:
                    if isinstance(line, CutLine):
                        raise line.too_large(client.max_message)
                    if not do(conversation, line):
                        break
                except ZchatError as error:
                    if is_lost(error) or ending.asked():
                        raise
                    text = error_text(error)
                    if leads(line) and rooms.current is not None:  # or what follows would be sent there
                        raise ZchatError(f"{line.rstrip()}: {text}; the lines after it are not sent") from error
                    transcript.error(text)
                    failed += 1
            if failures:
                raise failures[0]
        finally:
            client.close(ENDING_SECONDS if ending.asked() else CLOSE_SECONDS)
            following.join(ENDING_SECONDS)
            conversation.close()
    if failed:
        where = "" if nobody_reads else ", as reported above"
        raise ZchatError(f"{counted(failed, 'line')} of the input failed{where}")
