"""The URLs of stores over Redis, and what they ask of the server."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from zchat.address import check_host
from zchat.errors import AddressError, UsageError

SCHEMES = ("redis", "rediss", "redis+unix")
"""How URLs of such stores begin: over TCP, over TLS, over a socket in the file system."""

PREFIX = "zchat"
"""What the names of all keys begin with unless the URL says otherwise."""

DISK = "disk"
MEMORY = "memory"
"""What an acknowledged message has reached: the server's disk, or its memory."""

PORT = 6379

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class RedisURL(NamedTuple):
    """What a URL says."""

    place: str
    """The URL without a password, as it may be shown."""
    connect: dict[str, Any]
    """Where the server is and who asks, as the arguments of redis-py's connections have it."""
    tls: bool
    """True if the connection is encrypted, and the server shows a certificate."""
    unix: bool
    """True if the server is at a socket in the file system."""
    prefix: str
    """What the names of all keys begin with."""
    acknowledge: str
    """What an acknowledged message has reached: `DISK` or `MEMORY`."""


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
    if parts.scheme == "redis+unix" and (database := options.pop("db", None)) is not None:
        connect["db"] = _database(place, database)
    prefix, acknowledge = options.pop("prefix", PREFIX), options.pop("acknowledge", DISK)
    if options:
        raise UsageError(f"{place}: there is no option {', '.join(sorted(options))}: use prefix and acknowledge")
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(f"{place}: prefix is 1 to 64 letters, digits and any of . _ : -")
    if acknowledge not in (DISK, MEMORY):
        raise UsageError(
            f"{place}: acknowledge is {DISK} or {MEMORY}, what a message has reached when it is acknowledged"
        )
    path = parts.path.strip("/")
    if parts.scheme != "redis+unix" and path:
        connect["db"] = _database(place, path)
    return RedisURL(place, connect, parts.scheme == "rediss", parts.scheme == "redis+unix", prefix, acknowledge)


def _server(parts: SplitResult) -> dict[str, Any]:
    """Return where the server is and who asks; raises ValueError."""
    connect: dict[str, Any] = {}
    if parts.fragment:
        raise ValueError("there is nothing after a #; write %23 in a password")
    if parts.scheme == "redis+unix":
        if parts.hostname or not parts.path.strip("/"):
            raise ValueError("redis+unix:///PATH names a socket by its whole path")
        connect["path"] = unquote(parts.path)
    else:
        if not parts.hostname:
            raise ValueError("it names no host")
        try:
            check_host(parts.hostname, parts.hostname)
        except AddressError as error:
            raise ValueError(str(error)) from None
        connect["host"], connect["port"] = parts.hostname, _port(parts)
    if parts.username:
        connect["username"] = unquote(parts.username)
    if parts.password:
        connect["password"] = unquote(parts.password)
    return connect


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or PORT
    except ValueError:  # whose text has what stands in its place, a password for example
        raise ValueError("its port is not a number up to 65535") from None


def _database(place: str, number: str) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise UsageError(f"{place}: the number of a database is 0 or more, as in redis://host:6379/0")
    return int(number)
