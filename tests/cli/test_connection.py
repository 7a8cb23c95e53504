"""What can't work is reported soon."""

from __future__ import annotations

import re
import socket
from threading import Event
from typing import NoReturn

import pytest
from click.testing import CliRunner

from tests.running import DEADLINE
from zchat.cli import connection
from zchat.cli.program import program


def test_without_a_broker_it_says_so_in_one_line_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        told = CliRunner().invoke(program, ["rooms", "--connect", url])
    assert told.exit_code == 1
    assert re.fullmatch(rf"zchat: .* {url} .* \(--connect URL\)\n", told.stderr)


def test_a_host_that_isnt_known_is_reported_before_anything_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*arguments: object, **extra: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    monkeypatch.setattr(connection, "TIMEOUT", DEADLINE)
    told = CliRunner().invoke(program, ["rooms", "--connect", "tcp://nowhere.example:5555"])
    assert told.exit_code == 1
    why = r"the host 'nowhere.example' was not found \(Name or .*\); check the name, or use the machine's address"
    assert re.fullmatch(rf"zchat: {why} \(--connect URL\)\n", told.stderr)


@pytest.mark.parametrize("error", [KeyError("uid not found: 4711"), None])
def test_a_login_name_that_cant_be_used_is_reported_with_the_option_for_another(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    def getuser() -> str:
        if error is None:
            return "/bob"
        raise error

    monkeypatch.setattr("getpass.getuser", getuser)
    monkeypatch.delenv("ZCHAT_USER", raising=False)
    told = CliRunner().invoke(program, ["rooms", "--connect", "tcp://127.0.0.1:1"])
    assert told.exit_code in (1, 2)
    assert re.fullmatch(r"zchat: .*(the login name is unknown|'/bob').* \(--user NAME\)\n", told.stderr)


def test_a_lookup_that_takes_too_long_is_reported_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *arguments, **extra: over.wait(DEADLINE))
    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    told = CliRunner().invoke(program, ["rooms", "--connect", "tcp://nowhere.example:5555"])
    over.set()
    assert told.exit_code == 1
    assert "within 0.3 s: looking up the host 'nowhere.example' takes too long" in told.stderr
