"""`zchat client` without a terminal: lines in, lines out."""

from __future__ import annotations

import sys
from contextlib import suppress
from queue import Full, Queue
from threading import Thread

from zchat import Client
from zchat.cli.chat import Chat
from zchat.cli.lines import stdin_lines
from zchat.errors import ZchatError

WAITING = 100
"""Lines read ahead of the one being sent: enough not to wait for the input, little to hold."""


def run(url: str, user: str | None, rooms: tuple[str, ...]) -> None:
    """Chat by standard input and output until the input ends or the broker refuses it for good."""
    lines: Queue[str | None] = Queue(WAITING)
    failures: list[Exception] = []

    def fail(error: Exception) -> None:
        failures.append(error)
        with suppress(Full):  # else whoever takes the lines looks at the failures soon enough
            lines.put_nowait(None)

    def show(text: str) -> None:
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except OSError as error:
            fail(error)

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

    chat = Chat(show)
    with Client(url, user=user, on_event=chat.on_event) as client:
        chat.begin(client, rooms)
        for work in (read, watch):
            Thread(target=work, name=f"zchat-{work.__name__}", daemon=True).start()
        while not failures and (line := lines.get()) is not None and chat.enter(line):
            pass
        if failures:
            raise failures[0]
