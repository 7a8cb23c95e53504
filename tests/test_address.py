"""The rules for addresses, and IPv6."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import zchat
from tests.running import DEADLINE
from zchat.address import check_address, check_urls, host_and_port
from zchat.broker import Broker
from zchat.errors import UsageError
from zchat.transport.context import context_of_this_process
from zchat.transport.dealer import Dealer


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:1", "tcp://localhost:65535", "tcp://[::1]:5555", "tcp://eth0;10.0.0.1:80", "ipc:///tmp/z"]
)
def test_an_address_that_keeps_the_rules_is_taken(url: str) -> None:
    check_address(url)
    check_address(url, listening=True)


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64, "\udcff", "[\udcff]"])
def test_a_host_that_no_name_can_be_is_refused_by_all_that_take_one(host: str) -> None:
    for use in (zchat.Client, check_address):
        with pytest.raises(zchat.AddressError, match="names a host that can't be"):
            use(f"tcp://{host}:5555")
    with (
        pytest.raises(zchat.AddressError, match="names a host that can't be"),
        Broker(f"tcp://{host}:1", insecure=True),
    ):
        pass
    with pytest.raises(zchat.AddressError, match="names a host that can't be"):
        host_and_port(f"{host}:80")


def test_a_host_with_a_byte_that_is_no_text_is_refused_for_that_byte() -> None:
    for check in (check_address, lambda url: host_and_port(url.removeprefix("tcp://"))):
        with pytest.raises(zchat.AddressError, match=r"names a host that can't be: '\\udcff' is no character$"):
            check("tcp://a\udcffb:1")


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "x", "", "+5", "\u0665", "5555 "])
def test_a_port_that_tcp_has_not_is_refused(port: str) -> None:
    for listening in (False, True):
        with pytest.raises(zchat.AddressError, match="ports are 1 to 65535") as caught:
            check_address(f"tcp://127.0.0.1:{port}", listening=listening)
        assert str(caught.value).isascii()


def test_only_who_listens_may_leave_the_port_open() -> None:
    check_address("tcp://127.0.0.1:*", listening=True)
    with pytest.raises(zchat.AddressError, match="ports are"):
        check_address("tcp://127.0.0.1:*")


@pytest.mark.parametrize(
    "url", ["inproc://broker", "udp://127.0.0.1:1", "pgm://a:1", "ipc://", "tcp://:1", "TCP://a:1"]
)
def test_other_transports_are_refused_by_broker_and_client(url: str) -> None:
    with pytest.raises(zchat.AddressError, match="is not an address"), Broker(url):
        pass
    with pytest.raises(zchat.AddressError, match="is not an address"):
        zchat.Client(url, user="alice", timeout=0.2)


def test_a_port_above_all_is_refused_by_broker_and_client() -> None:
    with pytest.raises(zchat.AddressError, match="ports are 1 to 65535"), Broker("tcp://127.0.0.1:99999"):
        pass
    with pytest.raises(zchat.AddressError, match="ports are 1 to 65535"):
        zchat.Client("tcp://127.0.0.1:99999", user="alice", timeout=0.2)


@pytest.mark.parametrize(
    ("place", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:65535", "::1", 65535),
        ("localhost:*", "localhost", 0),
        ("a:0", "a", 0),
    ],
)
def test_a_place_to_serve_at_is_a_host_and_a_port(place: str, host: str, port: int) -> None:
    assert host_and_port(place) == (host, port)


@pytest.mark.parametrize("place", ["80", ":80", "a", "::1:80", "http://a:80", "a b:80", "a:65536", "a:", "a:x"])
def test_what_is_no_place_to_serve_at_is_reported(place: str) -> None:
    with pytest.raises(zchat.AddressError, match=r"is not HOST:PORT|ports are"):
        host_and_port(place)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_broker_and_client_meet_over_ipv6_beside_ipv4() -> None:
    with Broker("tcp://127.0.0.1:*", "tcp://[::1]:*", "tcp://127.0.0.1:*") as broker:
        assert broker.urls[1].startswith("tcp://[::1]:")
        for url in broker.urls:
            with zchat.Client(url, user="alice") as client:
                assert client.join("General").send(url, timeout=DEADLINE).body == url


def test_an_address_within_the_process_is_never_given_out_twice() -> None:
    context = context_of_this_process()
    for _ in range(300):  # one whose socket was closed is free only some time later
        Dealer(context, "tcp://127.0.0.1:9", patient=False).close()


def test_a_client_is_given_one_address_or_several() -> None:
    assert check_urls("tcp://a:1") == ["tcp://a:1"]
    assert check_urls(("tcp://a:1", "tcp://b:1")) == ["tcp://a:1", "tcp://b:1"]
    with pytest.raises(UsageError, match="at least one broker"):
        check_urls([])


@pytest.mark.parametrize("wrong", [None, b"tcp://a:1", 5, [b"tcp://a:1"], ["tcp://a:1", None], {"tcp://a:1": 1}])
def test_an_address_is_text(wrong: Any) -> None:
    with pytest.raises(UsageError, match="address"):
        check_urls(wrong)
