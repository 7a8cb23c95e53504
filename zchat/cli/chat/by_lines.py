"""`zchat client` without a terminal: lines in, lines out."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from queue import Full, Queue
from threading import Thread

from zchat.cli.chat.conversation import Chat, Manners, ends
from zchat.cli.chat.slash import goes_elsewhere
from zchat.cli.connection import connect
from zchat.cli.stdin import stdin_lines
from zchat.cli.text.phrases import counted
from zchat.errors import ZchatError

WAITING = 100
"""Lines read ahead of the one being sent: enough not to wait for the input, little to hold."""


def run(url: str, user: str | None, rooms: tuple[str, ...], manners: Manners) -> None:
    """Chat by standard input and output until the input ends or the broker refuses it for good.

    Raises:
        ZchatError: a `/join`, or a `/msg` without a text, failed, which ends it, or a line could not be done,
            which is told as it happens.
    """
    lines: Queue[str | None] = Queue(WAITING)
    failures: list[Exception] = []
    undone = 0

    def fail(error: Exception) -> None:
        failures.append(error)
        with suppress(Full):  # else whoever takes the lines looks at the failures soon enough
            lines.put_nowait(None)

    def show(text: str) -> bool:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except OSError as error:
            fail(error)
            return False
        return True

    def read() -> None:
        try:
            for line in stdin_lines():
                lines.put(line)
            lines.put(None)
        except OSError as error:
            fail(error)

    def watch() -> None:
        try:
            client.wait()
        except ZchatError as error:
            fail(error)

    chat = Chat(show, manners)
    with closing(chat), connect(url, user, chat.on_event) as client:
        chat.begin(client, rooms)
        for work in (read, watch):
            Thread(target=work, name=f"zchat-{work.__name__}", daemon=True).start()
        while not failures and (line := lines.get()) is not None:
            try:
                if not chat.do(line):
                    break
            except ZchatError as error:
                if ends(error):
                    raise
                if goes_elsewhere(line):  # or what follows would be said in the room before
                    raise ZchatError(f"{line.rstrip()}: {error}; the lines behind it are not sent") from error
                chat.complain(str(error))
                undone += 1
        if failures:
            raise failures[0]
    if undone:
        raise ZchatError(f"{counted(undone, 'line')} of the input could not be done, as told above")
