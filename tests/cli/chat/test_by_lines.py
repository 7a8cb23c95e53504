"""The chat whose input is no terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from typing import NoReturn, cast

import pytest

import zchat as library
from tests.cli.chat.driver import Chat
from tests.cli.driver import bodies, masked, say
from tests.mortal import Mortal, refusing
from tests.running import DEADLINE, ZCHAT, Start, Zchat
from zchat.broker import Broker
from zchat.cli.connection import is_lost


def test_the_client_sends_what_it_reads_and_shows_what_is_stored(zchat: Zchat, broker: Broker) -> None:
    done = zchat("client", stdin="hello\n\n//slash\nlast line")
    assert done.returncode == 0
    assert masked(done.stdout) == (
        f"* alice at {broker.url}; /help lists the commands\n"
        "* you are in General\n"
        "[12:00:00] alice: hello\n"
        "[12:00:00] alice: /slash\n"
        "[12:00:00] alice: last line\n"
    )
    assert bodies(broker, "General") == ["hello", "/slash", "last line"]


def test_the_whole_input_is_done_though_nobody_reads_the_output(environment: dict[str, str], broker: Broker) -> None:
    lines = [f"line {number}" for number in range(100)]
    done = without_reader(environment, "\n".join([*lines, "/nonsense", "last line"]))
    assert (done.returncode, done.stderr) == (1, "zchat: 1 line of the input failed\n")
    assert bodies(broker, "General") == [*lines, "last line"]
    done = without_reader(environment, "another")
    assert (done.returncode, done.stderr) == (0, "")
    assert bodies(broker, "General")[-1] == "another"


def test_a_client_that_reads_a_terminal_ends_once_nobody_reads_its_output(environment: dict[str, str]) -> None:
    master, terminal = pty.openpty()
    done = without_reader(environment, terminal=terminal)
    os.close(terminal)
    os.close(master)
    assert (done.returncode, done.stderr) == (0, "")


def without_reader(
    environment: dict[str, str], text: str | None = None, terminal: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `zchat client` with a text or a terminal for its input, and for its output a pipe that nobody reads."""
    out, into = os.pipe()
    os.close(out)
    try:
        return subprocess.run(
            [*ZCHAT, "client"],
            input=text,
            stdin=terminal,
            stdout=into,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        os.close(into)


def test_the_client_shows_what_others_say_at_once(start: Start, broker: Broker) -> None:
    running = start("client", "--quiet", "General", "Sports")
    running.until("* you are also in Sports\n")
    say(broker, "General", "hi alice", "a\n[12:00:00] alice: fake\x9b2J")
    running.until("fake<U+009B>2J\n")
    say(broker, "Sports", "goal", user="carol")
    running.until("carol: goal\n")
    running.write("/quit\n")
    assert running.end() == 0
    assert masked(running.text).splitlines()[3:] == [
        "[12:00:00] bob: hi alice",
        "[12:00:00] bob: a",
        "    [12:00:00] alice: fake<U+009B>2J",
        "[12:00:00] #Sports carol: goal",
    ]


def test_one_message_is_counted_as_one(zchat: Zchat, broker: Broker) -> None:
    say(broker, "Sports", "only")
    assert re.search(r"Sports +0 members +1 message$", zchat("client", stdin="/list").stdout, re.MULTILINE)


def test_a_line_that_is_lost_with_the_broker_is_reported_once_with_the_reason() -> None:
    class Lost:
        """A room whose broker goes while it takes a message."""

        name = "General"

        def send(self, text: str) -> NoReturn:
            raise library.OutcomeUnknown("1 message was on its way: it is gone") from library.ConnectionLost("gone")

    chat = Chat()
    chat.rooms.add(cast(library.Room, Lost()))
    chat.rooms.go_on()
    with pytest.raises(library.OutcomeUnknown) as caught:
        chat.do("hello")
    assert is_lost(caught.value), "it ends the chat, which then reports it"
    assert chat.shown == []


def test_a_client_that_is_refused_for_good_ends(start: Start) -> None:
    with Mortal() as mortal:
        running = start("client", ZCHAT_URL=mortal.url)
        running.until("* you are in General\n")
        mortal.kill()
        with refusing(mortal.url):
            assert running.process.wait(DEADLINE) == 1
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .+\n", running.errors)


def test_a_gap_is_reported_in_the_chat() -> None:
    chat = Chat()
    chat.conversation.take(library.Gap("General", 2, 7, "trimmed"))
    assert chat.shown == ["! General: messages 3 to 7 are no longer kept"]
