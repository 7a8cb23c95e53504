"""How commands end when a signal asks them to: in a pipe, on a terminal, as the first process of a container."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import zchat as library
from tests.cli.driver import say
from tests.cli.outside import (
    CODES,
    caught,
    child,
    command,
    masked_signals,
    members,
    pipes,
    terminal,
    unread_by,
    until_full,
)
from tests.cli.tail.driver import Resting
from tests.cli.terminals import Tmux
from tests.mortal import Mortal
from tests.running import DEADLINE, ZCHAT, Start, eventually, read_now, read_to_the_end
from zchat.broker import Broker
from zchat.cli.ending import LAST_SECONDS

MODES = {
    b"\x1b[?1049h": b"\x1b[?1049l",
    b"\x1b[?2004h": b"\x1b[?2004l",
    b"\x1b[?25l": b"\x1b[?25h",
    b"\x1b[?7l": b"\x1b[?7h",
}
"""What changes a terminal, and what ends it."""

STAYING = ["client", "tail -f General", "tail -f --resume {}/seen General", "top", "top --every 0.2", "send General"]

SECONDS = LAST_SECONDS - 1
"""Seconds that an end may take: half a second on a machine that does nothing else; after one more it is by force."""

READY = {"client": "you are in General", "top": "per second since start"}
"""What commands show once they stay; the others show nothing, and are then members of the room."""


def each_line_and_each_signal(*lines: str) -> list[tuple[str, signal.Signals]]:
    """Return the lines, each with SIGTERM, and the first with the other signals too."""
    return [(line, signal.SIGTERM) for line in lines] + [(lines[0], each) for each in CODES if each != signal.SIGTERM]


@contextmanager
def quick() -> Iterator[None]:
    """Assert that the block takes no longer than an end may."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize(("line", "number"), each_line_and_each_signal(*STAYING))
def test_as_process_1_a_command_that_stays_leaves_and_ends_with_the_signals_code(
    broker: Broker, environment: dict[str, str], alone: tuple[str, ...], tmp_path: Path, line: str, number: int
) -> None:
    arguments = line.format(tmp_path).split()
    with (
        pipes(3) as (into, out, errors),
        command(
            *arguments, environment=environment, before=alone, stdin=into.out, stdout=out.into, stderr=errors.into
        ) as process,
    ):
        shown = b""

        def stays() -> bool:
            nonlocal shown
            shown += out.read()
            return READY.get(arguments[0], "").encode() in shown and (arguments[0] == "top" or members(broker) == 1)

        eventually(stays, "it stays")
        with quick():
            os.kill(child(process.pid), number)
            assert process.wait(DEADLINE) == CODES[signal.Signals(number)]
        eventually(lambda: members(broker) == 0, "it has left")
        told = errors.read()
        assert re.fullmatch(rb"(zchat: interrupted: no line stored\n)?", told), told


@pytest.mark.parametrize("store", ["memory:", "sqlite:{}/chat.db"])
def test_as_process_1_a_broker_ends_with_0(
    environment: dict[str, str], alone: tuple[str, ...], tmp_path: Path, store: str
) -> None:
    arguments = ("broker", "--bind", "tcp://127.0.0.1:*", "--store", store.format(tmp_path))
    with pipes(1) as (out,), command(*arguments, environment=environment, before=alone, stdout=out.into) as process:
        eventually(lambda: b"clients: about" in out.read(), "it runs")
        with quick():
            os.kill(child(process.pid), signal.SIGTERM)
            assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize(
    ("line", "number"),
    each_line_and_each_signal(
        "client Long", "tail -f --after 0 Long", "tail --after 0 Long", "top --every 0.2", "broker", "stats"
    ),
)
def test_a_command_whose_output_nobody_reads_ends_all_the_same(
    broker: Broker, environment: dict[str, str], tmp_path: Path, line: str, number: int
) -> None:
    say(broker, "Long", *("a line of some length" * 10 for _ in range(3_000)))
    options = ("--bind", f"ipc://{tmp_path}/zchat", "--store", "memory:") if line == "broker" else ()
    code = 0 if line == "broker" else CODES[signal.Signals(number)]
    with pipes(2) as (into, out):
        if not line.startswith("tail"):
            out.fill()
        with command(
            *line.split(), *options, environment=environment, stdin=into.out, stdout=out.into, stderr=out.into
        ) as process:
            until_full(out)
            eventually(lambda: caught(process.pid) == len(CODES), "it has begun")
            time.sleep(1)  # nothing shows that it waits
            with quick():
                process.send_signal(number)
                assert process.wait(DEADLINE) == code


