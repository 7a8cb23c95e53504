"""How a chat on a terminal ends: what was said last, and the terminal and the room that it leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import zchat
from tests.cli.terminals import Terminal, Tmux
from tests.mortal import Mortal, refusing
from tests.running import eventually
from zchat.broker import Broker


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
    assert "zchat: 2 messages could not be stored" in shown


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
