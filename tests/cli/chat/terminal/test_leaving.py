"""How a chat on a terminal ends: what was said last, and the terminal and the room that it leaves."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import zchat
from tests.cli.driver import say, unread
from tests.cli.outside import command, members, terminal
from tests.cli.terminals import Terminal, Tmux
from tests.cli.test_ending import quick
from tests.mortal import Mortal, refusing
from tests.running import DEADLINE, eventually, read_now
from zchat.broker import Broker
from zchat.cli.chat.terminal.screen import WAITING


def test_what_is_said_last_is_stored_before_one_leaves_and_else_told(tmux: Tmux, tmp_path: Path) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "General>")
        alice.type("good bye", "Enter", "C-d")
        alice.until("alice: good bye\n", "exit code 0")
        with zchat.Client(mortal.url, user="bob") as bob:
            assert [message.body for message in bob.history("General")] == ["good bye"]
        carol = Terminal(tmux, "carol", 80, "--connect", mortal.url)
        carol.until("you are in General\n", "General>")
        mortal.kill()
        carol.until("reconnecting\n", "General>", status="offline")
        carol.type("too late", "Enter")
        carol.until("… #General: too late\nGeneral>")
        carol.keys("C-d")
        carol.until("* 1 message is not stored yet: waiting 5 s", "zchat: 1 message could not be stored", "exit code 1")
        assert "! not stored: too late (you left before the broker answered)" in carol.screen()


def test_who_leaves_while_a_command_waits_for_a_broker_waits_no_longer_than_for_a_message(
    tmux: Tmux, tmp_path: Path
) -> None:
    with Mortal(f"sqlite:{tmp_path / 'z.db'}") as mortal:
        alice = Terminal(tmux, "alice", 80, "--connect", mortal.url)
        alice.until("you are in General\n", "General>")
        mortal.kill()
        alice.until("reconnecting\n", "General>", status="offline")
        for line in ("/join Sports", "a text", "/quit"):
            alice.type(line, "Enter")
        alice.until("exit code 1")
    shown = alice.screen()
    assert "! not sent: a text (you left before the broker answered)" in shown
    assert "! not done: /join Sports (you left before the broker answered)" in shown
    assert "zchat: 1 message could not be stored" in shown


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


@pytest.mark.parametrize(("number", "code"), [("TERM", 143), ("HUP", 129)])
def test_a_signal_ends_the_chat_like_ctrl_c_and_its_user_leaves(
    tmux: Tmux, broker: Broker, number: str, code: int
) -> None:
    with zchat.Client(broker.url, user="bob") as bob:
        room = bob.join("General")
        alice = Terminal(tmux, "alice", 80, before="echo $$; exec ")
        alice.until("you are in General\n", "General>")
        alice.type("a draft")
        alice.until("General> a draft")
        os.kill(int(alice.screen().split()[0]), getattr(signal, f"SIG{number}"))
        eventually(lambda: [member.user for member in room.members()] == ["bob"], "alice has left")


@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "amid a burst"])
def test_a_chat_ends_when_its_terminal_is_closed(tmux: Tmux, broker: Broker, busy: bool) -> None:
    tmux("new-session", "-d", "-s", "other", "exec cat")  # or the server would end with its last session
    with zchat.Client(broker.url, user="bob") as bob:
        room = bob.join("General")
        alice = Terminal(tmux, "alice", 80, before="echo $$; exec ")
        alice.until("you are in General\n", "General>")
        process = Path("/proc", alice.screen().split()[0])
        if busy:
            room.send_many(f"line {number}" for number in range(20_000))
        tmux("kill-session", "-t", "alice")
        eventually(lambda: not process.exists(), "the program has ended")
        eventually(lambda: [member.user for member in room.members()] == ["bob"], "alice has left")


@contextmanager
def chatting(
    environment: dict[str, str],
) -> Iterator[tuple[subprocess.Popen[bytes], int, int, Callable[[bytes], bool]]]:
    """Give a chat that has begun, both ends of its terminal, and what tells if that has been written something."""
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        shown += read_now(master)
        return text in shown

    with (
        terminal() as (master, slave),
        command("client", environment=environment | {"TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave) as chat,
    ):
        eventually(lambda: shows(b"General>"), "it is there")
        yield chat, master, slave, shows


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGKILL], ids=["goes on", "ended", "killed"])
def test_what_a_stopped_terminal_has_not_taken_stays_unread(
    broker: Broker, environment: dict[str, str], number: int
) -> None:
    with chatting(environment) as (process, _, slave, shows):
        say(broker, "General", "seen")
        eventually(lambda: shows(b"seen") and unread(broker, "General") == 0, "it is read")
        termios.tcflow(slave, termios.TCOOFF)
        say(broker, "General", "one", "two", "three")
        time.sleep(0.3)  # by then they were received, which nothing shows
        assert unread(broker, "General") == 3
        if number:
            process.send_signal(number)
            assert process.wait(DEADLINE) in (143, -number)
            assert unread(broker, "General") == 3
        else:
            termios.tcflow(slave, termios.TCOON)
            eventually(lambda: shows(b"three") and unread(broker, "General") == 0, "it is drawn, and read")


@pytest.mark.parametrize("typed", ["", "hello\r", "/messages\ra\rb\rc\r"], ids=["nothing", "a line", "several"])
def test_who_has_typed_at_a_terminal_that_takes_nothing_leaves_in_order_too(
    broker: Broker, environment: dict[str, str], typed: str
) -> None:
    with chatting(environment) as (chat, master, slave, _):
        termios.tcflow(slave, termios.TCOOFF)
        say(broker, "General", *(f"line {number}" for number in range(4 * WAITING)))
        os.write(master, typed.encode())
        time.sleep(1)  # by then more waits to be drawn than may, which nothing shows
        with quick():
            chat.terminate()
            assert chat.wait(DEADLINE) == 143
        assert members(broker) == 0


STANDING = """
import sys
from zchat import Client, ConnectionLost, DeadlineExceeded
from zchat.cli.chat.terminal import line_worker
from zchat.cli.main import main