def test_a_signal_before_the_broker_answers_ends_a_command_at_once(start: Start) -> None:
    with Mortal() as mortal:
        mortal.freeze()
        for number, code in CODES.items():
            running = start("rooms", ZCHAT_URL=mortal.url)
            pid = running.process.pid
            eventually(lambda pid=pid: caught(pid) == len(CODES), "it has begun")  # type: ignore[misc]
            with quick():
                running.process.send_signal(number)
                assert running.process.wait(DEADLINE) == code
            assert running.errors == ""
        mortal.thaw()


@pytest.mark.parametrize(
    "line",
    ["rooms", "members General", "stats", "tail General", "tail -f General", "client", "top", "send General hello"],
)
def test_a_signal_while_the_broker_stands_still_ends_a_command_soon(start: Start, line: str) -> None:
    with Mortal() as mortal:
        with library.Client(mortal.url, user="bob") as bob:
            bob.join("General").send("hi")
        program = (
            "import os, signal, sys, threading; from zchat.cli import connection; before = connection.Client\n"
            "def Client(*a, **k):\n"
            " c = before(*a, **k); broker = os.environ['BROKER']; os.kill(int(broker), signal.SIGSTOP)\n"
            " while open(f'/proc/{broker}/stat').read().split()[2] != 'T': pass\n"
            " print('ready', flush=True); return c\n"
            "connection.Client = Client\nfrom zchat.cli.main import main; main(sys.argv[1:])"
        )
        variables = {"ZCHAT_URL": mortal.url, "BROKER": str(mortal.process.pid), "PROGRAM": program}
        running = start(shell=f'exec "$1" -c "$PROGRAM" {line}', **variables)
        running.until("ready")
        with quick():
            running.process.send_signal(signal.SIGTERM)
            code = running.process.wait(DEADLINE)
        mortal.thaw()
        assert code == 143


def test_who_is_ended_while_the_broker_stands_still_has_left_once_it_goes_on(start: Start) -> None:
    with Mortal() as mortal, library.Client(mortal.url, user="bob") as bob:
        room = bob.join("General")
        running = start("send", "General", ZCHAT_URL=mortal.url)
        running.write("stored\n")
        assert next(room.messages(timeout=DEADLINE)).body == "stored"
        mortal.freeze()
        running.write("on its way\n")
        eventually(lambda: unread_by(running.process.pid) == 0, "it has read it")
        eventually(Resting(running.process.pid), "it waits for the answer")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(DEADLINE) == 143
        mortal.thaw()
        began = time.monotonic()
        eventually(lambda: [each.user for each in room.members()] == ["bob"], "alice has left")
        assert time.monotonic() - began < SECONDS
        assert next(room.messages(timeout=DEADLINE)).body == "on its way"


