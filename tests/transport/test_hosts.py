"""Names of hosts: looked up beside everything else, every address of them tried."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event, Thread
from threading import enumerate as threads
from typing import Any

import pytest

import zchat
from tests.running import DEADLINE, OWN_HOST, ROOT, eventually
from zchat.broker import Broker
from zchat.threads import RealThread
from zchat.transport.hosts import MAX_LOOKUPS, Lookup, host_of, look_up_in_thread

Answers = dict[str, Any]
"""The names that are known: to addresses, to an error, or to an event that the answer waits for."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Give what the system knows of names, which a test fills; no other name is there."""
    answers: Answers = {"asked": []}

    def getaddrinfo(host: str, port: object, **options: object) -> list[tuple[Any, ...]]:
        answers["asked"].append(host)
        answer = answers.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        if isinstance(answer, Event):
            assert answer.wait(DEADLINE)
            answer = ["127.0.0.1"]
        if isinstance(answer, Exception):
            raise answer
        families = (socket.AF_INET6 if ":" in each else socket.AF_INET for each in answer)
        return [(family, 1, 6, "", (each, 0)) for family, each in zip(families, answer, strict=True)]

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    yield answers
    for event in answers.values():
        if isinstance(event, Event):
            event.set()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker("tcp://127.0.0.1:*") as broker:
        yield broker


def at(host: str, broker: Broker) -> str:
    return f"tcp://{host}:{broker.url.rpartition(':')[2]}"


def talks(client: zchat.Client) -> bool:
    return client.join("General").send("hello", timeout=DEADLINE).seq > 0


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("tcp://localhost:1", "localhost"),
        ("tcp://chat.example.org:5555", "chat.example.org"),
        ("tcp://eth0;chat.example.org:5555", "chat.example.org"),
        ("tcp://127.0.0.1:1", ""),
        ("tcp://[::1]:1", ""),
        ("tcp://[fe80::1%lo]:1", ""),
        ("tcp://eth0;10.0.0.1:80", ""),
        ("ipc:///tmp/localhost:1", ""),
    ],
)
def test_what_is_looked_up_is_a_name_and_nothing_else(url: str, host: str) -> None:
    assert host_of(url) == host


def test_an_address_is_never_looked_up(broker: Broker, known: Answers) -> None:
    with zchat.Client(broker.url, user="alice", timeout=DEADLINE) as client:
        assert talks(client)
    assert known["asked"] == []


def test_a_name_is_looked_up(broker: Broker, known: Answers) -> None:
    known["chat.example"] = ["127.0.0.1"]
    url = at("chat.example", broker)
    with zchat.Client(url, user="alice", timeout=DEADLINE) as client:
        assert talks(client)
        assert client.url == url


def test_a_name_that_has_an_address_of_ipv6_alone_is_reached(known: Answers) -> None:
    known["six.example"] = ["::1"]
    try:
        broker = Broker("tcp://[::1]:*").__enter__()
    except zchat.AddressError:
        pytest.skip("this machine has no IPv6")
    try:
        with zchat.Client(at("six.example", broker), user="alice", timeout=DEADLINE) as client:
            assert talks(client)
    finally:
        broker.stop()


@pytest.mark.parametrize(
    "addresses",
    [["::1", "127.0.0.1"], ["127.0.0.2", "127.0.0.3", "127.0.0.1"], ["192.0.2.1", "127.0.0.1"], ["127.0.0.1", "::1"]],
    ids=str,
)
def test_every_address_of_a_name_is_tried_in_turn(broker: Broker, known: Answers, addresses: list[str]) -> None:
    known["chat.example"] = addresses
    with zchat.Client(at("chat.example", broker), user="alice", timeout=DEADLINE) as client:
        assert talks(client)


def test_a_broker_that_starts_later_is_found_at_any_address_of_its_name(known: Answers) -> None:
    with Broker(f"tcp://{OWN_HOST}:*") as before:
        url = at("chat.example", before)
    known["chat.example"] = ["127.0.0.2", OWN_HOST]
    found: list[zchat.Client] = []
    coming = Thread(target=lambda: found.append(zchat.Client(url, user="alice", timeout=DEADLINE)))
    coming.start()
    eventually(lambda: len(known["asked"]) > 2, "its addresses are asked for again and again")
    with Broker(before_url := url.replace("chat.example", OWN_HOST)) as broker:
        assert broker.url == before_url
        coming.join(DEADLINE)
        assert talks(found[0])
        found[0].close()


def test_a_name_is_looked_up_again_for_each_connection(known: Answers) -> None:
    known["chat.example"] = ["127.0.0.1"]
    with (
        Broker("tcp://127.0.0.1:*") as first,
        Broker(first.url.replace("127.0.0.1", "127.0.0.2")),
        zchat.Client(at("chat.example", first), user="alice", timeout=DEADLINE) as client,
    ):
        assert talks(client)
        known["chat.example"] = ["127.0.0.3", "127.0.0.2"]
        first.stop()
        events = client.events(timeout=DEADLINE)
        assert any(isinstance(event, zchat.events.Reconnected) for event in events)
        assert talks(client)


