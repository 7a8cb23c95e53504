"""How libzmq asks whether a connection is let in, and what the answers do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import zmq

from tests.running import DEADLINE, eventually
from zchat.broker.edge import zap as zap_module
from zchat.broker.edge.zap import PROPERTY, Zap, ZapRequest


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context[zmq.Socket[bytes]]() as context:
        yield context


@pytest.fixture
def zap(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[Zap]:
    zap = Zap(context)
    yield zap
    zap.close()


@pytest.fixture
def router(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[zmq.Socket[bytes]]:
    with context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.rcvtimeo = int(DEADLINE * 1000)
        router.setsockopt(zmq.ZAP_DOMAIN, b"zchat")
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        yield router


@pytest.fixture
def dealer() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context[zmq.Socket[bytes]]() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        yield dealer


def asked(zap: Zap) -> ZapRequest:
    """Return the one connection that asks."""
    found: list[ZapRequest] = []
    eventually(lambda: found.extend(zap.requests(1)) or found, "it asks")  # type: ignore[func-returns-value]
    (request,) = found
    return request


def test_every_frame_carries_the_number_that_its_connection_was_let_in_with(
    zap: Zap, router: zmq.Socket[bytes], dealer: zmq.Socket[bytes]
) -> None:
    dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
    dealer.send(b"one")
    request = asked(zap)
    assert request.address == "127.0.0.1"
    assert request.key is None
    zap.let_in(request, 4711)
    for word in (b"one", b"two"):
        router.recv()
        frame = router.recv(copy=False)
        assert frame.bytes == word
        assert frame.get(PROPERTY) == "4711"
        dealer.send(b"two")


def test_no_peer_forges_its_number(zap: Zap, router: zmq.Socket[bytes], dealer: zmq.Socket[bytes]) -> None:
    dealer.setsockopt(zmq.METADATA, b"X-Connection:1")  # libzmq's own socket says no other names
    dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
    dealer.send(b"one")
    zap.let_in(asked(zap), 4711)
    router.recv()
    assert router.recv(copy=False).get(PROPERTY) == "4711"


@pytest.mark.parametrize(("later", "code"), [(False, 400), (True, 500)])
def test_who_is_refused_learns_the_code_at_once(
    later: bool, code: int, zap: Zap, router: zmq.Socket[bytes], dealer: zmq.Socket[bytes]
) -> None:
    with dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH) as monitor:
        dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        zap.refuse(asked(zap), later=later)
        assert monitor.poll(int(DEADLINE * 1000))
        event, *_ = monitor.recv_multipart()
        assert int.from_bytes(event[2:], "little") == code
        dealer.disable_monitor()


def test_over_ipc_it_is_known_which_user_asks(zap: Zap, router: zmq.Socket[bytes], dealer: zmq.Socket[bytes]) -> None:
    router.bind("ipc://@zchat-zap-test")
    dealer.connect("ipc://@zchat-zap-test")
    host, *numbers = asked(zap).address.split(":")
    assert host == "localhost"
    assert len(numbers) == 3


def test_once_the_handler_is_closed_nobody_is_let_in(
    zap: Zap, router: zmq.Socket[bytes], dealer: zmq.Socket[bytes]
) -> None:
    zap.close()
    router.rcvtimeo = 500
    dealer.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
    dealer.send(b"hello")
    with pytest.raises(zmq.Again):
        router.recv()


LOGINS = {
    0: "root",
    1: "Root",
    2: "Alice",
    3: "bob",
    4: "Carol",
    5: "CAROL",
    6: "alicé",
    7: "x" * 400,
    8: "Eve",
    9: "X" * 400,
}


class System:
    """A system with these logins, whose directory may list nobody."""

    def __init__(self, listed: bool) -> None:
        self.listed = listed

    def getpwuid(self, user: int) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=user, pw_name=LOGINS[user])

    def getpwnam(self, login: str) -> SimpleNamespace:
        return self.getpwuid({name: user for user, name in LOGINS.items()}[login])

    def getpwall(self) -> list[SimpleNamespace]:
        return [self.getpwuid(user) for user in LOGINS] if self.listed else []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no logins over ipc")
@pytest.mark.parametrize("listed", [True, False])
def test_of_logins_that_are_one_name_the_one_in_lower_case_alone_is_a_user(
    monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """The login "Root" came in as the user root."""
    monkeypatch.setattr(zap_module, "pwd", System(listed))
    found = [zap_module.login_of(f"localhost:{user}:100:4711") for user in LOGINS]
    carols = ["", ""] if listed else ["Carol", "CAROL"]
    assert found == ["root", "", "Alice", "bob", *carols, "alicé", "", "Eve", ""]
    assert zap_module.login_of("localhost:99:100:4711") == zap_module.login_of("127.0.0.1") == ""