def test_a_second_signal_changes_no_exit_code(start: Start, broker: Broker) -> None:
    program = (
        "import os, signal, sys\n"
        "class Last:\n def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT): kill(pid, number)\n"
        "sys.last = Last()\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    say(broker, "General", "hi")
    eventually(lambda: members(broker) == 0, "who has spoken is gone")
    running = start(shell='exec "$1" -c "$PROGRAM" tail -f General', PROGRAM=program)
    eventually(lambda: members(broker) == 1, "it is there")
    running.process.terminate()
    assert running.process.wait(DEADLINE) == 143


@pytest.mark.parametrize("line", ["client", "tail -f General", "broker --store memory: --bind tcp://127.0.0.1:*"])
def test_a_signal_that_was_blocked_at_the_start_is_not(start: Start, broker: Broker, line: str) -> None:
    say(broker, "General", "hi")
    eventually(lambda: members(broker) == 0, "who has spoken is gone")
    program = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    running = start(shell=f'exec "$1" -c "$PROGRAM" "$@" {line}', PROGRAM=program)
    eventually(lambda: members(broker) == 1 or "clients: about" in running.text, "it is there")
    running.process.terminate()
    assert running.process.wait(DEADLINE) == (0 if line.startswith("broker") else 143)


@pytest.mark.parametrize("line", ["client Long", "tail -f --after 0 Long", "top --every 0.2"])
@pytest.mark.parametrize("term", ["dumb", "xterm-256color"])
def test_a_terminal_that_nobody_reads_holds_up_no_end(
    broker: Broker, environment: dict[str, str], line: str, term: str
) -> None:
    say(broker, "Long", *("a line of some length" * 10 for _ in range(3_000)))
    eventually(lambda: members(broker) == 0, "who has spoken is gone")
    master, slave = pty.openpty()
    try:
        with command(
            *line.split(), environment=environment | {"TERM": term}, stdin=slave, stdout=slave, stderr=slave
        ) as process:
            eventually(lambda: caught(process.pid) == len(CODES), "it has begun")
            if line.startswith("client"):
                eventually(lambda: members(broker) == 1, "it has joined")
                say(broker, "Long", *("y" * 1500 for _ in range(100)))
            time.sleep(1.5)  # nothing shows that it waits
            with quick():
                process.terminate()
                assert process.wait(DEADLINE) == 143
        eventually(lambda: members(broker) == 0, "it has left")
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("line", "ready"), [("client", b"General>"), ("tail -f General", b"welcome"), ("top --every 0.2", b"per second")]
)
def test_a_terminal_whose_output_is_stopped_holds_up_an_end_for_a_second(
    broker: Broker, environment: dict[str, str], line: str, ready: bytes
) -> None:
    say(broker, "General", "welcome")
    with terminal() as (master, slave):
        before = termios.tcgetattr(slave)
        variables = environment | {"TERM": "xterm"}
        with command(*line.split(), environment=variables, stdin=slave, stdout=slave, stderr=slave) as process:
            shown = b""

            def there() -> bool:
                nonlocal shown
                shown += read_now(master)
                return ready in shown

            eventually(there, "it has the terminal")
            time.sleep(0.5)  # nothing shows that all is drawn
            termios.tcflow(slave, termios.TCOOFF)  # as Ctrl-S does
            say(broker, "General", *("this can't be shown" for _ in range(1_500)))
            time.sleep(0.5)  # nothing shows that it waits
            with quick():
                process.terminate()
                assert process.wait(DEADLINE) == 143
            assert termios.tcgetattr(slave) == before
        os.close(slave)
        shown += read_to_the_end(master)
    for begin, end in MODES.items():
        assert begin not in shown or shown.rindex(end) > shown.rindex(begin)
    eventually(lambda: members(broker) == 0, "it has left")


