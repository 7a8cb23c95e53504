"""What is wrong with a command's options is reported in one line; a room is named as it is shown."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

import zchat as library
from tests.cli.outside import without_home
from tests.running import Start, Zchat
from zchat.broker import Broker
from zchat.cli.program import COMMANDS, program


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
        (["broker", "--store", "sqlite:"], "is not a store"),
        (["broker", "--room", "@ops"], "reserved"),
        (["send", "##General", "hi"], "reserved"),
        (["tail", "#"], "has 0"),
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
        (["tail"], "name a ROOM or more, or use --all"),
        (["tail", "General", "--all"], "use only one of ROOM and --all"),
        (["tail", "General", "Ops", "--after", "1"], "--after is for one room"),
        (["tail", "General", "Ops", "--resume", "seen"], "--resume is for one room"),
        (["tail", "General", "--since", "yesterday"], "'yesterday' is neither an age such as 90s"),
        (["tail", "General", "--since", "1h", "-n", "3"], "use only one of -n, --after, --since and --unread"),
        (
            ["tail", "General", "-n", "1", "--after", "1"],
            "--after, --since and --unread. Try: zchat tail --help",
        ),
        (
            ["tail", "General", "--unread", "--after", "1"],
            "--after, --since and --unread. Try: zchat tail --help",
        ),
        (
            ["tail", "General", "--unread", "-n", "1"],
            "--after, --since and --unread. Try: zchat tail --help",
        ),
    ],
)
def test_wrong_usage_is_reported_in_one_line_with_exit_code_2(arguments: list[str], what: str) -> None:
    told = CliRunner().invoke(program, arguments, prog_name="zchat")
    assert told.exit_code == 2
    assert told.stderr.startswith("zchat: ")
    assert told.stderr.count("\n") == 1
    assert what in told.stderr
    assert told.stdout == ""


def test_a_room_may_be_named_as_it_is_shown(zchat: Zchat, broker: Broker) -> None:
    with library.Client(broker.url, user="bob") as bob:
        bob.direct("alice").send("psst")
    assert zchat("send", "#General", "hello").stderr == ""
    shown = r"\[\d\d:\d\d:\d\d\] "
    assert re.fullmatch(rf"{shown}alice: hello\n", zchat("tail", "#general").stdout)
    assert re.fullmatch(rf"{shown}#General alice: hello\n", zchat("tail", "#General", "#Sports").stdout)
    assert "psst" in zchat("tail", "#@bob").stdout, "#@bob, as a chat's /join takes it"
    assert zchat("members", "#General").stdout == zchat("members", "General").stdout != ""
    told = zchat("client", "#General", "#Sports").stdout
    assert told.index("* you are in General\n") < told.index("* you are also in Sports\n")


def test_a_room_of_a_new_broker_may_be_named_as_it_is_shown(start: Start, zchat: Zchat) -> None:
    running = start("broker", "--bind", "tcp://127.0.0.1:*", "--store", "memory:", "--room", "#Ops", "--fixed-rooms")
    url = re.search(r"^zchat broker at (tcp://\S+)$", running.until("clients: about"), re.MULTILINE)
    assert url
    assert [line.split()[0] for line in zchat("rooms", "--connect", url[1]).stdout.splitlines()] == ["ROOM", "Ops"]


@pytest.mark.parametrize("arguments", [["broker"], ["backup", "copy.db"]])
def test_a_user_without_a_home_folder_is_told_to_name_a_store(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    without_home(monkeypatch)
    done = CliRunner().invoke(program, arguments)
    assert done.exit_code == 1
    assert done.stderr == (
        "zchat: this user has no home folder to keep messages in: name a place by --store sqlite:PATH, or set HOME\n"
    )


PLACES = re.compile(r"^(FILE|DIR|PATH|URL|FROM|TO|HOST:PORT)$")
"""How the usage calls what names a file, a folder, a store or an address."""


def test_every_place_that_is_given_without_a_name_is_refused_for_that() -> None:
    tried = 0
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command
        others: list[str] = []
        for parameter in command.params:
            is_option = isinstance(parameter, click.Option)
            if PLACES.match(parameter.make_metavar(click.Context(command))):
                before = ["web", "--open"] if name == "web" else [name]
                line = [*before, parameter.opts[0], ""] if is_option else [*before, *others, ""]
                done = CliRunner().invoke(program, line)
                assert done.exit_code == 2, line
                assert re.search("is empty|'' is not|'' is no ", done.output), done.output
                tried += 1
            if not is_option:
                others.append("x")
    assert tried >= 30
    done = CliRunner().invoke(program, ["--config", "", "ping"])
    assert (done.exit_code, "the name of the file is empty" in done.output) == (2, True)
