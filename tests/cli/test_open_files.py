"""A limit on open files that is too low: the command says so in one line, and does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminals import Terminal, Tmux
from tests.mortal import Mortal
from tests.running import Start, eventually
from zchat.cli.open_files import FILES

LINES = ["", "--help", "rooms", "members General", "stats", "ping", "tail General", "tail -f General", "client"]
LINES += ["send General hi", "top -n 1", "backup --store sqlite:{}/old.db {}/new", "restore {}/old {}/new.db"]
LINES += ["broker --store sqlite:{}/new.db --bind tcp://127.0.0.1:*"]


@pytest.mark.parametrize("line", LINES)
def test_with_too_few_open_files_a_command_says_what_to_do(start: Start, tmp_path: Path, line: str) -> None:
    for limit in (5, 7, 12, FILES):
        running = start(shell=f'ulimit -n {limit}; exec "$@" {line.replace("{}", str(tmp_path))}', traced=False)
        assert running.end() == 1, limit
        assert running.text == "", limit
        assert running.errors.startswith("zchat: too few files can be opened: "), limit
        assert running.errors.endswith("; raise the limit (ulimit -n 1024)\n"), limit
        assert running.errors.count("\n") == 1, limit
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_may_be_raised_is(start: Start) -> None:
    running = start(shell='ulimit -Sn 12; exec "$@" rooms')
    assert running.end() == 0
    assert running.errors == ""
    assert "General" in running.text


@pytest.mark.parametrize(("line", "ready", "end"), [("client", "General>", "/quit"), ("top", "per second", "q")])
def test_what_has_the_screen_connects_again_with_no_more_files_than_are_asked_for(
    tmux: Tmux, line: str, ready: str, end: str
) -> None:
    with Mortal() as mortal:
        limit = f"ulimit -n {FILES + 3}; "
        terminal = Terminal(tmux, "alice", 80, "--connect", mortal.url, before=limit, command=line)

        def shows(text: str, *, there: bool = True) -> None:
            eventually(lambda: (text in terminal.screen()) is there, text)

        shows(ready)
        for _ in range(2):
            mortal.kill()
            shows("offline" if line == "client" else "connection lost")
            mortal.start()
            shows("offline" if line == "client" else "connection lost", there=False)
        terminal.type(end, "Enter")
        shows("exit code 0")