@pytest.mark.parametrize("line", ["client", "top"])
@pytest.mark.parametrize("ignored", [True, False], ids=["ignoring SIGHUP", ""])
def test_a_terminal_that_is_closed_ends_what_has_the_screen(
    broker: Broker, environment: dict[str, str], line: str, ignored: bool
) -> None:
    master, slave = pty.openpty()
    ignore = ("env", "--ignore-signal=HUP") if ignored else ()
    with command(
        line, environment=environment | {"TERM": "xterm"}, before=ignore, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        shown = b""

        def there() -> bool:
            nonlocal shown
            shown += read_now(master)
            return b"you are in General" in shown or b"per second" in shown

        eventually(there, "it has the screen")
        os.close(slave)
        os.close(master)
        if not ignored:
            process.send_signal(signal.SIGHUP)
        assert process.wait(DEADLINE) == 129
    eventually(lambda: members(broker) == 0, "it has left")


# -- by force ------------------------------------------------------------------------------------------

HANGING = (
    "import sys, time; from zchat.cli import connection, ending; ending.LAST_SECONDS = 1.0\n"
    "connection.Client.close = lambda *_: time.sleep(60)\n"
    "from zchat.cli.main import main; main(sys.argv[1:])"
)
"""A command that doesn't end by itself."""


@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_a_command_that_does_not_end_is_ended_by_force(start: Start, broker: Broker, number: int) -> None:
    running = start(shell='exec "$1" -c "$PROGRAM" client', PROGRAM=HANGING)
    running.until("you are in General")
    with quick():
        running.process.send_signal(number)
        assert running.process.wait(DEADLINE) == CODES[signal.Signals(number)]


def test_a_broker_that_has_stopped_and_does_not_end_is_ended_by_force_with_0(start: Start) -> None:
    program = (
        "import atexit, sys, time; from zchat.cli import ending; ending.LAST_SECONDS = 1.0\n"
        "atexit.register(time.sleep, 60)\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    running = start(shell='exec "$1" -c "$PROGRAM" broker --store memory: --bind tcp://127.0.0.1:*', PROGRAM=program)
    running.until("clients: about")
    with quick():
        running.process.terminate()
        assert running.process.wait(DEADLINE) == 0


# -- without threads -----------------------------------------------------------------------------------

LIMITED = (
    "import os, sys, threading; from zchat import threads\n"
    "def limited(start):\n"
    " def run(*args, **named):\n"
    '  if os.path.exists(FILE): raise RuntimeError("can\'t start new thread")\n'
    "  return start(*args, **named)\n"
    " return run\n"
    "for where in (threading, threads):\n"
    " for name in ('_start_new_thread', '_start_joinable_thread'):\n"
    "  if hasattr(where, name): setattr(where, name, limited(getattr(where, name)))\n"
    "from zchat.cli.main import main; main(sys.argv[1:])"
)
"""A command to which the system gives no more threads once FILE exists."""


@pytest.mark.parametrize("line", [*STAYING, "broker --bind tcp://127.0.0.1:* --store sqlite:{}/chat.db"])
def test_a_signal_ends_a_command_that_gets_no_more_threads(
    start: Start, broker: Broker, tmp_path: Path, line: str
) -> None:
    limit = tmp_path / "no more"
    running = start(
        shell=f'exec "$1" -c "$PROGRAM" {line.format(tmp_path)}', PROGRAM=LIMITED.replace("FILE", repr(str(limit)))
    )
    of_broker = line.startswith("broker")
    ready = "clients: about" if of_broker else READY.get(line.split()[0], "")
    eventually(lambda: ready in running.text and (of_broker or line[:3] == "top" or members(broker) == 1), "it stays")
    limit.touch()
    with quick():
        running.process.terminate()
        assert running.process.wait(DEADLINE) == (0 if of_broker else 143)
    assert "Traceback" not in running.errors
    eventually(lambda: members(broker) == 0, "it has left")


@pytest.mark.parametrize("line", ["client", "top"])
def test_a_signal_ends_what_has_the_screen_and_gets_no_more_threads(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str
) -> None:
    limit, program = tmp_path / "no more", tmp_path / "program.py"
    program.write_text(LIMITED.replace("FILE", repr(str(limit))))
    ends_and_restores(tmux, tmp_path, [sys.executable, str(program)], line, "TERM", before=limit.touch)
    assert members(broker) == 0


# -- a broker goes on ----------------------------------------------------------------------------------


def test_a_hangup_while_a_broker_starts_is_taken_as_later(start: Start) -> None:
    program = (
        "import os, signal, sys; from zchat.cli.commands import broker; before = broker.Broker\n"
        "def Broker(*a, **k): os.kill(os.getpid(), signal.SIGHUP); return before(*a, **k)\n"
        "broker.Broker = Broker\nfrom zchat.cli.main import main; main(sys.argv[1:])"
    )
    line = "broker --store memory: --bind tcp://127.0.0.1:* --log-level info"
    running = start(shell=f'exec "$1" -c "$PROGRAM" {line}', PROGRAM=program)
    running.until("clients: about")
    eventually(lambda: "SIGHUP" in running.errors, "it is in the log")
    running.process.terminate()
    assert running.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("line", ["client", "tail -f General", "broker --store memory: --bind tcp://127.0.0.1:*"])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(start: Start, broker: Broker, line: str) -> None:
    running = start(shell=f"trap '' INT HUP; exec \"$@\" {line}")
    eventually(lambda: caught(running.process.pid) == len(CODES) - 2, "it has begun")
    assert masked_signals(running.process.pid, "SigIgn") == 2
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGHUP)
    eventually(lambda: members(broker) == 1 or "clients: about" in running.text, "it goes on")
    running.process.terminate()
    assert running.process.wait(DEADLINE) == (0 if line.startswith("broker") else 143)


def test_a_broker_takes_a_hangup_as_an_event_and_goes_on(start: Start) -> None:
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--log-format", "json")
    eventually(lambda: '"listening"' in running.errors, "it listens")
    for count in (1, 2):
        running.process.send_signal(signal.SIGHUP)
        eventually(lambda count=count: running.errors.count('"hangup"') == count, "it is in the log")  # type: ignore[misc]
    url = re.search(r"tcp://[\d.:]+", running.errors)
    assert url
    with library.Client(url[0], user="bob") as bob:
        bob.join("General").send("it serves")
    running.process.terminate()
    assert running.end() == 0
    assert '"stopped"' in running.errors.splitlines()[-1]


@pytest.mark.parametrize("number", list(CODES), ids=lambda number: number.name)
def test_a_chat_in_pipes_has_stored_what_it_was_given_before_the_signal(
    start: Start, broker: Broker, number: int
) -> None:
    running = start("client")
    running.until("you are in General")
    running.write("hello\n")
    running.until("alice: hello")
    running.process.send_signal(number)
    assert running.process.wait(DEADLINE) == CODES[signal.Signals(number)]
    eventually(lambda: members(broker) == 0, "it has left")
    assert running.errors == ""


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("client", "TERM"),
        *(("top", name) for name in ("TERM", "INT", "HUP", "QUIT")),
        ("client", "USR1"),
        ("top", "XCPU"),
    ],
)
def test_a_terminal_is_as_it_was_before_after_a_signal(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str, name: str
) -> None:
    ends_and_restores(tmux, tmp_path, ZCHAT, line, name)
    assert members(broker) == 0


