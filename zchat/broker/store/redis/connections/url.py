"""The URLs of stores over Redis, and what they ask of the server."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from zchat.address import check_host
from zchat.errors import AddressError, UsageError

WITH_SENTINELS = ("redis+sentinel", "rediss+sentinel")
WITH_TLS = ("rediss", "rediss+sentinel")
SCHEMES = ("redis", "rediss", "redis+unix", *WITH_SENTINELS)
"""How URLs of such stores begin: over TCP, over TLS, over a socket in the file system, and at the master that Sentinels
name, over TCP or, as they are, over TLS."""

PREFIX = "zchat"
"""What the names of all keys begin with unless the URL says otherwise."""

DISK = "disk"
MEMORY = "memory"
REPLICAS = "replicas"
"""What an acknowledged message has reached: the server's disk, its memory, or that of some replicas too."""

MAX_REPLICAS = 9
"""Replicas that may be asked for at most: more than anybody has of one server whose failover is to be survived."""

PORT = 6379
SENTINEL_PORT = 26379

MAX_SENTINELS = 9
"""Sentinels in one URL at most: each is asked, and one that is silent takes a second of a failover."""

WITHOUT_PATH = ("redis+unix", *WITH_SENTINELS)
"""The schemes whose path is no number of a database, which is an option there."""

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class RedisURL(NamedTuple):
    """What a URL says."""

    place: str
    """The URL without a password, as it may be shown."""
    connect: dict[str, Any]
    """Where the server is and who asks, as the arguments of redis-py's connections have it."""
    tls: bool
    """True if connections are encrypted, and the server shows a certificate, as do the Sentinels."""
    unix: bool
    """True if the server is at a socket in the file system."""
    prefix: str
    """What the names of all keys begin with."""
    acknowledge: str
    """What an acknowledged message has reached: `DISK`, `MEMORY` or `REPLICAS`."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each Sentinel to be asked where the server is; none if `connect` says it."""
    service: str = ""
    """What the Sentinels call the server and its replicas; "" without them."""
    replicas: int = 0
    """How many replicas have an acknowledged message; 0 unless that is asked for."""

    def at(self, host: str, port: int) -> RedisURL:
        """Return the URL of the master that the Sentinels name."""
        where = {**self.connect, "host": host, "port": port}
        return self._replace(place=f"{self.place} (its master {shown_place(host, port)})", connect=where)

    def sentinel(self, host: str, port: int, *, named: bool) -> RedisURL:
        """Return the URL of one of the Sentinels; `named`: it asks for a user or a password, and is given them."""
        where: dict[str, Any] = {"host": host, "port": port}
        if named:
            where.update((key, self.connect[key]) for key in ("username", "password") if key in self.connect)
        return self._replace(place=f"the Sentinel {shown_place(host, port)}", connect=where, service="")


def shown_place(host: str, port: int) -> str:
    """Return a host and a port as a URL has them. Any thread."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_redis(url: str) -> bool:
    """Return whether a store's URL is one of these. Any thread."""
    return url.partition(":")[0].lower() in SCHEMES


def shown_url(url: str) -> str:
    """Return a store's URL as it may be shown: without the password, if it is one of these. Any thread."""
    return re.sub(r"^([^:]*:(?://)?[^:@/]*):.*@", r"\1:***@", url) if is_redis(url) else url


def parse(url: str) -> RedisURL:
    """Return what a URL says. Any thread.

    Raises:
        UsageError: it isn't one of these, or asks for what there is not.
    """
    place = shown_url(url)
    try:
        parts = urlsplit(url)
        connect = _server(parts)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError as error:
        raise UsageError(f"{place} is not the URL of a Redis: {error}") from None
    service, path = "", parts.path.strip("/")
    sentinels: tuple[tuple[str, int], ...] = ()
    if parts.scheme in WITH_SENTINELS:
        service, sentinels, path = path, _sentinels(place, parts), ""
        if not _PREFIX.fullmatch(service):
            raise UsageError(f"{place} names no service: write what the Sentinels call the server, as in HOST/SERVICE")
    if parts.scheme in WITHOUT_PATH and (database := options.pop("db", None)) is not None:
        connect["db"] = _database(place, database)
    prefix, acknowledge = options.pop("prefix", PREFIX), options.pop("acknowledge", DISK)
    if options:
        raise UsageError(f"{place}: there is no option {', '.join(sorted(options))}: use prefix and acknowledge")
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(f"{place}: prefix is 1 to 64 letters, digits and any of . _ : -")
    acknowledge, colon, count = acknowledge.partition(":")
    if acknowledge not in (DISK, MEMORY, REPLICAS) or bool(colon) != (acknowledge == REPLICAS):
        raise UsageError(
            f"{place}: acknowledge is {DISK}, {MEMORY} or {REPLICAS}:N, what a message has reached when it is "
            "acknowledged"
        )
    if colon and not (count.isascii() and count.isdigit() and len(count) == 1 and 0 < int(count) <= MAX_REPLICAS):
        raise UsageError(f"{place}: acknowledge={REPLICAS}:N is for 1 to {MAX_REPLICAS} replicas")
    if parts.scheme not in WITHOUT_PATH and path:
        connect["db"] = _database(place, path)
    tls, unix = parts.scheme in WITH_TLS, parts.scheme == "redis+unix"
    return RedisURL(place, connect, tls, unix, prefix, acknowledge, sentinels, service, int(count or 0))


def _server(parts: SplitResult) -> dict[str, Any]:
    """Return where the server is and who asks; raises ValueError."""
    connect: dict[str, Any] = {}
    if parts.fragment:
        raise ValueError("there is nothing after a #; write %23 in a password")
    if parts.scheme == "redis+unix":
        if parts.hostname or not parts.path.strip("/"):
            raise ValueError("redis+unix:///PATH names a socket by its whole path")
        connect["path"] = unquote(parts.path)
    elif parts.scheme not in WITH_SENTINELS:
        connect["host"], connect["port"] = _host(parts), _port(parts, PORT)
    if parts.username:
        connect["username"] = unquote(parts.username)
    if parts.password:
        connect["password"] = unquote(parts.password)
    return connect


def _sentinels(place: str, parts: SplitResult) -> tuple[tuple[str, int], ...]:
    """Return host and port of each Sentinel."""
    each = [urlsplit(f"//{where}") for where in parts.netloc.rpartition("@")[2].split(",")]
    if len(each) > MAX_SENTINELS:
        raise UsageError(f"{place} names {len(each)} Sentinels: {MAX_SENTINELS} at most are asked")
    try:
        return tuple((_host(where), _port(where, SENTINEL_PORT)) for where in each)
    except ValueError as error:
        raise UsageError(f"{place} is not the URL of Sentinels: {error}") from None


def _host(parts: SplitResult) -> str:
    if not parts.hostname:
        raise ValueError("it names no host")
    try:
        check_host(parts.hostname, parts.hostname)
    except AddressError as error:
        raise ValueError(str(error)) from None
    return parts.hostname


def _port(parts: SplitResult, default: int) -> int:
    try:
        return parts.port or default
    except ValueError:  # whose text has what stands in its place, a password for example
        raise ValueError("its port is not a number up to 65535") from None


def _database(place: str, number: str) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise UsageError(f"{place}: the number of a database is 0 or more, as in redis://host:6379/0")
    return int(number)
