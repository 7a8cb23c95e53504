"""The brokers of a gateway, and what it is given to reach them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zchat.broker import Broker
from zchat.errors import AddressError, BadKey, ConnectionLost, UsageError
from zchat.transport import keys
from zchat.web import descriptors
from zchat.web.brokers import READER, Brokers


@pytest.mark.parametrize(
    ("url", "key", "server_key", "refusal"),
    [
        (None, None, None, UsageError),
        ([], None, None, UsageError),
        ([5], None, None, UsageError),
        ("nowhere", None, None, AddressError),
        (["tcp://127.0.0.1:5555", "tcp://127.0.0.1:99999"], None, None, AddressError),
        ("tcp://127.0.0.1:5555", 5, "x" * 40, BadKey),
        ("tcp://127.0.0.1:5555", "/nowhere/key", "x" * 40, BadKey),
        ("tcp://127.0.0.1:5555", None, "x" * 40, BadKey),
        ("tcp://127.0.0.1:5555", keys.make("web"), 5, BadKey),
    ],
)
def test_what_can_not_be_used_is_refused_at_once(
    url: Any, key: Any, server_key: Any, refusal: type[UsageError]
) -> None:
    with pytest.raises(refusal):
        Brokers(url, key, server_key)


async def test_users_begin_at_the_broker_that_is_read_and_the_others_come_after_it(broker: Broker) -> None:
    brokers = Brokers(["tcp://127.0.0.1:1", broker.url], None, None)
    async with brokers.reader() as reader:
        assert (reader.url, reader.user) == (broker.url, READER)
        async with brokers.client("alice") as alice:
            assert (alice.url, alice.user) == (broker.url, "alice")
            assert alice._link._settings.urls == [broker.url, "tcp://127.0.0.1:1"]


def test_the_files_of_keys_are_read_again_for_each_reader(tmp_path: Path) -> None:
    _, secret = keys.write_pair(tmp_path, "web", keys.make("web"))
    brokers = Brokers("tcp://127.0.0.1:5555", secret, "x" * 40)
    assert brokers.reader().user == "web"
    secret.unlink()
    with pytest.raises(BadKey, match="can't be read"):
        brokers.reader()


def test_a_user_for_whom_there_are_no_descriptors_may_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors.Share, "is_used_up", lambda self: True)
    with pytest.raises(ConnectionLost, match="no more open files"):
        Brokers("tcp://127.0.0.1:5555", None, None).client("alice")
