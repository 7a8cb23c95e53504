"""How users are let in, of what somebody has written down: files, networks, patterns."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_network
from urllib.parse import urlsplit

from zchat import paths
from zchat.checks import check_texts, shown
from zchat.errors import BadName, UsageError
from zchat.files import read_bounded
from zchat.names import check_held_name, fold
from zchat.paths import why
from zchat.web.core.letting_in import LOOPBACK_NAMES, LettingIn, Network, Patterns
from zchat.web.core.tokens import weakness

MAX_KEY_FILE = 4096
"""Bytes of a file with a key for tokens."""

WAYS = "--open (names are claims), --token-key FILE (a site's tokens), or --user-header NAME --trusted-proxy CIDR"
"""The ways of letting in, as the command's options."""

_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header (RFC 9110, section 5.6.2)."""

_NAME = re.compile(r"[0-9a-z_-]+(?:\.[0-9a-z_-]+)*\.?")
"""A host's name or IPv4 address as browsers send it, in small letters."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
"""The ports that browsers leave out of an origin."""


def letting_in(
    *,
    open_to_all: bool = False,
    token_key: str | None = None,
    user_header: str | None = None,
    proxies: Sequence[str] = (),
    public: Sequence[str] = (),
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> LettingIn:
    """Return how users are let in; `token_key` is the file of a key, the others are as in `LettingIn`.

    Raises:
        UsageError: it isn't one way and one way only, or one of these can't be used.
    """
    if [open_to_all, token_key is not None, user_header is not None].count(True) != 1:
        raise UsageError(f"users are let in in one way: {WAYS}")
    if user_header is not None and not proxies:
        raise UsageError("a user's header counts from a trusted proxy alone: --trusted-proxy CIDR says which")
    if user_header is not None and not _FIELD.fullmatch(user_header):
        raise UsageError(f"{shown(user_header)} is the name of no header: X-Forwarded-User, for instance")
    return LettingIn(
        open_to_all,
        None if token_key is None else read_token_key(token_key),
        user_header,
        tuple(map(_network, check_texts("proxies", "networks", proxies))),
        public_of(public),
        frozenset((*LOOPBACK_NAMES, *map(_host, check_texts("hosts", "names", hosts)))),
        origins_of(origins),
    )


def read_token_key(path: str) -> bytes:
    """Return the key in a file, without the end of its last line.

    Raises:
        UsageError: it can't be read, others can read it, or it is too short.
    """
    path = paths.given("a key for tokens is the path of a file", path)
    try:
        key = read_bounded(path, MAX_KEY_FILE)
        mode = os.stat(path).st_mode
    except OSError as error:
        raise UsageError(f"the key for tokens in {shown(path)} can't be read: {why(error, path)}") from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(
            f"{shown(path)} can be read by others (mode {stat.S_IMODE(mode):03o}): chmod 600 {shlex.quote(path)}"
        )
    key = key.removesuffix(b"\n").removesuffix(b"\r")
    wrong = f"it has more than {MAX_KEY_FILE} bytes" if len(key) > MAX_KEY_FILE else weakness(key)
    if wrong is not None:
        raise UsageError(f"{shown(path)}: {wrong}; openssl rand -base64 48 makes one")
    return key


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise UsageError(f"{shown(text)} is no network: 192.0.2.0/24, for instance, or one address") from error


def public_of(texts: Sequence[str]) -> Patterns:
    """Return the patterns of the rooms that may be watched by nobody in particular.

    Raises:
        UsageError: they are no list of texts, or no room can have a name as one says; none is for direct rooms, which
            nobody in particular has.
    """
    for text in (given := check_texts("public", "patterns", texts)):
        try:
            check_held_name("room", fold(text).replace("*", "x").replace("?", "x"))
        except BadName as error:
            raise UsageError(f"{shown(text)} is no pattern of rooms, as news or ops-* are: {error}") from error
    return Patterns(given)


def _host(text: str) -> str:
    name = _as_browsers_send(text.removeprefix("[").removesuffix("]"))
    if name is None:
        raise UsageError(
            f"{shown(text)} is no host: chat.example.org, for instance, without a port, and in ASCII (xn--…)"
        )
    return name


def _as_browsers_send(host: str) -> str | None:
    """Return a host's name or address, an IPv6 one without brackets, as browsers send it; None if it can't be one."""
    if ":" not in host:
        return host.lower() if _NAME.fullmatch(host.lower()) else None
    try:
        return None if "%" in host else str(IPv6Address(host))
    except ValueError:
        return None


def origins_of(texts: Sequence[str]) -> frozenset[str]:
    """Return origins of pages as browsers send them.

    Raises:
        UsageError: they are no list of texts, or one is none.
    """
    return frozenset(map(_origin, check_texts("origins", "origins", texts)))


def connections_of(most: int) -> int:
    """Return how many browsers may be connected at once.

    Raises:
        UsageError: it is no whole number from 1.
    """
    if type(most) is not int or most < 1:
        raise UsageError(f"max_connections is a whole number of browsers from 1, not {shown(most)}")
    return most


def _origin(text: str) -> str:
    try:
        found = urlsplit(text)
        host, port = _as_browsers_send(found.hostname or ""), found.port
    except ValueError:  # of brackets, or the port
        host = None
    if host is None or found.scheme not in _DEFAULT_PORTS or not re.fullmatch(r"\w+://[^@/?#\s]+/?", text):
        raise UsageError(f"{shown(text)} is no origin: https://www.example.org, for instance")
    place = f"[{host}]" if ":" in host else host
    return f"{found.scheme}://{place}" + ("" if port in (None, _DEFAULT_PORTS[found.scheme]) else f":{port}")
