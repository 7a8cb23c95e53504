"""Who is let in: which pages may ask at all, and who a page's user is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from ipaddress import IPv4Network, IPv6Network, ip_address
from math import inf
from typing import NamedTuple

from zchat.names import DIRECT, fold
from zchat.web.core.refusals import not_let_in
from zchat.web.core.tokens import claims

Network = IPv4Network | IPv6Network

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
"""What pages of this machine call it."""


class Patterns:
    """Some rooms, by folded names in which `*` stands for any characters and `?` for one. Direct rooms are never among
    them, but for a pattern that begins with `@`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._open: list[str] = []
        self._direct: list[str] = []
        for each in map(fold, patterns):
            (self._direct if each.startswith(DIRECT) else self._open).append(translate(each.replace("[", "[[]")))
        self._matches = {True: re.compile("|".join(self._direct)), False: re.compile("|".join(self._open))}

    def __bool__(self) -> bool:
        return bool(self._open or self._direct)

    def __contains__(self, room: object) -> bool:
        if not isinstance(room, str):
            return False
        direct = room.startswith(DIRECT)
        return bool(self._direct if direct else self._open) and bool(self._matches[direct].fullmatch(fold(room)))


class Caller(NamedTuple):
    """Who asks, as far as the request says it."""

    address: str
    """The address of the browser, or of the nearest proxy that isn't trusted."""
    counted: bool
    """False if the address stands for many: this machine's own, or a trusted proxy's."""
    user: str | None
    """The user that a trusted proxy, or the site that the gateway is a part of, has let in."""


class Login(NamedTuple):
    """Who a user is, until when (seconds since 1970), and in which rooms, None for in all."""

    user: str
    until: float = inf
    rooms: Patterns | None = None


class LettingIn(NamedTuple):
    """How users are let in.

    `open_to_all`: names are claims. `token_key`: a token says who it is. `user_header`: a proxy of `proxies` does, in
    that header. `public`: the rooms that may be watched by nobody in particular. `hosts`: the names under which the
    gateway is reached, in small letters; None for any, where something else checks that. `origins`: pages of other
    places that may connect to it.
    """

    open_to_all: bool = False
    token_key: bytes | None = None
    user_header: str | None = None
    proxies: tuple[Network, ...] = ()
    public: Patterns = Patterns(())
    hosts: frozenset[str] | None = frozenset(LOOPBACK_NAMES)
    origins: frozenset[str] = frozenset()

    def place(self, host: str | None, origin: str | None) -> str | None:
        """Return why a page may not connect, None if it may: `host` or `origin`.

        The `Host` must be one of ours, else a page that has its own name resolved to this machine would be its own
        origin. The `Origin`, if a browser sends one, must be the same or one of those that were named.
        """
        if host is None or (self.hosts is not None and _name(host) not in self.hosts):
            return "host"
        if origin is None or origin.lower() in self.origins:
            return None
        scheme, separator, place = origin.lower().partition("://")
        same = origin.isascii() and separator and scheme in ("http", "https") and place == host.lower()
        return None if same else "origin"

    def caller(self, peer: str, header: Callable[[str], Sequence[str]]) -> Caller:
        """Return who asks: `peer` is the address at the other end, `header` returns the values of a header.

        Raises:
            Turned: the user's header comes from an address that isn't a trusted proxy's, or is missing.
        """
        trusted = self._trusts(peer)
        if self.user_header is None:
            address = self._behind(peer, header) if trusted else peer
            return Caller(address, self.counts(address), None)
        users = header(self.user_header)
        if not trusted:
            raise not_let_in("users are let in by a proxy here, and this is not its address")
        if len(users) != 1 or not users[0]:
            raise not_let_in("the proxy did not say who the user is")
        address = self._behind(peer, header)
        return Caller(address, self.counts(address), _as_text(users[0]))

    def counts(self, address: str) -> bool:
        """Return whether connections from an address are bounded: those of one that stands for many are not."""
        return not (self._trusts(address) or _is_loopback(address))

    def login(self, caller: Caller, user: str | None, token: str | None, wall: float) -> Login | None:
        """Return who a greeting's user is, None for one who only watches.

        Raises:
            Turned: the user isn't let in; the text says why.
        """
        if caller.user is not None:
            found = Login(caller.user)
        elif token is not None and self.token_key is not None:
            said = claims(token, self.token_key, wall)
            found = Login(said.user, said.until, None if said.rooms is None else Patterns(said.rooms))
        elif self.open_to_all and user is not None:
            return Login(user)
        elif user is None and token is None and self.public:
            return None
        elif self.token_key is not None:
            raise not_let_in("a token is needed here, which the site makes for a user who has logged in")
        elif user is None:
            raise not_let_in("a user's name is needed here")
        else:
            raise not_let_in("nobody is let in under a name here")
        if user is not None and user != found.user:
            raise not_let_in("the user is another one than the login says")
        return found

    def _trusts(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None) or found
        return any(mapped in network for network in self.proxies)

    def _behind(self, peer: str, header: Callable[[str], Sequence[str]]) -> str:
        """Return the nearest address that isn't a trusted proxy's; what is further away may be made up."""
        listed = [each.strip() for line in header("X-Forwarded-For") for each in line.split(",")]
        for address in reversed(listed):
            try:
                ip_address(address)
            except ValueError:
                return peer
            if not self._trusts(address):
                return address
            peer = address
        return peer


def _name(host: str) -> str:
    """Return the name in a `Host`, without its port, in small letters."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _as_text(value: str) -> str:
    """Return a header's text: what isn't ASCII is UTF-8, and was read as ISO 8859-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        raise not_let_in("the proxy's name of the user is no UTF-8") from None


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