def test_an_address_that_swallows_everything_does_not_keep_a_client_from_coming_back(known: Answers) -> None:
    with Broker("tcp://127.0.0.1:*") as first, socket.socket() as silent:
        silent.bind(("127.0.0.3", int(first.url.rpartition(":")[2])))
        silent.listen()  # it takes connections, and says nothing
        with Broker(first.url.replace("127.0.0.1", "127.0.0.2")):
            known["chat.example"] = ["127.0.0.1", "127.0.0.3", "127.0.0.2"]
            with zchat.Client(at("chat.example", first), user="alice", timeout=DEADLINE) as client:
                first.stop()
                events = client.events(timeout=DEADLINE)
                assert any(isinstance(event, zchat.events.Reconnected) for event in events)
                assert talks(client)


def test_a_lookup_that_hangs_holds_nobody_else_up(broker: Broker, known: Answers) -> None:
    known["slow.example"] = Event()
    known["chat.example"] = ["127.0.0.1"]
    with zchat.Client(broker.url, user="alice", timeout=DEADLINE) as client, ExitStack() as stack:
        room = client.join("General")
        waiting = Thread(
            target=lambda: zchat.Client(at("slow.example", broker), user="carol", timeout=DEADLINE).close()
        )
        stack.callback(waiting.join, DEADLINE)
        stack.callback(known["slow.example"].set)
        waiting.start()
        eventually(lambda: "slow.example" in known["asked"], "it is asked for")
        with zchat.Client(at("chat.example", broker), user="bob", timeout=DEADLINE) as other:
            for _ in range(20):
                room.send("hello", timeout=DEADLINE)
            assert talks(other)
        with pytest.raises(zchat.ConnectionLost) as lost:
            zchat.Client(at("slow.example", broker), user="dave", timeout=1)
        assert waiting.is_alive(), "all that while it hangs"
    assert str(lost.value) == (
        f"no broker answered at {at('slow.example', broker)} within 1 s: looking up the host 'slow.example' "
        "takes too long: check the machine's DNS, or use an address"
    )


def test_a_lookup_that_takes_longer_than_a_try_is_used_by_the_next(broker: Broker, known: Answers) -> None:
    known["chat.example"] = ["127.0.0.1"]
    with zchat.Client(at("chat.example", broker), user="alice", timeout=DEADLINE) as client:
        slow = known["chat.example"] = Event()
        client._link.do(client._link.core.lost, "cut")
        eventually(lambda: client._link.core.connections >= 4, "some tries have waited in vain")
        assert known["asked"] == ["chat.example"] * 2
        slow.set()
        assert talks(client)
        assert known["asked"] == ["chat.example"] * 2


def test_a_name_that_does_not_exist_is_reported_at_once(known: Answers) -> None:
    with pytest.raises(zchat.AddressError) as caught:
        zchat.Client("tcp://nowhere.example:5555", user="alice", timeout=DEADLINE)
    why = "the host 'nowhere.example' was not found (Name or service not known); check the name, or use the machine's"
    assert str(caught.value).startswith(why)
    assert isinstance(caught.value.__cause__, socket.gaierror)


def test_a_name_that_does_not_exist_is_no_reason_not_to_try_the_next_address(broker: Broker, known: Answers) -> None:
    with zchat.Client(["tcp://nowhere.example:5555", broker.url], user="alice", timeout=DEADLINE) as client:
        assert client.url == broker.url


