"""A broker's door that stays shut: each way is an error of its own, over slow links and after a lost connection too."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import zchat
from tests.attacks.between import Between
from tests.broker.raw import ANY
from tests.promises.faults.proxy import Proxy
from tests.running import DEADLINE, OWN_HOST, eventually
from zchat.broker import Broker
from zchat.transport import keys, link

MALLORY = keys.make("mallory")
OTHER, ANOTHER = keys.make().public, keys.make().public


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker's folder that lets alice in, beside her pair."""
    keys.make_server(tmp_path / "server")
    public, _ = keys.write_pair(tmp_path, "alice", keys.make("alice"))
    (tmp_path / "server" / "users" / public.name).write_bytes(public.read_bytes())
    return tmp_path / "server"


@pytest.fixture
def right(folder: Path) -> dict[str, Any]:
    """What alice gives."""
    return {"key": folder.parent / "alice.key_secret", "server_key": folder / "server.key"}


WRONG: dict[str, tuple[type[zchat.ZchatError], dict[str, Any]]] = {
    "no key": (zchat.KeyNeeded, {"key": None, "server_key": None, "user": "alice"}),
    "another key of the broker": (zchat.ServerKeyWrong, {"server_key": OTHER}),
    "several, none of them the broker's": (zchat.ServerKeyWrong, {"server_key": [OTHER, ANOTHER]}),
    "an unknown key": (zchat.KeyRefused, {"key": MALLORY}),
    "an unknown key, and another of the broker": (zchat.ServerKeyWrong, {"key": MALLORY, "server_key": OTHER}),
    "another name": (zchat.WrongName, {"user": "bob"}),
}
"""What is wrong, which error that is, and what is given instead of the right things."""

LASTING = f"tcp://{OWN_HOST}:*"
"""Where a broker listens that is followed by another one there."""

DELAYS = {"loopback": 0.0, "20 ms each way": 0.02, "100 ms each way": 0.1}


@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_each_way_of_being_shut_out_is_an_error_of_its_own(folder: Path, right: dict[str, Any], delay: float) -> None:
    with Broker(ANY, keys=folder) as keyed, Broker(ANY) as plain, slow(keyed, delay) as url, slow(plain, delay) as bare:
        check_all(url, bare, right)


def test_over_ipc_too(folder: Path, right: dict[str, Any]) -> None:
    with Broker("ipc://*", keys=folder) as keyed, Broker("ipc://*") as plain:
        check_all(keyed.url, plain.url, right)


