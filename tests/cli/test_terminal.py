"""Two people chat on real terminals: what they see is compared with screens that were looked at.

`ZCHAT_WRITE_SCREENS=1` writes the screens instead; look at them before you commit them.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zchat
from tests.mortal import Mortal, refusing
from tests.running import DEADLINE, ROOT, ZCHAT, eventually
from zchat.broker import Broker

SCREENS = Path(__file__).parent / "screens"
HOSTILE = "\x1b[2J\x9b2J\x07\x08\x7f\u202eevil\r\n[12:00:00] alice: I never said that"

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
    """Hold one terminal in which `zchat client` runs, then its exit code is told."""

    def __init__(self, tmux: Tmux, name: str, columns: int, *arguments: str) -> None:
        self._tmux = tmux
        self.name = name
        client = shlex.join([*ZCHAT, "client", "--user", name, *arguments])
        size = ("-x", str(columns), "-y", "24")
        tmux("new-session", "-d", "-s", name, *size, f"{client}; echo exit code $?; exec cat")

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

    def until(self, *texts: str) -> None:
        """Wait until it shows texts, all at once; the last of them at the end of the screen."""
        latest = ""

        def shown() -> bool:
            nonlocal latest
            latest = self.screen()
            return all(text in latest for text in texts) and latest.rstrip("\n").endswith(texts[-1])

        try:
            eventually(shown, "")
        except AssertionError:
            raise AssertionError(f"{self.name} doesn't show {texts} but\n{latest}") from None

    def compare(self, name: str) -> None:
        """Compare what it shows with a screen that was looked at."""
        file = SCREENS / f"{name}.txt"
        if os.environ.get("ZCHAT_WRITE_SCREENS") == "1":
            file.write_text(self.screen(), encoding="utf-8")
        assert self.screen() == file.read_text(encoding="utf-8")


Open = Callable[..., Terminal]


@pytest.fixture
def tmux(needs: Callable[[str], str], environment: dict[str, str]) -> Iterator[Tmux]:
    server = Tmux(needs("tmux"), environment)
    yield server
    server.end()


def test_two_people_chat_at_80_and_40_columns(tmux: Tmux, broker: Broker) -> None:
    alice, bob = (
        Terminal(tmux, name, columns, "--quiet", "--no-typing") for name, columns in (("alice", 80), ("bob", 40))
    )
    for terminal in (alice, bob):
        terminal.until("you are in General\n", "General>")

    bob.type("half a li")
    bob.until("General> half a li")
    alice.type("hello bob, this line is long enough to be wrapped at forty columns", "Enter")
    alice.until("forty\n    columns\n", "General>")
    bob.until("forty columns\n", "General> half a li")
    bob.compare("message-above-the-line-being-typed-40")
    alice.type("me t")
    alice.until("General> me t")
    bob.type("ne", "Enter")
    alice.until("bob: half a line\n", "General> me t")
    alice.compare("message-above-the-line-being-typed-80")
    alice.keys("C-u")
    alice.until("bob: half a line\n", "General>")
    bob.until("bob: half a line\n", "General>")

    with zchat.Client(broker.url, user="mallory") as client:
        client.join("General").send(HOSTILE)
    for terminal in (alice, bob):
        terminal.until("evil\n    [12:00:00] alice: I never said that\n", "General>")

    alice.keys("/", "j", "o", "Tab", "S", "p", "Tab", "Enter")
    alice.until("you are in Sports\n", "Sports>")
    bob.type("for General only", "Enter")
    bob.until("bob: for General only\n", "General>")
    alice.until("#General bob: for General only\n", "Sports>")
    alice.type("/list", "Enter")
    alice.until("Technology", "Sports>")
    alice.type("/nonsense", "Enter")
    alice.until("there is no /nonsense", "Sports>")
    alice.type("//slash", "Enter")
    alice.until("alice: /slash\n", "Sports>")
    bob.type("/messages 2", "Enter")
    bob.until("bob: for General only\n[12:00:00] mallory:", "bob: for General only\nGeneral>")
    bob.keys("Up", "Up")
    bob.until("General> for General only")
    alice.compare("chat-80")
    bob.compare("chat-40")

    alice.keys("C-d")
    alice.until("exit code 0")
    bob.keys("C-c")
    bob.until("exit code 130")
    assert "> \n" not in alice.screen()


def test_who_is_there_stands_quietly_beside_what_one_types_at_80_and_40_columns(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    bob = Terminal(tmux, "bob", 40)
    bob.until("you are in General\n", "General>")
    alice.until("* bob came to General\n", "General>")

    alice.type("/members is a command")
    alice.until("General> /members is a command")
    alice.keys("C-u")
    bob.type("hal")
    alice.until(f"\nGeneral>{'bob is typing':>72}")
    bob.keys("C-u")
    alice.until("\nGeneral>")
    alice.type("hello")
    bob.until(f"\nGeneral>{'alice is typing':>32}")
    bob.type("this needs the whole line")
    bob.until("\nGeneral> this needs the whole line")
    alice.keys("Enter")
    bob.until("alice: hello\n", "\nGeneral> this needs the whole line")
    bob.keys("C-u")
    alice.until("alice: hello\n", "\nGeneral>")

    alice.type("/msg b")
    alice.keys("Tab")
    alice.until("General> /msg bob")
    alice.type("psst", "Enter")
    alice.until("#@bob alice: psst\n", "General>")
    bob.until("* alice writes to you; /msg alice TEXT\n    answers\n", "#@alice alice: psst\n", "General>")
    bob.type("/msg alice", "Enter")
    bob.until("* you are in @alice\n", "@alice>")
    bob.type("/list", "Enter")
    bob.until("Technology", "@alice>")
    bob.compare("company-40")
    alice.compare("company-80")
    for terminal in (alice, bob):
        terminal.keys("C-l")
        terminal.type("/help", "Enter")
        terminal.until("* /list ", "* //TEXT", ">")
        terminal.compare(f"help-{80 if terminal is alice else 40}")
    bob.type("/quit", "Enter")
    bob.until("exit code 0")
    alice.until("* bob left General\n", "General>")
    alice.keys("C-d")
    alice.until("exit code 0")


def test_a_chat_can_keep_its_typing_to_itself(tmux: Tmux, broker: Broker) -> None:
    alice, bob = Terminal(tmux, "alice", 80, "--no-typing"), Terminal(tmux, "bob", 80)
    with zchat.Client(broker.url, user="carol") as carol:
        for terminal in (alice, bob):
            terminal.until("you are in General\n", "General>")
            terminal.type("half a li")
            terminal.until("General> half a li")
        told = {"alice": False, "bob": True}
        eventually(
            lambda: {member.user: member.typing for member in carol.members("General")} == told, "bob's typing is told"
        )


def test_a_burst_appears_whole_and_in_order_above_the_line_being_typed(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    tmux("set-option", "-g", "history-limit", "5000")
    alice.type("undisturbed")
    alice.until("General> undisturbed")
    with zchat.Client(broker.url, user="bob") as client:
        client.join("General").send_many(f"line {number}" for number in range(1500))
    alice.until("line 1499\n", "General> undisturbed")
    shown = re.findall(r"line (\d+)$", tmux("capture-pane", "-p", "-S", "-", "-t", "alice"), re.MULTILINE)
    assert [int(number) for number in shown] == list(range(int(shown[0]), 1500))
    assert len(shown) >= 24


def test_completion_shows_the_commands_there_are(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80)
    alice.until("you are in General\n", "General>")
    alice.keys("/", "Tab")
    alice.until("/join", "/leave", "/list", "/messages", "/quit", "General> /")
    alice.type("q")
    alice.keys("Tab", "Enter")
    alice.until("exit code 0")


def test_a_lost_broker_is_told_and_the_line_being_typed_is_kept(tmux: Tmux, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "General>")
        alice.type("half a li")
        alice.until("General> half a li")
        mortal.kill()
        alice.until("! disconnected: ", "trying again\n", "General> half a li")
        mortal.start()
        alice.until("* connected again\n", "General> half a li")
        alice.type("ne", "Enter")
        alice.until("alice: half a line\n", "General>")
        alice.type("/quit", "Enter")
        alice.until("exit code 0")
    assert "Traceback" not in alice.screen()


def test_a_chat_that_is_refused_for_good_ends_with_one_line(tmux: Tmux) -> None:
    with Mortal("memory:") as mortal:
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "General>")
        alice.type("half a li")
        alice.until("General> half a li")
        mortal.kill()
        with refusing(mortal.url):
            alice.until("zchat: ", "exit code 1")
    assert "half a li" not in alice.screen()
    assert "Traceback" not in alice.screen()
