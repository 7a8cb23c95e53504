"""The command as a whole: its help, its manual, wrong usage, and no broker."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tests.cli.driver import MANUAL
from tests.running import DEADLINE
from zchat.cli.program import COMMANDS, program


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example_and_has_its_options_in_the_manual(command: str) -> None:
    shown = CliRunner().invoke(program, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Examples:\n    zchat {command}" in shown.output
    made = program.get_command(click.Context(program), command)
    assert made
    assert made.name == command
    for option in made.params:
        if isinstance(option, click.Option):
            assert any(name in MANUAL for name in option.opts), option.opts


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    shown = CliRunner().invoke(program, [])
    assert shown.exit_code == 2
    assert "Examples:" in shown.output


@pytest.mark.parametrize(("typed", "meant"), [("tial", "tail"), ("clinet", "client"), ("room", "rooms")])
def test_a_command_that_is_misspelt_is_reported_with_the_one_that_may_be_meant(typed: str, meant: str) -> None:
    shown = CliRunner().invoke(program, [typed, "General"], standalone_mode=False)
    assert str(shown.exception) == f"there is no command '{typed}'; did you mean {meant}?"
    assert str(CliRunner().invoke(program, ["xyz"], standalone_mode=False).exception) == "No such command 'xyz'."


def test_the_version_is_reported() -> None:
    assert re.match(r"zchat ", CliRunner().invoke(program, ["--version"]).output)


def test_its_help_lists_every_command() -> None:
    shown = CliRunner().invoke(program, ["--help"]).output
    for name, what in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", shown, re.MULTILINE)


def test_its_help_loads_no_command_and_neither_zeromq_nor_the_client() -> None:
    report = "import sys; from zchat.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run(
        [sys.executable, "-c", report], env=unmeasured, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    loaded = run.stdout.splitlines()[-1].split()
    assert "zchat.cli.program" in loaded
    slow = {"zmq", "msgpack._cmsgpack", "wcwidth", "prompt_toolkit", "sqlite3", "platformdirs", "tomllib", "asyncio"}
    assert slow & set(loaded) <= {"msgpack._cmsgpack"}
    assert not {"zchat.events", "zchat.messages", "zchat.stats"} & set(loaded)
    assert not [name for name in loaded if name.startswith(("zchat.client", "zchat.broker", "zchat.cli.commands."))]


def test_its_help_is_the_same_where_python_leaves_out_docstrings() -> None:
    lines = [["--help"], *([name, "--help"] for name in COMMANDS)]
    script = (
        "import sys; from click.testing import CliRunner; from zchat.cli.program import program\n"
        f"for line in {lines}: sys.stdout.write(CliRunner().invoke(program, line).output)"
    )
    with_docstrings, without = (
        subprocess.run([sys.executable, *flags, "-c", script], capture_output=True, timeout=DEADLINE, check=True).stdout
        for flags in ([], ["-OO"])
    )
    assert without == with_docstrings
