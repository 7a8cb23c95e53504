"""A broker with keys, and clients at its door: who gets in, under which name, and what the others learn."""

from __future__ import annotations

import getpass
import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import zchat
from tests.broker.raw import ANY, Talk
from tests.running import DEADLINE, OWN_HOST, eventually
from zchat.broker import Broker
from zchat.broker.edge import watcher
from zchat.transport import keys
from zchat.transport.keys import Key

OTHER, MALLORY = keys.make(), keys.make("mallory")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker's folder that lets in alice and bob, beside their pairs."""
    keys.make_server(tmp_path / "server")
    for user in ("alice", "bob"):
        public, _ = keys.write_pair(tmp_path, user, keys.make(user))
        (tmp_path / "server" / "users" / public.name).write_bytes(public.read_bytes())
    return tmp_path / "server"


@pytest.fixture(params=[ANY, "ipc://*"], ids=["tcp", "ipc"])
def broker(request: pytest.FixtureRequest, folder: Path) -> Iterator[Broker]:
    with Broker(request.param, keys=folder) as broker:
        yield broker


def client(broker: Broker, folder: Path, whose: str, **others: Any) -> zchat.Client:
    given = {"key": folder.parent / f"{whose}.key_secret", "server_key": folder / "server.key"} | others
    return zchat.Client(broker.url, timeout=DEADLINE, **given)


def test_who_has_a_key_gets_in_under_its_name(broker: Broker, folder: Path) -> None:
    with client(broker, folder, "alice") as alice, client(broker, folder, "bob", user="BOB") as bob:
        assert (alice.user, bob.user) == ("alice", "bob")
        room, other = alice.join("General"), bob.join("General")
        other.send("hello")
        message = next(iter(room.messages(timeout=DEADLINE)))
        assert (message.user, message.body) == ("bob", "hello"), "as it is spelt there"


def test_how_many_users_there_are_is_known_once_it_runs(broker: Broker) -> None:
    assert broker.found.users == 2


def test_names_are_those_of_keys(broker: Broker, folder: Path) -> None:
    with pytest.raises(zchat.WrongName, match="this key is alice's, and no other name can be had with it"):
        client(broker, folder, "alice", user="bob")


# -- the door stays shut -------------------------------------------------------------------------------


def test_where_nobody_listens_keys_change_nothing(folder: Path) -> None:
    with pytest.raises(zchat.ConnectionLost):
        zchat.Client("tcp://127.0.0.1:9", timeout=0.3, key=folder.parent / "bob.key_secret", server_key=OTHER.public)


def test_who_is_turned_away_is_counted(folder: Path) -> None:
    with Broker(ANY, keys=folder) as broker:
        for _ in range(3):
            with pytest.raises(zchat.KeyRefused):
                client(broker, folder, "alice", key=MALLORY)
        assert broker.counters.turned_away_unknown_key >= 3


def test_a_key_that_comes_too_often_is_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.guard.gate.HANDSHAKES_A_KEY_BURST", 2)
    monkeypatch.setattr("zchat.broker.guard.gate.HANDSHAKES_A_KEY", 0.001)
    with Broker(ANY, keys=folder) as broker, client(broker, folder, "bob"):
        for _ in range(2):
            client(broker, folder, "alice").close()
        with pytest.raises(zchat.Busy):
            client(broker, folder, "alice")
        assert broker.counters.turned_away_too_often == 1


