"""What goes wrong is reported in one line, with an exit code; a closed pipe is a quiet end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from tests.cli.driver import say
from tests.running import Start
from zchat.broker import Broker
from zchat.cli.failures import reported_in_one_line
from zchat.errors import Banned


@pytest.mark.parametrize(
    "line",
    [
        '"$@" tail --after 0 Long | head -n 1 >/dev/null',
        '"$@" tail -f -n 1 Long | head -n 1 >/dev/null',
        'yes | head -n 2000 | "$@" client | head -n 1 >/dev/null',
        '"$@" --help | true',
        '"$@" send Long <&-',
        '"$@" rooms 2>&- >/dev/null',
    ],
)
def test_a_closed_pipe_is_a_quiet_end(start: Start, broker: Broker, line: str) -> None:
    say(broker, "Long", *(f"a line of some length, number {number}" for number in range(20_000)))
    running = start(shell=f"{line}; echo ${{PIPESTATUS[@]}} >&2")
    assert running.end() == 0
    *pipeline, code = re.fullmatch(r"([\d ]+)\n", running.errors)[1].split()  # type: ignore[index]
    assert set(pipeline) | {code} <= {"0", "141"}  # 141: what `yes` has when nobody reads
    assert running.text == ""


def test_a_full_disk_is_reported_in_one_line(start: Start) -> None:
    running = start(shell='"$@" rooms >/dev/full')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*No space.*standard output.*\n", running.errors)


def test_an_input_that_cant_be_read_is_reported_in_one_line(start: Start) -> None:
    running = start(shell='"$@" send General 0>/dev/null')
    assert running.end() == 1
    assert re.fullmatch(r"zchat: .*standard input.*\n", running.errors)


def test_a_command_in_a_folder_that_was_removed_says_so(start: Start, tmp_path: Path) -> None:
    lines = (
        "tail General --resume f",
        "ping --connect ipc://f",
        "broker --store sqlite:f",
        "backup --store sqlite:/f g",
        "copy sqlite:f sqlite:g",
        "keygen alice",
        "keygen --server f",
        "rules f alice General",
        "broker --keys f",
        "broker --config f",
        "web --page f --open",
    )
    commands = "; ".join(f'"$@" {line}; echo $?' for line in lines)
    running = start(shell=f'mkdir "$FOLDER"; cd "$FOLDER"; rmdir "$FOLDER"; {commands}', FOLDER=str(tmp_path / "gone"))
    assert running.end() == 0
    assert running.text.split() == ["1"] * 7 + ["2"] * 4
    gone = "the current folder was removed: go to another (cd)"
    assert running.errors.splitlines() == [
        f"zchat: f can't be used: {gone}, or give --resume a path in full",
        f"zchat: 'ipc://f' can't be used: {gone}, or name the path in full (--connect URL)",
        f"zchat: f can't be used: {gone}; fix that, or name another file (--store URL)",
        f"zchat: g can't be used: {gone}; fix that, or name another file",
        f"zchat: f can't be used: {gone}; fix that, or name another file",
        f"zchat: 'alice.key_secret' can't be written ({gone}); choose another folder",
        f"zchat: 'f' can't be made ({gone}); choose another folder",
        f"zchat: the rules in 'f' can't be read: {gone}",
        f"zchat: 'f/server.key_secret' can't be read ({gone}); name a file that zchat keygen made (--keys DIR)",
        f"zchat: f can't be read ({gone}); name another with --config",
        f"zchat: the page in 'f' can't be read: {gone}",
    ]


@pytest.mark.parametrize(
    "line", ["tail @root", "send @ROOT hi", "send @root", "members @root", "client @root", "rules $RULES root @root"]
)
def test_a_direct_room_with_oneself_is_wrong_usage(start: Start, broker: Broker, tmp_path: Path, line: str) -> None:
    (tmp_path / "rules").write_text("")
    running = start(shell=f'echo hello | ZCHAT_USER=root "$@" {line}', RULES=str(tmp_path / "rules"))
    assert running.end() == 2
    assert running.errors == "zchat: a direct room has two users, and both are 'root'; name another user\n"


@pytest.mark.parametrize("line", ["send Ops²", "client Ops²", "tail General --user Ops²"])
def test_so_is_a_name_that_the_broker_alone_refuses(start: Start, broker: Broker, line: str) -> None:
    running = start(shell=f'echo hello | "$@" {line}')
    assert running.end() == 2
    assert "has compatibility forms; write 'Ops2'" in " ".join(running.errors.split())


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("rules FILE /a b", "USER"),
        ("rules FILE a /b", "ROOM"),
        ("tail /b", "ROOM"),
        ("client /b", "ROOM"),
        ("send", "ROOM"),
        ("restore a", "PATH"),
    ],
)
def test_an_argument_is_named_without_the_brackets_of_the_usage(start: Start, line: str, name: str) -> None:
    running = start(shell=f'"$@" {line}')
    assert running.end() == 2
    assert re.match(rf"zchat: (Invalid value for|Missing argument) '{name}'[:.] ", running.errors)


def test_what_a_ban_refuses_is_reported_by_the_clock_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    until = datetime(2135, 6, 1, 12, 0)
    text = f"you are banned from 'Ops' until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, by bob"
    with pytest.raises(click.exceptions.Exit), reported_in_one_line():
        raise Banned(text, detail=int(until.timestamp()))
    assert capsys.readouterr().err == "zchat: you are banned from 'Ops' until 2135-06-01 12:00, by bob\n"
