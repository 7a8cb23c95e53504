"""What has to be true of a server, and what is said of one that can't be used: what to set."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.broker.store.driver import Reports, block
from tests.broker.store.redis.stranger import INFO, NO_REDIS, Stranger, bulk
from tests.promises.faults.processes import free_port
from tests.redis_server import ALWAYS, RedisServer, certificate
from tests.running import DEADLINE, eventually
from zchat.broker.store import open_store
from zchat.broker.store.contract import Stored
from zchat.broker.store.redis.connections import server
from zchat.broker.store.redis.connections.url import parse
from zchat.errors import StoreError, UsageError


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zchat.broker.store.redis.store.OPEN_SECONDS", 0.3)


@pytest.fixture
def fresh(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Give the server that tests share, empty, and have it as it was at the end."""
    redis_server.call("FLUSHALL")
    yield redis_server
    settings = {"maxmemory-policy": "noeviction", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
    redis_server.calls([("CONFIG", "SET", *pair) for pair in settings.items()])
    redis_server.calls([("ACL", "DELUSER", "bob"), ("REPLICAOF", "NO", "ONE"), ("CONFIG", "SET", "requirepass", "")])


def refused(url: str) -> str:
    """Return why a store is not opened."""
    store = open_store(url)
    with pytest.raises(StoreError) as caught:
        store.open(lambda: None)
    assert url.partition("?")[0].replace("secret", "***") in str(caught.value)
    return str(caught.value)


def test_without_the_package_it_is_said_which_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "redis", None)
    with pytest.raises(UsageError, match=r"requires the package redis: pip install 'zchat-zmq\[redis\]'"):
        open_store("redis://host")


def taken(url: str) -> None:
    """Check that a store can be opened."""
    store = open_store(url)
    assert store.open(lambda: None) == []
    store.close()


def test_where_there_is_no_server_it_says_so(tmp_path: Path) -> None:
    why = refused(f"redis+unix://{tmp_path}/nowhere")
    assert "can't be used as a store: " in why
    assert "No such file or directory" in why
    assert why.endswith("; start it, or name another server")


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("maxmemory-policy", "allkeys-lru", "set maxmemory-policy noeviction in place of allkeys-lru"),
        ("maxmemory-policy", "volatile-ttl", "set maxmemory-policy noeviction in place of volatile-ttl"),
        ("appendfsync", "everysec", "set appendfsync always, or ask for less with acknowledge=memory"),
        ("no-appendfsync-on-rewrite", "yes", "set no-appendfsync-on-rewrite no, or ask for less"),
    ],
)
def test_a_server_that_can_not_keep_what_it_is_asked_for_is_refused_with_what_to_set(
    fresh: RedisServer, setting: str, value: str, needed: str
) -> None:
    fresh.call("CONFIG", "SET", setting, value)
    assert needed in refused(fresh.url)
    if setting != "maxmemory-policy":
        taken(f"{fresh.url}?acknowledge=memory")


def test_a_server_without_a_log_on_its_disk_keeps_nothing_unless_that_is_asked_for(own_server: RedisServer) -> None:
    own_server.call("CONFIG", "SET", "appendonly", "no")
    assert "set appendonly yes, and appendfsync always, or ask for less with acknowledge=memory" in refused(
        own_server.url
    )
    taken(f"{own_server.url}?acknowledge=memory")


def test_a_server_without_memory_is_refused(own_server: RedisServer) -> None:
    own_server.call("CONFIG", "SET", "maxmemory", "1")
    assert "has no memory left: raise maxmemory" in refused(own_server.url)


def test_a_replica_is_refused(fresh: RedisServer) -> None:
    fresh.call("REPLICAOF", "127.0.0.1", "1")
    assert "is a replica, which nothing can be written to: name its master" in refused(fresh.url)


