"""A chat or `top` that is suspended and goes on: by the key, by the signal, under a shell with and without jobs."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import termios
import time
from pathlib import Path

import pytest

from tests.cli.driver import say, unread
from tests.cli.outside import CODES
from tests.cli.terminals import Tmux
from tests.running import ZCHAT, eventually
from zchat.broker import Broker
from zchat.cli.screen.suspending import foreground

READY = {"client": "General>", "top": "per second"}


class Shell:
    """Hold a terminal with an interactive shell in it, in which a command runs."""

    def __init__(self, tmux: Tmux, folder: Path, line: str) -> None:
        self._tmux = tmux
        self.pid = folder / "pid"
        self.modes = folder / "modes"
        tmux("new-session", "-d", "-s", "bob", "-x", "80", "-y", "24", "PS1='shell$ ' exec bash --norc --noprofile -i")
        self.shows("shell$")
        self.type(f"stty -g >{self.modes}; sh -c 'echo $$ >{self.pid}; exec {shlex.join(ZCHAT)} {line}'")

    def type(self, text: str) -> None:
        """Type text, then Enter."""
        self._tmux("send-keys", "-t", "bob", "-l", text)
        self._tmux("send-keys", "-t", "bob", "Enter")

    def key(self, name: str) -> None:
        """Press a key."""
        self._tmux("send-keys", "-t", "bob", name)

    def screen(self) -> str:
        """Return what the terminal shows."""
        return self._tmux("capture-pane", "-p", "-t", "bob")

    def shows(self, text: str) -> None:
        """Wait until the terminal shows a text."""
        latest = ""

        def there() -> bool:
            nonlocal latest
            latest = self.screen()
            return text in latest

        eventually(there, lambda: f"{text} in\n{latest}")

    def terminal_modes(self) -> list[object]:
        """Return how the terminal is set."""
        terminal = os.open(self._tmux("display-message", "-p", "-t", "bob", "#{pane_tty}").strip(), os.O_RDONLY)
        try:
            return termios.tcgetattr(terminal)
        finally:
            os.close(terminal)

    def state(self) -> list[str]:
        """Return whether the alternate screen is on, and the cursor."""
        return self._tmux("display-message", "-p", "-t", "bob", "#{alternate_on} #{cursor_flag}").split()


@pytest.mark.parametrize("how", ["key", "signal"])
@pytest.mark.parametrize("line", ["client", "top"])
def test_a_suspended_screen_gives_the_terminal_back_and_goes_on_where_it_was(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str, how: str
) -> None:
    shell = Shell(tmux, tmp_path, line)
    shell.shows(READY[line])
    for _ in range(2):
        if how == "key":
            shell.key("C-z")
        else:
            os.kill(int(shell.pid.read_text()), signal.SIGTSTP)
        shell.shows("Stopped")
        assert shell.state() == ["0", "1"]
        shell.type("clear; stty -g | cmp - " + str(shell.modes) + " && echo as it was")
        shell.shows("as it was")
        if line == "client":
            say(broker, "General", "said meanwhile")
        shell.type("clear; fg")
        shell.shows("said meanwhile" if line == "client" else "per second")
        shell.shows(READY[line])
    if line == "client":
        shell.type("still here")
        shell.shows("alice: still here")
        shell.type("/quit")
    else:
        shell.key("q")
    shell.shows("shell$")
    shell.type("echo code $?")
    shell.shows("code 0")


@pytest.mark.parametrize("how", ["fg", "background first"])
@pytest.mark.parametrize("line", ["client", "top"])
def test_what_was_stopped_without_notice_takes_the_terminal_again(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str, how: str
) -> None:
    shell = Shell(tmux, tmp_path, line)
    shell.shows(READY[line])
    modes, state, pid = shell.terminal_modes(), shell.state(), int(shell.pid.read_text())
    for _ in range(2):
        os.kill(pid, signal.SIGSTOP)
        shell.shows("Stopped")
        eventually(lambda: shell.terminal_modes() != modes, "the shell has the terminal")
        if how == "background first":
            os.kill(pid, signal.SIGCONT)
            eventually(lambda: shell.state()[0] == "0", "it has given the screen back")  # and what is shown there now
            shell.type("clear; jobs")
            shell.shows("Running")
        shell.type("clear; fg")
        eventually(lambda: shell.terminal_modes() == modes, "it is set as before")
        shell.shows(READY[line])
        eventually(lambda: shell.state() == state, "and so are the screen and the cursor")
    if line == "client":
        shell.type("still here")
        shell.shows("alice: still here")
        eventually(lambda: shell.screen().count("General>") == 1, "one prompt stands")
        shell.type("/quit")
    else:
        eventually(lambda: shell.screen().count("busiest") == 1, "one table stands")
        shell.key("q")
    shell.shows("shell$")
    shell.type("echo code $?; stty -g | cmp - " + str(shell.modes) + " && echo as it was")
    shell.shows("code 0\nas it was")


@pytest.mark.parametrize("line", ["client", "top"])
def test_where_nothing_would_continue_it_it_is_not_suspended(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str
) -> None:
    shell = Shell(tmux, tmp_path, line)
    shell.shows(READY[line])
    shell.key("C-c")
    eventually(lambda: not alive(int(shell.pid.read_text())), "the first one has ended")
    shell.type("clear; trap '' TSTP; echo once more; " + shlex.join([*ZCHAT, line]))
    shell.shows("once more\n*" if line == "client" else READY[line])
    shell.shows(READY[line])
    shell.key("C-z")
    shell.key("q" if line == "top" else "C-c")
    shell.shows("shell$")
    shell.type("echo code $?")
    shell.shows("code 0" if line == "top" else "code 130")


@pytest.mark.parametrize("how", ["begun there", "sent there"])
@pytest.mark.parametrize("line", ["client", "top"])
def test_in_the_background_each_signal_ends_it(tmux: Tmux, broker: Broker, tmp_path: Path, line: str, how: str) -> None:
    some = list(CODES)[(line == "top") ^ (how == "begun there") :: 2]
    numbers = CODES if "ZCHAT_SIGNAL_MOMENTS" in os.environ else some
    shell = Shell(tmux, tmp_path, "--version")
    zchat = shlex.join([*ZCHAT, line])
    for job in range(1, 1 + len(numbers)):
        if how == "begun there":
            shell.type(f"clear; {zchat} &")
        else:
            shell.type(f"clear; {zchat}")
            shell.shows(READY[line])
            shell.key("C-z")
            shell.shows("Stopped")
            shell.type("clear; bg; jobs")
            shell.shows(f"[{job}]+  Running")
    eventually(lambda: broker.figures.counts["sessions"] == len(numbers), "all have begun")
    for job, number in enumerate(numbers, 1):
        shell.type(f"clear; kill -{number.name} %{job}; wait %{job}; echo code $?")
        shell.shows(f"code {CODES[number]}")


@pytest.mark.parametrize("line", ["client", "top"])
def test_what_begins_in_the_background_has_the_terminal_once_it_is_in_the_foreground(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str
) -> None:
    shell = Shell(tmux, tmp_path, "--version")
    shell.type(f"clear; {shlex.join([*ZCHAT, line])} &")
    eventually(lambda: broker.figures.counts["sessions"] == 1, "it has begun")
    shell.type("clear; stty -g | cmp - " + str(shell.modes) + " && echo as it was; jobs")
    shell.shows("as it was\n[1]+  Running")
    shell.type("clear; fg")
    shell.shows(READY[line])
    shell.key("C-c")
    shell.shows("shell$")
    shell.type("echo code $?; stty -g | cmp - " + str(shell.modes) + " && echo as it was")
    shell.shows("code 130\nas it was")


def test_in_the_background_nothing_is_drawn(tmux: Tmux, broker: Broker, tmp_path: Path) -> None:
    shell = Shell(tmux, tmp_path, "client")
    shell.shows(READY["client"])
    pid = int(shell.pid.read_text())
    os.kill(pid, signal.SIGSTOP)
    shell.shows("Stopped")
    shell.type("clear; bg; jobs")
    shell.shows("Running")
    say(broker, "General", "said meanwhile")
    time.sleep(0.3)  # by then it was received, which nothing shows
    shell.type("clear; kill -WINCH %1; jobs")
    shell.shows("Running")
    assert "meanwhile" not in shell.screen()
    assert unread(broker, "General") is None, "nor does it count as read"
    shell.type("clear; fg")
    shell.shows("bob: said meanwhile")
    eventually(lambda: unread(broker, "General") == 0, "it is read once it is drawn")
    shell.key("C-c")
    shell.shows("shell$")


@pytest.mark.parametrize(("line", "number"), [("client", signal.SIGTSTP), ("top", signal.SIGSTOP)])
def test_in_the_background_it_is_suspended_at_once_and_goes_on_with_the_next_fg(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str, number: signal.Signals
) -> None:
    shell = Shell(tmux, tmp_path, line)
    shell.shows(READY[line])
    pid = int(shell.pid.read_text())
    os.kill(pid, number)
    shell.shows("Stopped")
    for _ in range(2):
        shell.type("clear; bg")
        eventually(lambda: state(pid) != "T" and shell.state()[0] == "0", "it goes on, and has given the screen back")
        os.kill(pid, signal.SIGTSTP)
        eventually(lambda: state(pid) == "T", "and in the background")
    shell.type("clear; fg")
    shell.shows(READY[line])
    shell.key("C-c")
    shell.shows("shell$")
    shell.type("echo code $?")
    shell.shows("code 130")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_ends_in_the_background_draws_nothing_there_and_leaves_it_unread(
    tmux: Tmux, broker: Broker, tmp_path: Path, number: signal.Signals
) -> None:
    shell = Shell(tmux, tmp_path, "client --bell")
    shell.shows(READY["client"])
    say(broker, "General", "said before")
    shell.shows("said before")
    shell.key("C-z")
    shell.shows("Stopped")
    shell.type("clear; bg; jobs")
    shell.shows("Running")
    say(broker, "General", "for alice, meanwhile")
    time.sleep(0.3)  # as above
    shell.type(f"clear; kill -{number.name} %1; wait %1; echo code $?")
    shell.shows(f"code {CODES[number]}")
    assert "meanwhile" not in shell.screen()
    assert unread(broker, "General") == 1


@pytest.mark.parametrize("line", ["client", "top"])
def test_what_was_stopped_without_notice_ends_in_the_background(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str
) -> None:
    shell = Shell(tmux, tmp_path, line)
    shell.shows(READY[line])
    pid = int(shell.pid.read_text())
    os.kill(pid, signal.SIGSTOP)
    shell.shows("Stopped")
    os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), "it ends, although restoring the terminal is another job's right")


def alive(pid: int) -> bool:
    """Return whether a process is there that has not ended; one that its shell has yet to wait for has."""
    return state(pid) not in "ZX"


def state(pid: int) -> str:
    """Return the system's letter for what a process does, T if it is suspended, X if it isn't there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def test_waiting_for_the_foreground_ends_once_all_is_over() -> None:
    with open(os.devnull) as nothing:
        asyncio.run(foreground(nothing.fileno(), lambda: False))
    asyncio.run(foreground(-1, lambda: True))
