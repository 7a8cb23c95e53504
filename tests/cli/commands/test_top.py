"""`zchat top`: on real terminals, and where there is none."""

from __future__ import annotations

import re
import signal
import time
from functools import partial

import pytest

import zchat as library
from tests.cli.terminals import Terminal, Tmux
from tests.mortal import Mortal, refusing
from tests.running import Start, Zchat, eventually
from zchat.broker import Broker


def test_without_a_terminal_looks_are_written_one_below_the_other(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        bob.join("General").send_many(["one", "two", "three"])
        done = zchat("top", "-n", "2", "--every", "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, end = done.stdout.split("\n\n")
    assert end == ""
    assert "per second since start" in first
    assert "since start" not in second
    for text in (first, second):
        assert text.startswith(f"{broker.url} ")
        assert "2 sessions   5 rooms   1 member" in text
        assert re.search(r"^messages +\S+ +3 ", text, re.MULTILINE)
    assert done.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize("every", ["0.1", "3601", "nan", "-1", "inf"])
def test_a_pace_out_of_bounds_is_refused(zchat: Zchat, every: str) -> None:
    done = zchat("top", "--every", every)
    assert done.returncode == 2
    assert "is not a number of seconds from 0.2 to 3600" in done.stderr


def test_without_a_terminal_it_goes_on_until_ctrl_c(start: Start) -> None:
    running = start("top", "--every", "0.2")
    running.until("since start")
    running.until("     per second")
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 130
    assert running.errors == ""


def test_it_ends_when_nobody_reads_it_any_more(start: Start) -> None:
    running = start(shell='"$@" top --every 0.2 | head -n 1')
    running.until("tcp://")
    assert running.end() == 0
    assert running.errors == ""


def test_it_ends_soon_after_its_reader_however_long_it_has_nothing_to_write(start: Start) -> None:
    begun = time.monotonic()
    running = start(shell='"$@" top --every 3600 | head -n 1')
    running.until("tcp://")
    assert running.end() == 0
    assert time.monotonic() < begun + 60
    assert running.errors == ""


def test_a_broker_that_goes_away_is_reported_and_looked_at_again_once_it_is_back(start: Start) -> None:
    with Mortal("memory:") as mortal:
        with library.Client(mortal.url, user="bob") as bob:
            bob.join("General").send_many(map(str, range(100)))
        running = start("top", "--every", "0.2", "--connect", mortal.url)
        running.until("     per second")
        mortal.kill()
        text = running.until("connection lost; reconnecting\n")
        assert re.search(r"^messages +\S+ +100 ", text, re.MULTILINE)
        mortal.start()
        fresh = re.compile(r"since start.*^messages +\S+ +0 ", re.MULTILINE | re.DOTALL)
        eventually(lambda: fresh.search(running.text, len(text)), "no sample of the broker that is back")
        assert " -" not in running.text[len(text) :]
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130


def shows(terminal: Terminal, *texts: str) -> None:
    """Wait until a terminal shows texts, all at once."""
    eventually(
        lambda: (screen := terminal.screen()) and all(text in screen for text in texts),
        lambda: f"{terminal.name} shows not {texts} but\n{terminal.screen()}",
    )


def described(terminal: Terminal, columns: int) -> str:
    return f"{terminal.name} at {columns}:\n{terminal.screen()}"


def test_the_screen_fits_80_and_40_columns_and_is_drawn_anew_when_they_change(tmux: Tmux, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        room = bob.join("General")
        one = Terminal(tmux, "alice", 80, "--every", "0.2", command="top")
        other = Terminal(tmux, "carol", 40, "--every", "0.2", command="top")
        shows(one, "3 sessions   5 rooms   1 member   0 behind\n")
        shows(other, "3 sessions   5 rooms   1 member\n0 behind\n")
        room.send_many(["one", "two", "three"])
        for terminal, columns in ((one, 80), (other, 40), (one, 40), (other, 80), (one, 20)):
            terminal.resize(columns, 24)
            beside = 2 if columns == 80 else 1

            def fits(terminal: Terminal = terminal, columns: int = columns, beside: int = beside) -> bool:
                screen = terminal.screen()
                return (
                    re.search(r"^messages +\S+", screen, re.MULTILINE) is not None
                    and len(re.findall("per second", screen)) == (beside if columns >= 40 else 0)
                    and ("         total" in screen) == (columns >= 40)
                    and (" 3\n" in screen or " 3 " in screen) == (columns >= 40)
                    and max(map(len, screen.splitlines())) <= columns
                )

            eventually(fits, partial(described, terminal, columns))


def test_the_terminal_is_left_as_it_was(tmux: Tmux, broker: Broker) -> None:
    alice, carol = (Terminal(tmux, name, 80, "--every", "3600", command="top") for name in ("alice", "carol"))
    for terminal in (alice, carol):
        shows(terminal, "\nbehind in ")
    alice.keys("q")
    carol.keys("C-c")
    shows(alice, "exit code 0\n")
    shows(carol, "exit code 130\n")
    for terminal in (alice, carol):
        assert terminal.screen().startswith("exit code")
        terminal.type("the cursor is shown, and what is typed as well")
        shows(terminal, "typed as well\n")


def test_of_a_counted_number_of_looks_the_last_stays_on_the_terminal(tmux: Tmux, broker: Broker) -> None:
    alice = Terminal(tmux, "alice", 80, "--every", "0.2", "-n", "2", command="top")
    shows(alice, "1 session   5 rooms   0 members   0 behind\n", "exit code 0\n")
    assert "since start" not in alice.screen()


def test_a_lost_broker_is_reported_on_the_screen_which_goes_on_when_it_is_back(tmux: Tmux) -> None:
    with Mortal("memory:") as mortal:
        alice = Terminal(tmux, "alice", 80, "--every", "0.2", "--connect", mortal.url, command="top")
        shows(alice, "     per second")
        mortal.kill()
        shows(alice, "connection lost; reconnecting\n", "     per second")
        mortal.start()
        shows(alice, "    up ")
        mortal.kill()
        shows(alice, "connection lost; reconnecting\n")
        with refusing(mortal.url):
            shows(alice, "zchat: ", "exit code 1\n")
    assert "Traceback" not in alice.screen()