def test_who_is_not_let_in_or_lacks_a_right_learns_what_to_name_and_to_set(fresh: RedisServer) -> None:
    fresh.call("ACL", "SETUSER", "bob", "on", ">secret", "~zchat:*", "+@connection", "+info", "+config|get")
    as_bob = fresh.url.replace("://", "://bob:secret@")
    why = refused(as_bob)
    assert "does not allow bob what a store needs" in why
    assert why.endswith(f"ACL SETUSER bob {server.RIGHTS} ~zchat:* &zchat:*")
    fresh.call("ACL", "SETUSER", "bob", *server.RIGHTS.split(), "&zchat:*")
    store = open_store(as_bob)
    store.open(lambda: None)
    answers: list[Any] = []
    store.append(block(1, "a"), answers.append)
    eventually(lambda: [store.poll(Reports()), *answers][1:], "it is stored")
    assert isinstance(answers[0], Stored)
    store.close()
    assert "does not allow bob" in refused(f"{as_bob}?prefix=elsewhere")
    fresh.call("ACL", "SETUSER", "bob", "-config")
    assert "doesn't say whether it flushes its disk before it answers" in refused(as_bob)
    fresh.call("ACL", "SETUSER", "bob", ">other", "<secret")
    assert "does not let zchat in" in refused(as_bob)


@pytest.mark.parametrize("over", ["unix", "tcp"])
def test_a_server_without_a_free_connection_is_to_allow_more(own_server: RedisServer, over: str) -> None:
    url = own_server.url
    if over == "tcp":
        port = free_port()
        own_server.call("CONFIG", "SET", "port", str(port))
        url = f"redis://127.0.0.1:{port}"
    taken(url)
    own_server.call("CONFIG", "SET", "maxclients", "1")
    why = refused(url)
    assert why.endswith(": max number of clients reached; raise its maxclients, or end other connections to it")
    own_server.call("CONFIG", "SET", "maxclients", "100")
    taken(url)


def test_each_reply_of_a_server_that_keeps_a_store_out_says_what_to_set(own_server: RedisServer) -> None:
    assert refused(f"{own_server.url}?db=99").endswith("(DB index is out of range): name another, or raise databases")
    with_password = own_server.url.replace("://", "://:secret@")
    assert refused(with_password).endswith(
        "; leave the password out of the URL, or have the server require it (requirepass)"
    )
    own_server.call("CONFIG", "SET", "min-replicas-to-write", "1")
    assert refused(own_server.url).endswith("start them, or lower min-replicas-to-write")


@pytest.mark.parametrize(
    ("reply", "mend"),
    [
        (b"-DENIED Redis is running in protected mode because", "and name it, as in redis://USER:PASSWORD@HOST"),
        (b"-MISCONF Redis is configured to save RDB snapshots, but", "see its log, and free its disk"),
        (b"-ERR max number of clients reached", "raise its maxclients, or end other connections to it"),
    ],
)
def test_so_does_each_with_which_it_hangs_up(tmp_path: Path, reply: bytes, mend: str) -> None:
    with Stranger(tmp_path / "s", greeting=reply + b"\r\n") as url:
        assert refused(url).endswith(mend)


def test_why_a_server_has_hung_up_is_read_from_a_second_connection_that_asks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        for said, why in (
            (b"-DENIED Redis is running in protected mode\r\n", "lets in nobody from another machine"),
            (b"-ERR max number of clients reached\r\n", "raise its maxclients"),
            (b"", "see its log, and whether it speaks TLS alone (rediss)"),
        ):
            turned_away = threading.Thread(target=_turn_away, args=(listening, said))
            turned_away.start()
            assert why in refused(f"redis+unix://{path}")
            turned_away.join(DEADLINE)


def _turn_away(listening: socket.socket, said: bytes) -> None:
    """Hang up on a first connection without a word, and on a second one after a few."""
    for words in (b"", said):
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(words)


def test_what_is_of_another_format_or_of_another_program_is_left_as_it_is(fresh: RedisServer) -> None:
    fresh.call("SET", "zchat:{40821}:format", "2")
    assert "what is under the prefix zchat is of another format (2): upgrade zchat, or choose another" in refused(
        fresh.url
    )
    fresh.call("DEL", "zchat:{40821}:format")
    fresh.call("LPUSH", "zchat:{40821}:info", "x")
    assert "there is something else under the prefix zchat: choose another" in refused(fresh.url)
    assert fresh.call("LRANGE", "zchat:{40821}:info", "0", "-1") == [b"x"]