def test_users_that_come_by_the_thousand_are_turned_away_for_now(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.guard.gate.HANDSHAKES_BURST", 1)
    monkeypatch.setattr("zchat.broker.guard.gate.HANDSHAKES", 0.001)
    with Broker(ANY, keys=folder) as broker, client(broker, folder, "alice"):
        with pytest.raises(zchat.Busy):
            client(broker, folder, "bob")
        assert broker.counters.turned_away_too_many == 1


# -- keys that come and go -----------------------------------------------------------------------------


def test_a_key_that_is_removed_ends_its_sessions_within_two_seconds_and_no_others(broker: Broker, folder: Path) -> None:
    with client(broker, folder, "bob") as bob:
        alice = client(broker, folder, "alice")
        alice.join("General")
        (folder / "users" / "alice.key").unlink()
        began = time.monotonic()
        with pytest.raises(zchat.KeyRemoved):
            alice.wait(DEADLINE)
        assert time.monotonic() - began < 2 + DEADLINE / 10
        with pytest.raises(zchat.KeyRefused):
            client(broker, folder, "alice")
        assert bob.join("General").send("still here").seq == 1


def test_a_key_that_is_added_is_let_in_within_two_seconds(folder: Path) -> None:
    with Broker(ANY, keys=folder) as broker:
        (folder / "users" / "carol.key").write_bytes((folder / "users" / "bob.key").read_bytes())
        (folder / "users" / "bob.key").unlink()  # else the key would be two users'
        (folder / "users" / "carol.key").write_text(
            (folder / "users" / "carol.key").read_text().replace('"bob"', '"carol"')
        )
        broker.read_again()

        def in_as_carol() -> bool:
            try:
                with client(broker, folder, "bob", user="carol"):
                    return True
            except zchat.ZchatError:
                return False

        eventually(in_as_carol, "the file is read")


def test_a_file_that_becomes_wrong_is_reported_once_and_changes_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    with Broker(ANY, keys=folder) as broker, client(broker, folder, "alice") as alice:
        (folder / "users" / "alice.key").write_text("nonsense\n")
        eventually(lambda: any("alice.key', line 1" in text for text in caplog.messages), "it is reported")
        time.sleep(1.5)  # it is read again
        assert sum("alice.key" in text for text in caplog.messages) == 1
        assert alice.join("General").send("still here").seq == 1


def test_a_folder_that_goes_keeps_everybody(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zchat.broker")
    with Broker(ANY, keys=folder) as broker, client(broker, folder, "alice") as alice:
        (folder / "users").rename(folder / "elsewhere")
        eventually(lambda: any("reading keys fails" in text for text in caplog.messages), "it is reported")
        assert alice.join("General").send("still here").seq == 1
        (folder / "elsewhere").rename(folder / "users")
        eventually(lambda: "reading keys has recovered" in caplog.messages, "it is back")


@pytest.mark.parametrize("what", ["a wrong file", "no folder", "no pair", "a secret that others can read"])
def test_a_broker_whose_keys_are_wrong_does_not_start(folder: Path, what: str) -> None:
    match what:
        case "a wrong file":
            (folder / "users" / "carol.key").write_text("nonsense\n")
        case "no folder":
            (folder / "users").rename(folder / "elsewhere")
        case "no pair":
            (folder / "server.key_secret").unlink()
        case _:
            (folder / "server.key_secret").chmod(0o644)
    with pytest.raises(zchat.BadKey), Broker(ANY, keys=folder):
        pass


def test_a_broker_with_keys_whose_address_is_in_use_says_so(folder: Path) -> None:
    with Broker(ANY) as there, pytest.raises(zchat.AddressError, match="is in use"), Broker(there.url, keys=folder):
        pass


# -- guests, logins, and addresses ---------------------------------------------------------------------


def test_guests_have_names_of_their_own_and_no_others(folder: Path) -> None:
    with Broker(ANY, keys=folder, guests=True) as broker:
        name = keys.guest_name(MALLORY.public)
        with client(broker, folder, "", key=MALLORY, user=name) as guest, client(broker, folder, "alice"):
            assert guest.join("General").send("hello").seq == 1
        with pytest.raises(zchat.WrongName, match=f"no user has this key here, so that it is a guest's: be {name}"):
            client(broker, folder, "", key=MALLORY)


def test_over_ipc_a_login_is_a_name(folder: Path) -> None:
    login = getpass.getuser() if os.environ.get("USER") else __import__("pwd").getpwuid(os.getuid()).pw_name
    with Broker("ipc://*", logins=True) as broker:
        with zchat.Client(broker.url, user=login, timeout=DEADLINE) as me:
            assert me.join("General").send("hello").seq == 1
        with pytest.raises(zchat.WrongName, match=f"this login is {login}'s, and no other name can be had with it"):
            zchat.Client(broker.url, user="somebody else", timeout=DEADLINE)
    with Broker("ipc://*", ANY, keys=folder, logins=True) as broker:
        ipc, tcp = broker.urls
        with zchat.Client(ipc, user=login, timeout=DEADLINE):
            pass
        with pytest.raises(zchat.KeyNeeded):
            zchat.Client(tcp, user=login, timeout=DEADLINE)


@pytest.mark.parametrize(
    "url", ["tcp://0.0.0.0:*", "tcp://*:*", "tcp://[::]:*", "tcp://192.0.2.1:5555", "tcp://eth0:*"]
)
def test_an_address_that_others_can_reach_is_refused_without_keys(url: str) -> None:
    with pytest.raises(zchat.AddressError, match=r"no keys: give keys \(--keys DIR\), or insecure \(--insecure\)"):
        Broker(url)


@pytest.mark.parametrize("url", [ANY, "tcp://localhost:*", "tcp://127.1.2.3:*", "tcp://[::1]:*", "ipc://*"])
def test_an_address_of_this_machine_needs_none(url: str) -> None:
    Broker(url)


def test_an_address_that_every_local_user_can_reach_is_refused_too() -> None:
    with pytest.raises(zchat.AddressError, match="every user of this machine"):
        Broker("ipc://@zchat-keys-test")


def test_an_address_that_others_can_reach_is_served_with_keys_or_if_that_is_said(folder: Path) -> None:
    for given in ({"keys": folder}, {"insecure": True}):
        with Broker("tcp://0.0.0.0:*", **given) as broker:
            assert broker.url


def test_what_makes_no_sense_together_is_a_usage_error(folder: Path) -> None:
    for given in ({"keys": folder, "insecure": True}, {"guests": True}, {"logins": True}):
        with pytest.raises(zchat.UsageError):
            Broker(ANY, **given)


def test_talk_goes_on_with_keys_as_without(folder: Path) -> None:
    with Broker(ANY) as plain, Talk(plain) as talk:
        talk.goes_on()
    with Broker(ANY, keys=folder) as broker, ExitStack() as stack:
        alice, bob = (stack.enter_context(client(broker, folder, user)) for user in ("alice", "bob"))
        mine, theirs = alice.join("General"), bob.join("General")
        mine.send_many(range(5_000), timeout=DEADLINE)
        got = [message.body for message in islice(theirs.messages(timeout=DEADLINE), 5_000)]
        assert got == list(range(5_000))


def test_a_client_with_keys_comes_back_to_a_broker_that_was_started_again(folder: Path, tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/z.db"
    with Broker(f"tcp://{OWN_HOST}:*", keys=folder, store=store) as broker:
        url = broker.url
        alice = client(broker, folder, "alice")
        room = alice.join("General")
        room.send("one")
    with Broker(url, keys=folder, store=store), alice:
        assert room.send("two", timeout=DEADLINE).seq == 2


def test_a_key_is_a_zchat_key(folder: Path) -> None:
    with Broker(ANY, keys=folder) as broker:
        key: Key = keys.read_secret(folder.parent / "alice.key_secret")
        assert isinstance(key, zchat.Key)
        with client(broker, folder, "", key=key) as alice:
            assert alice.user == "alice"


def test_keys_that_are_read_no_more_are_no_secret(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watcher, "QUIET_CHECKS", 1)
    monkeypatch.setattr(watcher.Watcher, "_run", lambda self: None)
    with Broker(ANY, keys=folder):
        eventually(lambda: any(record.levelno == logging.CRITICAL for record in caplog.records), "the log says it")
    assert "read no more" in next(each.getMessage() for each in caplog.records if each.levelno == logging.CRITICAL)