def test_a_key_that_comes_too_often_is_turned_away_for_now(
    folder: Path, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zchat.broker.guard.gate.HANDSHAKES_A_KEY_BURST", 1)
    monkeypatch.setattr("zchat.broker.guard.gate.HANDSHAKES_A_KEY", 0.001)
    with Broker(ANY, keys=folder) as broker, slow(broker, 0.02) as url:
        zchat.Client(url, timeout=DEADLINE, **right).close()
        assert type(refused(url, right)) is zchat.Busy


@pytest.mark.parametrize("delay", [0.0, 0.02], ids=["loopback", "20 ms each way"])
def test_one_of_several_keys_of_the_broker_is_enough(folder: Path, right: dict[str, Any], delay: float) -> None:
    given = right | {"server_key": [OTHER, ANOTHER, str(folder / "server.key")]}
    with (
        Broker(ANY, keys=folder) as broker,
        slow(broker, delay) as url,
        zchat.Client(url, timeout=DEADLINE, **given) as alice,
    ):
        assert alice.join("General", timeout=DEADLINE).send("in", timeout=DEADLINE).seq == 1


def test_by_a_deadline_that_comes_too_early_the_error_is_what_is_known_by_then(
    folder: Path, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second handshake over a slow link takes too long: no broker answered, it said."""
    monkeypatch.setattr(link, "SHUT_OUT", 1000)
    with Broker(ANY, keys=folder) as broker:
        given = right | {"server_key": OTHER}
        eventually(lambda: type(refused(broker.url, given, timeout=1.0)) is zchat.ServerKeyWrong, "it is known by then")


def refused(url: str, given: dict[str, Any], timeout: float = DEADLINE / 4) -> zchat.ZchatError | None:
    """Return why a client isn't let in, None if it is."""
    try:
        zchat.Client(url, timeout=timeout, **given).close(0)
    except zchat.ZchatError as error:
        return error
    return None


def check_all(keyed: str, plain: str, right: dict[str, Any]) -> None:
    """See that each way of being wrong is its error, long before the deadline: that would be another one."""
    tries = {what: (kind, keyed, right | given) for what, (kind, given) in WRONG.items()}
    tries["a key where there are none"] = (zchat.NoKeysThere, plain, right)
    with ThreadPoolExecutor(len(tries)) as pool:
        found = {what: pool.submit(refused, url, given) for what, (_, url, given) in tries.items()}
    for what, (kind, url, _) in tries.items():
        error = found[what].result()
        assert type(error) is kind, what
        assert url in str(error) or kind is zchat.WrongName


@contextmanager
def slow(broker: Broker, delay: float) -> Iterator[str]:
    """Give the near end of a link to a broker."""
    with Proxy(int(broker.url.rpartition(":")[2])) as proxy:
        proxy.delay = delay
        yield proxy.url


# -- after a lost connection -------------------------------------------------------------------------------


def reasons(client: zchat.Client) -> Iterator[str]:
    """Yield why the connection is lost, and "" when there is one again, as the application receives it."""
    for event in client.events(timeout=DEADLINE):
        if isinstance(event, zchat.Disconnected):
            yield event.reason
        elif isinstance(event, zchat.Reconnected):
            yield ""


@pytest.mark.parametrize(
    ("kind", "keyed", "says"),
    [
        ("tcp", True, "has another key than the one given"),
        ("tcp", False, "has no keys"),
        ("ipc", True, "has another key than the one given"),
    ],
    ids=["other keys", "no keys", "other keys over ipc"],
)
def test_a_broker_that_comes_back_with_another_door_is_reported_and_tried_until_the_right_one_is_back(
    folder: Path, right: dict[str, Any], tmp_path: Path, kind: str, keyed: bool, says: str
) -> None:
    """It may be an attack: nothing is sent there, and the client doesn't end."""
    keys.make_server(tmp_path / "other")
    given: dict[str, Any] = {"keys": tmp_path / "other"} if keyed else {}
    with Broker(LASTING if kind == "tcp" else f"ipc://{tmp_path}/socket", keys=folder) as broker:
        url = broker.url
        alice = zchat.Client(url, timeout=DEADLINE, **right)
        room = alice.join("General", timeout=DEADLINE)
        told = reasons(alice)
    with alice:
        assert next(told)
        with Broker(url, **given) as imposter:
            assert says in next(told)
            assert imposter.counters.messages == 0
        with Broker(url, keys=folder):
            assert next(told) == ""
            assert room.send("still me", timeout=DEADLINE).seq == 1


def test_a_broker_that_comes_back_with_keys_is_reported_to_who_has_none(folder: Path) -> None:
    with Broker(LASTING) as broker:
        url = broker.url
        alice = zchat.Client(url, user="alice", timeout=DEADLINE)
        told = reasons(alice)
    with alice:
        assert next(told)
        with Broker(url, keys=folder):
            assert "lets nobody in without a key" in next(told)
        with Broker(url):
            assert next(told) == ""


def test_a_broker_whose_key_is_replaced_is_found_by_who_was_given_both(
    folder: Path, right: dict[str, Any], tmp_path: Path
) -> None:
    keys.make_server(tmp_path / "next")
    for each in (folder / "users").iterdir():
        (tmp_path / "next" / "users" / each.name).write_bytes(each.read_bytes())
    given = right | {"server_key": [folder / "server.key", tmp_path / "next" / "server.key"]}
    with Broker(LASTING, keys=folder) as broker:
        url = broker.url
        alice = zchat.Client(url, timeout=DEADLINE, **given)
        told = reasons(alice)
    with alice:
        assert next(told)
        with Broker(url, keys=tmp_path / "next"):
            assert next(told) == "", "without a word of another key"


def test_a_key_that_is_removed_while_it_is_connected_ends_the_client_by_name(
    folder: Path, right: dict[str, Any]
) -> None:
    with (
        Broker(ANY, keys=folder) as broker,
        slow(broker, 0.02) as url,
        zchat.Client(url, timeout=DEADLINE, **right) as alice,
    ):
        (folder / "users" / "alice.key").unlink()
        broker.read_again()
        with pytest.raises(zchat.KeyRemoved):
            alice.wait(DEADLINE)
        assert type(refused(url, right)) is zchat.KeyRefused


def test_a_key_that_is_removed_while_the_broker_is_away_is_refused_for_good(
    folder: Path, right: dict[str, Any]
) -> None:
    with Broker(LASTING, keys=folder) as broker:
        url = broker.url
        alice = zchat.Client(url, timeout=DEADLINE, **right)
    (folder / "users" / "alice.key").unlink()
    with Broker(url, keys=folder), alice, pytest.raises(zchat.KeyRefused):
        alice.wait(DEADLINE)


@pytest.mark.parametrize("harm", ["alter", "swap", "repeat"])
def test_somebody_in_between_changes_nothing_that_is_read(folder: Path, right: dict[str, Any], harm: str) -> None:
    """The connection breaks at each try, and what was under way comes over the next one; or the client ends."""
    with (
        Broker(ANY, keys=folder) as broker,
        Between(broker.url, harm) as between,
        zchat.Client(between.url, timeout=DEADLINE, **right) as alice,
        zchat.Client(broker.url, timeout=DEADLINE, **right) as reader,
    ):
        room, read = alice.join("General", timeout=DEADLINE), reader.join("General", timeout=DEADLINE)
        between.harmful = True
        noticed = ""
        try:
            room.send_many(range(200), timeout=DEADLINE)
        except zchat.OutcomeUnknown as error:  # of two that were swapped the later came, and then the connection broke
            noticed = str(error)
        assert between.harmed, "it has tried"
        assert not noticed or (harm == "swap" and "was stored before an earlier one" in noticed)
        count = broker.counters.messages
        assert [message.body for message in islice(read.messages(timeout=DEADLINE), count)] == list(range(count))
        assert noticed or count == 200


def test_a_notification_that_somebody_in_between_drops_is_noticed(folder: Path, right: dict[str, Any]) -> None:
    """libzmq doesn't count the messages of a connection with keys: one of them can be left out."""
    with (
        Broker(ANY, keys=folder) as broker,
        Between(broker.url, "drop") as between,
        zchat.Client(broker.url, timeout=DEADLINE, **right) as alice,
        zchat.Client(between.url, timeout=DEADLINE, high_water_mark=1000, **right) as reader,
    ):
        room, read = alice.join("General", timeout=DEADLINE), reader.join("General", timeout=DEADLINE)
        between.harmful = True
        for number in range(50):
            room.send(number, timeout=DEADLINE)
        with pytest.raises(zchat.ProtocolError, match="a notification after"):
            reader.wait(DEADLINE)
        heard: list[Any] = []
        with suppress(zchat.ProtocolError):
            heard.extend(message.body for message in read.messages())
        assert heard == list(range(len(heard))), "nothing is left out of what is read"
