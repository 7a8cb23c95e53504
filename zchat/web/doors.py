"""How users are let in, of what somebody has written down: files, networks, patterns."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from ipaddress import ip_network
from urllib.parse import urlsplit

from zchat.checks import shown
from zchat.errors import UsageError
from zchat.files import read_bounded
from zchat.web.core.letting_in import LOOPBACK_NAMES, LettingIn, Network, Patterns
from zchat.web.core.tokens import weakness

MAX_KEY_FILE = 4096
"""Bytes of a file with a key for tokens."""

WAYS = "--open (names are claims), --token-key FILE (a site's tokens), or --user-header NAME --trusted-proxy CIDR"
"""The ways of letting in, as the command's options."""


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
    return LettingIn(
        open_to_all,
        None if token_key is None else read_token_key(token_key),
        user_header,
        tuple(map(_network, proxies)),
        Patterns(public),
        frozenset((*LOOPBACK_NAMES, *map(_host, hosts))),
        origins_of(origins),
    )


def read_token_key(path: str) -> bytes:
    """Return the key in a file, without the end of its last line.

    Raises:
        UsageError: it can't be read, others can read it, or it is too short.
    """
    try:
        key = read_bounded(path, MAX_KEY_FILE)
        mode = os.stat(path).st_mode
    except OSError as error:
        raise UsageError(f"the key for tokens in {shown(path)} can't be read: {error.strerror}") from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"{shown(path)} can be read by others (mode {stat.S_IMODE(mode):03o}): chmod 600 {path}")
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


def _host(text: str) -> str:
    name = text.lower().removeprefix("[").removesuffix("]")
    if not name or "/" in name or (":" in name and name.count(":") == 1):
        raise UsageError(f"{shown(text)} is no host: chat.example.org, for instance, without a port")
    return name


def origins_of(texts: Sequence[str]) -> frozenset[str]:
    """Return origins of pages as browsers send them.

    Raises:
        UsageError: one is none.
    """
    return frozenset(map(_origin, texts))


def _origin(text: str) -> str:
    try:
        found = urlsplit(text.lower())
    except ValueError:  # of brackets
        found = urlsplit("")
    if found.scheme not in ("http", "https") or not found.netloc or found.path.strip("/") or found.query:
        raise UsageError(f"{shown(text)} is no origin: https://www.example.org, for instance")
    return f"{found.scheme}://{found.netloc}"
