"""What programs read: the fields of `--json` are those that the page of the command tells, and no others."""

from __future__ import annotations

import json
import re

import pytest

from tests.cli.driver import say
from tests.running import ROOT, Zchat
from zchat.broker import Broker

PAGE = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")


def documented(command: str) -> set[str]:
    table = PAGE.partition(f"| field of `zchat {command} --json` | meaning |\n| --- | --- |\n")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize(
    ("command", "arguments", "kinds"),
    [
        ("tail", ["General"], {"room": str, "seq": int, "timestamp": int, "time": str, "user": str, "body": str}),
        ("rooms", [], {"name": str, "members": int, "first": int, "last": int, "unread": int | None}),
        ("members", ["General"], {"user": str, "since": int, "since_time": str, "typing": bool}),
    ],
)
def test_each_line_is_an_object_with_the_documented_fields(
    zchat: Zchat, broker: Broker, command: str, arguments: list[str], kinds: dict[str, type]
) -> None:
    import zchat as library

    with library.Client(broker.url, user="bob") as bob:
        bob.join("General")
        say(broker, "General", "hello")
        done = zchat(command, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines
    for line in lines:
        assert set(line) == documented(command) == set(kinds)
        assert all(isinstance(line[name], kind) for name, kind in kinds.items())


def test_stats_of_all_is_one_object_with_the_documented_fields(zchat: Zchat, broker: Broker) -> None:
    found = json.loads(zchat("stats", "--all", "--json").stdout)
    assert set(found) == documented("stats --all")
    (alone,) = found["brokers"]
    assert alone.keys() == {"id", "age", "counts"}
    section = PAGE.partition("| field of `zchat stats --all --json`")[2].partition("\n## ")[0]
    assert set(found["counts"]) <= set(re.findall(r"`(\w+)`", section))


def test_stats_is_one_object_with_the_documented_counts(zchat: Zchat, broker: Broker) -> None:
    say(broker, "General", "hello")
    found = json.loads(zchat("stats", "--json").stdout)
    section = PAGE.partition("## zchat stats\n")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"^\| (.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set(found["counts"]) <= told
    assert set(found) == documented("stats")
    assert all(isinstance(number, int) for number in found["counts"].values())
