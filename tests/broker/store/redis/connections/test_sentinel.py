"""Masters that Sentinels name: found, followed at a failover, and what is said of those that can't be."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.broker.store.driver import BOB, EVERYTHING, Driver
from tests.redis_server import RedisServer, certificate
from tests.running import DEADLINE, eventually
from tests.sentinels import Watched
from zchat import Client, Gap, Message, ZchatError
from zchat.broker import Broker
from zchat.broker.store import open_store
from zchat.broker.store.contract import Failed
from zchat.broker.store.redis.connections import sentinel
from zchat.broker.store.redis.connections.server import Connection, Replaced, Trouble
from zchat.broker.store.redis.connections.url import parse
from zchat.errors import StoreError


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have writes wait for as long as it takes: Sentinels that split their votes try again after eight seconds."""
    monkeypatch.setattr("zchat.broker.store.redis.committer.HELD_SECONDS", DEADLINE)


@pytest.fixture
def watched(needs: Callable[[str], str], tmp_path: Path) -> Iterator[Watched]:
    with Watched(needs("redis-server"), tmp_path) as servers:
        yield servers


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.store.OPEN_SECONDS", 0.3)


def made(url: str) -> Driver:
    return Driver(lambda clock: open_store(url, clock), keeps=True, begins=False)


@pytest.fixture
def store(watched: Watched) -> Iterator[Driver]:
    driver = made(watched.url)
    yield driver
    driver.store.close()


