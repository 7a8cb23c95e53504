"""The command as a whole: its help, its manual, wrong usage, and no broker."""

from __future__ import annotations

import re
import socket
from typing import NoReturn

import click
import pytest
from click.testing import CliRunner

from tests.cli.driver import MANUAL
from zchat.cli import connection
from zchat.cli.main import program

# -- all of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(program.commands))
def test_every_command_teaches_by_example_and_has_its_options_in_the_manual(command: str) -> None:
    shown = CliRunner().invoke(program, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Examples:\n    zchat {command}" in shown.output
    for option in program.commands[command].params:
        if isinstance(option, click.Option):
            assert any(name in MANUAL for name in option.opts), option.opts


def test_without_a_command_it_shows_its_help_and_fails() -> None:
    shown = CliRunner().invoke(program, [])
    assert shown.exit_code == 2
    assert "Examples:" in shown.output


def test_the_version_is_told() -> None:
    assert re.match(r"zchat ", CliRunner().invoke(program, ["--version"]).output)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["send", "--frobnicate"], "--frobnicate"),
        (["nonsense"], "nonsense"),
        (["send"], "ROOM"),
        (["rooms", "--connect", "nowhere"], "tcp://127.0.0.1:5555"),
        (["rooms", "--connect", "inproc://broker"], "tcp://127.0.0.1:5555"),
        (["rooms", "--connect", "tcp://:5555"], "is not an address: use tcp://HOST:PORT"),
        (["rooms", "--connect", "tcp://127.0.0.1:99999"], "ports are 1 to 65535"),
        (["rooms", "--connect", "tcp://127.0.0.1:0"], "ports are 1 to 65535"),
        (["rooms", "--connect", "tcp://127.0.0.1:*"], "ports are 1 to 65535"),
        (["broker", "--bind", "tcp://127.0.0.1:99999"], "ports are 1 to 65535"),
        (["broker", "--store", ""], "names no store"),
        (["broker", "--room", "#Ops"], "reserved"),
        (["rooms", "--user", "@alice"], "reserved"),
        (["send", "/etc", "hi"], "'/etc' begins with /, which is reserved"),
        (["tail", "x" * 65], "has 65"),
        (["members", "@"], "has 0"),
        (["members"], "ROOM"),
        (["client", "General", "a\tb"], "control character"),
        (["broker", "--bind", "nowhere"], "tcp://127.0.0.1:5555"),
        (["broker", "--high-water-mark", "0"], "high-water-mark"),
        (["broker", "--high-water-mark", "10001"], "high-water-mark"),
        (["broker", "--store", "papyrus:scroll"], "papyrus"),
        (["broker", "--max-message", "1048577"], "max-message"),
        (["broker", "--retain-days", "nan"], "retain-days"),
        (["tail", "General", "--after", str(1 << 63)], "--after"),
        (
            ["tail", "General", "-n", "1", "--after", "1"],
            "--after and --unread. Try: zchat tail --help",
        ),
        (
            ["tail", "General", "--unread", "--after", "1"],
            "--after and --unread. Try: zchat tail --help",
        ),
        (
            ["tail", "General", "--unread", "-n", "1"],
            "--after and --unread. Try: zchat tail --help",
        ),
    ],
)
def test_wrong_usage_is_told_in_one_line_with_exit_code_2(arguments: list[str], what: str) -> None:
    told = CliRunner().invoke(program, arguments, prog_name="zchat")
    assert told.exit_code == 2
    assert told.stderr.startswith("zchat: ")
    assert told.stderr.count("\n") == 1
    assert what in told.stderr
    assert told.stdout == ""


def test_without_a_broker_it_says_so_in_one_line_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        told = CliRunner().invoke(program, ["rooms", "--connect", url])
    assert told.exit_code == 1
    assert told.stderr.startswith("zchat: ")
    assert told.stderr.count("\n") == 1
    assert url in told.stderr


def test_a_host_that_isnt_known_is_told_before_anything_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*arguments: object, **extra: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    monkeypatch.setattr(connection, "Client", None)
    told = CliRunner().invoke(program, ["rooms", "--connect", "tcp://nowhere.example:5555"])
    assert told.exit_code == 1
    assert re.fullmatch(r"zchat: the host 'nowhere.example' was not found \(Name or .*\); .*--connect\n", told.stderr)