line_worker.LAST_LINE_SECONDS = 0.1
before, calls = Client.rooms, []

def rooms(self, **options):
    calls.append(self)
    if len(calls) < CALL:
        return before(self, **options)
    if ERROR:
        raise DeadlineExceeded("the list of rooms: the broker did not answer within 5 s")
    self.wait()
    raise ConnectionLost("the client was closed before this was answered")

Client.rooms = rooms
main(sys.argv[1:])
"""
"""A command whose broker doesn't answer the CALL-th question for its rooms; ERROR: or not in time."""


@pytest.mark.parametrize(
    ("call", "error", "keys", "code", "told"),
    [
        (1, 1, "", 1, "zchat: the list of rooms: the broker did not answer within 5 s"),
        (1, 0, "\x03", 130, ""),
        (1, 0, "\x04", 0, ""),
        (1, 0, "hello\r\x04", 1, "! not sent: hello (you left before the broker answered)"),
        (2, 0, "/list\r\x03", 130, ""),
    ],
    ids=["too late", "Ctrl-C", "Ctrl-D", "a text and Ctrl-D", "a command and Ctrl-C"],
)
def test_a_chat_obeys_keys_while_the_broker_does_not_answer_and_says_what_is_wrong(
    broker: Broker, environment: dict[str, str], call: int, error: int, keys: str, code: int, told: str
) -> None:
    program = STANDING.replace("CALL", str(call)).replace("ERROR", str(error))
    with terminal() as (master, slave):
        process = subprocess.Popen(
            [sys.executable, "-c", program, "client"],
            env=environment | {"TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        shown, prompt = b"", b"joining>" if call == 1 else b"General>"
        pressed = not keys
        with suppress(OSError):  # it has ended
            while select.select([master], [], [], DEADLINE)[0]:
                shown += os.read(master, 1 << 16)
                if prompt in shown and not pressed:
                    os.write(master, keys.encode())
                    pressed = True
        try:
            assert process.wait(DEADLINE) == code
        finally:
            process.kill()
    assert told.encode() in shown
    assert b"Traceback" not in shown
