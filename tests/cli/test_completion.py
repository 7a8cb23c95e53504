"""Completion in shells: rooms, users and files, quickly, and nothing that others chose is carried out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import zchat as library
from tests.cli.terminals import Tmux
from tests.mortal import Mortal
from tests.running import DEADLINE, ZCHAT, eventually
from zchat.broker import DEFAULT_ROOMS, Broker
from zchat.cli import completion
from zchat.cli.completion import _for_bash, _within

HOSTILE = "a;touch `id`"

PATIENT = f"from zchat.cli import completion; completion.SECONDS = {DEADLINE}; from zchat.cli.main import main; main()"
"""A command that waits for the broker as long as a busy machine may need."""


@pytest.fixture
def complete(environment: dict[str, str]) -> Callable[..., list[str]]:
    """Give a function that returns what bash is given for what is typed."""

    def run(typed: str, part: str | None = None, patient: bool = True, **extra: str) -> list[str]:
        variables = {"_ZCHAT_COMPLETE": "bash_complete", "COMP_TYPED": typed}
        variables["COMP_PART"] = typed.rpartition(" ")[2] if part is None else part
        done = subprocess.run(
            [sys.executable, "-c", PATIENT] if patient else ZCHAT,
            env=environment | variables | extra,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return run


@pytest.fixture
def rooms(broker: Broker) -> Broker:
    with library.Client(broker.url, user="bob") as bob:
        for name in ("Big Room", HOSTILE, "c:d", "e,f,g {h}", "Xa one", "xA two"):
            bob.join(name).send("hello")
    return broker


@pytest.mark.parametrize("command", ["tail", "send", "members", "client"])
def test_rooms_are_completed_in_any_case(rooms: Broker, complete: Callable[..., list[str]], command: str) -> None:
    assert complete(f"zchat {command} ge") == ["plain,General"]


def test_what_bash_would_take_apart_is_quoted(rooms: Broker, complete: Callable[..., list[str]]) -> None:
    assert complete("zchat tail Bi") == ["plain,Big\\ Room"]
    assert complete("zchat tail Big\\ R", part="Big\\ R") == ["plain,Big\\ Room"]
    assert complete("zchat tail a") == ["plain,a\\;touch\\ \\`id\\`"]
    assert complete("zchat tail c:", part="") == ["plain,d"]
    assert complete('zchat tail "Big R', part="Big R") == ["plain,Big Room"]
    assert complete("zchat tail 'Big ", part="Big ") == complete('zchat tail "Big ', part="Big ") == ["plain,Big Room"]
    assert complete("zchat tail 'Bug ", part="Bug ") == complete("zchat send '@nobody ", part="@nobody ") == [""]
    assert complete("zchat tail Big\\\\ ", part="") == complete("zchat tail ", part="")
    assert complete('zchat tail "a', part="a") == ["none,"]
    assert complete("zchat tail 'a", part="a") == [f"plain,{HOSTILE}"]


def test_a_room_is_completed_as_it_is_shown(rooms: Broker, complete: Callable[..., list[str]]) -> None:
    assert complete("zchat tail '#ge", part="#ge") == ["plain,#General"]
    assert complete("zchat tail \\#Bi") == ["plain,\\#Big\\ Room"]


def test_a_function_of_zchat_0_1_0_is_given_what_needs_no_quoting(rooms: Broker, environment: dict[str, str]) -> None:
    variables = {"_ZCHAT_COMPLETE": "bash_complete", "COMP_WORDS": "zchat tail ", "COMP_CWORD": "2"}
    done = subprocess.run(
        ZCHAT, env=environment | variables, capture_output=True, text=True, timeout=DEADLINE, check=True
    )
    assert set(done.stdout.split()) == {"none,", *(f"plain,{room}" for room in DEFAULT_ROOMS), "plain,c:d"}


def test_a_function_for_fish_of_before_is_given_no_name_that_it_would_cut(
    rooms: Broker, environment: dict[str, str]
) -> None:
    """click's takes what stands before the second comma: `e,f` was inserted for the room `e,f,g {h}`."""
    variables = {"_ZCHAT_COMPLETE": "fish_complete", "COMP_WORDS": "zchat tail ", "COMP_CWORD": ""}
    found = []
    for extra in ({}, {"COMP_WHOLE": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", PATIENT],
            env=environment | variables | extra,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        found.append(set(done.stdout.splitlines()))
    assert found[0] ^ found[1] == {"none,", "plain,e,f,g {h}"}


def test_of_several_names_each_begins_as_it_was_typed(rooms: Broker, complete: Callable[..., list[str]]) -> None:
    """bash and zsh put what all have in common in the place of what was typed: nothing, for `xa`."""
    assert complete("zchat tail xa") == ["plain,xa\\ one", "plain,xa\\ two"]
    assert complete("zchat tail xa\\ t", part="xa\\ t") == ["plain,xA\\ two"]


@pytest.mark.parametrize(
    ("value", "typed", "part", "inserted"),
    [
        ("$(id)", "zchat tail $", "$", "\\$\\(id\\)"),
        ("it's", "zchat tail 'it", "it", None),
        ("a&b|c>d", "zchat tail ", "", "a\\&b\\|c\\>d"),
        ("*", "zchat tail ", "", "\\*"),
        ("~root", "zchat tail ", "", "\\~root"),
        ("é", "zchat tail ", "", "é"),
        ("x y", 'zchat tail x" ', " ", None),
        ("a:b", "zchat tail A:", "", "b"),
        ("xa:b", "zchat tail a:", "", None),
    ],
)
def test_no_name_is_carried_out(value: str, typed: str, part: str, inserted: str | None) -> None:
    assert _for_bash(value, typed, part) == inserted


def test_users_are_completed_after_an_at(broker: Broker, complete: Callable[..., list[str]]) -> None:
    with library.Client(broker.url, user="bob") as bob, library.Client(broker.url, user="bill") as bill:
        bob.join("General")
        assert complete("zchat send @b") == ["plain,@bob"], "who is in a room"
        bill.direct("alice").send("psst")
        assert complete("zchat send @b") == ["plain,@bill", "plain,@bob"], "or has written"
        assert complete("zchat send @a") == [""], "not oneself"


def test_files_commands_and_options_are_completed(complete: Callable[..., list[str]]) -> None:
    assert complete("zchat tail --resume se") == ["file,se"]
    assert complete("zchat backup se") == ["file,se"]
    assert complete("zchat rest") == ["plain,restore"]
    assert complete("zchat cop") == ["plain,copy"]
    assert complete("zchat copy --a") == ["plain,--again"]
    assert complete("zchat tail --s") == ["plain,--since", "plain,--server-key"]


def test_without_a_broker_nothing_is_offered_and_nothing_hangs(complete: Callable[..., list[str]]) -> None:
    with Mortal() as mortal:
        mortal.freeze()
        for url in (mortal.url, "tcp://127.0.0.1:1", "nonsense"):
            began = time.monotonic()
            assert complete("zchat tail Ge", patient=False, ZCHAT_URL=url) == [""]
            assert time.monotonic() - began < 30, "one second, and as long as a busy machine takes to start it"
        mortal.thaw()
    began = time.monotonic()
    assert _within(0.1, lambda: [time.sleep(5) or "late"]) == []  # type: ignore[func-returns-value]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("way", ["option", "environment", "configuration"])
def test_where_an_address_is_wrong_no_other_brokers_names_are_offered(
    rooms: Broker, complete: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    usual = f"from zchat import address; address.DEFAULT_URL = {rooms.url!r}; {PATIENT}"
    monkeypatch.setitem(globals(), "PATIENT", usual)
    config = tmp_path / "zchat.toml"
    config.write_text('connect = "nonsense"\n' if way == "configuration" else "")
    typed = "zchat tail --connect nonsense Ge" if way == "option" else "zchat tail Ge"
    where = {"ZCHAT_CONFIG": str(config), "ZCHAT_URL": "nonsense" if way == "environment" else ""}
    assert complete(typed, **where) == [""]
    assert complete("zchat tail Ge", ZCHAT_CONFIG=os.devnull, ZCHAT_URL="") == ["plain,General"], "the usual one"


def test_with_keys_it_uses_those_of_options_environment_and_configuration(
    keyed: tuple[Path, str], complete: Callable[..., list[str]]
) -> None:
    folder, url = keyed
    key, server = folder / "users" / "alice.key_secret", folder / "server.key"
    nobody = {"ZCHAT_URL": url, "ZCHAT_USER": ""}
    assert complete(f"zchat tail --key {key} --server-key {server} ge", **nobody) == ["plain,General"]
    home = {"HOME": str(folder)}
    given = "--key ~/users/alice.key_secret --server-key ~/server.key"
    assert complete(f"zchat tail {given} ge", **home, **nobody) == ["plain,General"], "before the shell makes it a path"
    assert complete("zchat tail ge", ZCHAT_KEY=str(key), ZCHAT_SERVER_KEY=str(server), **nobody) == ["plain,General"]
    config = folder / "zchat.toml"
    config.write_text(f'connect = "{url}"\nkey = "{key}"\n[tail]\nserver-key = "{server}"\n')
    variables = {"ZCHAT_URL": "", "ZCHAT_USER": ""}
    assert complete("zchat tail ge", ZCHAT_CONFIG=str(config), **variables) == ["plain,General"]
    assert complete(f"zchat tail --config {config} ge", **variables) == ["plain,General"]


def test_a_broker_that_refuses_offers_nothing_and_says_nothing(
    keyed: tuple[Path, str], complete: Callable[..., list[str]]
) -> None:
    folder, url = keyed
    server = str(folder / "server.key")
    readable = folder / "readable.key_secret"
    readable.write_bytes((folder / "users" / "alice.key_secret").read_bytes())
    readable.chmod(0o644)
    refused = [
        {},
        {"ZCHAT_KEY": str(folder / "eve.key_secret"), "ZCHAT_SERVER_KEY": server},
        {"ZCHAT_KEY": str(folder / "users" / "alice.key_secret"), "ZCHAT_SERVER_KEY": str(folder / "eve.key")},
        {"ZCHAT_KEY": str(readable), "ZCHAT_SERVER_KEY": server},
        {"ZCHAT_KEY": str(folder / "users" / "alice.key_secret"), "ZCHAT_SERVER_KEY": server, "ZCHAT_USER": "bob"},
    ]
    for variables in refused:
        assert complete("zchat tail ge", ZCHAT_URL=url, **({"ZCHAT_USER": ""} | variables)) == [""]


def test_the_time_that_is_waited_is_one_second() -> None:
    assert completion.SECONDS == 1.0


SHELLS = {
    "bash": ("--norc -i", 'eval "$(_ZCHAT_COMPLETE=bash_source zchat)"'),
    "zsh": ("-f -i", 'autoload -Uz compinit; compinit -u -D; eval "$(_ZCHAT_COMPLETE=zsh_source zchat)"'),
    "fish": ("--no-config", "_ZCHAT_COMPLETE=fish_source zchat | source"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_it_works_in_a_real_shell(
    rooms: Broker, tmux: Tmux, tmp_path: Path, needs: Callable[[str], str], shell: str
) -> None:
    needs(shell)
    program = tmp_path / "bin" / "zchat"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(ZCHAT)} "$@"\n')
    program.chmod(0o755)
    options, begin = SHELLS[shell]
    path = f"{program.parent}:{os.environ['PATH']}"
    tmux("new-session", "-d", "-s", shell, "-x", "100", "-y", "24", f"env PATH={shlex.quote(path)} {shell} {options}")

    def type(text: str) -> None:
        tmux("send-keys", "-t", shell, "-l", text)

    def until(text: str) -> None:
        eventually(lambda: text in tmux("capture-pane", "-p", "-t", shell), lambda: tmux("capture-pane", "-p"))

    type("echo be''gun")
    tmux("send-keys", "-t", shell, "Enter")
    until("begun\n")
    type(f"{begin}; echo rea''dy")
    tmux("send-keys", "-t", shell, "Enter")
    until("ready\n")
    for typed, completed in (
        ("zchat tail Gen", "zchat tail General "),
        ("zchat tail Bi", "zchat tail Big\\ Room "),
        ("zchat tail e", "zchat tail e,f,g\\ \\{h\\} "),
        ("zchat tail XA", "zchat tail XA\\ "),
    ):
        type(typed)
        tmux("send-keys", "-t", shell, "Tab")
        until(completed.rstrip())
        type("#")
        until(f"{completed}#")
        tmux("send-keys", "-t", shell, "C-u")