def refused(url: str) -> str:
    """Return why a store is not opened."""
    with pytest.raises(StoreError) as caught:
        open_store(url).open(lambda: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_master_is_the_one_that_the_sentinels_name_whichever_of_them_answer(watched: Watched) -> None:
    found = sentinel.find(parse(f"redis+sentinel://127.0.0.1:1,{','.join(watched.places)}/chat"))
    assert (found.host, found.port) == ("127.0.0.1", watched.ports[0])
    connection = sentinel.connect(parse(watched.url))
    assert connection.ask([("SET", "zchat:x", "1")]) == [b"OK"]
    connection.close()


def test_a_sentinel_that_is_silent_is_given_up_after_a_second(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinel, "SENTINEL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = sentinel.find(parse(f"redis+sentinel://127.0.0.1:{port},{watched.places[0]}/chat"))
        assert found.port == watched.ports[0]
        with pytest.raises(Trouble, match=rf"127\.0\.0\.1:{port} \("):
            sentinel.find(parse(f"redis+sentinel://127.0.0.1:{port}/chat"))


def test_a_broker_says_at_its_start_what_a_failover_may_lose(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker("tcp://127.0.0.1:*", store=watched.url):
        pass
    (said,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert said.startswith(
        f"{watched.url}: what is acknowledged is on the master's disk; a failover loses, and reports"
    )
    assert open_store(f"{watched.url}?acknowledge=memory").caution == ""


def test_a_replica_takes_over_and_what_it_has_goes_on(watched: Watched, store: Driver) -> None:
    before = store.stored(1, "a")
    eventually(lambda: watched.call(1, "XLEN", "zchat:{22868}:log:general") == 1, "it is replicated")
    watched.servers[0].kill()
    after = store.stored(2, "b")
    assert (after.block.first, after.epoch != before.epoch) == (2, True)
    assert store.texts() == ["a", "b"]
    assert watched.is_master(1)
    assert not store.reports.of("parted")


def test_what_did_not_reach_the_replica_that_takes_over_is_reported(watched: Watched, store: Driver) -> None:
    store.stored(1, "a")
    eventually(lambda: watched.call(1, "XLEN", "zchat:{22868}:log:general") == 1, "it is replicated")
    watched.cut_replica()
    lost = store.stored(2, "lost")
    watched.servers[0].kill()
    watched.servers[1].resume()
    after = store.stored(1, "b", producer=BOB)
    assert (after.block.first, after.epoch != lost.epoch) == (2, True)
    ((log,),) = store.reports.of("parted")
    assert (log.name, log.last) == ("General", 1)
    assert store.texts() == ["a", "b"]


def test_a_master_that_lacks_replicas_is_the_reason_why_nothing_is_read(watched: Watched) -> None:
    """It was that the master of before, which is dead, takes no connections, for as long as it lasted."""
    store = made(f"{watched.url}?acknowledge=replicas:1")
    store.stored(1, "a")
    watched.servers[0].kill()
    pages: list[Any] = []

    def reason() -> str:
        store.store.read("General", 0, EVERYTHING, 0, pages.append)
        store.wait(lambda: bool(pages))
        page = pages.pop()
        assert isinstance(page, Failed)
        return page.reason

    eventually(lambda: "has 0 replicas, and 1 are to have what is acknowledged" in reason(), reason)
    assert watched.is_master(1)
    store.store.close()


def test_a_master_that_was_replaced_while_it_stood_still_is_left(watched: Watched, store: Driver) -> None:
    store.stored(1, "a")
    eventually(lambda: watched.call(1, "XLEN", "zchat:{22868}:log:general") == 1, "it is replicated")
    watched.servers[0].pause()
    eventually(lambda: watched.is_master(1), "the replica has taken over")
    watched.servers[0].resume()
    eventually(lambda: _moved(store, watched.ports[1]), "the broker has left the old one")
    store.stored(2, "b")
    assert watched.call(1, "XLEN", "zchat:{22868}:log:general") == 2
    assert store.texts() == ["a", "b"]


def _moved(store: Driver, port: int) -> bool:
    store.store.poll(store.reports)
    place = store.store._commits.place  # type: ignore[attr-defined]
    return place is not None and place.connect["port"] == port


def test_what_no_sentinel_watches_is_named_with_what_they_watch(watched: Watched) -> None:
    why = refused(watched.url.replace("/chat", "/other"))
    assert "the Sentinels watch no master other: they watch chat; name one of these" in why


def test_sentinels_that_do_not_answer_or_are_none_are_named(
    needs: Callable[[str], str], tmp_path: Path, impatient: None
) -> None:
    why = refused("redis+sentinel://127.0.0.1:1,127.0.0.1:2/chat")
    assert "no Sentinel answers: 127.0.0.1:1 (" in why
    assert why.endswith("; start them, or name those that there are")
    with RedisServer(needs("redis-server"), tmp_path, "--port", "20999"):
        assert "127.0.0.1:20999 (it is no Sentinel, or refuses to be asked: " in refused(
            "redis+sentinel://127.0.0.1:20999/chat"
        )


def test_a_master_that_is_down_is_named_and_that_too_few_sentinels_are_left_to_replace_it(
    watched: Watched, impatient: None
) -> None:
    for process in watched.sentinels[1:]:
        process.kill()
    watched.servers[0].kill()
    place = f"the Sentinels name 127.0.0.1:{watched.ports[0]} as the master, and "
    advice = "start the other Sentinels: they are too few to choose another master (NOQUORUM"
    eventually(lambda: place in (why := refused(watched.url)) and advice in why, "it says so")


def test_a_broker_that_starts_during_a_failover_waits_for_its_end(watched: Watched) -> None:
    watched.servers[0].kill()
    store = made(watched.url)
    store.stored(1, "a")
    store.store.close()
    assert watched.is_master(1)


def test_a_server_that_is_no_master_is_not_taken(watched: Watched) -> None:
    url = parse(watched.url)
    with pytest.raises(Replaced, match="it is a replica now"):
        Connection(url.at("127.0.0.1", watched.ports[1]))


def test_sentinels_that_ask_for_a_password_are_given_the_servers(needs: Callable[[str], str], tmp_path: Path) -> None:
    with Watched(needs("redis-server"), tmp_path, sentinels=1) as watched:
        port = watched.places[0].rpartition(":")[2]
        told = Connection(parse(f"redis://127.0.0.1:{port}"))
        told.ask([("ACL", "SETUSER", "default", "resetpass", ">secret")])
        told.close()
        for each in watched.servers:
            each.call("ACL", "SETUSER", "default", "resetpass", ">secret")
        named = watched.url.replace("://", "://:secret@")
        assert sentinel.find(parse(named)).port == watched.ports[0]
        assert "secret" not in refused(watched.url)


# The standard library leaves its socket to the collector where the other end has hung up before the handshake.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_over_tls_sentinels_and_masters_are_taken_whose_certificates_are_trusted_and_a_failover_is_followed(
    needs: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    cert = certificate(needs("openssl"), tmp_path)
    with Watched(needs("redis-server"), tmp_path, cert=cert) as watched:
        why = refused(watched.url)
        assert "CERTIFICATE_VERIFY_FAILED" in why
        assert why.endswith("; have its certificate trusted (SSL_CERT_FILE), or name another server")
        assert refused(watched.url.replace("rediss", "redis")).endswith("whether it speaks TLS alone (rediss)")
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        store = made(watched.url)
        store.stored(1, "a")
        eventually(lambda: watched.call(1, "XLEN", "zchat:{22868}:log:general") == 1, "it is replicated")
        watched.servers[0].kill()
        store.stored(2, "b")
        assert watched.is_master(1)
        assert store.texts() == ["a", "b"]
        store.store.close()


class Load:
    """Clients that send at a broker for as long as a `with` block, and one that reads there: what each of them saw."""

    def __init__(self, url: str, senders: int = 3) -> None:
        self._url = url
        self.receipts: list[tuple[int, str]] = []
        """The seq and the text of each message that was acknowledged."""
        self.read: dict[int, str] = {}
        """What the reader has, by seq, without what gaps have told it that it is no more."""
        self.lost_after: int | None = None
        """The seq after which it was told that messages were lost; None if it was not."""
        self._reading, self._stopping = Event(), Event()
        self._threads = [Thread(target=self._send, args=(number,)) for number in range(senders)]
        self._threads.append(Thread(target=self._read))

    def __enter__(self) -> Load:
        for thread in reversed(self._threads):
            thread.start()
            assert self._reading.wait(DEADLINE)
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def _send(self, sender: int) -> None:
        with Client(self._url, user=f"sender{sender}") as client:
            room = client.join("General")
            number = 0
            while not self._stopping.is_set():
                number += 1
                text = f"{sender}:{number}"
                try:
                    self.receipts.append((room.send(text).seq, text))
                except ZchatError:  # nothing is promised of it
                    continue

    def _read(self) -> None:
        with Client(self._url, user="reader") as client:
            client.join("General")
            self._reading.set()
            while not self._stopping.is_set():
                for event in client.events(timeout=0.5):
                    self._take(event)

    def _take(self, event: object) -> None:
        if isinstance(event, Message):
            assert event.seq not in self.read, "a seq comes twice"
            self.read[event.seq] = event.body
        elif isinstance(event, Gap):
            assert self.lost_after is None
            self.lost_after = event.upto
            self.read = {seq: text for seq, text in self.read.items() if seq <= event.upto}

    def flow(self, messages: int = 200) -> None:
        """Wait until so many more are acknowledged."""
        due = len(self.receipts) + messages
        eventually(lambda: len(self.receipts) >= due, "messages flow")


@pytest.mark.parametrize("fault", ["killed", "killed behind", "stands still"])
def test_under_load_nothing_acknowledged_is_lost_at_a_failover_but_what_is_reported(
    watched: Watched, fault: str
) -> None:
    with Broker("tcp://127.0.0.1:*", store=watched.url) as broker:
        with Load(broker.url) as load:
            load.flow()
            if fault == "killed behind":
                watched.cut_replica()
                load.flow()
            if fault == "stands still":
                watched.servers[0].pause()
                eventually(lambda: watched.is_master(1), "the replica has taken over")
                watched.servers[0].resume()
            else:
                watched.servers[0].kill()
                watched.servers[1].resume()
            load.flow()
        log = logged(broker.url)
    kept = set(log.values())
    lost = [(seq, text) for seq, text in load.receipts if text not in kept]
    assert load.read == log
    if lost:
        assert load.lost_after is not None
        assert load.lost_after < min(lost)[0]
    assert (fault == "killed behind") <= bool(lost)


@pytest.mark.parametrize("fault", ["killed", "stands still"])
def test_what_all_replicas_have_is_lost_at_no_failover(needs: Callable[[str], str], tmp_path: Path, fault: str) -> None:
    with (
        Watched(needs("redis-server"), tmp_path, replicas=2) as watched,
        Broker("tcp://127.0.0.1:*", store=f"{watched.url}?acknowledge=replicas:2") as broker,
    ):
        with Load(broker.url) as load:
            load.flow()
            if fault == "killed":
                watched.servers[0].kill()
            else:
                watched.servers[0].pause()
            eventually(lambda: watched.is_master(1) or watched.is_master(2), "a replica has taken over")
            if fault == "killed":
                watched.servers[0].start()
            else:
                watched.servers[0].resume()
            load.flow()
        log = logged(broker.url)
    kept = set(log.values())
    assert [text for _, text in load.receipts if text not in kept] == []
    assert load.read == log
    assert load.lost_after is None


def logged(url: str) -> dict[int, str]:
    """Return a room's texts by their seqs, which has none twice and each sender's in order."""
    with Client(url, user="auditor") as auditor:
        log = {message.seq: message.body for message in auditor.join("General").history(after=0, limit=1_000_000)}
    assert sorted(log) == list(range(1, len(log) + 1))
    assert len(set(log.values())) == len(log), "stored twice"
    for sender in range(3):
        numbers = [int(text.partition(":")[2]) for text in log.values() if text.startswith(f"{sender}:")]
        assert numbers == sorted(numbers), "out of order"
    return log