@pytest.mark.parametrize(
    ("info", "why"),
    [
        ("redis_version:6.2.14\r\nrole:master", "is Redis 6.2.14: run Redis 7.0 or newer, or Valkey"),
        (
            "redis_version:7.4.0\r\ncluster_enabled:1\r\nrole:master",
            "is part of a Redis Cluster, which is not supported",
        ),
        ("redis_version:7.4.0\r\nloading:1\r\nrole:master", "it is still loading what it has kept"),
    ],
)
def test_a_server_that_is_too_old_of_a_cluster_or_still_loading_is_refused(tmp_path: Path, info: str, why: str) -> None:
    with Stranger(tmp_path / "s", bulk(info.encode())) as url:
        assert why in refused(url)


@pytest.mark.parametrize("what", NO_REDIS)
def test_what_answers_but_is_no_redis_is_refused_in_one_line_with_what_to_check(tmp_path: Path, what: str) -> None:
    with Stranger(tmp_path / "s", **NO_REDIS[what]) as url:
        why = refused(url)
    assert " can't be used as a store: it answers, but not as Redis does (" in why
    assert why.endswith("); check the address")
    assert "\n" not in why


def test_what_says_of_itself_what_redis_does_and_answers_otherwise_is_refused(tmp_path: Path) -> None:
    with Stranger(tmp_path / "s", bulk(INFO)) as url:
        assert "set appendfsync always" in refused(url)
        assert "is of another format (OK)" in refused(f"{url}?acknowledge=memory")


def test_a_server_whose_files_lie_at_a_path_that_is_not_utf_8_is_taken(tmp_path: Path) -> None:
    with Stranger(tmp_path / "s", bulk(INFO)) as url:
        parsed = parse(f"{url}?acknowledge=memory")
        connection = server.Connection(parsed)
        assert server.run_of(connection, parsed) == b"abc"
        connection.close()


def test_over_tls_a_server_is_taken_whose_certificate_is_trusted_and_no_other(
    tmp_path: Path, needs: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert = certificate(needs("openssl"), tmp_path)
    port = free_port()
    settings = ("--tls-port", str(port), "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem")
    with RedisServer(needs("redis-server"), tmp_path, *ALWAYS, *settings, "--tls-auth-clients", "no"):
        why = refused(f"rediss://127.0.0.1:{port}")
        assert "CERTIFICATE_VERIFY_FAILED" in why
        assert why.endswith("; have its certificate trusted (SSL_CERT_FILE), or name another server")
        assert refused(f"redis://127.0.0.1:{port}").endswith("whether it speaks TLS alone (rediss)")
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        taken(f"rediss://127.0.0.1:{port}")


def test_a_server_that_says_nothing_over_tls_may_speak_none(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENCE_SECONDS", 0.3)
    port = free_port()
    own_server.call("CONFIG", "SET", "port", str(port))
    why = refused(f"rediss://127.0.0.1:{port}")
    assert why.endswith(" by TLS; see whether it speaks TLS at that port, or name it by redis in place of rediss")


def test_what_was_told_meanwhile_is_taken_with_one_look_and_one_read(
    fresh: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = server.Connection(parse(fresh.url))
    connection.subscribe([b"a"])
    counts: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return real(*arguments, **options)

        return counted

    monkeypatch.setattr(server.Patience, "read_from_socket", counting("read", server.Patience.read_from_socket))
    monkeypatch.setattr("select.poll", counting("look", select.poll))
    fresh.calls([("SPUBLISH", "a", str(number)) for number in range(100)])
    fresh.call("PING")  # by now all was handed on
    assert connection.told(DEADLINE) == [(b"a", b"%d" % number) for number in range(100)]
    assert counts == {"read": 1, "look": 1}
    assert connection.told(0) == []
    connection.close()


def test_an_answer_in_drops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SILENCE_SECONDS", 1.3)
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        drops = threading.Thread(target=_drip, args=(listening,))
        drops.start()
        try:
            with pytest.raises(server.Trouble, match=r"no whole answer within 1\.5 seconds"):
                server.Connection(parse(f"redis://127.0.0.1:{listening.getsockname()[1]}"))
        finally:
            drops.join(DEADLINE)


def _drip(listening: socket.socket) -> None:
    """Answer with a status that has no end, a byte at a time, until the other hangs up."""
    connection, _ = listening.accept()
    with connection, suppress(OSError):
        while True:
            connection.sendall(b"+")
            time.sleep(0.02)
