"""The URLs of stores over Redis: what they say, and what is no such URL."""

from __future__ import annotations

from typing import Any

import pytest

from zchat.broker.store.redis.connections.url import is_redis, parse, shown_url
from zchat.errors import UsageError

HOST: dict[str, Any] = {"host": "host", "port": 6379}


@pytest.mark.parametrize(
    ("url", "connect"),
    [
        ("redis://host", HOST),
        ("redis://host/", HOST),
        ("redis://host:7000/2", {"host": "host", "port": 7000, "db": 2}),
        ("rediss://host", HOST),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://alice:p%40ss@host", {**HOST, "username": "alice", "password": "p@ss"}),
        ("redis://:pass@host", {**HOST, "password": "pass"}),
        ("redis+unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("redis+unix:///run/a%20b.sock?db=3", {"path": "/run/a b.sock", "db": 3}),
        (
            "redis+unix://alice:pass@/run/redis.sock",
            {"path": "/run/redis.sock", "username": "alice", "password": "pass"},
        ),
    ],
)
def test_a_url_says_where_the_server_is_and_who_asks(url: str, connect: dict[str, Any]) -> None:
    said = parse(url)
    assert said.connect == connect
    assert (said.prefix, said.acknowledge) == ("zchat", "disk")
    assert (said.tls, said.unix) == (url.startswith("rediss:"), url.startswith("redis+unix:"))


def test_a_url_says_which_keys_are_the_stores_and_what_an_acknowledged_message_has_reached() -> None:
    said = parse("redis://host/?prefix=team:chat&acknowledge=memory")
    assert (said.prefix, said.acknowledge) == ("team:chat", "memory")
    said = parse("redis://host/?acknowledge=replicas:2")
    assert (said.acknowledge, said.replicas) == ("replicas", 2)
    assert parse("redis://host").replicas == 0
    assert parse("redis+unix:///s?db=0&prefix=p").connect == {"path": "/s", "db": 0}


def test_a_url_names_sentinels_and_what_they_call_the_server() -> None:
    said = parse("redis+sentinel://alice:p%40ss@a,b:7000,[::1]:7001/chat?db=2&prefix=p&acknowledge=memory")
    assert said.sentinels == (("a", 26379), ("b", 7000), ("::1", 7001))
    assert (said.service, said.prefix, said.acknowledge) == ("chat", "p", "memory")
    assert said.connect == {"db": 2, "username": "alice", "password": "p@ss"}
    master = said.at("::1", 6379)
    assert master.connect == {**said.connect, "host": "::1", "port": 6379}
    assert master.place.endswith("/chat?db=2&prefix=p&acknowledge=memory (its master [::1]:6379)")
    assert not said.tls
    assert parse("rediss+sentinel://a/chat") == parse("redis+sentinel://a/chat")._replace(
        place="rediss+sentinel://a/chat", tls=True
    )
    asked = [said.sentinel("b", 7000, named=named) for named in (False, True)]
    assert [each.connect for each in asked] == [
        {"host": "b", "port": 7000},
        {"host": "b", "port": 7000, "username": "alice", "password": "p@ss"},
    ]
    assert "p@ss" not in said.place + master.place


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://", "it names no host"),
        ("redis:///0", "it names no host"),
        ("redis://a..b", "'a..b' names a host that can't be"),
        (f"redis://{'a' * 64}", "between its dots a host's name has 1 to 63 characters"),
        ("redis://host:port", "its port is not a number up to 65535"),
        ("redis://host:70000", "its port is not a number up to 65535"),
        ("redis://host/zero", "the number of a database is 0 or more"),
        ("redis://host/0/1", "the number of a database is 0 or more"),
        ("redis+unix://", "names a socket by its whole path"),
        ("redis+unix://run/redis.sock", "names a socket by its whole path"),
        ("redis+unix:///s?db=-1", "the number of a database is 0 or more"),
        ("redis://host?db=1", "there is no option db: use prefix and acknowledge"),
        ("redis://host?prefix=", "prefix is 1 to 64 letters, digits"),
        ("redis://host?prefix=a{b}", "prefix is 1 to 64 letters, digits"),
        ("redis://host?prefix", "is not the URL of a Redis"),
        ("redis://host?acknowledge=always", "acknowledge is disk, memory or replicas:N"),
        ("redis://host?acknowledge=replicas", "acknowledge is disk, memory or replicas:N"),
        ("redis://host?acknowledge=disk:1", "acknowledge is disk, memory or replicas:N"),
        ("redis://host?acknowledge=replicas:0", "acknowledge=replicas:N is for 1 to 9 replicas"),
        ("redis://host?acknowledge=replicas:10", "acknowledge=replicas:N is for 1 to 9 replicas"),
        ("redis://host?acknowledge=replicas:", "acknowledge=replicas:N is for 1 to 9 replicas"),
        ("redis://host#2", "there is nothing after a #"),
        ("redis+sentinel://host", "names no service: write what the Sentinels call the server"),
        ("redis+sentinel:///chat", "it names no host"),
        ("redis+sentinel://a,/chat", "it names no host"),
        ("redis+sentinel://a:x/chat", "its port is not a number up to 65535"),
        ("redis+sentinel://a/chat/0", "names no service"),
        ("rediss+sentinel://a", "names no service"),
        ("redis+sentinel://a/chat?db=x", "the number of a database is 0 or more"),
        (f"redis+sentinel://{','.join('abcdefghij')}/chat", "names 10 Sentinels: 9 at most are asked"),
    ],
)
def test_a_url_that_is_wrong_is_refused_with_what_is_wrong(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://alice:secret@host/0?prefix=p", "redis://alice:***@host/0?prefix=p"),
        ("rediss://:secret@host", "rediss://:***@host"),
        ("redis://alice:sec:ret@host", "redis://alice:***@host"),
        ("redis://alice:secret/@x@host", "redis://alice:***@host"),
        ("redis+unix://:secret@/s", "redis+unix://:***@/s"),
        ("redis+sentinel://alice:secret@a,b:1/chat", "redis+sentinel://alice:***@a,b:1/chat"),
        ("rediss+sentinel://:secret@a,b:1/chat", "rediss+sentinel://:***@a,b:1/chat"),
        ("redis://alice@host:6379", "redis://alice@host:6379"),
        ("REDIS://alice:secret@host", "REDIS://alice:***@host"),
        ("redis:alice:secret@host", "redis:alice:***@host"),
        ("sqlite:/a:b@c", "sqlite:/a:b@c"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    if is_redis(url):
        try:
            said = repr(parse(url).place)
        except UsageError as error:
            said = str(error)
        assert "secret" not in said
        assert "sec:ret" not in said


def test_other_stores_urls_are_none_of_these() -> None:
    assert [is_redis(url) for url in ("redis://host", "rediss:", "memory:", "sqlite:redis", "redisx://host")] == [
        True,
        True,
        False,
        False,
        False,
    ]
