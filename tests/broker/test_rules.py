"""A broker with rules that change, and its clients: what they may, what becomes of them, and what the command says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zchat
from tests.broker.raw import ANY
from tests.running import DEADLINE, eventually
from zchat.broker import Broker
from zchat.broker.edge.rules_file import read_rules
from zchat.cli.commands.rules import row_of
from zchat.transport import keys

USERS = ("alice", "bob", "carol")

RULES = """\
operators = ["alice"]

[[rooms]]
names = ["ops-*"]
see = ["bob"]

[[rooms]]
names = ["News"]
send = ["bob"]

[[rooms]]
names = ["Old"]
read = ["bob"]
members = ["bob"]

[[rooms]]
names = ["*"]
create = ["bob"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker's folder that lets in the three, beside their pairs, and rules in a file beside it."""
    keys.make_server(tmp_path / "server")
    for user in USERS:
        public, _ = keys.write_pair(tmp_path, user, keys.make(user))
        (tmp_path / "server" / "users" / public.name).write_bytes(public.read_bytes())
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path


@pytest.fixture
def broker(folder: Path) -> Iterator[Broker]:
    with Broker(ANY, keys=folder / "server", rules=folder / "rules.toml") as broker:
        yield broker


Connected = Callable[[str], zchat.Client]


@pytest.fixture
def connected(broker: Broker, folder: Path) -> Iterator[Connected]:
    """Give a function that returns a client of a user."""
    clients: list[zchat.Client] = []

    def connect(user: str) -> zchat.Client:
        given: dict[str, Any] = {
            "key": folder / f"{user}.key_secret",
            "server_key": folder / "server" / "server.key",
        }
        clients.append(zchat.Client(broker.url, timeout=DEADLINE, **given))
        return clients[-1]

    yield connect
    for client in clients:
        client.close(timeout=0)


def revise(broker: Broker, folder: Path, text: str) -> None:
    (folder / "rules.toml").write_text(text)
    broker.read_again()


def test_the_command_says_what_the_broker_does(connected: Connected, folder: Path) -> None:
    bob = connected("bob")
    names = ("ops-db", "News", "Old", "Odd")
    for name in names:
        bob.join(name).send("said before")
    rules = read_rules(folder / "rules.toml")
    for user in USERS:
        client = connected(user)
        listed = {room.name for room in client.rooms()}
        for name in names:
            done = {
                "see": "yes" if name in listed else "no_such_room",
                "join": outcome(client.join, name, create=False),
                "read": outcome(client.history, name),
                "send": outcome(join_and_send, client, name),
                "members": outcome(client.members, name),
                "create": outcome(client.join, f"{name}-{user}"),
                "stats": outcome(client.stats),
            }
            row = row_of(rules, user, name, made=user == "bob")
            row["create"] = row_of(rules, user, f"{name}-{user}", made=False)["create"]
            assert done == {right: row[right] for right in done}, (user, name)


def join_and_send(client: zchat.Client, name: str) -> None:
    client.join(name, create=False).send("x")


def outcome(call: Callable[..., object], *arguments: object, **named: object) -> str:
    try:
        call(*arguments, **named)
    except zchat.Refused as error:
        return error.code
    return "yes"


def test_a_change_takes_effect_within_two_seconds_and_other_rooms_go_on(
    broker: Broker, connected: Connected, folder: Path
) -> None:
    bob, carol = connected("bob"), connected("carol")
    bob.join("News")
    lost, kept = carol.join("News"), carol.join("General")
    began = time.monotonic()
    (folder / "rules.toml").write_text(RULES.replace('send = ["bob"]', 'see = ["bob"]'))
    with pytest.raises(zchat.NotAllowed):
        for _ in lost.messages(timeout=DEADLINE):
            pass
    assert time.monotonic() - began < 2 + DEADLINE / 10
    bob.join("General").send("still here")
    assert next(iter(kept.messages(timeout=DEADLINE))).body == "still here"
    assert "News" not in {room.name for room in carol.rooms()}
    with pytest.raises(zchat.NoSuchRoom):
        carol.history("News")


def test_a_file_that_is_wrong_changes_nothing_and_says_so(
    broker: Broker, connected: Connected, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bob, carol = connected("bob"), connected("carol")
    bob.join("News")
    revise(broker, folder, "sned = []\n" + RULES)
    eventually(lambda: any("line 1: there is no key 'sned'" in text for text in caplog.messages), "it is reported")
    with pytest.raises(zchat.NotAllowed, match="you may not send to 'News': ask who runs the broker"):
        carol.join("News").send("x")
    caplog.set_level(logging.INFO, "zchat.broker")
    revise(broker, folder, "")
    eventually(lambda: any("rules were read" in text for text in caplog.messages), "it is read")
    eventually(lambda: outcome(join_and_send, carol, "News") == "yes", "it is in force")


def test_who_may_not_read_has_a_gap_of_what_was_said_before(connected: Connected) -> None:
    bob, carol = connected("bob").join("Old"), connected("carol")
    bob.send("said before")
    old = carol.join("Old", after=zchat.START)
    with pytest.raises(zchat.GapError) as gap:
        next(iter(old.messages(timeout=DEADLINE)))
    assert (gap.value.after, gap.value.upto, gap.value.reason) == (0, 1, zchat.GapReason.WITHHELD)
    bob.send("said now")
    assert next(iter(old.messages(timeout=DEADLINE))).body == "said now"
    with pytest.raises(zchat.NotAllowed):
        carol.members("Old")


@pytest.mark.parametrize("text", ["operators = 3", None])
def test_a_broker_whose_rules_are_wrong_does_not_start(folder: Path, text: str | None) -> None:
    if text is None:
        (folder / "rules.toml").unlink()
    else:
        (folder / "rules.toml").write_text(text)
    with pytest.raises(zchat.BadRules), Broker(ANY, keys=folder / "server", rules=folder / "rules.toml"):
        pass


def test_rules_without_keys_or_logins_are_wrong_usage(folder: Path) -> None:
    with pytest.raises(zchat.UsageError, match="rules are about users"):
        Broker(ANY, rules=folder / "rules.toml")
    Broker("ipc://*", logins=True, rules=folder / "rules.toml")
