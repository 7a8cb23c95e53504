"""Real terminals, by tmux: what they show is compared with screens that were looked at.

`ZCHAT_WRITE_SCREENS=1` writes the screens instead; look at them before you commit them.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.running import DEADLINE, ROOT, ZCHAT, eventually

SCREENS = Path(__file__).parent / "screens"

_servers = itertools.count()


class Tmux:
    """Hold terminals in a tmux server of their own."""

    def __init__(self, program: str, environment: dict[str, str]) -> None:
        self._command = [program, "-L", f"zchat-{os.getpid()}-{next(_servers)}", "-f", os.devnull, "-u"]
        self._environment = {name: value for name, value in environment.items() if name != "TMUX"}

    def __call__(self, *arguments: str) -> str:
        command = [*self._command, *arguments]
        environment = self._environment | {"TERM": "xterm-256color"}
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=DEADLINE, check=True
        )
        return done.stdout

    def end(self) -> None:
        """End the server and all in it."""
        subprocess.run([*self._command, "kill-server"], capture_output=True, timeout=DEADLINE, check=False)


class Terminal:
    """Hold one terminal in which a command of `zchat` runs, then its exit code is shown."""

    def __init__(
        self, tmux: Tmux, name: str, columns: int, *arguments: str, before: str = "", command: str = "client"
    ) -> None:
        self._tmux = tmux
        self.name = name
        running = before + shlex.join([*ZCHAT, command, "--user", name, *arguments])
        size = ("-x", str(columns), "-y", "24")
        tmux("new-session", "-d", "-s", name, *size, f"{running}; echo exit code $?; exec cat")

    def screen(self) -> str:
        """Return what it shows, with one time for all and one port."""
        text = self._tmux("capture-pane", "-p", "-t", self.name)
        text = re.sub(r"\[\d\d:\d\d:\d\d\]", "[12:00:00]", text)
        text = re.sub(r"(?<=127\.0\.0\.1:)\d{5}", "55555", text)
        return "\n".join(line.rstrip() for line in text.rstrip().split("\n")) + "\n"

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", "-t", self.name, *keys)

    def type(self, text: str, *keys: str) -> None:
        """Type text, then press keys."""
        self._tmux("send-keys", "-t", self.name, "-l", text)
        if keys:
            self.keys(*keys)

    def paste(self, text: str) -> None:
        """Paste text as a terminal does whose program asks for pastes to be marked."""
        self._tmux("set-buffer", text)
        self._tmux("paste-buffer", "-p", "-t", self.name)

    def resize(self, columns: int, rows: int) -> None:
        """Have another size."""
        self._tmux("resize-window", "-t", self.name, "-x", str(columns), "-y", str(rows))

    def until(self, *texts: str, status: str = "") -> None:
        """Wait until it shows texts, all at once, the last of them above the status line, and `status` in that."""
        latest = ""

        def shown() -> bool:
            nonlocal latest
            latest = self.screen().rstrip("\n")
            above, _, foot = ("\n" + latest).rpartition("\n")
            if "exit code" in foot:
                above = latest
            return all(text in latest for text in texts) and above.endswith(texts[-1]) and status in foot

        try:
            eventually(shown, "")
        except AssertionError:
            raise AssertionError(f"{self.name} doesn't show {texts} over {status} but\n{latest}") from None

    def compare(self, name: str) -> None:
        """Wait until it shows a screen that was looked at."""
        file = SCREENS / f"{name}.txt"
        if os.environ.get("ZCHAT_WRITE_SCREENS") == "1":
            file.write_text(self.screen(), encoding="utf-8")
        expected = file.read_text(encoding="utf-8")
        with suppress(AssertionError):
            eventually(lambda: self.screen() == expected, "")
        assert self.screen() == expected
