"""Make the pictures of the README from real runs: a chat, and `zchat top`.

`make pictures` installs what it takes (`.[pictures]`; tmux beside it) and runs this. A real broker
and real clients say lines of tests/data; what tmux shows is written as SVG by rich.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

import zchat
from zchat.broker import Broker

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LINES = ROOT / "tests" / "data" / "ubuntu-2005-08-08-first-300-lines.txt"
COLUMNS, ROWS = 80, 24
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


class Terminal:
    """Hold one terminal of a tmux server of its own, in which a zchat command runs."""

    def __init__(self, *arguments: str, columns: int = COLUMNS, rows: int = ROWS) -> None:
        self._tmux = ["tmux", "-L", f"pictures-{os.getpid()}", "-f", os.devnull, "-u"]
        command = [sys.executable, "-m", "zchat", *arguments]
        self("new-session", "-d", "-s", "picture", "-x", str(columns), "-y", str(rows), *command)

    def __call__(self, *arguments: str) -> str:
        """Run a tmux command; returns what it prints."""
        environment = os.environ | {"TERM": "xterm-256color"}
        command = [*self._tmux, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *why: object) -> None:
        self("kill-server")

    def until(self, text: str) -> None:
        """Wait until the terminal shows a text."""
        end = time.monotonic() + 30
        while text not in (shown := self("capture-pane", "-p")):
            if time.monotonic() > end:
                raise SystemExit(f"{text!r} is not shown but\n{shown}")
            time.sleep(0.1)

    def type(self, text: str, *keys: str) -> None:
        """Type a text, then press keys by tmux's names."""
        self("send-keys", "-l", text)
        if keys:
            self("send-keys", *keys)

    def picture(self, name: str, title: str) -> None:
        """Write what the terminal shows as SVG, in a font that the reader's machine has."""
        console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(self("capture-pane", "-e", "-p").rstrip("\n")), end="")
        form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        form = form.replace("Fira Code, monospace", FONTS).replace("Fira Code", FONTS)
        svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, code_format=form, unique_id=name)
        (HERE / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.split("\n")), encoding="utf-8")


def said() -> list[tuple[str, str]]:
    """Return who said what."""
    found = (re.match(r"\[[\d:]+\] <([^>]+)> (.+)", line) for line in LINES.read_text(encoding="utf-8").splitlines())
    return [(match[1], match[2]) for match in found if match]


def chat() -> None:
    """Take the picture of a chat: real lines by as many clients as there are names, and somebody who answers."""
    with Broker("tcp://127.0.0.1:*", store="memory:") as broker, ExitStack() as stack:
        users: dict[str, zchat.Client] = {}

        def say(user: str, text: str, room: str = "General") -> None:
            if user not in users:
                users[user] = stack.enter_context(zchat.Client(broker.url, user=user))
            users[user].join(room).send(text)

        lines = said()[:20]
        for user, text in lines[:12]:
            say(user, text)
        with Terminal("client", "--connect", broker.url, "--user", "alice", "General", "Sports") as terminal:
            terminal.until("you are also in Sports")
            for user, text in lines[12:]:
                say(user, text)
                time.sleep(0.3)
            last = lines[-1][0]
            terminal.type(f"{last}: that works here, thanks", "Enter")
            terminal.until("alice: ")
            say(last, "you are welcome, alice")
            say("carol", "who plays tonight?", "Sports")
            terminal.until("new: Sports 1")
            users[last].join("General").typing()
            terminal.type("is there a page ab")
            terminal.until("is typing")
            terminal.picture("client", "zchat client")


def top() -> None:
    """Take the picture of `zchat top` beside a broker with something to do, and one reader who doesn't."""
    end = Event()
    with Broker("tcp://127.0.0.1:*", store=f"sqlite:{HERE / 'picture.db'}") as broker, ExitStack() as stack:

        def talk(client: zchat.Client, room: zchat.Room, pause: float) -> None:
            texts = cycle(text for _, text in said())
            while not end.wait(pause):
                room.send_many(next(texts) for _ in range(20))

        def read(room: zchat.Room) -> None:
            for _ in room.messages(timeout=30):
                if end.is_set():
                    return

        threads = []
        for number, name in enumerate(("General", "Technology", "Sports")):
            for reader in range(4 * (3 - number)):
                client = stack.enter_context(zchat.Client(broker.url, user=f"reader {number}{reader}"))
                threads.append(Thread(target=read, args=(client.join(name),)))
            client = stack.enter_context(zchat.Client(broker.url, user=f"writer {number}"))
            threads.append(Thread(target=talk, args=(client, client.join(name), 0.02 * (number + 1))))
        stack.enter_context(zchat.Client(broker.url, user="sleeper")).join("General")  # and never reads
        for thread in threads:
            thread.start()
        with Terminal("top", "--connect", broker.url) as terminal:
            terminal.until("sleeper")
            time.sleep(5)
            terminal.picture("top", "zchat top")
        end.set()
        for thread in threads:
            thread.join(40)
    for file in HERE.glob("picture.db*"):
        file.unlink()


if __name__ == "__main__":
    for make in (chat, top):
        make()