def test_a_system_that_cant_look_up_names_for_now_is_asked_again(broker: Broker, known: Answers) -> None:
    known["chat.example"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    def why() -> str:
        with pytest.raises(zchat.ConnectionLost) as caught:
            zchat.Client(at("chat.example", broker), user="alice", timeout=0.3)
        return str(caught.value)

    text = "the host 'chat.example' could not be looked up (Temporary"
    eventually(lambda: text in why(), "it says why, unless it is just being asked again")
    before = len(known["asked"])
    found: list[zchat.Client] = []
    coming = Thread(
        target=lambda: found.append(zchat.Client(at("chat.example", broker), user="alice", timeout=DEADLINE))
    )
    coming.start()
    eventually(lambda: len(known["asked"]) > before + 1, "it is asked again")
    known["chat.example"] = ["127.0.0.1"]
    coming.join(DEADLINE)
    assert talks(found[0])
    found[0].close()


def test_a_name_without_an_address_says_so(known: Answers) -> None:
    known["bare.example"] = []
    with pytest.raises(zchat.AddressError, match=r"'bare.example' has no address"):
        zchat.Client("tcp://bare.example:5555", user="alice", timeout=DEADLINE)


def test_lookups_take_a_bounded_number_of_threads_one_a_name(known: Answers) -> None:
    over: list[str] = []

    def ask(name: str) -> None:
        look_up_in_thread(Lookup(f"tcp://{name}:1", lambda lookup: over.append(lookup.host)))

    def looking() -> int:
        return sum(each.name == "zchat-lookup" for each in threads())

    for number in range(MAX_LOOKUPS + 4):
        known[f"slow{number}.example"] = Event()
        for _ in range(3):
            ask(f"slow{number}.example")
    eventually(lambda: len(known["asked"]) == MAX_LOOKUPS, "as many are asked as may be")
    assert looking() == MAX_LOOKUPS
    for number in range(MAX_LOOKUPS + 4):
        known[f"slow{number}.example"].set()
    eventually(lambda: len(over) == 3 * (MAX_LOOKUPS + 4), "all are answered")
    eventually(lambda: looking() == 0, "the threads have ended")
    assert len(known["asked"]) == MAX_LOOKUPS + 4


def code(name: str) -> int:
    """Return the number of a resolver's error, that of another where this system has none of the name."""
    return int(getattr(socket, name, socket.EAI_AGAIN))


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (None, True),
        (socket.gaierror(code("EAI_NONAME"), "Name or service not known"), True),
        (socket.gaierror(getattr(socket, "EAI_NODATA", socket.EAI_NONAME), "No address"), True),
        (UnicodeError("label empty or too long"), True),
        (socket.gaierror(code("EAI_AGAIN"), "Temporary failure in name resolution"), False),
        (socket.gaierror(code("EAI_FAIL"), "Non-recoverable failure in name resolution"), False),
        (socket.gaierror(code("EAI_MEMORY"), "Memory allocation failure"), False),
        (socket.gaierror(code("EAI_SYSTEM"), "System error"), False),
        (OSError(24, "Too many open files"), False),
        (RuntimeError("cannot schedule new futures after shutdown"), False),
        (MemoryError(), False),
        (zchat.ZchatError("no more threads can be started"), False),
    ],
    ids=repr,
)
def test_a_name_is_unknown_only_if_that_is_said_of_it(error: Exception | None, unknown: bool) -> None:
    lookup = Lookup("tcp://chat.example:1", lambda over: None)
    lookup.end([], error)
    assert lookup.unknown is unknown
    assert ("could not be looked up" in lookup.reason) is not unknown
    assert (type(lookup.refusal) is zchat.AddressError) is unknown
    assert (lookup.refusal is None) is not unknown


class NoThreads:
    """What refuses threads for lookups, as Python does for a reason, as often as is wanted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
        self.left = math.inf
        self.refused = 0
        self._why = why
        begin = RealThread.start

        def start(thread: RealThread) -> None:
            if thread._name == "zchat-lookup" and self.left > 0:
                self.left -= 1
                self.refused += 1
                raise RuntimeError(self._why)
            begin(thread)

        monkeypatch.setattr(RealThread, "start", start)


def test_without_a_thread_a_lookup_says_so_and_is_tried_again(
    broker: Broker, known: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    known["chat.example"] = ["127.0.0.1"]
    none = NoThreads(monkeypatch, "can't start new thread")
    with pytest.raises(zchat.ConnectionLost) as lost:
        zchat.Client(at("chat.example", broker), user="alice", timeout=0.6)
    assert "the host 'chat.example' could not be looked up (no more threads can be started" in str(lost.value)
    assert none.refused > 1
    none.left = 2
    with zchat.Client(at("chat.example", broker), user="alice", timeout=DEADLINE) as client:
        assert talks(client)


def test_at_the_interpreters_end_a_lookup_without_a_thread_is_refused_at_once(
    broker: Broker, known: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = NoThreads(monkeypatch, "can't create new thread at interpreter shutdown")
    with pytest.raises(zchat.UsageError, match="the interpreter is ending") as refused:
        zchat.Client(at("chat.example", broker), user="alice", timeout=DEADLINE)
    assert type(refused.value) is zchat.UsageError
    assert none.refused == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_looks_names_up_in_threads_of_its_own() -> None:
    program = """
import os, socket, threading
from zchat.transport.hosts import Lookup, look_up_in_thread
hang = threading.Event()
real = socket.getaddrinfo
socket.getaddrinfo = lambda *a, **b: hang.wait(60)
for number in range(20):
    look_up_in_thread(Lookup(f"tcp://slow{number}.example:1", lambda lookup: None))
child = os.fork()
if child == 0:
    socket.getaddrinfo = real
    over = threading.Event()
    look_up_in_thread(Lookup("tcp://localhost:1", lambda lookup: over.set()))
    os._exit(0 if over.wait(30) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE)
    assert run.stdout == "0\n", run.stderr