@pytest.mark.parametrize("line", ["top", "client"])
def test_a_command_that_hangs_is_ended_by_force_and_leaves_the_terminal_as_it_was(
    tmux: Tmux, broker: Broker, tmp_path: Path, line: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(HANGING)
    ends_and_restores(tmux, tmp_path, [sys.executable, str(program)], line, "TERM")


def ends_and_restores(
    tmux: Tmux, tmp_path: Path, program: list[str], line: str, name: str, before: Callable[[], object] = lambda: None
) -> None:
    """Assert that a command on a terminal ends soon after a signal, with its code, and leaves nothing on it.

    `before` is called before the signal.
    """
    modes, after, pid = (tmp_path / each for each in ("modes", "after", "pid"))
    zchat = shlex.join([*program, line, "--user", "alice"])
    script = f"stty -g >{modes}; sh -c 'echo $$ >{pid}; exec {zchat}'; echo exit code $?; stty -g >{after}; exec cat"
    tmux("new-session", "-d", "-s", "alice", "-x", "80", "-y", "24", script)

    def shows(text: str) -> None:
        eventually(lambda: text in tmux("capture-pane", "-p", "-t", "alice"), text)

    shows("General>" if line == "client" else "per second")
    before()
    with quick():
        os.kill(int(pid.read_text()), getattr(signal, f"SIG{name}"))
        shows(f"exit code {128 + getattr(signal, f'SIG{name}')}")
    eventually(lambda: after.exists() and after.read_text(), "the shell goes on")
    assert after.read_text() == modes.read_text()
    state = "#{alternate_on} #{cursor_flag}"
    assert tmux("display-message", "-p", "-t", "alice", state).split() == ["0", "1"]
