"""`zchat rules`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.running import Zchat
from zchat.broker.edge.rules_file import read_rules
from zchat.cli.commands.rules import row_of, shown
from zchat.cli.program import program

RULES = """\
operators = ["alice"]

[limits]
messages = 20_000

[[rooms]]
names = ["ops", "ops-*"]
see = ["bob", "ci"]
read = ["bob"]
rate = { bytes = "1 MiB" }
most = 40
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return str(path)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(program, ["rules", *arguments])
    return done.exit_code, done.output


def test_what_a_user_may_in_a_room_is_shown_right_by_right(file: str) -> None:
    assert run(file, "CI", "Ops-db") == (
        0,
        "CI in Ops-db: the table in line 6 decides\n"
        "see       yes\n"
        "join      yes\n"
        "read      not_allowed\n"
        "send      yes\n"
        "members   yes\n"
        "create    not_allowed\n"
        "moderate  not_allowed\n"
        "stats     not_allowed\n"
        "at most 1,048,576 bytes a second there\n"
        "at most 40 members there\n"
        "at most 20,000 messages a second of one user\n",
    )


@pytest.mark.parametrize(
    ("user", "room", "made", "answers", "line"),
    [
        ("alice", "ops", [], "yes yes yes yes yes yes yes yes", 6),
        ("bob", "ops", [], "yes yes yes yes yes yes not_allowed not_allowed", 6),
        ("bob", "ops", ["--made"], "yes yes yes yes yes yes yes not_allowed", 6),
        ("carol", "ops", [], " ".join(["no_such_room"] * 7 + ["not_allowed"]), 6),
        ("carol", "General", [], "yes yes yes yes yes yes not_allowed not_allowed", None),
        ("guest-1a2b3c4d", "General", [], " ".join(["no_such_room"] * 7 + ["not_allowed"]), None),
        ("carol", "@bob", [], "yes yes yes yes yes yes not_allowed not_allowed", None),
    ],
)
def test_the_same_is_there_for_programs(
    file: str, user: str, room: str, made: list[str], answers: str, line: int | None
) -> None:
    code, output = run(file, user, room, *made, "--json")
    assert code == 0
    row = json.loads(output)
    rights = ("see", "join", "read", "send", "members", "create", "moderate", "stats")
    assert [row[right] for right in rights] == answers.split()
    assert (row["user"], row["room"], row["line"]) == (user, room, line)
    assert row["limits"] == {"messages": 20_000, "bytes": 0}
    assert row["most"] == (40 if room == "ops" else 0)


@pytest.mark.parametrize("columns", [80, 40])
def test_a_row_fits_the_terminal(file: str, columns: int) -> None:
    for user, room in (("u" * 64, "r" * 64), ("ci", "ops"), ("\x1b[2J"[1:], "@bob")):
        lines = shown(row_of(read_rules(file), user, room, made=False), columns)
        assert max(map(len, lines)) <= columns
        assert any(line.startswith("moderate") for line in lines)


def test_a_file_alone_is_checked(file: str) -> None:
    assert run(file) == (0, f"{file}: 1 table of rooms\n")
    Path(file).write_text(f"{RULES}\nsned = []\n")
    code, output = run(file, "ci", "ops")
    assert code == 2
    assert "line 13: there is no key 'sned' here; did you mean 'send'?" in " ".join(output.split())


@pytest.mark.parametrize("arguments", [("bob",), ("--json",), ("--made",)])
def test_a_user_without_a_room_is_wrong_usage(file: str, arguments: tuple[str, ...]) -> None:
    code, output = run(file, *arguments)
    assert code == 2
    assert "name a USER and a ROOM" in output


@pytest.mark.parametrize("arguments", [("b\nb", "ops"), ("bob", "/x"), ("bob", "")])
def test_names_are_checked(file: str, arguments: tuple[str, ...]) -> None:
    assert run(file, *arguments)[0] == 2


def test_a_broker_takes_rules_with_keys_or_logins_alone_and_names_what_is_wrong(
    zchat: Zchat, file: str, tmp_path: Path
) -> None:
    place = ("broker", "--store", "memory:", "--bind", f"ipc://{tmp_path}/socket", "--rules", file)
    done = zchat(*place)
    assert done.returncode == 2
    assert "rules are about users" in done.stderr
    Path(file).write_text("operators = 3\n")
    done = zchat(*place, "--logins")
    assert done.returncode == 2
    assert "line 1: operators is a list of names" in done.stderr
    assert "(--rules FILE)" in done.stderr


def test_nobody_has_a_direct_room_alone(file: str) -> None:
    code, output = run(file, "bob", "@BOB")
    assert code == 2
    assert "a direct room has two users" in output
